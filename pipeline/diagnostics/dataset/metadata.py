"""What the scenes and labels of a source are, told by the code that ingest reads them with."""

from __future__ import annotations

import json
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
from ...formats.georeference import SWAPPED
from ...formats.label import Label, Labels, check
from ...formats.listing import IMAGES, find
from ...formats.registry import Given, read
from ...formats.scenes import Reading, glance, is_square, row_of
from ...formats.sources import LabelFiles, label_files, sources
from ...raster import gdal
from ...utils.errors import InputError
from .formats import Found

MOST_SCENES = 4000
"""Headers that are read at most; of larger folders evenly spaced ones."""
MOST_CORNERS = 300
"""Scenes whose corners are looked at for pixels without data."""
CORNER_PX = 48
CHANCE = 1e-3
"""Probability below which it is no chance that boxes end where the shorter images do."""

Row = dict[str, Any]


@dataclass
class Facts:
    """What a source holds.

    Attributes:
        source: Its keys, with what was found out on the way.
        why: A comment for a key.
        scenes: Rows of the catalogue, from headers.
        total: Scenes in all; more than ``scenes`` where only some were looked at.
        labels: Labels that can be used.
        unusable: Labels that cannot, by reason.
        refused: Scenes whose labels cannot be read, by reason.
        unlabelled: Scenes without a label file.
        empty_corners: Scenes with a corner that is 0 in every band, and how many were looked at.
    """

    source: dict[str, Any]
    why: dict[str, str]
    scenes: list[Row]
    total: int
    labels: list[Label] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    empty_corners: tuple[int, int] = (0, 0)

    @property
    def good(self) -> list[Row]:
        """Scenes that can be used as far as their headers tell."""
        return [row for row in self.scenes if row["quarantined"] is None]

    @property
    def cut(self) -> bool:
        """Whether the source is of chips that arrived cut."""
        return self.source["type"] in ("shipsnet", "folders")


def gather(found: Found) -> Facts:
    """Look at scenes and labels of a source, and settle what the files leave open.

    Raises:
        InputError: If there is no scene, or no label file, where the source says there are.
    """
    metadata = look_at_scenes(found)
    if metadata.source["type"] == "geojson":
        _choose_class_column(metadata)
    _read_labels(metadata)
    if metadata.source["type"] == "geojson":
        _settle_place(metadata)
    if metadata.source["type"] == "yolo":
        _settle_scale(metadata)
    if not metadata.cut:
        metadata.empty_corners = _empty_corners(metadata.good)
    return metadata


# ---------------------------------------------------------------------------------------------------------- scenes


def look_at_scenes(found: Found) -> Facts:
    """What the scenes of a source are, labels unread."""
    rows, total = _scenes(found)
    return Facts(dict(found.source), dict(found.why), rows, total)


def _scenes(found: Found) -> tuple[list[Row], int]:
    source, kind = found.source, str(found.source["type"])
    suffixes = (*IMAGES, ".json") if kind == "shipsnet" else IMAGES
    listing = find(source["path"], suffixes, "path")
    images = [name for name in listing.files if not name.lower().endswith(".json")]
    reading = Reading(kind, None, 2_000_000_000, None)
    chosen = images if len(images) <= MOST_SCENES else images[:: math.ceil(len(images) / MOST_SCENES)]
    rows = [_scene(listing.path(name), name, kind, reading) for name in chosen]
    chips = [name for name in listing.files if name.lower().endswith(".json")]
    packed = [row for name in chips for row in _packed(listing.path(name), name)]
    return rows + packed, len(images) + len(packed) + len(listing.refused)


def _scene(path: Path, name: str, kind: str, reading: Reading) -> Row:
    row = glance(path, name, reading) | {"file": str(path)}
    if kind == "folders":
        row["given"] = name.split("/")[0] if "/" in name else None
    if kind == "shipsnet" and row["quarantined"] is None:
        named = shipsnet.parse_name(path.name)
        if named is None:
            return row | {"quarantined": f"{path.name} is not named {{label}}__{{scene id}}__{{lon}}_{{lat}}"}
        row |= shipsnet.columns(named, row["width"], row["height"], 3.0)
    return row


