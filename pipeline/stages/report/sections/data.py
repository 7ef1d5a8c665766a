"""Data: what there was, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....dataset.tables import SCENES
from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks


def section_left_out(data: ReportData) -> blocks.Section:
    """Return quarantine, dropped windows, leaks."""
    section = blocks.Section("left-out", "What was left out, and why")
    tables, index = data.tables, data.index
    scenes, labels = tables.get("quarantined", []), tables.get("labels_quarantined", [])
    by_reason: Mapping[str, int] = tables.get("labels_quarantined_by_reason", {})
    label_count = sum(by_reason.values()) if by_reason else len(labels)
    dropped = {reason: int(number) for reason, number in index.get("dropped", {}).items() if number}
    lines = [
        f"{plural(len(scenes), 'scene')} quarantined, {len(tables.get('scenes', [])):,} used.",
        f"{plural(label_count, 'label')} quarantined.",
        f"{plural(sum(dropped.values()), 'window')} not used as chips"
        + (": " + "; ".join(f"{reason} {number:,}" for reason, number in sorted(dropped.items())) if dropped else "")
        + ".",
    ]
    leaks = leak_counts(data)
    if leaks:
        counted = "; ".join(f"{reason} {number:,}" for reason, number in leaks.items())
        lines.append(f"Training chips removed because they would leak into the test, over all splits: {counted}.")
    elif data.config["chips"]["duplicates"]["enabled"]:
        lines.append(
            "No training chip had to be removed because it would leak into the test, as far as the search shows: ground"
            " without texture or that has changed since cannot be recognised."
        )
    ask = ask_for_sites(data)
    section.blocks = [blocks.bullets(lines), *([blocks.warning(ask)] if ask else [])]
    for title, entries in (("Quarantined scenes", scenes), ("Quarantined labels", labels)):
        if entries:
            section.blocks.append(_listing(title, entries))
    section.data = {
        "quarantined_scenes": scenes,
        "quarantined_labels": label_count,
        "dropped_windows": dropped,
        "leaks": leaks,
    }
    return section


def ask_for_sites(data: ReportData) -> str | None:
    """Return a request to name the site of each scene if nothing else shows which show the same place, or None."""
    scenes = SCENES.read(data.scenes / "scenes.parquet")
    unplaced = int((scenes["crs"].isna() & scenes["quarantined"].isna()).sum())
    if data.config["split"]["by"] != "scene_id" or not unplaced or data.tables.get("simulated"):
        return None
    duplicates = data.config["chips"]["duplicates"]
    searched = (
        "scenes that show the same place are found by their pixels, which another date or another angle can hide"
        if duplicates["enabled"] and duplicates["scenes"]
        else "scenes that show the same place were not searched for (chips.duplicates.scenes)"
    )
    return (
        f"{plural(unplaced, 'scene')} without georeference: {searched}. Name the site of each scene"
        " (groups_csv) and split by it, so that no place is both trained on and tested."
    )


def _listing(title: str, entries: Sequence[Sequence[str]]) -> blocks.Block:
    rows = [blocks.row([str(name), str(reason)]) for name, reason in entries]
    return blocks.table(title, f"{title} and the reason.", ["What", "Why"], rows, False, f"{title}: the list")


def leak_counts(data: ReportData) -> dict[str, int]:
    """Return chips dropped from training by reason, over all splits."""
    counts: dict[str, int] = {}
    for split in data.splits.values():
        dropped_here = split.metadata.get("dropped", {})
        for reason, number in dropped_here.items() if isinstance(dropped_here, Mapping) else ():
            if isinstance(number, int) and number:
                counts[reason] = counts.get(reason, 0) + number
    return dict(sorted(counts.items()))


def section_counts(data: ReportData) -> blocks.Section:
    """Return chips by class, and who trained on how many."""
    section = blocks.Section("data", "The data")
    index, classes = data.index, data.classes
    shape = index.get("shape")
    size = f" of {shape[0]} × {shape[1]} pixels and {plural(shape[2], 'band')}" if shape else ""
    chips = ", ".join(f"{index['chips'].get(name, 0):,} {name}" for name in classes)
    sources = ", ".join(str(source) for source in data.tables.get("sources", []))
    licences = "; ".join(str(licence) for licence in data.tables.get("licences", []))
    section.blocks = [
        blocks.text(f"{plural(len(data.tables.get('scenes', [])), 'scene')} from {sources}. Chips{size}: {chips}."),
        blocks.text(f"Licence of the imagery: {licences or 'unknown'}.", quiet=True),
        _splits_table(data),
    ]
    scenes = {str(name): str(digest) for name, digest in data.tables.get("scenes", [])}
    section.data = {"chips": index["chips"], "scenes": scenes}
    return section


def _splits_table(data: ReportData) -> blocks.Block:
    roles = ("train", "validation", "test")
    rows: list[dict[str, Any]] = []
    listed: set[tuple[int, float]] = set()
    for split in sorted(
        data.splits.values(), key=lambda item: (-item.metadata["fraction"], item.metadata["fold"], item.name)
    ):
        key = (split.metadata["fold"], split.metadata["fraction"])
        if key in listed:
            continue
        listed.add(key)
        counts = split.metadata.get("counts", {})
        cells = [
            " + ".join(f"{counts.get(role, {}).get(name, 0):,}" for name in reversed(data.classes)) for role in roles
        ]
        rows.append(blocks.row([f"fold {key[0]}, {100 * key[1]:g} % of the labels", *cells]))
    order = " + ".join(reversed(data.classes))
    caption = f"Chips of each role in the first replicate ({order}). A group never has both training and test chips."
    return blocks.table("Splits", caption, ["Split", *roles], rows, fold="Chips of each split")
