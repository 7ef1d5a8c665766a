"""Run a configuration: make what is missing, in order, and publish the report."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..utils.section import as_json
from ..config.run import RunConfig
from ..models.device import Profile, cores, resolve_profile
from ..utils.atomic_files import make_folder, sync_file, sync_folder, write_atomic
from ..utils.errors import CorruptedError, SatpipeError, StoreError, first_line, os_error_hint
from ..utils.redact import redacted, redacted_json
from . import progress
from .executors import open_executor
from .plan import BlockedError, Planner, TaskBatch
from .stages import NAMES, STAGES, Stage
from .store import MANIFEST, Record, Store, canonical, sha256_file
from .task import METADATA
from .worker import PROGRESS, TaskSpec, resolve, run_task

POLL_S = 0.3
TIMINGS = "timings.json"
_WHICH = ("seed", "arm", "fold", "fraction", "replicate", "number")
"""Keys of a part's configuration that say which of many it is."""


class Display(Protocol):
    """Who is told what happens: the terminal, a log, a test."""

    def say(self, text: str) -> None:
        """Something that a person should know."""

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """A wave of a stage begins, with this many parts to make."""

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """A part was made."""

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """A part under way says how far it is."""

    def stage_ends(self, stage: Stage, made: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """A stage is complete; facts by part."""

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """A stage cannot go on; facts by part of what it has."""


@dataclass(frozen=True)
class Selection:
    """Which stages to run.

    Attributes:
        first: First stage whose parts may be made; those of earlier ones must be committed.
        last: Last stage.
        forced: Stages whose parts are made again.
        remake: Whether committed parts that were damaged or changed since are made again; else the run stops at one.
    """

    first: str = NAMES[0]
    last: str = NAMES[-1]
    forced: tuple[str, ...] = ()
    remake: bool = True


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        made: Parts made now.
        total: Parts that the run has, as far as it went.
        sentence: The verdict in one sentence, where the report was reached.
        report: The report's page, where it was reached.
    """

    made: int = 0
    total: int = 0
    sentence: str | None = None
    report: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class Runner:
    """Runs configurations in one root folder, with parts below ``data/`` and reports below ``reports/``."""

    def __init__(self, root: Path, display: Display) -> None:
        """Open the root folder's store."""
        self.root = root
        self.store = Store(root / "data")
        self.display = display
        self._seconds: dict[str, dict[str, list[float]]] = {}

    def report_folder(self, config: RunConfig) -> Path:
        """Where the report of a run goes."""
        return self.root / "reports" / config.name

    def workers(self, config: RunConfig) -> int:
        """How many parts are made at the same time."""
        return config.compute.workers or max(1, cores() // config.compute.threads)

    def profile(self, config: RunConfig) -> Profile:
        """How this machine trains for a configuration; what is ``auto`` is timed where it is not known yet.

        Raises:
            TrainingError: If it cannot train like that.
        """
        return resolve_profile(config.compute, self.store.root / "cache" / "profile.json")

    def walk(self, config: RunConfig, forced: Sequence[str] = ()) -> Planner:
        """A walk over the stages as the run last left them."""
        previous = (self.store.read_run(config.name) or {}).get("parts", {})
        known: list[Profile] = []

        def profile() -> Profile:
            if not known:
                known.append(self.profile(config))
            return known[0]

        return Planner(config, self.store, profile, forced, previous)

    def run(self, config: RunConfig, selection: Selection | None = None) -> Outcome:
        """Make what is missing.

        Raises:
            StoreLockedError: If another process writes to the same store.
            SatpipeError: What stopped the run, in one sentence; what was committed before stays.
        """
        selection = selection or Selection()
        with self.store.lock():
            corrupted: set[str] = set()
            while True:
                walk = self.walk(config, selection.forced)
                run = _RunRecord(self.store, config, walk)
                try:
                    outcome = self._stages(config, selection, walk, run)
                    break
                except KeyboardInterrupt:
                    run.try_write("interrupted", "interrupted")
                    raise
                except CorruptedError as error:
                    if not selection.remake or error.digest in corrupted:
                        run.try_write("failed", str(error))
                        raise
                    # Found when it was opened, after it had been planned as sound: without it the plan is another one.
                    corrupted.add(error.digest)
                    self.store.discard(error.stage, error.digest)
                    self.display.say(f"{str(error).partition(';')[0]}; it is made again")
                except SatpipeError as error:
                    run.try_write("failed", first_line(error))
                    raise
                finally:
                    walk.fingerprints.save()
            run.write("finished", outcome.sentence or f"complete up to {selection.last}", outcome)
            return outcome

    def run_within(self, config: RunConfig, budget_s: float, remake: bool = True) -> tuple[Outcome, int]:
        """Run as many whole replicates, over all folds and arms, as a time allows; at least one.

        Args:
            config: The run's configuration; its replicates are the most that are run.
            budget_s: Seconds. A replicate is started if it fits by the time that the longest one took.
            remake: As in :class:`Selection`.

        Returns:
            The outcome, and the replicates that it rests on.
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

    def _stages(self, config: RunConfig, selection: Selection, walk: Planner, run: _RunRecord) -> Outcome:
        outcome = Outcome()
        first, last = NAMES.index(selection.first), NAMES.index(selection.last)
        with ExitStack() as stack:
            pool: list[Executor] = []

            def executor() -> Executor:
                # Started when the first part is missing: a run that is up to date starts no process.
                if not pool:
                    pool.append(stack.enter_context(open_executor(config.compute, self.workers(config))))
                return pool[0]

            for position, stage in enumerate(STAGES[: last + 1]):
                made = total = 0

                def handle(batch: TaskBatch, may_make: bool = position >= first) -> Sequence[Record]:
                    if batch.missing and not may_make:
                        title = batch.specs[batch.missing[0]].task.title
                        raise StoreError(
                            f"part {title} is missing and --from {selection.first} starts after it;"
                            f" run `satpipe run {batch.stage.name}` first"
                        )
                    if not selection.remake and batch.corrupted:
                        raise self.store.corrupted(batch.corrupted[0].ref)
                    if not batch.missing:
                        return [one for one in batch.records if one]
                    # Before and not after: what a killed run leaves belongs to it, and `clean` keeps that.
                    run.write("running", f"in {batch.stage.name}")
                    return self._make(batch, executor)

                try:
                    for batch in walk.stage(stage, handle):
                        made += len(batch.missing)
                        total += len(batch.specs)
                except SatpipeError:
                    self.display.stage_stops(stage, walk.metadata(stage))
                    raise
                outcome.made += made
                outcome.total += total
                self.display.stage_ends(stage, made, total, walk.metadata(stage))
        if selection.last == NAMES[-1]:
            page = walk.done["report"]["page"]
            outcome.metadata = page.metadata
            outcome.sentence = outcome.metadata.get("sentence")
            outcome.report = self._publish(config, walk)
        return outcome

    def _make(self, batch: TaskBatch, executor: Any) -> list[Record]:
        """Make the missing parts of a wave, show how far they are, and return all records."""
        records = list(batch.records)
        for position, record in self.make(batch, executor):
            if isinstance(record, SatpipeError):
                raise record
            records[position] = record
        return [record for record in records if record is not None]

    def make(self, batch: TaskBatch, executor: Callable[[], Executor]) -> Iterator[tuple[int, Record | SatpipeError]]:
        """Make the missing parts of a wave and show how far they are.

        Args:
            batch: Its parts may belong to several runs.
            executor: Gives where makers run.

        Yields:
            Position of each part as it ends, with its record or with what went wrong.
        """
        self.display.stage_begins(batch.stage, len(batch.missing), len(batch.specs))
        pending: dict[Future[Record], int] = {
            executor().submit(run_task, batch.specs[position]): position for position in batch.missing
        }
        while pending:
            finished, _ = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                position = pending.pop(future)
                try:
                    record = _result(future, batch.specs[position])
                except SatpipeError as error:
                    yield position, error
                    continue
                metadata = json.loads((self.store.folder(record.ref) / METADATA).read_text("utf-8"))
                self.display.task_done(batch.specs[position], record, metadata)
                yield position, record
            for position in pending.values():
                spec = batch.specs[position]
                state = progress.read(self.store.work(spec.key) / PROGRESS)
                if state is not None:
                    self.display.task_progress(spec, state)

    def remember(self, config: RunConfig, walk: Planner, state: str, sentence: str) -> None:
        """Record how far a run has come whose parts are made by :meth:`make`; what it refers to is then kept."""
        _RunRecord(self.store, config, walk).write(state, sentence)

    def _publish(self, config: RunConfig, walk: Planner) -> Path:
        """Copy the report's page to ``reports/<run>/``, unless it is there unchanged."""
        page = self.store.open(walk.done["report"]["page"].ref)
        target = self.report_folder(config)
        files = {
            path.relative_to(page): path
            for path in sorted(page.rglob("*"))
            if path.is_file() and path.name not in (METADATA, MANIFEST)
        }
        same = all((target / name).is_file() for name in files) and all(
            sha256_file(target / name) == sha256_file(path) for name, path in files.items()
        )
        try:
            if not same:
                fresh, old = (target.with_name(f".{target.name}.{state}") for state in ("new", "old"))
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.rmtree(old, ignore_errors=True)
                for name, path in files.items():
                    make_folder((fresh / name).parent)
                    shutil.copyfile(path, fresh / name)
                    sync_file(fresh / name)
                for folder in [*(path for path in fresh.rglob("*") if path.is_dir()), fresh]:
                    sync_folder(folder)
                if target.exists():
                    os.replace(target, old)
                os.replace(fresh, target)
                sync_folder(target.parent)
                shutil.rmtree(old, ignore_errors=True)
            timings = {
                title: record.seconds
                for title, (stage, key) in sorted(walk.keys.items())
                if (record := self.store.record(stage, key)) is not None
            }
            text = canonical({"seconds": timings, "total_seconds": round(sum(timings.values()), 3)}) + b"\n"
            if not (target / TIMINGS).is_file() or (target / TIMINGS).read_bytes() != text:
                write_atomic(target / TIMINGS, text)
        except OSError as error:
            raise StoreError(f"the report cannot be written to {target}: {os_error_hint(error) or error}") from None
        return target / "report.html"

    # ------------------------------------------------------------------------------------------- looking only

    def expected_seconds(self, spec: TaskSpec) -> float:
        """How long a part will about take: as its like took on this store, else what its planner says."""
        if spec.task.stage not in self._seconds:
            seconds = self._seconds.setdefault(spec.task.stage, {})
            for record in self.store.records(spec.task.stage):
                seconds.setdefault(_like(record.components), []).append(record.seconds)
        known = self._seconds[spec.task.stage].get(_like(spec.components), [])
        return sum(known) / len(known) if known else spec.task.cost

    def forecast(self, config: RunConfig, stages: Sequence[str]) -> list[tuple[str, int, float]]:
        """Stage, number of parts and seconds of each, for stages that cannot be planned yet.

        The number of folds of a leave-one-out split is known only with its groups; it counts as one fold then.
        """
        split = config.split
        named = len(split.test_groups) if split.test_groups else 1
        known = {"holdout": 1, "folds": split.folds, "leave-one-out": named, "lists": len(split.test_lists or ())}
        folds = known[split.scheme] * split.repeats
        splits = folds * len(split.fractions) * split.replicates
        wanted = [stage for stage in STAGES if stage.name in stages and stage.long]
        return [(stage.name, *resolve(stage.forecast)(config, splits)) for stage in wanted]

    def history(self, record: Record) -> str:
        """When a part was made and from what, in words."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.made_at))
        inputs = ", ".join(record.components.get("inputs", {})) or "the configuration"
        return f"made {when} in {record.seconds:.1f} s from {inputs}; key {record.key[:12]}"

    def runs(self) -> list[dict[str, Any]]:
        """A row per run that wrote to this store, for people."""
        rows = []
        for name in self.store.run_names():
            run = self.store.read_run(name)
            if run is None:
                continue
            sources = run["config"]["ingest"]["sources"]
            rows.append(
                {
                    "run": name,
                    "state": self._state(run),
                    "data": ", ".join(source["name"] or source["type"] for source in sources),
                    "preset": run["config"]["gan"]["preset"],
                    "verdict": run["verdict"] or run["sentence"],
                    "time": f"{run['seconds']:.0f} s" if run["seconds"] is not None else None,
                    "report": run["report"],
                }
            )
        return rows

    def _state(self, run: Mapping[str, Any]) -> str:
        """The state of a run; one that was killed could not say so itself."""
        if run["state"] != "running":
            return str(run["state"])
        holder = self.store.holder()
        return "running" if holder is not None and holder["pid"] == run.get("pid") else "stopped"

    def plan(self, config: RunConfig, selection: Selection | None = None) -> list[TaskBatch]:
        """The waves that can be planned from what is committed; the last one may have missing parts."""
        selection = selection or Selection()
        walk = self.walk(config, selection.forced)
        seen: list[TaskBatch] = []

        def handle(batch: TaskBatch) -> Sequence[Record]:
            seen.append(batch)
            if batch.missing:
                raise BlockedError
            return [record for record in batch.records if record is not None]

        try:
            for stage in STAGES[: NAMES.index(selection.last) + 1]:
                for _ in walk.stage(stage, handle):
                    pass
        except BlockedError:
            pass
        finally:
            walk.fingerprints.save()
        return seen


def _like(components: Mapping[str, Any]) -> str:
    """What parts that take about the same time have in common: all but which split and which arm they are of.

    A GPU's time is none of a processor's, so the profile counts.
    """
    config = components.get("config") or {}
    alike = {name: value for name, value in config.items() if name not in _WHICH}
    return str((components.get("make"), components.get("profile"), alike))


def with_replicates(config: RunConfig, replicates: int) -> RunConfig:
    """The configuration with another number of replicates."""
    return config.model_copy(update={"split": config.split.model_copy(update={"replicates": replicates})})


def _result(future: Future[Record], spec: TaskSpec) -> Record:
    try:
        return future.result()
    except SatpipeError:
        raise
    except Exception as error:
        # A worker that the system killed breaks the pool: the error names the pool, the user needs the part.
        raise StoreError(
            f"part {spec.task.title} was lost with its worker ({type(error).__name__}: {error});"
            " `satpipe run all` goes on where it was"
        ) from None


class _RunRecord:
    """What ``satpipe runs``, ``status`` and ``why`` know of a run."""

    def __init__(self, store: Store, config: RunConfig, walk: Planner) -> None:
        self.store, self.config, self.walk = store, config, walk
        self.started = time.time()
        self.began = time.monotonic()
        self.before = store.read_run(config.name) or {}

    def try_write(self, state: str, sentence: str) -> None:
        """Remember how the run ended, where that can be written: why it ended matters more."""
        with suppress(OSError):
            self.write(state, redacted(sentence))

    def write(self, state: str, sentence: str, outcome: Outcome | None = None) -> None:
        """Remember the run; what it did not reach keeps its earlier keys, so that `why` can compare with them."""
        earlier = self.before.get("parts", {})
        tasks = self.walk.keys if state == "finished" else {**earlier, **self.walk.keys}
        made = outcome is None or outcome.made > 0 or self.before.get("state") != "finished"
        self.store.write_run(
            self.config.name,
            {
                "name": self.config.name,
                "state": state,
                "pid": os.getpid(),
                "sentence": sentence,
                "verdict": outcome.metadata.get("verdict") if outcome else None,
                "report": str(outcome.report) if outcome and outcome.report else None,
                "config": redacted_json(as_json(self.config)),
                "parts": tasks,
                "started": self.started if made else self.before.get("started", self.started),
                "seconds": round(time.monotonic() - self.began, 1) if made else self.before.get("seconds"),
            },
        )
