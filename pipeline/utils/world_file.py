"""World files: six numbers beside an image that place it on the ground, as GDAL reads them."""

from __future__ import annotations

import os
from pathlib import Path

WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".bpw", ".bmpw", ".j2w", ".wld")
"""Suffixes of files with six numbers that place an image; such a file can name no other."""
MAX_BYTES = 64 << 10
"""More than a world file or a CRS as WKT has."""


def has_world_files(folder: Path) -> bool:
    """Return whether a folder holds a world file, for whatever image."""
    try:
        return any(name.lower().endswith(WORLD_FILES) for name in os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return False


def read_beginning(path: Path) -> str:
    """Return the beginning of a text file, more than a world file or a CRS has.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no text.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8-sig")


def world_transform(path: Path) -> tuple[float, float, float, float, float, float]:
    """Return the six coefficients a..f from the upper left corner of a pixel to coordinates.

    A world file has them in the order a, d, b, e, c, f, and c and f for the centre of the upper left pixel.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not six numbers.
    """
    a, d, b, e, x, y = (float(word) for word in read_beginning(path).split())
    return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2


def world_files(path: Path) -> list[Path]:
    """Return the world file beside an image, and the file with its CRS, where they exist; both decide its place."""
    for suffix in WORLD_FILES:
        for name in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if name.is_file():
                projection = path.with_suffix(".prj")
                return [name, projection] if projection.is_file() else [name]
    return []
