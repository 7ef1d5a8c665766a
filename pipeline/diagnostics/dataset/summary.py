"""Summary of the scenes and labels of a source, made by the code that ingest reads them with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...config.run import IngestConfig
from ...dataset.tables import GROUP_PREFIX
from ...engine.task import UserFile
from ...formats import shipsnet
from ...formats.base import LabelInput, Recognised, Row
from ...formats.inventory import spread
from ...formats.label import NO_SCENE, Label, check
from ...formats.registry import FORMATS, read
from ...formats.scenes import Reading, glance, is_square, row_of
from ...raster import gdal
from ...stages.ingest.sources import SIDECAR, label_files, plan_sources
from ...utils.errors import InputError

MOST_SCENES = 2000
"""Headers that are read at most; of larger folders evenly spaced ones."""
MOST_CORNERS = 300
"""Scenes whose corners are examined for pixels without data."""
CORNER_PX = 48
CHANCE = 1e-3
"""Probability below which it is no chance that boxes end where the shorter images do."""


@dataclass
class SourceSummary:
    """Summary of what a source holds.

    Attributes:
        source: Its keys, with what was settled on the way.
        why: A comment for a key.
        scenes: Rows of the catalogue, from headers.
        total: Scenes in all; more than ``scenes`` where only some were examined.
        classes: Class names that the layout says.
        notes: What the user should check.
        labels: Labels that can be used.
        unusable: Labels that cannot, by reason.
        refused: Scenes whose labels cannot be read, by reason.
        unlabelled: Scenes without a label file.
        empty_corners: Scenes with a corner that is 0 in every band, and how many were examined.
    """

    source: dict[str, Any]
    why: dict[str, str]
    scenes: list[Row]
    total: int
    classes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    empty_corners: tuple[int, int] = (0, 0)

    @property
    def good(self) -> list[Row]:
        """Return how many scenes can be used as far as their headers tell."""
        return [row for row in self.scenes if row["quarantined"] is None]

    @property
    def cut(self) -> bool:
        """Return whether the source is of chips that arrived cut."""
        return FORMATS[self.source["type"]].chips is not None


def summarise(recognised: Recognised) -> SourceSummary:
    """Look at scenes and labels of a source, and settle what the files leave open.

    Raises:
        InputError: If there is no scene, or no label file, where the source says there are.
    """
    summary = summarise_scenes(recognised)
    crs = next((str(row["crs"]) for row in summary.good if row["crs"] is not None), None)
    if summary.source.get("labels_crs") == "scene":
        summary.source["labels_crs"] = crs
    _read_labels(summary)
    _try_alternatives(summary, recognised.alternatives, crs)
    if "normalised_by_px" in FORMATS[summary.source["type"]].source.model_fields:
        _settle_scale(summary)
    if not summary.cut:
        summary.empty_corners = _empty_corners(summary.good)
    return summary


# ---------------------------------------------------------------------------------------------------------- scenes


def summarise_scenes(recognised: Recognised) -> SourceSummary:
    """Return what the scenes of a source are, labels unread."""
    source, chips = recognised.source, FORMATS[recognised.source["type"]].chips
    scenes = _plan(source).scenes
    assert scenes is not None  # what is simulated or downloaded is not recognised
    packed_suffix = chips.packed_suffix if chips is not None and chips.packed_suffix else None
    packed = [name for name in scenes.files if packed_suffix and name.lower().endswith(packed_suffix)]
    images = sorted(set(scenes.files) - set(packed))
    reading = Reading(str(source["type"]), None, 2_000_000_000, 3.0 if packed_suffix else None)
    rows = []
    for name in spread(images, MOST_SCENES):
        path = scenes.path(name)
        row = glance(path, name, reading) | {"file": str(path)}
        rows.append(row | chips.columns(name, row) if chips is not None else row)
    rows += [row for name in packed for row in _packed(scenes.path(name), name, reading)]
    total = len(images) + sum(row["item"] is not None for row in rows) + len(scenes.refused)
    return SourceSummary(dict(source), dict(recognised.why), rows, total, recognised.classes, list(recognised.notes))


def _plan(source: Mapping[str, Any]) -> Any:
    return plan_sources(IngestConfig.model_validate({"sources": [source]}))[0]


def _packed(path: Path, name: str, reading: Reading) -> list[Row]:
    """Return rows of the chips in a JSON, which is read once; the numbers of the pixels are only counted."""
    sides: list[int] = []
    beside: dict[str, list[Any]] = {"labels": [], "scene_ids": [], "locations": []}
    try:
        for key, value in shipsnet.top_level(path.read_text("utf-8")):
            if key == "data":
                sides.append(math.isqrt(len(value) // 3) if isinstance(value, list) else 0)
            elif key in beside:
                beside[key].append(value)
    except (OSError, ValueError, RecursionError) as error:
        return [row_of(reading, name, "source", quarantined=f"{path.name} is not a JSON of chips: {error}"[:300])]
    rows = []
    for position, side in enumerate(sides):
        row = row_of(reading, f"{name}#{position}", "own", item=position)
        row |= {"width": side, "height": side, "bands": "[1, 2, 3]", "dtype": "uint8", "gsd_m": 3.0}
        rows.append(row | shipsnet.columns(shipsnet.named(beside, position), side, side, 3.0))
    return rows


def _empty_corners(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many scenes that do not say what is no data have a corner of zeros, and how many were examined."""
    silent = [row for row in rows if row["mask"] is None and row["dtype"] in ("uint8", "uint16", "int16")]
    chosen = silent[:: max(1, math.ceil(len(silent) / MOST_CORNERS))]
    return sum(_has_empty_corner(row) for row in chosen), len(chosen)


