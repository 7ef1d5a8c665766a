"""Label Studio labels: a JSON of tasks with boxes, polygons, ellipses and points in percent of the image's sides."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, SharedSource
from .cvat import ellipse
from .inventory import json_keys
from .json_file import as_list, as_size, read_json
from .label import ImageLabels, Labels, PixelObject, Point, broken_object, point_object, polygon_object, rotated_box
from .shared_images import read_images

UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


class LabelStudioSource(SharedSource):
    """Images with their labels in a JSON of tasks as Label Studio exports it (JSON or JSON-MIN)."""

    type: Literal["label_studio"] = "label_studio"


def parse(path: Path) -> Iterator[ImageLabels]:
    """Yield the images of a file.

    Raises:
        InputError: If the file cannot be read or is no list of tasks.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise InputError(f"label file {path.name} is not a list of Label Studio tasks")
    for task in tasks:
        if isinstance(task, dict):
            yield _image(task)


def _image(task: Mapping[str, Any]) -> ImageLabels:
    """Return the objects of one task."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    served = next((text for text in texts if re.search(r"\.[A-Za-z0-9]{2,5}$", text)), "")
    results: list[dict[str, Any]] = []
    reason = None
    if "annotations" in task or "completions" in task:
        given = as_list(task.get("annotations") or task.get("completions"))
        done = [
            annotation for annotation in given if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        ]
        results = [item for item in as_list((done or [{}])[-1].get("result")) if isinstance(item, dict)]
        reason = None if done else "its labels are not known: nobody has annotated its task yet"
    else:  # JSON-MIN has the regions beside the image
        results = [item for value in data.values() for item in as_list(value) if isinstance(item, dict)]
    sizes = [as_size(item.get("original_height"), item.get("original_width")) for item in results]
    size = next((size for size in sizes if 0 not in size), (0, 0))
    objects = [item for result in results if (item := _object(result, size)) is not None]
    if any(item.reason == BRUSH for item in objects):
        reason = f"its labels are not known: {BRUSH}"
    return ImageLabels(objects, size, _name(served), reason, unquote(served).rpartition("/")[2])


BRUSH = "a brush mask of Label Studio is not read; export as COCO, or as PNG masks"


def _object(result: Mapping[str, Any], size: tuple[int, int]) -> PixelObject | None:
    """Return the object of one region; None for a result that is no region."""
    value = result["value"] if isinstance(result.get("value"), dict) else result
    kind = next((key for key in value if key.endswith("labels") and isinstance(value[key], list)), None)
    if kind is None:
        return None
    name = str(value[kind][0]) if value[kind] else ""
    if "rle" in value:
        return broken_object(name, BRUSH)
    if 0 in size:
        return broken_object(name, "it has percent coordinates and no original_width and original_height")
    down, across = size[0] / 100, size[1] / 100
    try:
        if "points" in value:
            return polygon_object(name, [(float(x) * across, float(y) * down) for x, y in value["points"]])
        x, y = float(value["x"]) * across, float(value["y"]) * down
        turn = math.radians(float(value.get("rotation") or 0))
        if "radiusX" in value:
            return polygon_object(
                name, ellipse(x, y, float(value["radiusX"]) * across, float(value["radiusY"]) * down, turn)
            )
        if kind == "keypointlabels":
            return point_object(name, x, y)
        return polygon_object(name, _corners(x, y, float(value["width"]) * across, float(value["height"]) * down, turn))
    except (KeyError, TypeError, ValueError) as error:
        return broken_object(name, f"its region cannot be read: {error}"[:120])


def _corners(x: float, y: float, width: float, height: float, radians: float) -> list[Point]:
    """Return the corners of a box that is turned about its upper left corner."""
    if not radians:
        return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    cos, sin = math.cos(radians), math.sin(radians)
    middle = x + (width * cos - height * sin) / 2, y + (width * sin + height * cos) / 2
    return rotated_box(*middle, width, height, radians)


def _name(text: str) -> str:
    """Return the image's name from where Label Studio serves it: `/data/upload/1/0a1b2c3d-a.png`, `?d=folder/a.png`."""
    path = unquote(text.rpartition("?d=")[2])
    folder, slash, name = path.rpartition("/")
    plain = UPLOADED.sub("", name) if "/upload/" in path else name
    return plain if "/upload/" in path or "://" in path else f"{folder}{slash}{plain}"


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes. A scene without a task is refused: whether it holds objects is not known."""
    return read_images(given, parse, "no task of Label Studio names it")


def holds(path: Path) -> bool:
    """Return whether a file is a list of tasks."""
    keys = json_keys(path)
    return keys[:1] == ("[]",) and ({"data", "annotations"} <= set(keys) or {"data", "completions"} <= set(keys)
                                    or "annotation_id" in keys)  # fmt: skip


FORMAT = LabelFormat(
    title="Label Studio",
    files="a `.json` of tasks (JSON or JSON-MIN)",
    source=LabelStudioSource,
    read=read,
    suffixes=(".json",),
    holds=holds,
)
