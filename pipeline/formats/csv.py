"""Labels in a CSV: boxes, corners, outlines or points, in pixels, degrees or any CRS."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.errors import InputError
from . import class_column
from .base import LabelFormat, LabelInput, Paths, Recognised, SharedSource
from .class_folders import SPLITS
from .inventory import Inventory, columns, shortest, some
from .label import NO_NUMBER, NO_SCENE, NOWHERE, WITH_ITS_SCENE, Label, Labels, Point
from .tabular import Row, known_columns, number, read_table

if TYPE_CHECKING:
    from .georeference import Feature

PIXEL = "pixel"
LONLAT = "EPSG:4326"
CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
EDGES = ("x_min", "y_min", "x_max", "y_max")
SIZED = ("x", "y", "width", "height")
CENTRED = ("x_centre", "y_centre", "width", "height")
DEGREE_EDGES = ("lon_min", "lat_min", "lon_max", "lat_max")
DEGREES = ("lon", "lat")
FORMS = (CORNERS, EDGES, CENTRED, SIZED, DEGREE_EDGES, DEGREES, ("x", "y"), ("wkt",))
"""Coordinate columns: of boxes, outlines or points (x to the right, y down, from the corner, where in pixels)."""
OWN = tuple({file, "class", mark} for file in ("file", "file_name") for mark in ("chip_id", "label_score"))
"""Columns of the tables that satpipe writes beside chips in class folders: they are no labels of scenes."""
EdgeColumn = Literal["x_min", "y_min", "x_max", "y_max", "lon_min", "lat_min", "lon_max", "lat_max"]
CornerColumn = Literal["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]
PointColumn = Literal["x", "y", "x_centre", "y_centre", "width", "height", "lon", "lat", "wkt"]
CsvColumn = Literal["file", "class"] | EdgeColumn | CornerColumn | PointColumn


class CsvSource(SharedSource):
    """Scenes with labels in a CSV, one row per object."""

    type: Literal["csv"] = "csv"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths
    """CSV with x_min,y_min,x_max,y_max, or x,y,width,height (corner and size), or x_centre,y_centre,width,height, or
    x1,y1 to x4,y4, or x,y, or wkt (in pixels; needs `file`); or lon_min,lat_min,lon_max,lat_max, or lon,lat."""
    columns: dict[CsvColumn, str] = {}  # noqa: RUF012 - pydantic copies what is the default
    """What the CSV calls a column, by the name used here, e.g. `{file: image_id, x_min: left}`."""
    labels_crs: str | None = None
    """CRS of x, y and wkt; null is `pixel`, or longitude and latitude for wkt without `file`."""
    normalised: bool = False
    """Whether the coordinates are parts of the image's width and height."""
    class_from: Literal["column", "file"] = "column"
    """Whether a column or the name of the file names the class."""
    default_class: str = "ship"
    """Class of rows without `class`."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes.

    A row with `file` is for that scene, one without for every scene that its position lies in.
    """
    from .georeference import Layer, place_in

    source, labels = given.source(CsvSource), Labels()
    all_usable = given.usable
    labelled: set[int] | None = None  # scenes that files with names of scenes have labels for
    for name, path in given.files.items():
        try:
            crs, form, rows = load(path, dict(source.columns), source.labels_crs)
        except InputError as error:
            labels.refuse(given.scenes, error)
            continue
        default_class = path.stem if source.class_from == "file" else source.default_class
        of_scene: dict[int, list[Feature]] = {}
        positions = given.match([row.get("file", "") for row in rows], name)
        everywhere = not any("file" in row for row in rows)
        features: list[Feature] = []
        for line, (row, position) in enumerate(zip(rows, positions, strict=True), 2):
            class_name = row.get("class", "").strip() or default_class
            scene = None if everywhere or position is None else given.scenes[position]
            usable = scene is not None and scene["quarantined"] is None
            factors = (scene["width"], scene["height"]) if source.normalised and usable and scene else (1, 1)
            parts = features_of(f"{name}:{line}", row, form, class_name, factors)
            if everywhere:
                features += parts
            elif position is None or scene is None:
                labels.labels += [_lost(part, None, part.reason or NO_SCENE_FILE) for part in parts]
            elif not usable:
                labels.labels += [_lost(part, str(scene["scene_id"]), WITH_ITS_SCENE) for part in parts]
            else:
                of_scene.setdefault(position, []).extend(parts)
        if everywhere:
            place_in(Layer(path.name, crs, tuple(features)), all_usable if features else [], labels)
            continue
        labelled = (labelled or set()) | set(of_scene)
        for position, own in sorted(of_scene.items()):
            place_in(Layer(path.name, crs, tuple(own)), [given.scenes[position]], labels)
    if labelled is not None:
        labels.unlabelled = len(all_usable) - len(labelled)
    return labels


