"""Tasks and artifacts: what stages plan, what task functions get, and what the store keeps.

A *task* is the smallest unit that is run alone: a batch of scenes, one split's generator, one classifier. A stage plans
tasks as data; the runner decides which are missing, sends each to an executor and commits what its *task function*
wrote as an *artifact*.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.bounded_files import read_json
from ..utils.errors import StoreError, first_line

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..models.device import Profile
    from .progress import Progress

METADATA = "metadata.json"
"""File of an artifact that holds what its task function returned."""
MAX_METADATA_BYTES = 1 << 27


@dataclass(frozen=True)
class ArtifactRef:
    """A committed artifact, named by the digest of its content.

    Attributes:
        stage: Stage that made it.
        name: Name within its stage.
        digest: SHA-256 over its file names, sizes and contents, in hexadecimal.
    """

    stage: str
    name: str
    digest: str


@dataclass(frozen=True)
class UserFile:
    """A file outside the store; its content enters the key of a task, its path does not."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Task:
    """A task: everything that decides the content of its artifact.

    Attributes:
        stage: Stage that plans it.
        name: Name within the stage, e.g. ``fold0-f100-r3``.
        function: Task function as ``package.module:function``; takes a :class:`TaskContext`, returns the metadata.
        config: The values of the configuration that it reads, as JSON types.
        inputs: Artifacts that it reads, by name; a tuple where there are many of one kind.
        files: User files that it reads, by name.
        libraries: Distributions whose versions matter, e.g. ``("torch", "numpy")``.
        training: Whether device, precision, memory format and threads decide its bytes.
        resources: Files of the package other than Python that shape the result, relative to ``pipeline/``.
        ranks: Whether torchrun's ranks can share the work; their number does not enter the key.
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
        """Return stage and name, e.g. ``gan/fold0-f100-r3``."""
        return f"{self.stage}/{self.name}"

    def input_refs(self) -> list[ArtifactRef]:
        """Return all inputs in one list."""
        return [item for ref in self.inputs.values() for item in (ref if isinstance(ref, tuple) else (ref,))]


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return what the task function of the artifact in ``folder`` returned.

    Raises:
        StoreError: If it cannot be read.
    """
    try:
        metadata = read_json(folder / METADATA, MAX_METADATA_BYTES)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / METADATA} cannot be read: {first_line(error)}") from None
    if not isinstance(metadata, dict):
        raise StoreError(f"{folder / METADATA} is damaged: it is not a mapping")
    return metadata


@dataclass(frozen=True)
class Artifact:
    """A committed artifact and its folder."""

    ref: ArtifactRef
    path: Path

    @property
    def metadata(self) -> dict[str, Any]:
        """Return what its task function returned."""
        return read_metadata(self.path)


@dataclass(frozen=True)
class TaskContext:
    """Context of a task: what its function gets.

    Attributes:
        task: The task.
        out: Empty folder; what is written there is committed.
        scratch: Folder for checkpoints; it survives a kill and is the same for the same task.
        store: Root of the committed artifacts; chip indexes and scene tables name files relative to it.
        inputs: Folder of each input, verified; a tuple where the task has a tuple.
        profile: Device, precision, memory format and threads to use.
        progress: Takes reports of progress.
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
        """Return the configuration of the task."""
        return self.task.config

    def folder(self, name: str) -> Path:
        """Return the folder of the single input ``name``."""
        path = self.inputs[name]
        if isinstance(path, tuple):
            raise TypeError(f"input {name} of {self.task.title} is a group of artifacts")
        return path

    def folders(self, name: str) -> tuple[Path, ...]:
        """Return the folders of the inputs in group ``name``."""
        path = self.inputs[name]
        return path if isinstance(path, tuple) else (path,)

    def file(self, name: str) -> Path:
        """Return the path of the user file ``name``."""
        return Path(self.task.files[name].path)


@dataclass(frozen=True)
class PlanContext:
    """Input of a stage's planner: the configuration, and what earlier stages committed.

    Attributes:
        config: The run's configuration.
        done: Artifacts by stage and name.
        fingerprint: Turns the path of a user file into a :class:`UserFile`; reads the file only if it changed.
    """

    config: RunConfig
    done: Mapping[str, Mapping[str, Artifact]]
    fingerprint: Callable[[Path | str], UserFile]

    def artifact(self, stage: str, name: str) -> Artifact:
        """Return the artifact ``stage/name``."""
        return self.done[stage][name]


Plan = Generator[Sequence[Task], Sequence[Artifact], None]
"""A stage's planner: yields the tasks of a batch, gets their artifacts back in the same order."""
