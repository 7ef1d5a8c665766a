"""World files: six numbers beside an image that place it on the ground, as GDAL reads them."""

from __future__ import annotations

import os
from pathlib import Path

WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".bpw", ".bmpw", ".j2w", ".wld")
"""Suffixes of files with six numbers that place an image; such a file can name no other."""


def has_world_files(folder: Path) -> bool:
    """Return whether a folder holds a world file, for whatever image."""
    try:
        return any(name.lower().endswith(WORLD_FILES) for name in os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return False


def world_files(path: Path) -> list[Path]:
    """Return the world file beside an image, and the file with its CRS, where they exist; both decide its place."""
    for suffix in WORLD_FILES:
        for name in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if name.is_file():
                projection = path.with_suffix(".prj")
                return [name, projection] if projection.is_file() else [name]
    return []