NO_SCENE_FILE = NO_SCENE.replace("image", "file")


def load(path: Path, given: Mapping[Any, str], labels_crs: str | None) -> tuple[str, tuple[str, ...], list[Row]]:
    """Return CRS, coordinate columns and rows of a CSV, with columns renamed to the names used here.

    Where neither the file nor the configuration uses these names, those that people often use are recognised.

    Raises:
        InputError: If it cannot be read, or has no coordinate columns.
    """
    from ..raster.gdal import local_file

    path = local_file(path)
    names, rows = read_table(path, given)
    if not given and not any(set(form) <= set(names) for form in FORMS):
        names, rows = read_table(path, known_columns(names))
    for form in FORMS:
        if set(form) <= set(names):
            crs = LONLAT if form in (DEGREES, DEGREE_EDGES) else labels_crs
            crs = crs or (PIXEL if "file" in names or form != ("wkt",) else LONLAT)
            if crs == PIXEL and "file" not in names:
                raise InputError(
                    f"label file {path.name} is in pixels and needs a column `file`; map its own with the key columns"
                )
            return crs, form, rows
    forms = " or ".join(",".join(form) for form in FORMS)
    raise InputError(f"label file {path.name} needs the columns {forms}; map its own with the key columns")


def features_of(
    origin: str, row: Row, form: tuple[str, ...], class_name: str, factors: tuple[int, int]
) -> list[Feature]:
    """Return what one row stands for: several features where its WKT has several parts."""
    import numpy as np

    from .georeference import Feature, explode

    if form == ("wkt",):
        import shapely

        try:
            shape = shapely.from_wkt(row["wkt"])
            # `POLYGON EMPTY` is how an image without objects is listed.
            return [] if shape.is_empty else explode(origin, class_name, shape, factors)
        except (KeyError, shapely.errors.ShapelyError):
            return [Feature(origin, class_name, np.empty((0, 2)), False, "its WKT cannot be read")]
    try:
        values = [number(row[name]) for name in form]
    except (KeyError, ValueError):
        return [Feature(origin, class_name, np.empty((0, 2)), False, f"{', '.join(form)} are not all numbers")]
    if not all(map(math.isfinite, values)):
        return [Feature(origin, class_name, np.empty((0, 2)), False, NO_NUMBER)]
    corners = _corners(values, form)
    points = np.array(corners) * factors
    extent = points.max(axis=0) - points.min(axis=0)
    flat = len(corners) > 1 and (not extent.all() or (form in (EDGES, DEGREE_EDGES) and not _is_ordered(values)))
    reason = "the box has no area" if flat or (form in (SIZED, CENTRED) and min(values[2:]) <= 0) else None
    return [Feature(origin, class_name, points, len(corners) == 1, reason, is_polygon=form == CORNERS)]


def _corners(values: Sequence[float], form: tuple[str, ...]) -> list[Point]:
    """Return the corners (x, y) of a row."""
    if len(values) in (2, 8):
        return list(zip(values[::2], values[1::2], strict=True))
    left, top, right, bottom = values
    if form == SIZED:
        right, bottom = left + right, top + bottom
    elif form == CENTRED:
        left, top, right, bottom = left - right / 2, top - bottom / 2, left + right / 2, top + bottom / 2
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _is_ordered(values: Sequence[float]) -> bool:
    return values[0] < values[2] and values[1] < values[3]


def _lost(feature: Feature, scene_id: str | None, reason: str) -> Label:
    """Return the label of a feature that lies in no scene that can be used."""
    kind = "point" if feature.is_point else "box"
    return Label(feature.origin, scene_id, feature.class_name, kind, NOWHERE, feature.origin, reason)


# ------------------------------------------------------------------------------------------------------ recognition


