"""Read JSON label files that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .label import Point

MAX_BYTES = 2 << 30


def read_json(path: Path) -> Any:
    """Return the data of a JSON file.

    Raises:
        InputError: If it cannot be read.
    """
    from ..raster.gdal import local_file

    path = local_file(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        return json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"label file {path.name} is not valid JSON: {error}"[:200]) from None


def as_size(height: Any, width: Any) -> tuple[int, int]:
    """Return rows and columns that a file states; 0 where it does not say, or not as a number."""
    try:
        return int(float(height or 0)), int(float(width or 0))
    except (TypeError, ValueError, OverflowError):
        return 0, 0


def as_points(xs: Any, ys: Any) -> list[Point]:
    """Return points from two lists of numbers.

    Raises:
        ValueError: If they are none.
    """
    try:
        return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
    except TypeError:
        raise ValueError("the coordinates are not lists of numbers") from None


def as_list(value: Any) -> list[Any]:
    """Return a list, the values of a mapping, or nothing."""
    return value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
