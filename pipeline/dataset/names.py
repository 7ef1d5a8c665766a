"""Names that several packages build or read."""

from __future__ import annotations

FINAL = "final"
"""The split of all labelled chips, fitted after the experiment."""

FINAL_REPLICATE = 1_000_003
"""Replaces the replicate in the seeds of the final split; no run has as many replicates."""
METRICS = "metrics.jsonl"
"""A training's log: one JSON object per evaluation, with the number of `images` shown so far."""
LOSSES = "losses.jsonl"
"""A training's losses: one JSON object for each of some equal parts of it, more often than it is evaluated."""
SHEETS = "sheets"
"""Folder of a training's sample sheets, each named after the number of images shown so far."""

CROWD = "it marks a crowd and not a single object"
"""Why such a label is quarantined; the area that it covers is not background either."""


def split_name(fold: int, fraction: float, replicate: int) -> str:
    """Return the name of a split, e.g. ``fold0-f025-r3`` for fold 0, a quarter of the labels, replicate 3."""
    return f"fold{fold}-f{round(100 * fraction):03d}-r{replicate}"