def _packed(path: Path, name: str) -> list[Row]:
    """Rows of the chips in a JSON, which is read once; the numbers of the pixels are only counted."""
    sides: list[int] = []
    said: dict[str, list[Any]] = {"labels": [], "scene_ids": [], "locations": []}
    reading = Reading("shipsnet", None, 0, 3.0)
    try:
        for key, value in shipsnet.top_level(path.read_text("utf-8")):
            if key == "data":
                sides.append(math.isqrt(len(value) // 3) if isinstance(value, list) else 0)
            elif key in said:
                said[key].append(value)
    except (OSError, ValueError, RecursionError) as error:
        return [row_of(reading, name, "source", quarantined=f"{path.name} is no JSON of chips: {error}"[:300])]
    rows = []
    for position, side in enumerate(sides):
        row = row_of(reading, f"{name}#{position}", "own", item=position)
        row |= {"width": side, "height": side, "bands": "[1, 2, 3]", "dtype": "uint8", "gsd_m": 3.0}
        rows.append(row | shipsnet.columns(shipsnet.named(said, position), side, side, 3.0))
    return rows


def _empty_corners(rows: Sequence[Row]) -> tuple[int, int]:
    """How many scenes that do not say what is no data have a corner of zeros, and how many were looked at."""
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


def _read_labels(metadata: Facts, **changes: Any) -> None:
    """Read the labels with the source's settings and ``changes``, and replace what is known of labels."""
    metadata.source |= changes
    # The tuple of class names decides nothing yet: every class that is there is to be told.
    planned = sources(IngestConfig.model_validate({"sources": [metadata.source]}))[0]
    files = _files(planned)
    given = Given(
        metadata.scenes,
        {name: Path(file.path) for name, file in files.files.items() if not name.startswith("sidecar/")},
        files.own,
        files.settings,
        _class_numbers(metadata.scenes),
    )
    found: Labels = read(planned.kind, given)
    sizes = {row["scene_id"]: (row["height"], row["width"]) for row in metadata.good}
    names = {label.class_name for label in found.labels}
    skipped = metadata.total > len(metadata.scenes)
    checked = [check(label, sizes.get(label.scene_id or ""), names) for label in found.labels]
    metadata.labels = [label for label in checked if label.reason is None]
    # Labels of scenes that were not looked at are no bad labels.
    metadata.unusable = Counter(
        label.reason for label in checked if label.reason and not (skipped and not label.scene_id)
    )
    metadata.refused = Counter(found.refused.values())
    metadata.unlabelled = found.unlabelled


def _files(planned: Any) -> LabelFiles:
    return label_files(planned, lambda path: UserFile(str(path), ""))


def _class_numbers(scenes: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names for the class numbers of shipsnet: the two that it has, and more where there are more."""
    numbers = [int(text) for row in scenes if (text := str(row.get("given") or "")).isdecimal()]
    more = (f"class-{number}" for number in range(2, max(numbers, default=1) + 1))
    return ("non-ship", "ship", *more)


def _choose_class_column(metadata: Facts) -> None:
    """Choose the column of vector files that names the class: one of the usual names, with few values."""
    import geopandas

    planned = sources(IngestConfig.model_validate({"sources": [metadata.source]}))[0]
    files = [Path(file.path) for name, file in _files(planned).files.items() if not name.startswith("sidecar/")]
    wanted = ("class", "label", "category", "class_name", "type", "object_class", "kind", "name")
    values: dict[str, list[str]] = {}
    for path in files[:20]:
        try:
            if path.suffix.lower() in (".geojson", ".json"):
                features = json.loads(path.read_text("utf-8-sig")).get("features", [])
                rows = [one.get("properties") or {} for one in features]
            elif path.suffix.lower() in (".parquet", ".geoparquet"):
                rows = geopandas.read_parquet(path).drop(columns="geometry", errors="ignore").to_dict("records")
            else:
                frame = geopandas.read_file(path, layer=metadata.source.get("layer"), ignore_geometry=True)
                rows = frame.to_dict("records")
        except Exception:
            continue
        for row in rows:
            for column in wanted:
                if isinstance(row.get(column), str) and row[column]:
                    values.setdefault(column, []).append(row[column])
    few = [column for column in wanted if column in values and len(set(values[column])) <= 30]
    telling = [column for column in few if column == "class" or len(set(values[column])) * 2 <= len(values[column])]
    if telling and telling[0] == "class":
        return
    metadata.source["class_column"] = telling[0] if telling else None
    metadata.why["class_column"] = "the column that names the class" if telling else "every label is of one class"
    if not telling:
        metadata.source["default_class"] = _class_from_name([path.stem for path in files])


def _class_from_name(stems: Sequence[str]) -> str:
    """A class named after a file such as ships.geojson; ``ship`` where its name is no plain word."""
    word = stems[0].lower() if len(stems) == 1 else ""
    if not word.isalpha() or word in ("labels", "label", "annotations", "objects", "targets", "train", "test", "data"):
        return "ship"
    return word.removesuffix("s") or "ship"


def _settle_place(metadata: Facts) -> None:
    """Find out a CRS that label files do not say, or exchanged axes, by which way puts more labels into scenes."""
    if len(metadata.labels) * 2 > len(metadata.labels) + sum(metadata.unusable.values()) and not metadata.refused:
        return
    ways: list[dict[str, Any]] = [{}]
    if metadata.unusable[SWAPPED]:
        ways.append({"swap_axes": True})
    if any("does not say its CRS" in reason for reason in metadata.refused):
        crs = [str(row["crs"]) for row in metadata.good if row["crs"] is not None]
        ways += [{"labels_crs": crs} for crs in dict.fromkeys([*crs[:1], "EPSG:4326"])]
    if any("the scene has none" in reason for reason in metadata.refused):
        ways.append({"labels_crs": "pixel"})
    if len(ways) == 1:
        return
    best, most = ways[0], len(metadata.labels)
    for way in ways[1:]:
        _read_labels(metadata, **way)
        if len(metadata.labels) > most:
            best, most = way, len(metadata.labels)
        for key in way:
            del metadata.source[key]
    _read_labels(metadata, **best)
    metadata.why |= dict.fromkeys(best, "found by trying: only so the labels lie in the scenes")


def _settle_scale(metadata: Facts) -> None:
    """Find out whether boxes were divided by one side for all images, where images differ in size.

    Boxes of images that are shorter than that side then end at their share of it. Were they divided by the image's own
    side, each box would end below that share with about that probability.
    """
    sides = [(row["height"], row["width"]) for row in metadata.good]
    common = Counter(side for pair in sides for side in pair).most_common(1)
    if not common or len(set(sides)) < 2:
        return
    side = common[0][0]
    size = {row["scene_id"]: (row["height"], row["width"]) for row in metadata.good}
    log_chance, seen = 0.0, 0
    for label in metadata.labels:
        for axis in (0, 1):
            have = size[str(label.scene_id)][axis]
            if have >= side:
                continue
            share = have / side
            seen += 1
            if label.box[2 + axis] / have > share + 2 / side:
                return
            log_chance += math.log(share)
    if seen and log_chance >= math.log(CHANCE):
        metadata.why["source"] = f"normalised_by_px: {side} here, if the boxes of the images of other sizes lie wrong"
    elif seen:
        _read_labels(metadata, normalised_by_px=side)
        metadata.why["normalised_by_px"] = f"the boxes of smaller images end at their share of {side}: one side for all"


# --------------------------------------------------------------------------------------------------------- numbers


def lengths_px(labels: Sequence[Label]) -> list[float]:
    """Long sides of boxes in pixels, sorted."""
    boxes = [label.box for label in labels if label.kind == "box"]
    return sorted(max(box[2] - box[0], box[3] - box[1]) for box in boxes)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def uneven(rows: Sequence[Row]) -> list[Row]:
    """Scenes with a place whose pixels are not as wide as high on the ground."""
    return [row for row in rows if row["crs"] and row["transform"] and not is_square(row)[0]]


def groups(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Group columns that scenes have by themselves: the group of each scene, by column."""
    columns = sorted({name for row in rows for name in row if name.startswith(GROUP_PREFIX)})
    return {
        column.removeprefix(GROUP_PREFIX): {
            str(row["scene_id"]): str(row[column]) for row in rows if row.get(column) is not None
        }
        for column in columns
    }
