"""What no run refers to, and its removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..utils.errors import ConfigError
from .store import Store


@dataclass(frozen=True)
class Garbage:
    """Folders and files to delete.

    Attributes:
        paths: Record files first, so that a record never outlives its content, then folders.
        parts: Committed parts among them.
        files: Files in all.
        size_bytes: Their size.
    """

    paths: tuple[Path, ...]
    tasks: int
    files: int
    size_bytes: int

    def delete(self) -> None:
        """Delete them."""
        for path in self.paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def find_garbage(root: Path, forget: Sequence[str] = ()) -> Iterator[Garbage]:
    """Find what no run in the store at ``root`` refers to, with the store held against writers.

    Args:
        root: Root of the store.
        forget: Runs that no longer count; their record goes with the garbage.

    Raises:
        ConfigError: If a run to forget does not exist.
        StoreLockedError: If a run is writing to the store.
    """
    store = Store(root)
    names = store.run_names()
    unknown = [name for name in forget if name not in names]
    if unknown:
        raise ConfigError(f"no run `{unknown[0]}` in {root}; there are: {', '.join(names) or 'none'}")
    with store.lock():
        kept_keys, kept_content = _in_use(store, [name for name in names if name not in forget])
        paths = [root / "runs" / f"{name}.json" for name in forget]
        paths += [path for path in sorted((root / "records").glob("*/*.json")) if path.stem not in kept_keys]
        folders = [path for path in sorted((root / "parts").glob("*/*")) if path.name not in kept_content]
        folders += sorted((root / "parts").glob(".*"))
        work = [path for path in sorted((root / "work").glob("*")) if path.name not in kept_keys]
        files = [file for folder in (*folders, *work) for file in folder.rglob("*") if file.is_file()]
        files += paths
        size = sum(file.stat().st_size for file in files)
        yield Garbage((*paths, *folders, *work), len(folders), len(files), size)


def _in_use(store: Store, names: Sequence[str]) -> tuple[set[str], set[str]]:
    """Keys and content digests that the named runs refer to."""
    keys: set[str] = set()
    content: set[str] = set()
    for name in names:
        for stage, key in (store.read_run(name) or {}).get("parts", {}).values():
            keys.add(key)
            record = store.record(stage, key)
            if record is not None:
                content.add(record.digest)
    return keys, content
