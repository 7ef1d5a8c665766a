"""Find what no run refers to, and remove it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..utils.bounded_files import remove, walk_files
from ..utils.errors import ConfigError, StoreError
from ..utils.plural import plural
from ..utils.suggest import nearest
from .digests import is_digest
from .results import Attempt, Damaged, Result, Results, remove_records
from .stages import NAMES
from .store import Store

UNKNOWN = "no run that is known"


@dataclass(frozen=True)
class Garbage:
    """Artifacts and files that can be deleted.

    Attributes:
        run_records: Records of the runs to forget.
        paths: Records of artifacts first, so that a record never outlives its content, then folders.
        by_run: Artifacts among them, by the result to forget that they belong to, or the run that they were made for,
            and by stage.
        sizes: Bytes of these artifacts, by the same.
        forgotten: The results to forget, one line each.
        files: Files in all.
        size_bytes: Their size.
    """

    run_records: tuple[Path, ...]
    paths: tuple[Path, ...]
    by_run: dict[str, Counter[str]]
    sizes: Counter[str]
    forgotten: tuple[str, ...]
    files: int
    size_bytes: int

    def delete(self) -> None:
        """Delete it; where a path is a link, the link goes and what it leads to stays."""
        remove_records(list(self.run_records))
        for path in self.paths:
            remove(path)


@contextmanager
def find_garbage(root: Path, forget: Sequence[str] = ()) -> Iterator[Garbage]:
    """Find what no run in the store at ``root`` refers to, with the store locked.

    Args:
        root: Root of the store.
        forget: Runs, or results as ``NAME@VERSION``, that no longer count.

    Raises:
        ConfigError: If one of them does not exist.
        StoreError: If the record of another run is damaged, so that it is unknown what it refers to.
        StoreLockedError: If a run is writing to the store.
    """
    store = Store(root)
    results = Results(root)
    with store.lock():
        run_records = [path for title in forget for path in _records(results, title)]
        keys, digests = _in_use(store, results, run_records)
        records = [path for path in _entries(root / "records", ".json") if path.stem not in keys]
        artifacts = [path for path in _entries(root / "parts") if path.name not in digests]
        staged = sorted(path for path in (root / "parts").glob(".*") if path.name.startswith("."))
        work = [path for path in sorted((root / "work").glob("*")) if path.name not in keys]
        paths = (*records, *artifacts, *staged, *work)
        files = [file for path in (*run_records, *paths) for file in _files(path)]
        size = sum(file.lstat().st_size for file in files)
        gone = [item for item in _all(results) if _is_below(item, results, run_records)]
        owners = _owners(store, gone)
        by_run: dict[str, Counter[str]] = {}
        sizes: Counter[str] = Counter()
        for path in artifacts:
            owner = owners.get(path.name, UNKNOWN)
            by_run.setdefault(owner, Counter())[path.parent.name] += 1
            sizes[owner] += sum(file.lstat().st_size for file in _files(path))
        forgotten = (*(_described(item) for item in gone), *_last_ones(results, gone))
        yield Garbage(tuple(run_records), paths, by_run, sizes, forgotten, len(files), size)


def _records(results: Results, title: str) -> list[Path]:
    paths = results.paths(title)
    if not paths:
        names = results.names()
        match = nearest(title, names)
        hint = f"did you mean {match}?" if match else f"there are: {', '.join(names) or 'none'}"
        raise ConfigError(f"there is no run {title} in {results.folder.parent}; {hint}")
    return paths


def _entries(folder: Path, suffix: str = "") -> list[Path]:
    """Return what is named by a digest in the folders of stages, which :class:`Store` refuses if they are links."""
    paths = [path for stage in NAMES for path in sorted((folder / stage).glob(f"*{suffix}"))]
    return [path for path in paths if is_digest(path.name.removesuffix(suffix))]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_symlink() or not path.is_dir() else list(walk_files(path))


def _all(results: Results) -> list[Result | Damaged | Attempt]:
    """Return every record of every run."""
    records = [record for name in results.names() for record in (*results.versions(name), results.attempt(name))]
    return [record for record in records if record is not None]


def _path(record: Result | Damaged | Attempt, results: Results) -> Path:
    if isinstance(record, Damaged):
        return record.path
    return results.path_of(record)


def _is_below(record: Result | Damaged | Attempt, results: Results, paths: Sequence[Path]) -> bool:
    path = _path(record, results)
    return path in paths or path.parent in paths


def _owners(store: Store, gone: Sequence[Result | Damaged | Attempt]) -> dict[str, str]:
    """Return to what each artifact belongs, by its digest: a result to forget, else the run that it was made for."""
    made_for = {record.digest: record.run for stage in NAMES for record in store.records(stage) if record.run}
    # The name of an attempt is that of its run, as is what its artifacts were made for.
    own = {digest: item.title for item in gone if isinstance(item, Result) for digest in item.digests.values()}
    return made_for | own


def _last_ones(results: Results, gone: Sequence[Result | Damaged | Attempt]) -> list[str]:
    """Return a line for each run whose last finished result is to be forgotten."""
    lines = []
    for name in dict.fromkeys(item.name for item in gone if isinstance(item, Result) and item.is_full):
        full = [item for item in results.versions(name) if isinstance(item, Result) and item.is_full]
        if not [item for item in full if item not in gone]:
            lines.append(f"{name}: then it has no finished result any more")
    return lines


def _described(record: Result | Damaged | Attempt) -> str:
    if isinstance(record, Damaged):
        return f"{record.title}: a damaged record"
    if isinstance(record, Attempt):
        return f"{record.name}: the last attempt, {record.state}"
    return f"{record.title}: {plural(len(record.digests), 'artifact')}; {record.sentence}"


def _in_use(store: Store, results: Results, forgotten: Sequence[Path]) -> tuple[set[str], set[str]]:
    """Return the keys and digests that runs refer to, apart from those to forget."""
    keys: set[str] = set()
    digests: set[str] = set()
    for record in _all(results):
        if _is_below(record, results, forgotten):
            continue
        if isinstance(record, Damaged):
            raise StoreError(
                f"the record of {record.title} in {record.path} is damaged ({record.reason}), so it is unknown what it"
                " refers to and nothing is deleted; delete that file if it is not needed, or run that run again"
            )
        keys |= set(record.keys.values())
        digests |= set(record.digests.values()) if isinstance(record, Result) else set()
        for title, key in record.keys.items():
            artifact = store.record(title.partition("/")[0], key)
            if artifact is not None:
                digests.add(artifact.digest)
    return keys, digests
