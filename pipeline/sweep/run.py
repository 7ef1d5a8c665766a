"""Run the points of a sweep together: tasks that several need run once, and a point that fails stops no other.

Stage by stage, the missing tasks of all points go to one executor. Artifacts are committed as in any run, so a sweep
that was stopped resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from ..dataset.names import FINAL
from ..engine.display import PlainDisplay
from ..engine.executors import open_executor
from ..engine.plan import Planner, TaskBatch
from ..engine.runner import Display, Runner
from ..engine.stages import NAMES, STAGES, Stage
from ..engine.store import Record
from ..engine.task import read_metadata
from ..engine.worker import TaskSpec
from ..utils.bounded_files import read_json
from ..utils.errors import ConfigError, CorruptedError, SatpipeError, StoreError, first_line
from .measures import Values, of_answer, of_generators
from .request import Point, Sweep


@dataclass
class PointState:
    """Progress of a point.

    Attributes:
        point: The point.
        planner: What planned it.
        records: Its committed artifacts, by title.
        missing: Specs of the stage that it waits for, by key; empty where it is complete or failed.
        stage: That stage.
        failure: Why it failed, in one sentence.
    """

    point: Point
    planner: Planner
    records: dict[str, Record] = field(default_factory=dict)
    missing: dict[str, TaskSpec] = field(default_factory=dict)
    stage: Stage | None = None
    failure: str | None = None

    @property
    def state(self) -> str:
        """Return ``done``, ``failed`` or ``waiting``."""
        return "failed" if self.failure else "waiting" if self.missing else "done"


Changed = Callable[[Sequence[PointState]], None]


class Named:
    """Tells a display which point a task belongs to."""

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
        """Show a line that a person should read."""
        self.display.say(text)

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """Show that a batch of a stage begins."""
        self.display.stage_begins(stage, missing, total)

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """Show that a task is done."""
        self.display.task_done(self._named(spec), record, metadata)

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """Show how far a running task is."""
        self.display.task_progress(self._named(spec), state)

    def stage_ends(self, stage: Stage, ran: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage is complete."""
        self.display.stage_ends(stage, ran, total, metadata)

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage cannot go on."""
        self.display.stage_stops(stage, metadata)


def plan_point(runner: Runner, point: Point, last: str) -> PointState:
    """Plan a point as far as what is committed allows.

    A sweep that ends at generators leaves out that of the split `final`, which nothing evaluates.

    Raises:
        ConfigError: If its configuration cannot be used.
    """
    state = PointState(point, runner.planner(point.config))
    try:
        state.planner.plan_ahead(last)
    except ConfigError as error:
        raise ConfigError(f"point {point.label}: {error}") from None
    except SatpipeError as error:
        state.failure = first_line(error)
    for batch in state.planner.batches:
        for spec, record in zip(batch.specs, batch.records, strict=True):
            if record is not None:
                state.records[spec.task.title] = record
            elif not (batch.stage.name == last == "gan" and spec.task.name == FINAL):
                state.missing[spec.key], state.stage = spec, batch.stage
    return state


def run(sweep: Sweep, runner: Runner, changed: Changed) -> list[PointState]:
    """Run every point to the sweep's last stage.

    Args:
        sweep: What to run.
        runner: Of the root folder; its display shows the progress.
        changed: Called with the states of all points whenever one is complete or has failed.

    Raises:
        StoreError: If nothing can run any more, such as on a full disk.
    """
    named = Named(runner.display)
    runner = Runner(runner.root, named)
    with runner.store.lock():
        points = [plan_point(runner, point, sweep.last) for point in sweep.points]
        try:
            for point in points:
                runner.remember(point.point.config, point.planner, sweep.last, "running", "in a sweep")
            changed(points)
            _run_all(points, runner, named, sweep, changed)
        finally:
            for point in points:
                _remember(runner, point, sweep.last)
    if sweep.last == NAMES[-1]:
        _publish(points, runner)
    changed(points)
    return points


def _run_all(points: list[PointState], runner: Runner, named: Named, sweep: Sweep, changed: Changed) -> None:
    compute = sweep.points[0].config.compute
    with ExitStack() as stack:
        pool: list[Executor] = []
        corrupted: set[str] = set()

        def executor() -> Executor:
            if not pool:
                workers = runner.workers(sweep.points[0].config)
                pool.append(stack.enter_context(open_executor(compute, workers)))
            return pool[0]

        while waiting := [point for point in points if point.state == "waiting"]:
            first = min(NAMES.index(point.stage.name) for point in waiting if point.stage)
            affected = [point for point in waiting if point.stage == STAGES[first]]
            specs = {key: spec for point in affected for key, spec in point.missing.items()}
            named.owners = {key: [point.point.label for point in affected if key in point.missing] for key in specs}
            batch = TaskBatch(STAGES[first], list(specs.values()), [None] * len(specs))
            for position, outcome in runner.make(batch, executor):
                if isinstance(outcome, CorruptedError) and outcome.digest not in corrupted:
                    # Found when it was opened, after it had been planned as sound: the next round plans it anew.
                    corrupted.add(outcome.digest)
                    runner.store.discard(outcome.stage, outcome.digest)
                    named.say(f"{first_line(outcome).partition(';')[0]}; it is made again")
                    continue
                _take(outcome, batch.specs[position], affected)
                if sweep.last == STAGES[first].name:
                    changed(points)
            named.stage_stops(batch.stage, {})
            for point in affected:
                if point.failure is None:
                    vars(point).update(vars(plan_point(runner, point.point, sweep.last)))
                    runner.remember(point.point.config, point.planner, sweep.last, "running", "in a sweep")
            changed(points)


def _take(outcome: Record | SatpipeError, spec: TaskSpec, points: Sequence[PointState]) -> None:
    """Note for each point that needs a task that it is done, or why it is not."""
    if isinstance(outcome, StoreError):
        raise outcome
    for point in points:
        if spec.key not in point.missing:
            continue
        if isinstance(outcome, SatpipeError):
            point.failure = point.failure or first_line(outcome)
        else:
            point.records[spec.task.title] = outcome
            del point.missing[spec.key]


def _remember(runner: Runner, point: PointState, last: str) -> None:
    if point.state == "done" and last != NAMES[-1]:
        runner.complete(point.point.config, point.planner, last)
    elif point.state != "done":
        state, sentence = ("failed", point.failure or "") if point.state == "failed" else ("interrupted",) * 2
        runner.remember(point.point.config, point.planner, last, state, sentence)


def _publish(points: Sequence[PointState], runner: Runner) -> None:
    """Publish the report of every complete point, as running it alone would: nothing is left to run."""
    quiet = Runner(runner.root, PlainDisplay(Console(quiet=True)))
    for point in points:
        if point.state == "done":
            try:
                quiet.run(point.point.config)
            except SatpipeError as error:
                point.failure = first_line(error)


def measure(point: PointState, runner: Runner) -> Values:
    """Return the measures of a point, as far as it is complete."""
    generators = [
        record for title, record in point.records.items() if title.startswith("gan/") and title != f"gan/{FINAL}"
    ]
    metadata = [read_metadata(runner.store.folder(record.ref)) for record in generators]
    values = of_generators(metadata, [record.seconds for record in generators])
    verdict = point.records.get("report/verdict")
    if verdict is not None:
        path = runner.store.folder(verdict.ref) / "verdict.json"
        try:
            values |= of_answer(read_json(path))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the verdict in {path} is damaged: {first_line(error, 120)}") from None
    return values
