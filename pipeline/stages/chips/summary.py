"""What the stage amounts to, from the facts of its parts: what was kept, dealt and dropped, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
SPLIT = "split-"
"""How the names of the parts begin that hold a split."""


def summarise(ingested: Facts, tasks: Mapping[str, Facts], by: str) -> dict[str, Any]:
    """The summary of a run's chips.

    Args:
        ingested: Facts of the part ``ingest/tables``.
        tasks: Facts of the parts of this stage by name; splits may be missing where there was too little data for them.
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


def _leaks(found: Facts | None, splits: Mapping[str, Facts], by: str) -> dict[str, Any]:
    """Return what was searched, found, joined and dropped. A split that keeps a leak that was found is not made."""
    if found is None:
        return {}
    dropped: Counter[str] = Counter()
    for metadata in splits.values():
        dropped.update(metadata["dropped"])
    joins = any(metadata["joins"] for metadata in splits.values())
    return {
        "overlapping_pairs": found["overlaps"],
        "near_duplicate_pairs": found["duplicates"],
        "pairs_seen_only": found["seen_overlaps"],
        "compared_chips": found["compared"],
        "compared_scenes": found["scenes"],
        "joined_groups": found["joined"].get(by, []) if joins else [],
        "dropped_by_split": {name: sum(metadata["dropped"].values()) for name, metadata in splits.items()},
        "dropped": dict(sorted(dropped.items())),
    }
