"""Run a configuration: run what is missing, in order, keep the result and publish its report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..config.run import RunConfig
from ..models.device import Profile, cores, profile_cache, resolve_profile
from ..utils.errors import CorruptedError, SatpipeError, StoreError, first_line
from ..utils.redact import redacted, redacted_json
from ..utils.section import as_json
from . import progress
from .executors import open_executor
from .plan import Planner, TaskBatch
from .publish import publish
from .results import FIRST, Attempt, Result, Results, differing_keys
from .stages import NAMES, STAGES, Stage
from .store import Record, Store
from .task import read_metadata
from .worker import PROGRESS, TaskSpec, run_task

POLL_S = 0.3


class Display(Protocol):
    """Takes reports of what happens: a terminal, a log, a test."""

    def say(self, text: str) -> None:
        """Show a line that a person should read."""

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """Show that a batch of a stage begins, with this many tasks to run."""

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """Show that a task is done."""

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """Show how far a running task is."""

    def stage_ends(self, stage: Stage, ran: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage is complete; metadata by task."""

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage cannot go on; metadata by task of what it has."""


@dataclass(frozen=True)
class Selection:
    """Selection of the stages to run.

    Attributes:
        first: First stage whose tasks may run; those of earlier ones must be complete.
        last: Last stage.
        forced: Stages whose tasks run again.
        remake: Whether artifacts that were damaged or changed since are made again; else the run stops at one.
    """

    first: str = NAMES[0]
    last: str = NAMES[-1]
    forced: tuple[str, ...] = ()
    remake: bool = True


@dataclass
class Outcome:
    """Outcome of a run.

    Attributes:
        made: Tasks run now.
        total: Tasks that the run has, as far as it went.
        sentence: The verdict in one sentence, where the report was reached.
        report: The report's page, where it was reached.
        metadata: Metadata of the page, where it was reached.
    """

    made: int = 0
    total: int = 0
    sentence: str | None = None
    report: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class Runner:
    """Runs configurations in one root folder, with artifacts below ``data/`` and reports below ``reports/``."""

    def __init__(self, root: Path, display: Display) -> None:
        """Open the root folder's store."""
        self.root = root
        self.store = Store(root / "data")
        self.results = Results(self.store.root)
        self.display = display
        self._said: set[str] = set()

    def workers(self, config: RunConfig) -> int:
        """Return how many tasks run at the same time."""
        return config.compute.workers or max(1, cores() // config.compute.threads)

    def profile(self, config: RunConfig) -> Profile:
        """Return how this machine trains for a configuration; what is ``auto`` is timed where it is not known yet.

        Raises:
            TrainingError: If it cannot train like that.
        """
        return resolve_profile(config.compute, profile_cache(self.store.root / "cache" / "profile.json"))

    def planner(self, config: RunConfig, forced: Sequence[str] = ()) -> Planner:
        """Return a planner that knows what the run did last."""
        newest, attempt = self.results.newest(config.name), self.results.attempt(config.name)
        previous: dict[str, str] = {}
        for record in (newest, attempt):
            previous |= record.keys if isinstance(record, Result | Attempt) else {}
        profiles: list[Profile] = []

        def profile() -> Profile:
            if not profiles:
                profiles.append(self.profile(config))
            return profiles[0]

        return Planner(config, self.store, profile, forced, previous)

    def plan(self, config: RunConfig, selection: Selection | None = None) -> list[TaskBatch]:
        """Return the batches that can be planned from what is committed; the last one may have missing tasks."""
        selection = selection or Selection()
        planner = self.planner(config, selection.forced)
        planner.plan_ahead(selection.last)
        return planner.batches

    # ---------------------------------------------------------------------------------------------------- running

    def run(self, config: RunConfig, selection: Selection | None = None) -> Outcome:
        """Run what is missing.

        Raises:
            StoreLockedError: If another process writes to the same store.
            SatpipeError: What stopped the run, in one sentence; what was committed before stays.
        """
        selection = selection or Selection()
        with self.store.lock():
            self._note_other_result(config)
            corrupted: set[str] = set()
            while True:
                planner = self.planner(config, selection.forced)
                diary = _Diary(self.results, config, planner, selection.last)
                try:
                    return self._run_stages(config, selection, planner, diary)
                except KeyboardInterrupt:
                    diary.try_write("interrupted", "interrupted")
                    raise
                except CorruptedError as error:
                    if not selection.remake or error.digest in corrupted:
                        diary.try_write("failed", str(error))
                        raise
                    # Found when it was opened, after it had been planned as sound: without it the plan changes.
                    corrupted.add(error.digest)
                    self.store.discard(error.stage, error.digest)
                    self.display.say(f"{str(error).partition(';')[0]}; it is made again")
                except SatpipeError as error:
                    diary.try_write("failed", first_line(error))
                    raise
                finally:
                    planner.fingerprints.save()

    def run_within(self, config: RunConfig, budget_s: float, remake: bool = True) -> tuple[Outcome, int]:
        """Run as many whole replicates, over all folds and arms, as a time allows; at least one.

        Args:
            config: The run's configuration; its replicates are the most that are run.
            budget_s: Seconds. A replicate is started if it fits by the time that the longest one took.
            remake: As in :class:`Selection`.

        Returns:
            The outcome, and the number of replicates behind it.
        """
        started, longest, last = time.monotonic(), 0.0, 0
        for replicates in range(1, config.split.replicates + 1):
            if last and time.monotonic() - started + longest > budget_s:
                break
            began = time.monotonic()
            self.run(with_replicates(config, replicates), Selection(last="classify", remake=remake))
            # The first one makes what all share, scenes and chips: an upper bound for the others.
            longest, last = max(longest, time.monotonic() - began), replicates
        return self.run(with_replicates(config, last), Selection(remake=remake)), last

    def _note_other_result(self, config: RunConfig) -> None:
        """Say so if the run's name already has a result of another configuration."""
        newest = self.results.newest(config.name)
        if not isinstance(newest, Result):
            return
        keys = differing_keys(newest.config, redacted_json(as_json(config)))
        if keys:
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            self._say_once(
                f"note: run {config.name} has a result of another configuration ({shown}); it stays, as"
                f" {newest.title} once this one is complete. --name gives this one a name of its own"
            )

    def _run_stages(self, config: RunConfig, selection: Selection, planner: Planner, diary: _Diary) -> Outcome:
        outcome = Outcome()
        first, last = NAMES.index(selection.first), NAMES.index(selection.last)
        with ExitStack() as stack:
            pool: list[Executor] = []

            def executor() -> Executor:
                # Started when the first task is missing: a run that is up to date starts no process.
                if not pool:
                    pool.append(stack.enter_context(open_executor(config.compute, self.workers(config))))
                return pool[0]

            for position, stage in enumerate(STAGES[: last + 1]):
                ran = total = 0

                def handle(batch: TaskBatch, may_run: bool = position >= first) -> Sequence[Record]:
                    if batch.missing and not may_run:
                        title = batch.specs[batch.missing[0]].task.title
                        raise StoreError(
                            f"{title} is missing and --from {selection.first} starts after it;"
                            f" run `satpipe run {batch.stage.name}` first"
                        )
                    if not selection.remake and batch.corrupted:
                        raise self.store.corrupted(batch.corrupted[0].ref)
                    if batch.missing:
                        # Before and not after: what a killed run leaves belongs to it, and `clean` keeps that.
                        diary.write("running", f"in {batch.stage.name}")
                    return self._run_batch(batch, executor)

                try:
                    for batch in planner.stage(stage, handle):
                        ran += len(batch.missing)
                        total += len(batch.specs)
                except SatpipeError:
                    self.display.stage_stops(stage, planner.metadata(stage))
                    raise
                outcome.made += ran
                outcome.total += total
                self.display.stage_ends(stage, ran, total, planner.metadata(stage))
        self._keep(config, planner, diary, outcome)
        return outcome

    def _keep(self, config: RunConfig, planner: Planner, diary: _Diary, outcome: Outcome) -> None:
        """Record what is complete; with a report it is published."""
        if diary.is_full:
            outcome.metadata = planner.done["report"]["page"].metadata
            outcome.sentence = outcome.metadata.get("sentence")
        result = diary.result(outcome)
        if result is not None and result.is_full:
            outcome.report = publish(self.store, self.root / "reports", result)
        if outcome.made or (diary.is_full and diary.earlier_state not in (None, "finished")):
            diary.write("finished", outcome.sentence or f"complete up to {diary.last}")

    def complete(self, config: RunConfig, planner: Planner, last: str) -> None:
        """Record a run whose tasks were run by :meth:`make` as complete up to a stage, and publish its report."""
        self._keep(config, planner, _Diary(self.results, config, planner, last), Outcome(made=1))

    def remember(self, config: RunConfig, planner: Planner, last: str, state: str, sentence: str) -> None:
        """Record how far a run is whose tasks are run by :meth:`make`; what it refers to is then kept."""
        _Diary(self.results, config, planner, last).write(state, sentence)

    def _run_batch(self, batch: TaskBatch, executor: Callable[[], Executor]) -> list[Record]:
        """Run the missing tasks of a batch, show how far they are, and return all records."""
        records = list(batch.records)
        if batch.missing:
            for position, record in self.make(batch, executor):
                if isinstance(record, SatpipeError):
                    raise record
                records[position] = record
        return [record for record in records if record is not None]

    def make(self, batch: TaskBatch, executor: Callable[[], Executor]) -> Iterator[tuple[int, Record | SatpipeError]]:
        """Run the missing tasks of a batch and show how far they are.

        Args:
            batch: Its tasks may belong to several runs.
            executor: Returns where tasks run.

        Yields:
            Position of each task as it ends, with its record or with what went wrong.
        """
        self._say_profile(batch)
        self.display.stage_begins(batch.stage, len(batch.missing), len(batch.specs))
        pending: dict[Future[Record], int] = {
            executor().submit(run_task, batch.specs[position]): position for position in batch.missing
        }
        while pending:
            finished, _ = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                position = pending.pop(future)
                try:
                    record = _record_of(future, batch.specs[position])
                except SatpipeError as error:
                    yield position, error
                    continue
                self.display.task_done(batch.specs[position], record, read_metadata(self.store.folder(record.ref)))
                yield position, record
            for position in pending.values():
                spec = batch.specs[position]
                state = progress.read(self.store.work(spec.key) / PROGRESS)
                if state is not None:
                    self.display.task_progress(spec, state)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.display.say(text)

    def _say_profile(self, batch: TaskBatch) -> None:
        """Say once how this machine trains: it decides bytes, and may have been timed."""
        trainings = [batch.specs[position] for position in batch.missing if batch.specs[position].task.training]
        if trainings:
            profile = trainings[0].profile
            threads = f"{profile.threads} thread" + "s" * (profile.threads != 1)
            layout = profile.memory_format.replace("_", " ")
            self._say_once(f"training on {profile.device}: {profile.precision}, {layout}, {threads}")


def with_replicates(config: RunConfig, replicates: int) -> RunConfig:
    """Return the configuration with another number of replicates."""
    return config.model_copy(update={"split": config.split.model_copy(update={"replicates": replicates})})


def _record_of(future: Future[Record], spec: TaskSpec) -> Record:
    try:
        return future.result()
    except SatpipeError:
        raise
    except Exception as error:
        # A worker that the system killed breaks the pool: the error names the pool, the user needs the task.
        raise StoreError(
            f"task {spec.task.title} was lost with its worker ({type(error).__name__}: {error});"
            " run the same command again to resume"
        ) from None


class _Diary:
    """Records what a run does: its attempt as it goes, and its result once it is complete."""

    def __init__(self, results: Results, config: RunConfig, planner: Planner, last: str) -> None:
        self.results, self.config, self.planner, self.last = results, config, planner, last
        self.began_at, self._began = time.time(), time.monotonic()
        attempt = results.attempt(config.name)
        self._earlier_keys = attempt.keys if isinstance(attempt, Attempt) else {}
        self.earlier_state = attempt.state if isinstance(attempt, Attempt) else None
        self.is_full = last == NAMES[-1]

    def try_write(self, state: str, sentence: str) -> None:
        """Record how the run ended, where that can be written: why it ended matters more."""
        with suppress(OSError):
            self.write(state, sentence)

    def write(self, state: str, sentence: str) -> None:
        """Record the attempt; what it did not reach keeps its earlier keys, for `why`, `clean` and the next attempt."""
        whole = state == "finished" and self.is_full
        keys = self.planner.keys if whole else {**self._earlier_keys, **self.planner.keys}
        self.results.write_attempt(
            Attempt(state=state, pid=os.getpid(), keys=dict(keys), **self._common(redacted(sentence)))
        )

    def result(self, outcome: Outcome) -> Result | None:
        """Record the result of a run that is complete up to its last stage, if that is one of those that have any."""
        if NAMES.index(self.last) < NAMES.index(FIRST):
            return None
        digests = dict(self.planner.digests)
        result = Result(
            version=0,
            keys={title: self.planner.keys[title] for title in digests},
            digests=digests,
            verdict=outcome.metadata.get("verdict"),
            **self._common(outcome.sentence or f"complete up to {self.last}"),
        )
        return self.results.record(result)

    def _common(self, sentence: str) -> dict[str, Any]:
        return {
            "name": self.config.name,
            "last": self.last,
            "sentence": sentence,
            "config": redacted_json(as_json(self.config)),
            "started": round(self.began_at, 3),
            "seconds": round(time.monotonic() - self._began, 1),
        }
