"""A run that was made before: its configuration, and the folders of what it left for use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config.run import RunConfig
from ..utils.errors import ConfigError, StoreError
from .store import Store
from .task import Artifact, ArtifactRef

DEFAULT = "demo"
"""The run of the default configuration."""


@dataclass(frozen=True)
class Run:
    """A run that wrote to a store.

    Attributes:
        name: Its name.
        root: Folder that holds data/ and reports/.
        store: The store it wrote to.
        config: Its configuration.
        keys: Stage and key of each of its parts, by title such as ``gan/final``; some may not have been made.
    """

    name: str
    root: Path
    store: Store
    config: RunConfig
    keys: Mapping[str, tuple[str, str]]

    def find(self, title: str) -> Artifact | None:
        """The committed part of that title, verified; None where it was not made yet.

        Raises:
            StoreError: If its content is not what was committed.
        """
        stage, key = self.keys.get(title, ("", ""))
        record = self.store.record(stage, key) if key else None
        if record is None:
            return None
        ref = ArtifactRef(record.stage, record.name, record.digest)
        return Artifact(ref, self.store.open(ref))

    def artifact(self, title: str, what: str, target: str) -> Artifact:
        """The committed part of that title.

        Args:
            title: Such as ``gan/final``.
            what: What it holds, for the message.
            target: What `satpipe run` has to be told to make it.

        Raises:
            ConfigError: If it was not made yet; names the command that makes it.
            StoreError: If its content is not what was committed.
        """
        found = self.find(title)
        if found is None:
            raise ConfigError(f"run {self.name} has no {what} yet; {self.command(target)} makes one")
        return found

    def command(self, target: str) -> str:
        """The command that makes what is missing, as a sentence shows it."""
        words = ["satpipe run", target]
        if self.name != DEFAULT:
            words += ["--config FILE", f"--name {self.name}"]
        if self.root != Path():
            words.append(f"--root {self.root}")
        where = "" if self.name == DEFAULT else ", with FILE the run's configuration,"
        return f"`{' '.join(words)}`{where}"

    @property
    def licences(self) -> tuple[str, ...]:
        """Licences of the imagery, which everything made from it carries."""
        return tuple(sorted({source.licence for source in self.config.ingest.sources}))

    @property
    def gsd_m(self) -> float | None:
        """Metres per pixel of its chips; None where the scenes do not say."""
        if self.config.chips.gsd_m is not None:
            return float(self.config.chips.gsd_m)
        tables = self.find("ingest/tables")
        known: list[float] = [] if tables is None else tables.metadata.get("gsd_m", [])
        return sum(known) / len(known) if known else None


def find_run(name: str | None, root: Path | str = ".") -> Run:
    """The run of that name; without one, the only run that there is.

    Args:
        name: Name of the run.
        root: Folder that holds data/.

    Raises:
        ConfigError: If there is no such run, with the nearest name; or several, and none was named.
        StoreError: If the store or the run's record is of another version.
    """
    root = Path(root)
    store = Store(root / "data")
    names = store.run_names()
    if not names:
        raise ConfigError(f"there is no run in {store.root}; `satpipe run all` makes one, --root names another folder")
    if name is None:
        if len(names) > 1:
            raise ConfigError(f"there are several runs in {store.root}: {', '.join(names)}; name one with --run")
        name = names[0]
    raw: dict[str, Any] | None = store.read_run(name) if name in names else None
    if raw is None:
        near = get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}; --root names another folder"
        raise ConfigError(f"there is no run {name} in {store.root}; {hint}")
    try:
        config = RunConfig.model_validate(raw["config"])
        keys = {str(title): (str(stage), str(key)) for title, (stage, key) in raw["parts"].items()}
    except (ValidationError, KeyError, TypeError, ValueError):
        raise StoreError(
            f"run {name} in {store.root} was written by another version of satpipe; `satpipe run all` with its"
            " configuration brings it up to date"
        ) from None
    return Run(name, root, store, config, keys)
