"""Read text label files that others wrote."""

from __future__ import annotations

from pathlib import Path

from ..utils.errors import InputError

MAX_BYTES = 64 << 20


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-8; an empty file has none.

    Raises:
        InputError: If it cannot be read, or is larger than 64 MiB.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"label file {path.name} cannot be read: {error}") from None
