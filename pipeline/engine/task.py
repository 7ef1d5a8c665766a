"""The words in which stages and runner speak: parts, what they are made from, and what a maker is handed.

A *part* is what can be made alone: a scene's chips, a split's generator, one classifier's predictions. A stage plans
parts as data; the runner decides which are missing, hands each to an executor and commits what its maker wrote.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..models.device import Profile
    from .progress import Progress

METADATA = "metadata.json"


@dataclass(frozen=True)
class ArtifactRef:
    """A committed part, named by the digest of its content.

    Attributes:
        stage: Stage that made it.
        name: Name of the part within its stage.
        digest: SHA-256 over its file names, sizes and contents, in hexadecimal.
    """

    stage: str
    name: str
    digest: str


@dataclass(frozen=True)
class UserFile:
    """A file of the user's, outside the store; its content is part of a key, its place is not."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Task:
    """A part to be made: everything that decides its content.

    Attributes:
        stage: Stage that plans it.
        name: Name within the stage, e.g. ``fold0-f100-r3``.
        function: Task function as ``package.module:function``; called with a :class:`TaskContext`, returns the part's facts.
        config: What the maker reads of the configuration, as JSON types.
        inputs: Committed parts it reads, by name; a tuple where there are many of one kind.
        files: The user's files it reads, by name.
        libraries: Distributions whose versions matter, e.g. ``("torch", "numpy")``.
        training: Whether device, precision, memory format and threads decide its bytes.
        resources: Files of the package that are no Python but shape the result, relative to ``pipeline/``.
        ranks: Whether torchrun's ranks can share the work; how many there are is no part of its key.
        cost: Rough work in seconds on one core, for ``--dry-run`` before there is a record to learn from.
    """

    stage: str
    name: str
    function: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, ArtifactRef | tuple[ArtifactRef, ...]] = field(default_factory=dict)
    files: Mapping[str, UserFile] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    training: bool = False
    resources: tuple[str, ...] = ()
    ranks: bool = False
    cost: float = 1.0

    @property
    def title(self) -> str:
        """The part's name for people, e.g. ``gan/fold0-f100-r3``."""
        return f"{self.stage}/{self.name}"


@dataclass(frozen=True)
class Artifact:
    """A part that is committed: where it is, and the facts its maker returned."""

    ref: ArtifactRef
    path: Path

    @property
    def metadata(self) -> dict[str, Any]:
        """What the maker returned."""
        metadata: dict[str, Any] = json.loads((self.path / METADATA).read_text("utf-8"))
        return metadata


@dataclass(frozen=True)
class TaskContext:
    """What a maker is handed.

    Attributes:
        part: What is made.
        out: Empty folder; what the maker leaves there is committed.
        scratch: Folder for checkpoints; it survives a kill and is the same for the same part.
        store: Root of the committed parts; chip indexes and scene tables name files relative to it.
        inputs: Folder of each input part, verified; a tuple where the part has a tuple.
        profile: Device, precision, memory format and threads to use.
        progress: Where to say how far it is.
    """

    task: Task
    out: Path
    scratch: Path
    store: Path
    inputs: Mapping[str, Path | tuple[Path, ...]]
    profile: Profile
    progress: Progress

    @property
    def config(self) -> Mapping[str, Any]:
        """The part's configuration."""
        return self.task.config

    def folder(self, name: str) -> Path:
        """Folder of the single input ``name``."""
        path = self.inputs[name]
        if isinstance(path, tuple):
            raise TypeError(f"input {name} of {self.task.title} is a group of parts")
        return path

    def folders(self, name: str) -> tuple[Path, ...]:
        """Folders of the group of inputs ``name``."""
        path = self.inputs[name]
        return path if isinstance(path, tuple) else (path,)

    def file(self, name: str) -> Path:
        """The user's file ``name``."""
        return Path(self.task.files[name].path)


@dataclass(frozen=True)
class PlanContext:
    """What a planner may read: the configuration, and what earlier stages committed.

    Attributes:
        config: The run's configuration.
        done: Committed parts by stage and name.
        fingerprint: Turns a path of the user's into a :class:`UserFile`, reading the file only if it changed.
    """

    config: RunConfig
    done: Mapping[str, Mapping[str, Artifact]]
    fingerprint: Any

    def one(self, stage: str, name: str) -> Artifact:
        """The committed part ``stage/name``."""
        return self.done[stage][name]


Plan = Generator[Sequence[Task], Sequence[Artifact], None]
"""A stage's planner: yields the parts of one wave, is sent them back committed, in the same order."""
