"""Manifest of an artifact: its files with size and SHA-256 each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.bounded_files import walk_files
from .digests import canonical

MANIFEST = "manifest.json"


def manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """Return the text of a manifest, the same for the same files."""
    return canonical({"files": manifest}) + b"\n"


def files_below(folder: Path) -> dict[str, Path]:
    """Return the files of an artifact by name.

    Raises:
        OSError: If one is a link or anything else but a file: no task function leaves that.
    """
    files = {path.relative_to(folder).as_posix(): path for path in walk_files(folder)}
    for path in files.values():
        if path.is_symlink() or not path.is_file():
            raise OSError(f"{path.name} is not a regular file")
    return {name: files[name] for name in sorted(files) if name != MANIFEST}


def stat_of(path: Path) -> tuple[int, int]:
    """Return size in bytes and modification time in ns of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
