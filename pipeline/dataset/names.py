"""Names that several rooms build or read."""

from __future__ import annotations

FINAL = "final"
"""The split of all labelled chips, fitted after the experiment."""

FINAL_REPLICATE = 1_000_003
"""Stands for the replicate in the seeds of the final split; no run has as many replicates."""
METRICS = "metrics.jsonl"
"""A training's log: one JSON object per look, with the `images` shown by then."""
SHEETS = "sheets"
"""Folder of a training's sample sheets, each named for the images shown by then."""
REAL, CLASSIC, GAN, SHUFFLED = "real", "classic", "gan", "shuffled"
"""Words that arms are named with, beside the names of the user's own folders."""


CROWD = "it stands for a crowd and not for one object"
"""Why such a label is quarantined; what it covers is no background either."""


def split_name(fold: int, fraction: float, replicate: int) -> str:
    """Name of a split, e.g. ``fold0-f025-r3`` for fold 0, a quarter of the labels, replicate 3."""
    return f"fold{fold}-f{round(100 * fraction):03d}-r{replicate}"


def synthetic_source(arm: str) -> str | None:
    """Where an arm's synthetic chips come from: ``gan``, ``shuffled``, a brought folder's name, or None."""
    source = arm.removeprefix(f"{CLASSIC}+")
    return None if source in (REAL, CLASSIC) else source


def synth_part(arm: str, split: str) -> str | None:
    """Name of the synth part that an arm trains on in a split, or None; shuffled chips are the split's own."""
    source = synthetic_source(arm)
    if source is None or source in (GAN, SHUFFLED):
        return split if source else None
    return f"brought-{source}-{split}"
