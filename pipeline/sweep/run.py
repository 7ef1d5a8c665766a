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
from ..engine.plan import BlockedError, Walk, Wave
from ..engine.runner import Display, Runner
from ..engine.stages import NAMES, STAGES, Stage
from ..engine.store import Record
from ..engine.task import FACTS
from ..engine.worker import Order
from ..utils.errors import ConfigError, SatpipeError, SpoiltError, StoreError, first_line
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
    walk: Walk
    records: dict[str, Record] = field(default_factory=dict)
    missing: dict[str, Order] = field(default_factory=dict)
    stage: Stage | None = None
    trouble: str | None = None

    @property
    def state(self) -> str:
        """``done``, ``failed`` or ``waiting``."""
        return "failed" if self.trouble else "waiting" if self.missing else "done"


Changed = Callable[[Sequence[Course]], None]


class Named:
    """Tells a display which point a part belongs to."""

    def __init__(self, display: Display) -> None:
        """Pass everything on to ``display``."""
        self.display = display
        self.owners: dict[str, list[str]] = {}

    def _named(self, order: Order) -> Order:
        owners = self.owners.get(order.key, [])
        if not owners:
            return order
        more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
        return replace(order, part=replace(order.part, name=f"{order.part.name} of {owners[0]}{more}"))

    def say(self, text: str) -> None:
        """Something that a person should know."""
        self.display.say(text)

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """A wave of a stage begins."""
        self.display.stage_begins(stage, missing, total)

    def part_done(self, order: Order, record: Record, facts: dict[str, Any]) -> None:
        """A part was made."""
        self.display.part_done(self._named(order), record, facts)

    def part_progress(self, order: Order, state: dict[str, Any]) -> None:
        """A part under way says how far it is."""
        self.display.part_progress(self._named(order), state)

    def stage_ends(self, stage: Stage, made: int, total: int, facts: dict[str, dict[str, Any]]) -> None:
        """A stage is complete."""
        self.display.stage_ends(stage, made, total, facts)

    def stage_stops(self, stage: Stage, facts: dict[str, dict[str, Any]]) -> None:
        """A stage cannot go on."""
        self.display.stage_stops(stage, facts)


def look(runner: Runner, point: Point, last: str) -> Course:
    """Plan a point as far as what is committed allows.

    A sweep that ends at generators leaves out that of the split `final`, which is judged by nothing.
    """
    course = Course(point, runner.walk(point.config))

    def handle(wave: Wave) -> Sequence[Record]:
        found = zip(wave.orders, wave.records, strict=True)
        course.records |= {order.part.title: record for order, record in found if record is not None}
        needed = [wave.orders[position] for position in wave.missing]
        if wave.stage.name == last == "gan":
            needed = [order for order in needed if order.part.name != FINAL]
        if wave.missing:
            course.missing, course.stage = {order.key: order for order in needed}, wave.stage
            raise BlockedError
        return [record for record in wave.records if record is not None]

    try:
        for stage in STAGES[: NAMES.index(last) + 1]:
            for _ in course.walk.stage(stage, handle):
                pass
    except BlockedError:
        pass
    except ConfigError as error:
        raise ConfigError(f"point {point.label}: {error}") from None
    except SatpipeError as error:
        course.trouble = first_line(error)
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
        spoilt: set[str] = set()

        def executor() -> Executor:
            if not pool:
                workers = runner.workers(sweep.points[0].config)
                pool.append(stack.enter_context(open_executor(compute, workers)))
            return pool[0]

        while waiting := [course for course in courses if course.state == "waiting"]:
            first = min(NAMES.index(course.stage.name) for course in waiting if course.stage)
            mine = [course for course in waiting if course.stage == STAGES[first]]
            orders = {key: order for course in mine for key, order in course.missing.items()}
            named.owners = {key: [course.point.label for course in mine if key in course.missing] for key in orders}
            wave = Wave(STAGES[first], list(orders.values()), [None] * len(orders))
            for position, outcome in runner.make(wave, executor):
                if isinstance(outcome, SpoiltError) and outcome.digest not in spoilt:
                    # Found when it was opened, after it had been planned as sound: the next look plans it anew.
                    spoilt.add(outcome.digest)
                    runner.store.discard(outcome.stage, outcome.digest)
                    named.say(f"{first_line(outcome).partition(';')[0]}; it is made again")
                    continue
                _take(outcome, wave.orders[position], mine)
                if sweep.last == STAGES[first].name:
                    changed(courses)
            named.stage_stops(wave.stage, {})
            for course in mine:
                if course.trouble is None:
                    seen = look(runner, course.point, sweep.last)
                    course.walk, course.records = seen.walk, seen.records
                    course.missing, course.stage, course.trouble = seen.missing, seen.stage, seen.trouble
                    runner.remember(course.point.config, course.walk, "running", "in a sweep")
            changed(courses)


def _take(outcome: Record | SatpipeError, order: Order, courses: Sequence[Course]) -> None:
    """Note for each point that needs a part that it was made, or why it was not."""
    if isinstance(outcome, StoreError):
        raise outcome
    for course in courses:
        if order.key not in course.missing:
            continue
        if isinstance(outcome, SatpipeError):
            course.trouble = course.trouble or first_line(outcome)
        else:
            course.records[order.part.title] = outcome
            del course.missing[order.key]


def _remember(runner: Runner, course: Course, last: str) -> None:
    words = {
        "done": ("finished", f"complete up to {last}"),
        "failed": ("failed", course.trouble or ""),
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
                course.trouble = first_line(error)


def measure(course: Course, runner: Runner) -> Values:
    """What a point is measured by, as far as it is made."""
    generators = [
        record for title, record in course.records.items() if title.startswith("gan/") and title != f"gan/{FINAL}"
    ]
    facts = [_facts(runner, record) for record in generators]
    found = of_generators(facts, [record.seconds for record in generators])
    verdict = course.records.get("report/verdict")
    if verdict is not None:
        path = runner.store.folder(verdict.ref) / "verdict.json"
        if path.is_file():
            found |= of_answer(json.loads(path.read_text("utf-8")))
    return found


def _facts(runner: Runner, record: Record) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((runner.store.folder(record.ref) / FACTS).read_text("utf-8"))
    return facts