def _has_empty_corner(row: Row) -> bool:
    scene = gdal.scene_file(row | {"path": str(row["file"])}, Path())
    height, width = min(CORNER_PX, scene.height), min(CORNER_PX, scene.width)
    corners = [(top, left) for top in (0, scene.height - height) for left in (0, scene.width - width)]
    try:
        with gdal.open_scene(scene.path) as dataset:
            for top, left in corners:
                pixels, _ = gdal.read_window(dataset, scene, top, left, height, width)
                if not np.any(pixels[: height // 4 or 1, : width // 4 or 1]) and np.mean(~pixels.any(axis=2)) > 0.5:
                    return True
    except InputError:
        return False
    return False


# ---------------------------------------------------------------------------------------------------------- labels


def _read_labels(summary: SourceSummary, **changes: Any) -> None:
    """Read the labels with the source's settings and ``changes``, and replace what is known of labels."""
    summary.source |= changes
    planned = _plan(summary.source)
    files = label_files(planned, lambda path: UserFile(str(path), ""))
    given = LabelInput(
        summary.scenes,
        {name: Path(file.path) for name, file in files.files.items() if not name.startswith(SIDECAR)},
        files.own,
        planned.source.settings,
        _class_numbers(summary) if planned.label_format.name == "shipsnet" else summary.classes,
        files.folders,
    )
    labels = read(planned.label_format.name, given)
    sizes = {row["scene_id"]: (row["height"], row["width"]) for row in summary.good}
    # The tuple of class names decides nothing yet: every class that is there is to be reported.
    names = {label.class_name for label in labels.labels}
    skipped = summary.total > len(summary.scenes)
    checked = [check(label, sizes.get(label.scene_id or ""), names) for label in labels.labels]
    summary.labels = [label for label in checked if label.reason is None]
    # Labels of scenes that were not looked at are no bad labels.
    elsewhere = (NO_SCENE, NO_SCENE.replace("image", "file"), "outside every scene")
    summary.unusable = Counter(
        label.reason for label in checked if label.reason and not (skipped and label.reason in elsewhere)
    )
    summary.refused = Counter(labels.refused.values())
    summary.unlabelled = labels.unlabelled


def _class_numbers(summary: SourceSummary) -> tuple[str, ...]:
    """Return names for the class numbers of shipsnet: the two that it has, and more where there are more."""
    numbers = [int(text) for row in summary.scenes if (text := str(row.get("given") or "")).isdecimal()]
    more = (f"class-{number}" for number in range(2, max(numbers, default=1) + 1))
    return ("non-ship", "ship", *more)


def _try_alternatives(summary: SourceSummary, given: Sequence[tuple[str, dict[str, Any]]], crs: str | None) -> None:
    """Try other settings where most labels do not fit, and keep those that put most labels into scenes."""
    bad = sum(summary.unusable.values())
    if len(summary.labels) > bad and not summary.refused:
        return
    reasons = [*summary.unusable, *summary.refused]
    before = {key: summary.source[key] for _, change in given for key in change if key in summary.source}
    best: dict[str, Any] = {}
    most = len(summary.labels)
    for reason, change in given:
        change = {key: crs if value == "scene" else value for key, value in change.items()}
        if None in change.values() or not any(reason in message for message in reasons):
            continue
        _read_labels(summary, **change)
        if len(summary.labels) > most:
            best, most = change, len(summary.labels)
        for key in change:
            summary.source.pop(key)
        summary.source |= before
    _read_labels(summary, **best)
    summary.why |= dict.fromkeys(best, "found by trial: only then do the labels lie in the scenes")


def _settle_scale(summary: SourceSummary) -> None:
    """Settle whether boxes were divided by one side for all images, where images differ in size.

    Boxes of images that are shorter than that side then end at their share of it. Were they divided by the image's own
    side, each box would end below that share with about that probability.
    """
    sizes = {row["scene_id"]: (row["height"], row["width"]) for row in summary.good}
    common = Counter(side for pair in sizes.values() for side in pair).most_common(1)
    if not common or len(set(sizes.values())) < 2:
        return
    side = common[0][0]
    log_chance, compared = 0.0, 0
    for label in summary.labels:
        for axis in (0, 1):
            length = sizes[str(label.scene_id)][axis]
            if length >= side:
                continue
            share = length / side
            compared += 1
            if label.box[2 + axis] / length > share + 2 / side:
                return
            log_chance += math.log(share)
    if compared and log_chance >= math.log(CHANCE):
        summary.why["source"] = (
            f"normalised_by_px: {side} for instance, if boxes lie in the wrong place in images of other sizes"
        )
    elif compared:
        _read_labels(summary, normalised_by_px=side)
        summary.why["normalised_by_px"] = (
            f"boxes of smaller images end at their share of {side}, so all are relative to one size"
        )


# --------------------------------------------------------------------------------------------------------- numbers


def lengths_px(labels: Sequence[Label]) -> list[float]:
    """Return the long sides of boxes in pixels, sorted."""
    boxes = [label.box for label in labels if label.kind == "box"]
    return sorted(max(box[2] - box[0], box[3] - box[1]) for box in boxes)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def uneven(rows: Sequence[Row]) -> list[Row]:
    """Return scenes with a place whose pixels are not as wide as high on the ground."""
    return [row for row in rows if row["crs"] and row["transform"] and not is_square(row)[0]]


def own_groups(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return group columns that scenes have by themselves: the group of each scene, by column."""
    columns = sorted({name for row in rows for name in row if name.startswith(GROUP_PREFIX)})
    return {
        column.removeprefix(GROUP_PREFIX): {
            str(row["scene_id"]): str(row[column]) for row in rows if row.get(column) is not None
        }
        for column in columns
    }
