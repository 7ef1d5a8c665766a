"""Summary of the stage, from the metadata of its artifacts: what was used, assigned and dropped, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

Metadata = Mapping[str, Any]
PAIRS = "pairs.parquet"
"""File of the artifact ``duplicates`` with the pairs of chips that leak."""
SPLIT = "split-"
"""Prefix of the names of artifacts that hold a split."""


def summarise(ingested: Metadata, tasks: Mapping[str, Metadata], by: str) -> dict[str, Any]:
    """Summarise a run's chips.

    Args:
        ingested: Metadata of the artifact ``ingest/tables``.
        tasks: Metadata of the artifacts of this stage by name; splits may be missing where there was too little data
            for them.
        by: Group column of the splits.

    Returns:
        JSON types: scenes and labels that were used and left out; chips by class, by kind and by group; splits with
        their chips by role and class; dropped windows by reason; leaks with what was found, joined and dropped.
    """
    index = tasks["index"]
    splits = {name.removeprefix(SPLIT): metadata for name, metadata in tasks.items() if name.startswith(SPLIT)}
    return {
        "scenes": {"used": len(ingested["scenes"]), "left_out": dict(map(tuple, ingested["quarantined"]))},
        "labels": {"used": ingested["labels"], "left_out": ingested["labels_quarantined_by_reason"]},
        "chips": index["chips"],
        "shape": index["shape"],
        "dtype": index["dtype"],
        "kinds": index["kinds"],
        "by": by,
        "groups": index["groups"].get(by, {}),
        "splits": {
            name: {key: metadata[key] for key in ("fold", "fraction", "replicate", "test_groups", "counts", "dropped")}
            for name, metadata in splits.items()
        },
        "dropped": dict(sorted(index["dropped"].items())),
        "leaks": _leaks(tasks.get("duplicates"), splits, by),
    }


def _leaks(duplicates: Metadata | None, splits: Mapping[str, Metadata], by: str) -> dict[str, Any]:
    """Return what was searched, found, joined and dropped. A split that keeps a leak that was found is not made."""
    if duplicates is None:
        return {}
    dropped: Counter[str] = Counter()
    for metadata in splits.values():
        dropped.update(metadata["dropped"])
    joins = any(metadata["joins"] for metadata in splits.values())
    return {
        "overlapping_pairs": duplicates["overlaps"],
        "near_duplicate_pairs": duplicates["duplicates"],
        "undecided_pairs": duplicates.get("undecided", 0),
        "pairs_seen_only": duplicates["seen_overlaps"],
        "compared_chips": duplicates["compared"],
        "compared_scenes": duplicates["scenes"],
        "joined_groups": duplicates["joined"].get(by, []) if joins else [],
        "dropped_by_split": {name: sum(metadata["dropped"].values()) for name, metadata in splits.items()},
        "dropped": dict(sorted(dropped.items())),
    }
