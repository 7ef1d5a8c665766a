"""Walk the stages: which parts a configuration asks for, which are committed, and why the others are not.

The walk only reads. What happens at a wave with missing parts is its caller's: the runner makes them, ``status`` and
``--dry-run`` stop there, because what follows depends on what they would hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.run import RunConfig
from ..models.device import Profile
from ..utils.atomic_files import write_atomic
from ..utils.errors import InputError
from . import cache_key, code_digest
from .stages import STAGES, Stage
from .store import Record, Store, canonical, sha256_file, stamp_of
from .task import Artifact, ArtifactRef, PlanContext, Task, UserFile
from .worker import TaskSpec, resolve

CORRUPTED = "its files are missing or were changed since"


class Fingerprints:
    """Digests of the user's files, read again only where size or time changed."""

    def __init__(self, cache: Path) -> None:
        """Start from what ``cache`` remembers."""
        self.cache = cache
        self.changed = False
        try:
            known = json.loads(cache.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        self.known: dict[str, list[Any]] = known if isinstance(known, dict) else {}

    def __call__(self, path: Path | str) -> UserFile:
        """The file at ``path`` with its digest.

        Raises:
            InputError: If it is missing, not a file, or not readable.
        """
        path = Path(path)
        try:
            stamp = list(stamp_of(path))
            entry = self.known.get(str(path))
            if not isinstance(entry, list) or entry[:-1] != stamp:
                entry = [*stamp, sha256_file(path)]
                self.known[str(path)] = entry
                self.changed = True
        except IsADirectoryError:
            raise InputError(f"{path} is a folder where a file is expected; give the file in it") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InputError(f"{path} cannot be read: {reason}; check the path in the configuration") from None
        return UserFile(str(path), entry[-1])

    def stamp(self, file: UserFile) -> tuple[int, ...]:
        """Size and times of a file when its digest was taken."""
        return tuple(self.known.get(file.path, ())[:-1])

    def save(self) -> None:
        """Remember what was read, where that can be written: it only saves time."""
        if self.changed and self.cache.parent.is_dir():
            with suppress(OSError):
                write_atomic(self.cache, canonical(self.known))
            self.changed = False


@dataclass
class TaskBatch:
    """Parts of a stage that can be made at the same time.

    Attributes:
        stage: The stage that planned them.
        orders: One per part, in the planner's order.
        records: The record of each part that is committed and current, else None.
        reasons: Why each other part is not, by its title.
        spoilt: Records of parts that were committed and whose content is not what it was.
    """

    stage: Stage
    specs: list[TaskSpec]
    records: list[Record | None]
    reasons: dict[str, list[str]] = field(default_factory=dict)
    corrupted: list[Record] = field(default_factory=list)

    @property
    def missing(self) -> list[int]:
        """Positions of the parts to make."""
        return [position for position, record in enumerate(self.records) if record is None]


class BlockedError(Exception):
    """A wave has missing parts and the caller does not make any."""


class Planner:
    """One walk over the stages of a configuration."""

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        profile: Callable[[], Profile],
        forced: Sequence[str] = (),
        previous: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Prepare a walk.

        Args:
            config: The run's configuration.
            store: The store of parts.
            profile: Gives the machine's profile; called when the first training is planned.
            forced: Stages whose parts count as missing.
            previous: Stage and key by title of the run's last walk, to say why a part is remade.
        """
        self.config = config
        self.store = store
        self.fingerprints = Fingerprints(store.root / "cache" / "fingerprints.json")
        code_digest.remember_in(store.root / "cache" / code_digest.FILE)
        self.done: dict[str, dict[str, Artifact]] = {stage.name: {} for stage in STAGES}
        self.keys: dict[str, list[str]] = {}
        self._profile = profile
        self._forced = frozenset(forced)
        self._previous = previous or {}
        self._titles: dict[str, str] = {}
        self._transitive_inputs: dict[str, frozenset[ArtifactRef]] = {}

    def stage(self, stage: Stage, handle: Callable[[TaskBatch], Sequence[Record]]) -> Iterator[TaskBatch]:
        """Walk one stage: plan a wave, have it handled, plan the next one.

        Args:
            stage: The stage.
            handle: Given a wave, returns the record of each of its parts, or raises.

        Yields:
            Each wave after it was handled.
        """
        context = PlanContext(self.config, self.done, self.fingerprints)
        planner = resolve(stage.plan)(context)
        answer: list[Artifact] | None = None
        while True:
            try:
                tasks = planner.send(answer) if answer is not None else next(planner)
            except StopIteration:
                return
            batch = self._wave(stage, tasks)
            records = handle(batch)
            answer = [Artifact(record.ref, self.store.folder(record.ref)) for record in records]
            for spec, done in zip(batch.specs, answer, strict=True):
                self.done[spec.task.stage][spec.task.name] = done
                self._titles[done.ref.digest] = spec.task.title
                known = self._transitive_inputs.get(done.ref.digest, frozenset())
                self._transitive_inputs[done.ref.digest] = known.union(
                    spec.transitive_inputs, cache_key.input_refs(spec.task)
                )
            yield batch

    def metadata(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Facts of the stage's parts that are done, by name."""
        return {name: done.metadata for name, done in self.done[stage.name].items()}

    def _wave(self, stage: Stage, tasks: Sequence[Task]) -> TaskBatch:
        batch = TaskBatch(stage, [], [])
        for task in tasks:
            profile = self._profile() if task.training else Profile()
            components = cache_key.components(task, profile)
            inputs = cache_key.input_refs(task)
            transitive_inputs = frozenset[ArtifactRef]().union(
                *(self._transitive_inputs.get(ref.digest, ()) for ref in inputs)
            ) - set(inputs)
            spec = TaskSpec(
                task,
                cache_key.key_of(components),
                components,
                self.store.root,
                profile,
                tuple(sorted(transitive_inputs, key=lambda ref: (ref.stage, ref.name, ref.digest))),
                {name: self.fingerprints.stamp(file) for name, file in task.files.items()},
                self.config.compute.memory_gb,
            )
            record = self.store.record(task.stage, spec.key)
            reasons = self._reasons(spec, record)
            self.keys[task.title] = [task.stage, spec.key]
            batch.specs.append(spec)
            batch.records.append(None if reasons else record)
            if reasons:
                batch.reasons[task.title] = reasons
            if record is not None and reasons == [CORRUPTED]:
                batch.corrupted.append(record)
        code_digest.save()
        return batch

    def _reasons(self, spec: TaskSpec, record: Record | None) -> list[str]:
        task = spec.task
        if task.stage in self._forced:
            return ["--force was given"]
        if record is not None:
            return [] if self.store.is_current(record) else [CORRUPTED]
        before = self._previous.get(task.title)
        earlier = self.store.record(before[0], before[1]) if before and before[1] != spec.key else None
        if earlier is None:
            return ["it was not made yet"]
        return cache_key.difference(earlier.components, spec.components, self._titles)
