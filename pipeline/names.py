"""Names that several rooms build or read."""

from __future__ import annotations

FINAL = "final"
"""The split of all labelled chips, fitted after the experiment."""


def split_name(fold: int, fraction: float, replicate: int) -> str:
    """Name of a split, e.g. ``fold0-f025-r3`` for fold 0, a quarter of the labels, replicate 3."""
    return f"fold{fold}-f{round(100 * fraction):03d}-r{replicate}"
