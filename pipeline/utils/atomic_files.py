"""Write files and folders that survive a power loss: synced before they are renamed, the folder after."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import StoreError


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power loss, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, so that they survive a power loss."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Make a file's content survive a power loss."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_atomic(path: Path, data: bytes, sync: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new one.

    Args:
        path: The file; missing folders above it are made.
        data: Its content.
        sync: Whether the file must also survive a power loss.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """Make a folder beside ``to`` that takes its place once it is whole, and is gone if it is not.

    Raises:
        StoreError: If ``to`` holds files, or cannot be written.
    """
    to = Path(os.path.abspath(to))  # noqa: PTH100 - a symbolic link keeps its name
    staging = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise StoreError(f"{to} is not an empty folder; name an empty or a new one")
        staging.mkdir(parents=True)
        yield staging
        if to.exists():
            to.rmdir()
        os.replace(staging, to)
    except OSError as error:
        raise StoreError(f"{to} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
