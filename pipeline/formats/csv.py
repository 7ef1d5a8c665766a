"""Labels in a CSV: boxes or points, in pixels or in longitude and latitude."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..raster import gdal
from ..utils.errors import InputError
from .georeference import LONLAT, PIXEL, Feature, Layer, place_in
from .label import WITH_ITS_SCENE, Label, Labels, match

FORMS = (
    (PIXEL, ("x_min", "y_min", "x_max", "y_max")),
    (PIXEL, ("x", "y")),
    (LONLAT, ("lon_min", "lat_min", "lon_max", "lat_max")),
    (LONLAT, ("lon", "lat")),
)
"""Coordinate columns: of boxes or points, in pixels (x to the right, y down, from the corner) or degrees."""

Row = dict[str, str]


def read(
    scenes: Sequence[Mapping[str, Any]],
    files: Mapping[str, Path],
    columns: Mapping[str, str],
    default_class: str,
) -> Labels:
    """Read the labels of scenes.

    A row with `file` is for that scene, one without for every scene that its position lies in.

    Args:
        scenes: Rows of the catalogue.
        files: CSV files by name.
        columns: What the files call a column, by the name used here.
        default_class: Class of rows without one.
    """
    found = Labels()
    usable = [scene for scene in scenes if scene["quarantined"] is None]
    labelled: set[int] | None = None  # scenes that files with names of scenes have labels for
    for name, path in files.items():
        try:
            crs, wanted, rows = load(path, columns)
            if not rows:
                continue  # the file of a scene without objects
        except InputError as error:
            found.refused |= {str(scene["scene_id"]): f"its labels are not known: {error}" for scene in usable}
            continue
        features = [_feature(f"{name}:{number}", row, wanted, default_class) for number, row in enumerate(rows, 2)]
        if not any("file" in row for row in rows):
            place_in(Layer(path.name, crs, tuple(features)), usable, found)
            continue
        positions = match([row.get("file", "") for row in rows], [str(scene["path"]) for scene in scenes])
        of_scene: dict[int, list[Feature]] = {}
        for feature, position in zip(features, positions, strict=True):
            if position is None:
                reason = feature.reason or "its file is none of the scenes"
                found.labels.append(_lost(feature, None, reason))
            elif scenes[position]["quarantined"] is not None:
                found.labels.append(_lost(feature, str(scenes[position]["scene_id"]), WITH_ITS_SCENE))
            else:
                of_scene.setdefault(position, []).append(feature)
        labelled = (labelled or set()) | set(of_scene)
        for position, mine in sorted(of_scene.items()):
            place_in(Layer(path.name, crs, tuple(mine)), [scenes[position]], found)
    if labelled is not None:
        found.unlabelled = len(usable) - len(labelled)
    return found


def load(path: Path, columns: Mapping[str, str]) -> tuple[str, tuple[str, ...], list[Row]]:
    """CRS, coordinate columns and rows of a CSV, with columns renamed to the names used here.

    Raises:
        InputError: If it cannot be read, or has no coordinate columns.
    """
    path = gdal.local_file(path)
    ours = {theirs: name for name, theirs in columns.items()}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            names = [ours.get(name, name) for name in reader.fieldnames or []]
            reader.fieldnames = names
            rows: list[Row] = [{key: value for key, value in row.items() if key and value} for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"label file {path.name} cannot be read: {error}"[:200]) from None
    for crs, wanted in FORMS:
        if set(wanted) <= set(names):
            if crs == PIXEL and "file" not in names:
                raise InputError(f"label file {path.name} is in pixels and needs a column `file`; see columns")
            return crs, wanted, rows
    forms = " or ".join(",".join(wanted) for _, wanted in FORMS)
    raise InputError(f"label file {path.name} needs the columns {forms}; set columns to rename its own")


def _feature(origin: str, row: Row, wanted: Sequence[str], default_class: str) -> Feature:
    class_name = row.get("class", "").strip() or default_class
    try:
        values = [float(row[name]) for name in wanted]
    except (KeyError, ValueError):
        return Feature(origin, class_name, np.empty((0, 2)), False, f"{', '.join(wanted)} are not all numbers")
    if not all(map(math.isfinite, values)):
        return Feature(origin, class_name, np.empty((0, 2)), False, "a coordinate is not a finite number")
    if len(values) == 2:
        return Feature(origin, class_name, np.array([values]), True)
    left, first, right, last = values
    if not (left < right and first < last):
        return Feature(origin, class_name, np.empty((0, 2)), False, "the box has no area")
    corners = [(left, first), (right, first), (right, last), (left, last)]
    return Feature(origin, class_name, np.array(corners), False)


def _lost(feature: Feature, scene_id: str | None, reason: str) -> Label:
    nowhere = (math.nan,) * 4
    kind = "point" if feature.is_point else "box"
    return Label(feature.origin, scene_id, feature.class_name, kind, nowhere, feature.origin, reason)
