"""Counts in words."""

from __future__ import annotations


def plural(count: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun, as ``1 scene`` or ``2 scenes``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
