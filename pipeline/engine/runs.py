"""Look up a run that was made before: its configuration, and the artifacts that others use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..config.renamed import current_names
from ..config.run import RunConfig
from ..utils.errors import ConfigError, StoreError, one_line
from ..utils.suggest import nearest
from .results import Attempt, Damaged, Result, Results
from .store import Store
from .task import Artifact, ArtifactRef

DEFAULT = "demo"
"""The run of the default configuration."""


@dataclass(frozen=True)
class Run:
    """A run that wrote to a store.

    What it claims of itself may have been written by someone else: its configuration is data to show and compute
    with, and no function that it names is ever called.

    Attributes:
        name: Its name, with its version where an older one was asked for.
        root: Folder that holds data/ and reports/.
        store: The store it wrote to.
        config: Its configuration.
        keys: Key of each of its tasks, by title such as ``gan/final``; some may not have been run.
        digests: Digest of each of its artifacts, by title; empty for a run that never finished.
    """

    name: str
    root: Path
    store: Store
    config: RunConfig
    keys: Mapping[str, str]
    digests: Mapping[str, str]

    def find(self, title: str) -> Artifact | None:
        """Return the artifact of that title, verified; None if it was not made yet.

        Raises:
            StoreError: If its content is not what was committed.
        """
        stage, _, name = title.partition("/")
        digest = self.digests.get(title)
        if digest is None:
            record = self.store.record(stage, self.keys.get(title, ""))
            if record is None:
                return None
            digest = record.digest
        ref = ArtifactRef(stage, name, digest)
        return Artifact(ref, self.store.open(ref))

    def artifact(self, title: str, what: str, target: str) -> Artifact:
        """Return the artifact of that title.

        Args:
            title: Such as ``gan/final``.
            what: What it holds, for the message.
            target: The target of `satpipe run` that makes it.

        Raises:
            ConfigError: If it was not made yet; names the command that makes it.
            StoreError: If its content is not what was committed.
        """
        artifact = self.find(title)
        if artifact is None:
            raise ConfigError(f"run {self.name} has no {what} yet; {self.command(target)} makes one")
        return artifact

    def command(self, target: str) -> str:
        """Return the command that makes what is missing, as a sentence shows it."""
        name = self.name.partition("@")[0]
        words = ["satpipe run", target]
        if name != DEFAULT:
            words += ["--config FILE", f"--name {name}"]
        if self.root != Path():
            words.append(f"--root {self.root}")
        where = "" if name == DEFAULT else ", with FILE the run's configuration,"
        return f"`{' '.join(words)}`{where}"

    @property
    def licences(self) -> tuple[str, ...]:
        """Return the licences of the imagery, which everything made from it carries."""
        return tuple(sorted({source.licence for source in self.config.ingest.sources}))

    @property
    def gsd_m(self) -> float | None:
        """Return the metres per pixel of its chips; None where the scenes do not say."""
        if self.config.chips.gsd_m is not None:
            return float(self.config.chips.gsd_m)
        tables = self.find("ingest/tables")
        sizes = [] if tables is None else tables.metadata.get("gsd_m", [])
        return float(sum(sizes) / len(sizes)) if sizes else None


def find_run(name: str | None, root: Path | str = ".") -> Run:
    """Return a run: its newest result, or what was made of it where there is none yet.

    Args:
        name: Name of the run, or ``NAME@VERSION`` for an older result; None takes the only run there is.
        root: Folder that holds data/.

    Raises:
        ConfigError: If there is no such run, with the nearest name; or several, and none was named.
        StoreError: If the store or the run's record is damaged or of another version.
    """
    root = Path(root)
    store = Store(root / "data")
    results = Results(store.root)
    names = results.names()
    if not names:
        raise ConfigError(f"there is no run in {store.root}; `satpipe run all` makes one, --root names another folder")
    if name is None:
        if len(names) > 1:
            raise ConfigError(f"there are several runs in {store.root}: {', '.join(names)}; name one with --run")
        name = names[0]
    base, _, version = name.partition("@")
    if base not in names:
        match = nearest(base, names)
        hint = f"did you mean {match}?" if match else f"there are: {', '.join(names)}; --root names another folder"
        raise ConfigError(f"there is no run {base} in {store.root}; {hint}")
    versions = results.versions(base)
    record: Result | Attempt | Damaged | None
    if version:
        record = next((item for item in versions if item.title == name), None)
        if record is None:
            titles = ", ".join(item.title for item in versions) or "none yet"
            raise ConfigError(f"run {base} in {store.root} has no result {name}; its results are: {titles}")
    else:
        record = versions[-1] if versions else results.attempt(base)
    return _run(record, name, root, store)


def _run(record: Result | Attempt | Damaged | None, name: str, root: Path, store: Store) -> Run:
    if record is None:
        raise ConfigError(f"run {name} in {store.root} has no results yet; `satpipe run all` makes them")
    if isinstance(record, Damaged):
        raise StoreError(
            f"the record of {record.title} in {record.path} is damaged: {record.reason}; `satpipe run all` with the"
            " run's configuration writes a new one, and `satpipe runs` lists those that are sound"
        )
    try:
        config = RunConfig.model_validate(current_names(record.config)[0])
    except (ConfigError, ValidationError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"the configuration of run {name} in {store.root} is not valid in this version of satpipe"
            f" ({one_line(str(error), 120)}); `satpipe run all` with the run's configuration updates it"
        ) from None
    digests = record.digests if isinstance(record, Result) else {}
    return Run(name, root, store, config, record.keys, digests)
