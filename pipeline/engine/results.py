"""Results of runs: versions that stay, and the last attempt beside them.

Below ``data/runs/<run>/``::

    result-<version>.json    a run that was complete up to `gan` or a later stage
    attempt.json             what the last command that made something did under the run's name

A finished result gives way only to a finished result, and stays beside it until it is forgotten: the newest one is
``NAME``, an older one ``NAME@VERSION``. Attempts that fail, are interrupted or end earlier change no result.

Records may come from someone else: each is checked before it is used; a damaged one is a :class:`Damaged`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ..config.renamed import RENAMED
from ..utils.atomic_files import write_atomic
from ..utils.bounded_files import read_json, remove
from .digests import canonical, is_digest
from .stages import NAMES
from .store import refuse_link

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of runs, as the configuration allows them."""
FIRST = "gan"
"""A run that is complete up to an earlier stage holds nothing trained: that is an attempt and no result."""
ATTEMPT = "attempt.json"
_RESULT = re.compile(r"result-([1-9][0-9]{0,8})\.json")


def _checked_keys(keys: dict[str, str]) -> dict[str, str]:
    for title, digest in keys.items():
        stage, slash, name = title.partition("/")
        if stage not in NAMES or not slash or not name or not is_digest(digest):
            raise ValueError("a title or a digest is not valid")
    return keys


def _checked_stage(stage: str) -> str:
    if stage not in NAMES:
        raise ValueError("no such stage")
    return stage


Digests = Annotated[dict[str, str], AfterValidator(_checked_keys)]
StageName = Annotated[str, AfterValidator(_checked_stage)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    name: str
    last: StageName
    sentence: str
    config: dict[str, Any]
    keys: Digests
    started: float
    seconds: float | None = None


class Result(_Record):
    """A version of a run.

    Attributes:
        name: The run.
        version: Counted from 1.
        last: Stage up to which it is complete.
        sentence: The answer in one sentence, or how far it is complete.
        config: Its configuration, without secrets.
        keys: Key of each task, by title such as ``gan/final``.
        digests: Digest of each artifact, by title.
        verdict: The verdict, where the report was reached.
        started: When it began, in seconds since the epoch.
        seconds: How long it took.
    """

    version: int
    digests: Digests
    verdict: str | None = None

    @property
    def title(self) -> str:
        """Return name and version, such as ``demo@2``."""
        return f"{self.name}@{self.version}"

    @property
    def is_full(self) -> bool:
        """Return whether it has a report."""
        return self.last == NAMES[-1]


class Attempt(_Record):
    """Record of the last command that made something under a run's name.

    Attributes:
        state: ``running``, ``finished``, ``failed`` or ``interrupted``.
        pid: Process that wrote it.
    """

    state: str
    pid: int

    @property
    def title(self) -> str:
        """Return the name of the run."""
        return self.name


@dataclass(frozen=True)
class Damaged:
    """A record that cannot be used.

    Attributes:
        title: What it should describe, such as ``demo@2``.
        path: Where it lies.
        reason: What is wrong with it.
    """

    title: str
    path: Path
    reason: str


class Results:
    """Results and attempts of all runs of a store."""

    def __init__(self, root: Path) -> None:
        """Look at the store at ``root``, without making anything."""
        self.folder = root / "runs"

    def names(self) -> list[str]:
        """Return the names of runs that a record may exist of."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))

    def versions(self, name: str) -> list[Result | Damaged]:
        """Return the versions of a run, oldest first."""
        folder = self.folder / name
        if not folder.exists() and not folder.is_symlink():
            return []
        if self._refused(name):
            return [Damaged(name, folder, "it is not a folder named as runs are")]
        numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := _RESULT.fullmatch(path.name)))
        return [self._read(Result, self._path(name, number), f"{name}@{number}") for number in numbers]

    def attempt(self, name: str) -> Attempt | Damaged | None:
        """Return the last attempt of a run; None if there is none."""
        path = self.folder / name / ATTEMPT
        if self._refused(name) or not (path.exists() or path.is_symlink()):
            return None
        record: Attempt | Damaged = self._read(Attempt, path, name)
        return record

    def newest(self, name: str) -> Result | Damaged | None:
        """Return the newest version of a run; None if it has none."""
        return next(reversed(self.versions(name)), None)

    def record(self, result: Result) -> Result | None:
        """Keep a result; returns it with its version, or None where the run has one that went further.

        Equal content keeps its version, and a result that only adds to the newest one takes its place.
        """
        newest = self.newest(result.name)
        version = max((self._number(item) for item in self.versions(result.name)), default=0) + 1
        if isinstance(newest, Result):
            before, now = NAMES.index(newest.last), NAMES.index(result.last)
            if now < before:
                return None
            if now == before and newest.digests == result.digests:
                # The same content; keys differ where code changed and nothing came of it.
                kept = {"version": newest.version, "started": newest.started, "seconds": newest.seconds}
                result = result.model_copy(update=kept)
                if result == newest:
                    return newest
                version = newest.version
            elif newest.digests.items() <= result.digests.items():
                version = newest.version
        result = result.model_copy(update={"version": version})
        self._write(self._path(result.name, version), result)
        return result

    def write_attempt(self, attempt: Attempt) -> None:
        """Remember an attempt in place of the last one."""
        self._write(self.path_of(attempt), attempt)

    def path_of(self, record: Result | Attempt) -> Path:
        """Return where a record lies."""
        if isinstance(record, Result):
            return self._path(record.name, record.version)
        return self.folder / record.name / ATTEMPT

    def paths(self, title: str) -> list[Path]:
        """Return the records that forgetting ``NAME`` or ``NAME@VERSION`` takes; none where there are none."""
        name, _, version = title.partition("@")
        if name not in self.names():
            return []
        if not version:
            return [self.folder / name]
        matching = [item for item in self.versions(name) if f"{name}@{self._number(item)}" == title]
        return [self._path(name, self._number(matching[0]))] if matching else []

    def _refused(self, name: str) -> bool:
        folder = self.folder / name
        return NAME.fullmatch(name) is None or folder.is_symlink() or not folder.is_dir()

    def _path(self, name: str, version: int) -> Path:
        return self.folder / name / f"result-{version}.json"

    @staticmethod
    def _number(item: Result | Damaged) -> int:
        match = re.search(r"@([0-9]+)$", item.title)
        return int(match[1]) if match else 0

    def _read(self, kind: type[Any], path: Path, title: str) -> Any:
        try:
            record = kind.model_validate(read_json(path))
        except OSError as error:
            return Damaged(title, path, error.strerror or str(error))
        except (ValidationError, ValueError, RecursionError):
            return Damaged(title, path, "it is not what satpipe writes")
        if title != record.title:
            return Damaged(title, path, f"it describes {record.title}")
        return record

    def _write(self, path: Path, record: _Record) -> None:
        refuse_link(path.parent)
        write_atomic(path, canonical(record.model_dump()) + b"\n")


def remove_records(paths: list[Path]) -> None:
    """Remove records of runs, and the folder of a run that has none left."""
    for path in paths:
        remove(path)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            remove(path.parent)


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys in which two configurations differ, apart from the name and where to compute.

    Keys go by their present names: a configuration that an earlier version recorded may have former ones.
    """
    from .cache_key import flat

    old, new = ({RENAMED.get(key, key): value for key, value in flat(config).items()} for config in (before, after))
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return [key for key in keys if key.partition(".")[0] not in ("name", "compute")]
