"""Counts in words."""

from __future__ import annotations


def plural(count: int, singular: str, many: str | None = None) -> str:
    """Format a count with its noun, as ``1 scene`` or ``2 scenes``."""
    return f"{count:,} {singular if count == 1 else many or singular + 's'}"
