"""Handle files that somebody else may have written: regular ones only, through no link, up to a size."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 1 << 24
"""Larger than any record or report that satpipe writes."""


def has_link(path: Path, root: Path) -> bool:
    """Return whether ``path`` or a folder between it and ``root`` is a symbolic link; ``root`` itself may be one."""
    return any((root / part).is_symlink() for part in [path.relative_to(root), *path.relative_to(root).parents][:-1])


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: If it cannot be read, is a link, a pipe, a device or a folder, or is larger than ``max_bytes``.
    """
    # Opening a pipe would wait for a writer; a link could lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, more than the {max_bytes:,} expected", str(path))
        return stream.read(max_bytes)


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the data of a JSON file, read as :func:`read_bytes` does.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(read_bytes(path, max_bytes))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is not a folder, links included; follow no link.

    Raises:
        OSError: If a folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from walk_files(folder / entry.name)
            else:
                yield folder / entry.name


def remove(path: Path) -> None:
    """Remove a file, a link (and not what it leads to) or a folder, as far as that is permitted."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
