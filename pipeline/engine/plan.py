"""Plan tasks: which ones a configuration asks for, which are committed, and why the others are not.

Planning only reads. The caller handles a batch with missing tasks: the runner runs them, ``status`` and ``--dry-run``
stop there, because what follows depends on what they would write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.run import RunConfig
from ..models.device import Profile
from ..utils.atomic_files import write_atomic
from ..utils.bounded_files import read_json
from ..utils.errors import InputError
from . import cache_key, code_digest
from .digests import canonical, sha256_file, stamp_of
from .stages import NAMES, STAGES, Stage
from .store import Record, Store
from .task import Artifact, ArtifactRef, Plan, PlanContext, Task, UserFile
from .worker import TaskSpec, resolve

CORRUPTED = "its files are missing or were changed since"


class Fingerprints:
    """Digests of user files, read again only where size or time changed."""

    def __init__(self, cache: Path) -> None:
        """Start from what ``cache`` remembers."""
        self.cache = cache
        self.changed = False
        try:
            remembered = read_json(cache, 1 << 28)
        except (OSError, ValueError):
            remembered = {}
        self.entries: dict[str, list[Any]] = remembered if isinstance(remembered, dict) else {}

    def __call__(self, path: Path | str) -> UserFile:
        """Return the file at ``path`` with its digest.

        Raises:
            InputError: If it is missing, not a file, or not readable.
        """
        path = Path(path)
        try:
            stamp = list(stamp_of(path))
            entry = self.entries.get(str(path))
            if not isinstance(entry, list) or entry[:-1] != stamp:
                entry = [*stamp, sha256_file(path)]
                self.entries[str(path)] = entry
                self.changed = True
        except IsADirectoryError:
            raise InputError(f"{path} is a folder where a file is expected; give the file in it") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InputError(f"{path} cannot be read: {reason}; check the path in the configuration") from None
        return UserFile(str(path), entry[-1])

    def stamp(self, file: UserFile) -> tuple[int, ...]:
        """Return size and times of a file when its digest was taken."""
        return tuple(self.entries.get(file.path, ())[:-1])

    def save(self) -> None:
        """Remember what was read, where that can be written: it only saves time."""
        if self.changed and self.cache.parent.is_dir():
            with suppress(OSError):
                write_atomic(self.cache, canonical(self.entries))
            self.changed = False


@dataclass
class TaskBatch:
    """Tasks of a stage that can run at the same time.

    Attributes:
        stage: The stage that planned them.
        specs: One per task, in the planner's order.
        records: The record of each task whose artifact is committed and current, else None.
        reasons: Why each other one is not, by its title.
        corrupted: Records of artifacts whose content is not what was committed.
    """

    stage: Stage
    specs: list[TaskSpec]
    records: list[Record | None]
    reasons: dict[str, list[str]] = field(default_factory=dict)
    corrupted: list[Record] = field(default_factory=list)

    @property
    def missing(self) -> list[int]:
        """Return the positions of the tasks to run."""
        return [position for position, record in enumerate(self.records) if record is None]


class _BlockedError(Exception):
    """A batch has missing tasks, and none are run."""


class Planner:
    """Plans the tasks of one configuration, stage by stage.

    Attributes:
        batches: Every batch planned so far.
        done: Artifacts that are committed and current, by stage and name.
        keys: Key of every task planned so far, by title.
        digests: Digest of every artifact that is committed and current, by title.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        profile: Callable[[], Profile],
        forced: Sequence[str] = (),
        previous: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to plan.

        Args:
            config: The run's configuration.
            store: The store of artifacts.
            profile: Returns the machine's profile; called when the first training is planned.
            forced: Stages whose tasks count as missing.
            previous: Keys by title of the run's last attempt, to say why a task runs again.
        """
        self.config = config
        self.store = store
        self.fingerprints = Fingerprints(store.root / "cache" / "fingerprints.json")
        code_digest.remember_in(store.root / "cache" / code_digest.FILE)
        self.batches: list[TaskBatch] = []
        self.done: dict[str, dict[str, Artifact]] = {stage.name: {} for stage in STAGES}
        self.keys: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self._profile = profile
        self._forced = frozenset(forced)
        self._previous = previous or {}
        self._titles: dict[str, str] = {}
        self._transitive_inputs: dict[str, frozenset[ArtifactRef]] = {}

    def stage(self, stage: Stage, handle: Callable[[TaskBatch], Sequence[Record]]) -> Iterator[TaskBatch]:
        """Plan one stage: plan a batch, have it handled, plan the next one.

        Args:
            stage: The stage.
            handle: Given a batch, returns the record of each of its tasks, or raises.

        Yields:
            Each batch after it was handled.
        """
        batches = _batches(stage, PlanContext(self.config, self.done, self.fingerprints))
        answer: list[Artifact] | None = None
        while True:
            try:
                tasks = batches.send(answer) if answer is not None else next(batches)
            except StopIteration:
                return
            batch = self._batch(stage, tasks)
            self.batches.append(batch)
            records = handle(batch)
            answer = [Artifact(record.ref, self.store.folder(record.ref)) for record in records]
            for spec, artifact in zip(batch.specs, answer, strict=True):
                digest = artifact.ref.digest
                self.done[spec.task.stage][spec.task.name] = artifact
                self._titles[digest] = spec.task.title
                self.digests[spec.task.title] = digest
                inputs = self._transitive_inputs.get(digest, frozenset())
                self._transitive_inputs[digest] = inputs.union(spec.transitive_inputs, spec.task.input_refs())
            yield batch

    def plan_ahead(self, last: str = NAMES[-1]) -> bool:
        """Plan the stages up to ``last`` as far as what is committed allows.

        Returns:
            Whether all of them are complete; otherwise the last of :attr:`batches` has missing tasks.

        Raises:
            SatpipeError: What a planner raises; :attr:`batches` then holds those before it.
        """

        def handle(batch: TaskBatch) -> Sequence[Record]:
            if batch.missing:
                raise _BlockedError
            return [record for record in batch.records if record is not None]

        try:
            for stage in STAGES[: NAMES.index(last) + 1]:
                for _ in self.stage(stage, handle):
                    pass
        except _BlockedError:
            return False
        finally:
            self.fingerprints.save()
        return True

    def metadata(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Return the metadata of the stage's artifacts that are done, by name."""
        return {name: artifact.metadata for name, artifact in self.done[stage.name].items()}

    def _batch(self, stage: Stage, tasks: Sequence[Task]) -> TaskBatch:
        batch = TaskBatch(stage, [], [])
        for task in tasks:
            profile = self._profile() if task.training else Profile()
            components = cache_key.components(task, profile)
            inputs = task.input_refs()
            behind = (self._transitive_inputs.get(ref.digest, frozenset()) for ref in inputs)
            transitive = frozenset[ArtifactRef]().union(*behind) - set(inputs)
            spec = TaskSpec(
                task,
                cache_key.key_of(components),
                components,
                self.store.root,
                profile,
                tuple(sorted(transitive, key=lambda ref: (ref.stage, ref.name, ref.digest))),
                {name: self.fingerprints.stamp(file) for name, file in task.files.items()},
                self.config.compute.memory_gb,
                self.config.name,
            )
            record = self.store.record(task.stage, spec.key)
            reasons = self._reasons(spec, record)
            self.keys[task.title] = spec.key
            batch.specs.append(spec)
            batch.records.append(None if reasons else record)
            if reasons:
                batch.reasons[task.title] = reasons
            if record is not None and not reasons:
                self.digests[task.title] = record.digest
            elif record is not None and reasons == [CORRUPTED]:
                batch.corrupted.append(record)
        code_digest.save()
        return batch

    def _reasons(self, spec: TaskSpec, record: Record | None) -> list[str]:
        task = spec.task
        if task.stage in self._forced:
            return ["--force was given"]
        if record is not None:
            return [] if self.store.is_current(record) else [CORRUPTED]
        key = self._previous.get(task.title)
        earlier = self.store.record(task.stage, key) if key and key != spec.key else None
        if earlier is None:
            return ["it was not made yet"]
        return cache_key.difference(earlier.components, spec.components, self._titles)


def _batches(stage: Stage, context: PlanContext) -> Plan:
    """Yield what each planner of a stage yields, in order."""
    for planner in stage.planners:
        yield from resolve(planner)(context)
