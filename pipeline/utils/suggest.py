"""Nearest valid name to one that is not valid."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str], cutoff: float = 0.4) -> str | None:
    """Return the name in ``valid`` that is most like ``name``, or None if none is similar."""
    return next(iter(get_close_matches(name, list(valid), 1, cutoff)), None)
