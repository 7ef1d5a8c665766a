"""Files of VGG Image Annotator (VIA), all of whose versions are read as the JSON of the second one has it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .inventory import columns, head, json_keys
from .json_file import as_list, read_json
from .tabular import read_table

Image = dict[str, Any]
"""An image with `filename` and `regions`, each with `shape_attributes` and `region_attributes`."""
TABLE = {"filename", "region_shape_attributes", "region_attributes"}
"""Columns of the CSV of the first two versions."""
PROJECT = {"project", "attribute", "file", "view", "metadata"}
"""Keys of a project of the third version."""
BEGINNING = "# Exported using VGG Image Annotator"
HEADER, ATTRIBUTES = "# CSV_HEADER = ", ("# ATTRIBUTE = ", "# ATTRIBUTES = ")
SHAPES = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "polyline", 6: "polyline", 7: "polygon", 8: "polygon"}
"""Kinds of shapes by the number that the third version gives them; 8 is a rectangle by the points that it touches."""
NUMBERS = {
    "point": ("cx", "cy"),
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def images_of(path: Path) -> list[Image]:
    """Return the images of a file: a project, annotations or a table, of any version.

    Raises:
        InputError: If the file cannot be read or is none of VIA's.
    """
    if path.suffix.lower() == ".csv":
        return _of_late_table(path) if head(path).lstrip().startswith("#") and not _is_table(path) else _of_table(path)
    data = read_json(path)
    if isinstance(data, dict) and set(data) >= PROJECT:
        return _of_project(path, data)
    if isinstance(data, dict):
        data = data.get("_via_img_metadata", data)
    images = [item for item in as_list(data) if isinstance(item, dict) and "filename" in item]
    if not images:
        raise InputError(f"label file {path.name} is not a VIA file: it needs images with `filename` and `regions`")
    return images


def holds(path: Path) -> bool:
    """Return whether a file is of VIA: a project, images by name and size, or a table."""
    if path.suffix.lower() == ".csv":
        return _is_table(path) or head(path).startswith(BEGINNING)
    keys = json_keys(path)
    if "_via_img_metadata" in keys or set(keys) >= PROJECT:
        return True
    if not keys or keys[0] == "[]" or not any(key[-1:].isdigit() for key in keys[:3]):
        return False
    try:
        return "regions" in images_of(path)[0]
    except InputError:
        return False


# ------------------------------------------------------------------------------------------- first two versions


def _is_table(path: Path) -> bool:
    return {name.lstrip("#") for name in columns(path)} >= TABLE


def _of_table(path: Path) -> list[Image]:
    """Return the images of a CSV of the first two versions, a row for each region; one without regions has a row too.

    Raises:
        InputError: If it cannot be read, or lacks columns.
    """
    names, rows = read_table(path, {"filename": "#filename"})
    if not set(names) >= TABLE:
        raise InputError(f"label file {path.name} is not a VIA table: it needs the columns {', '.join(sorted(TABLE))}")
    images: dict[str, Image] = {}
    for row in rows:
        name = row.get("filename", "")
        image = images.setdefault(name, {"filename": name, "regions": []})
        shape = _parsed(row.get("region_shape_attributes", ""))
        if shape != {}:
            region = {"shape_attributes": shape, "region_attributes": _parsed(row.get("region_attributes", ""))}
            image["regions"].append(region)
    return list(images.values())


def _parsed(text: str) -> Any:
    """Return the value of JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ------------------------------------------------------------------------------------------------- third version


def _of_project(path: Path, data: Mapping[str, Any]) -> list[Image]:
    """Return the images of a project.

    Raises:
        InputError: If it is of a video.
    """
    files, views, attributes = (_mapping(data[key]) for key in ("file", "view", "attribute"))
    images: dict[str, Image] = {}
    for number, view in views.items():
        shown = [_mapping(files.get(str(key))) for key in as_list(_mapping(view).get("fid_list"))]
        name = str(shown[0].get("fname") or shown[0].get("src") or "") if shown else ""
        images[number] = {"filename": name, "regions": []}
    for item in map(_mapping, as_list(data["metadata"])):
        image = images.get(str(item.get("vid")))
        if image is not None:
            image["regions"] += _region(path, item.get("xy"), item.get("z"), item.get("av"), attributes)
    return list(images.values())


def _of_late_table(path: Path) -> list[Image]:
    """Return the images of a CSV of the third version, whose comments say what its columns and attributes are.

    Raises:
        InputError: If it cannot be read, or is of a video.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"label file {path.name} cannot be read: {error}"[:200]) from None
    lines = text.splitlines(keepends=True)
    comments = [line.strip() for line in lines if line.startswith("#")]
    header = next((line.removeprefix(HEADER) for line in comments if line.startswith(HEADER)), "")
    names = [name.strip() for name in header.split(",")]
    definitions = (line.partition(" = ")[2] for line in comments if line.startswith(ATTRIBUTES))
    attributes = _mapping(_parsed(next(definitions, "{}")))
    images: dict[str, Image] = {}
    try:
        rows = list(csv.reader(io.StringIO("".join(line for line in lines if not line.startswith("#")))))
    except csv.Error as error:
        raise InputError(f"label file {path.name} cannot be read: {error}"[:200]) from None
    for row in rows:
        cells = dict(zip(names, row, strict=False))
        listed = as_list(_parsed(cells.get("file_list", "")))
        name = str(listed[0]) if listed else ""
        image = images.setdefault(name, {"filename": name, "regions": []})
        place, times = (_parsed(cells.get(key, "")) for key in ("spatial_coordinates", "temporal_coordinates"))
        image["regions"] += _region(path, place, times, _parsed(cells.get("metadata", "")), attributes)
    return list(images.values())


def _region(path: Path, place: Any, times: Any, values: Any, attributes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the region of an entry; none for what is said of a whole image.

    Raises:
        InputError: If it is of a moment of a video.
    """
    if times:
        raise InputError(f"label file {path.name} annotates a video; annotate single frames as images")
    if not isinstance(place, list) or not place:
        return
    kind = SHAPES.get(place[0], str(place[0])) if isinstance(place[0], int) else str(place[0])
    numbers: Sequence[Any] = place[1:]
    if kind in NUMBERS:
        shape = dict(zip(NUMBERS[kind], numbers, strict=False))
    else:
        shape = {"all_points_x": numbers[::2], "all_points_y": numbers[1::2]}
    given = {}
    for key, value in _mapping(values).items():
        attribute = _mapping(attributes.get(key))
        options = _mapping(attribute.get("options"))
        given[str(attribute.get("aname") or attributes.get(key) or key)] = options.get(str(value), value)
    yield {"shape_attributes": {"name": kind, **shape}, "region_attributes": given}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
