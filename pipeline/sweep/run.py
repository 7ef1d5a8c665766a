"""Run the points of a sweep together: parts that several need are made once, and one that fails takes no other along.

Stage by stage, the missing parts of all points go to one executor. What is made is committed as in any run, so a sweep
that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from ..dataset.names import FINAL
from ..engine.display import PlainDisplay
from ..engine.executors import open_executor
from ..engine.plan import BlockedError, Planner, TaskBatch
from ..engine.runner import Display, Runner
from ..engine.stages import NAMES, STAGES, Stage
from ..engine.store import Record
from ..engine.task import METADATA
from ..engine.worker import TaskSpec
from ..utils.errors import ConfigError, CorruptedError, SatpipeError, StoreError, first_line
from .measures import Values, of_answer, of_generators
from .request import Point, Sweep


@dataclass
class Course:
    """How far a point is.

    Attributes:
        point: The point.
        walk: The walk over its stages.
        records: Its committed parts, by title.
        missing: Orders of the stage that it waits for, by key; empty where it is complete or failed.
        stage: That stage.
        trouble: Why it failed, in one sentence.
    """

    point: Point
    walk: Planner
    records: dict[str, Record] = field(default_factory=dict)
    missing: dict[str, TaskSpec] = field(default_factory=dict)
    stage: Stage | None = None
    os_error_hint: str | None = None

    @property
    def state(self) -> str:
        """``done``, ``failed`` or ``waiting``."""
        return "failed" if self.os_error_hint else "waiting" if self.missing else "done"


Changed = Callable[[Sequence[Course]], None]


class Named:
    """Tells a display which point a part belongs to."""

    def __init__(self, display: Display) -> None:
        """Pass everything on to ``display``."""
        self.display = display
        self.owners: dict[str, list[str]] = {}

    def _named(self, spec: TaskSpec) -> TaskSpec:
        owners = self.owners.get(spec.key, [])
        if not owners:
            return spec
        more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
        return replace(spec, task=replace(spec.task, name=f"{spec.task.name} of {owners[0]}{more}"))

    def say(self, text: str) -> None:
        """Something that a person should know."""
        self.display.say(text)

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """A wave of a stage begins."""
        self.display.stage_begins(stage, missing, total)

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """A part was made."""
        self.display.task_done(self._named(spec), record, metadata)

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """A part under way says how far it is."""
        self.display.task_progress(self._named(spec), state)

    def stage_ends(self, stage: Stage, made: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """A stage is complete."""
        self.display.stage_ends(stage, made, total, metadata)

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """A stage cannot go on."""
        self.display.stage_stops(stage, metadata)


def look(runner: Runner, point: Point, last: str) -> Course:
    """Plan a point as far as what is committed allows.

    A sweep that ends at generators leaves out that of the split `final`, which is judged by nothing.
    """
    course = Course(point, runner.walk(point.config))

    def handle(batch: TaskBatch) -> Sequence[Record]:
        found = zip(batch.specs, batch.records, strict=True)
        course.records |= {spec.task.title: record for spec, record in found if record is not None}
        needed = [batch.specs[position] for position in batch.missing]
        if batch.stage.name == last == "gan":
            needed = [spec for spec in needed if spec.task.name != FINAL]
        if batch.missing:
            course.missing, course.stage = {spec.key: spec for spec in needed}, batch.stage
            raise BlockedError
        return [record for record in batch.records if record is not None]

    try:
        for stage in STAGES[: NAMES.index(last) + 1]:
            for _ in course.walk.stage(stage, handle):
                pass
    except BlockedError:
        pass
    except ConfigError as error:
        raise ConfigError(f"point {point.label}: {error}") from None
    except SatpipeError as error:
        course.os_error_hint = first_line(error)
    finally:
        course.walk.fingerprints.save()
    return course


def run(sweep: Sweep, runner: Runner, changed: Changed) -> list[Course]:
    """Run every point to the sweep's last stage.

    Args:
        sweep: What to run.
        runner: Of the root folder; its display is told what happens.
        changed: Called with all courses whenever a point is complete or has failed.

    Raises:
        StoreError: If nothing can be made any more, such as on a full disk.
    """
    named = Named(runner.display)
    runner = Runner(runner.root, named)
    with runner.store.lock():
        courses = [look(runner, point, sweep.last) for point in sweep.points]
        try:
            for course in courses:
                runner.remember(course.point.config, course.walk, "running", "in a sweep")
            changed(courses)
            _make_all(courses, runner, named, sweep, changed)
        finally:
            for course in courses:
                _remember(runner, course, sweep.last)
    if sweep.last == NAMES[-1]:
        _publish(courses, runner)
    changed(courses)
    return courses


def _make_all(courses: list[Course], runner: Runner, named: Named, sweep: Sweep, changed: Changed) -> None:
    compute = sweep.points[0].config.compute
    with ExitStack() as stack:
        pool: list[Executor] = []
        corrupted: set[str] = set()

        def executor() -> Executor:
            if not pool:
                workers = runner.workers(sweep.points[0].config)
                pool.append(stack.enter_context(open_executor(compute, workers)))
            return pool[0]

        while waiting := [course for course in courses if course.state == "waiting"]:
            first = min(NAMES.index(course.stage.name) for course in waiting if course.stage)
            mine = [course for course in waiting if course.stage == STAGES[first]]
            specs = {key: spec for course in mine for key, spec in course.missing.items()}
            named.owners = {key: [course.point.label for course in mine if key in course.missing] for key in specs}
            batch = TaskBatch(STAGES[first], list(specs.values()), [None] * len(specs))
            for position, outcome in runner.make(batch, executor):
                if isinstance(outcome, CorruptedError) and outcome.digest not in corrupted:
                    # Found when it was opened, after it had been planned as sound: the next look plans it anew.
                    corrupted.add(outcome.digest)
                    runner.store.discard(outcome.stage, outcome.digest)
                    named.say(f"{first_line(outcome).partition(';')[0]}; it is made again")
                    continue
                _take(outcome, batch.specs[position], mine)
                if sweep.last == STAGES[first].name:
                    changed(courses)
            named.stage_stops(batch.stage, {})
            for course in mine:
                if course.os_error_hint is None:
                    seen = look(runner, course.point, sweep.last)
                    course.walk, course.records = seen.walk, seen.records
                    course.missing, course.stage, course.os_error_hint = seen.missing, seen.stage, seen.os_error_hint
                    runner.remember(course.point.config, course.walk, "running", "in a sweep")
            changed(courses)


def _take(outcome: Record | SatpipeError, spec: TaskSpec, courses: Sequence[Course]) -> None:
    """Note for each point that needs a part that it was made, or why it was not."""
    if isinstance(outcome, StoreError):
        raise outcome
    for course in courses:
        if spec.key not in course.missing:
            continue
        if isinstance(outcome, SatpipeError):
            course.os_error_hint = course.os_error_hint or first_line(outcome)
        else:
            course.records[spec.task.title] = outcome
            del course.missing[spec.key]


def _remember(runner: Runner, course: Course, last: str) -> None:
    words = {
        "done": ("finished", f"complete up to {last}"),
        "failed": ("failed", course.os_error_hint or ""),
        "waiting": ("interrupted", "interrupted"),
    }
    runner.remember(course.point.config, course.walk, *words[course.state])


def _publish(courses: Sequence[Course], runner: Runner) -> None:
    """Publish the report of every complete point, as running it alone would: nothing is left to be made."""
    quiet = Runner(runner.root, PlainDisplay(Console(quiet=True)))
    for course in courses:
        if course.state == "done":
            try:
                quiet.run(course.point.config)
            except SatpipeError as error:
                course.os_error_hint = first_line(error)


def measure(course: Course, runner: Runner) -> Values:
    """What a point is measured by, as far as it is made."""
    generators = [
        record for title, record in course.records.items() if title.startswith("gan/") and title != f"gan/{FINAL}"
    ]
    metadata = [_facts(runner, record) for record in generators]
    found = of_generators(metadata, [record.seconds for record in generators])
    verdict = course.records.get("report/verdict")
    if verdict is not None:
        path = runner.store.folder(verdict.ref) / "verdict.json"
        if path.is_file():
            found |= of_answer(json.loads(path.read_text("utf-8")))
    return found


def _facts(runner: Runner, record: Record) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((runner.store.folder(record.ref) / METADATA).read_text("utf-8"))
    return metadata