def rename(names: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """Return what a CSV calls the columns that we know, with the form of its coordinates; None where it has none."""
    columns = known_columns(names)
    plain = {name.lower(): name for name in names}
    columns |= {name: plain[name] for name in CORNERS if name in plain and set(CORNERS) <= set(plain)}
    form = next((form for form in FORMS if set(form) <= set(columns)), None)
    if form is None:
        return None
    return {ours: name for ours, name in columns.items() if ours in (*form, "file", "class")}, form


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise CSV files with coordinates, whatever they call their columns."""
    tables = {name: theirs for name, theirs in folder.tables.items() if not any(own <= set(theirs) for own in OWN)}
    fits = {name: fit for name, theirs in tables.items() if (fit := rename(theirs)) is not None}
    if not folder.images:
        return None
    for name, (column_of, form) in fits.items():
        try:
            _, rows = read_table(folder.path(name), {})
        except InputError:
            continue
        same = [other for other, fit in fits.items() if fit == fits[name]]
        source: dict[str, Any] = {"type": "csv", "path": str(folder.root)}
        source["labels"] = shortest(folder, same, list(folder.tables))
        recognised = Recognised(source, f"labels in {some(same)}", {}, (), len(folder.images), same)
        if _settle_coordinates(recognised, rows, column_of, form):
            _settle_class(recognised, rows, column_of, folder.tables[name], form)
            stems = {Path(other).stem.lower() for other in same}
            if "class" not in column_of and len(same) > 1 and not stems & {*SPLITS, *_stems(folder.images)}:
                source["class_from"] = "file"
                recognised.why["class_from"] = "several files of one form, and no column that names a class"
            renamed = {ours: theirs for ours, theirs in column_of.items() if ours != theirs}
            if renamed:
                source["columns"], recognised.why["columns"] = renamed, "satpipe's names: the file's names"
            return recognised
    return None


def _stems(names: Sequence[str]) -> set[str]:
    return {Path(name).stem.lower() for name in names}


def _settle_coordinates(
    recognised: Recognised, rows: Sequence[Row], columns: dict[str, str], form: tuple[str, ...]
) -> bool:
    """Tell pixels, parts of the sides, degrees and map coordinates by their values; False for pixels of no image."""
    texts = [row.get(columns[name], "") for row in rows[:2000] for name in form[:2]]
    values = [float(text) for text in texts if re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", text)]
    if form in (DEGREES, DEGREE_EDGES):
        return True
    if form == ("wkt",):
        return "file" in columns or bool(rows)
    fine = sum("." in text and len(text.partition(".")[2]) >= 4 for text in texts) * 2 > len(texts)
    in_degrees = all(-180 <= x <= 180 for x in values[::2]) and all(-90 <= y <= 90 for y in values[1::2])
    if values and all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values):
        recognised.source["normalised"] = True
        recognised.why["normalised"] = "all values lie between 0 and 1"
    elif values and fine and in_degrees:
        recognised.source["labels_crs"] = LONLAT
        recognised.why["labels_crs"] = "the values are fractions within -180 to 180 and -90 to 90"
        recognised.alternatives.append(("the scene has none", {"labels_crs": PIXEL}))
    elif values and max(map(abs, values)) > 50_000:
        recognised.alternatives.append(("outside every scene", {"labels_crs": "scene"}))
        if "file" not in columns:
            recognised.source["labels_crs"] = "scene"
    return "file" in columns or "labels_crs" in recognised.source


def _settle_class(
    recognised: Recognised, rows: Sequence[Row], columns: dict[str, str], names: Sequence[str], form: tuple[str, ...]
) -> None:
    """Choose the column of the class, and name the others."""
    taken = {columns[name] for name in (*form, "file") if name in columns}
    free = [name for name in names if name not in taken]
    chosen, others = class_column.choose({name: [row[name] for row in rows if name in row] for name in free})
    if chosen is not None:
        columns["class"] = chosen
    else:
        columns.pop("class", None)
    recognised.notes += class_column.note(chosen, others, "ingest.sources.0.columns.class=COLUMN")


def holds(path: Path) -> bool:
    """Return whether a CSV has coordinates."""
    return rename(columns(path)) is not None


FORMAT = LabelFormat(
    title="CSV",
    files="one or several `.csv`, a row per object: edges, corner and size, centre and size, corners, points or WKT",
    source=CsvSource,
    read=read,
    recognise=recognise,
    suffixes=(".csv",),
    holds=holds,
)
