"""LabelMe labels: one JSON per image, with polygons, boxes, circles and points in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ..utils.errors import InputError
from ..utils.plural import plural
from .base import LabelFormat, LabelInput, Paths, PerImageSource, read_per_image
from .cvat import ellipse
from .inventory import json_keys
from .json_file import as_points, as_size, read_json
from .label import ImageLabels, Labels, PixelObject, broken_object, point_object, polygon_object

LINES = ("line", "linestrip")


class LabelmeSource(PerImageSource):
    """Images with a JSON of the same name each, as LabelMe writes it."""

    type: Literal["labelme"] = "labelme"
    labels: Paths | None = None
    """Folder of the JSON files, or a list of folders; null looks beside the images, and in `labels/` and the like
    beside `images/`."""


def parse(path: Path) -> ImageLabels:
    """Return size and objects of one file.

    Raises:
        InputError: If the file cannot be read or is no such annotation.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        raise InputError(f"label file {path.name} is not a LabelMe file: it needs a list `shapes`")
    objects = [item for shape in data["shapes"] if isinstance(shape, dict) for item in _objects(shape)]
    return ImageLabels(objects, as_size(data.get("imageHeight"), data.get("imageWidth")))


def _objects(shape: Mapping[str, Any]) -> Iterator[PixelObject]:
    """Yield what one shape stands for; of several points each."""
    name, kind = str(shape.get("label") or ""), str(shape.get("shape_type") or "polygon")
    try:
        points = as_points(*zip(*shape["points"], strict=True)) if shape.get("points") else []
    except (KeyError, TypeError, ValueError):
        yield broken_object(name, "its points are not pairs of numbers")
        return
    if not points:
        yield broken_object(name, "it has no points")
    elif kind in ("point", "points"):
        yield from (point_object(name, x, y) for x, y in points)
    elif kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        yield polygon_object(name, ellipse(*points[0], radius, radius))
    elif kind in ("rectangle", "mask") and len(points) == 2:
        # A mask is a picture of the box; the box is what is used of it.
        (left, top), (right, bottom) = points
        yield polygon_object(name, [(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind in LINES or len(points) < 3:
        yield polygon_object(name, points, reason=f"it is a {kind} of {plural(len(points), 'point')}", outline=None)
    else:
        yield polygon_object(name, points)


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; LabelMe writes no file for an image without objects."""
    return read_per_image(given, parse)


FORMAT = LabelFormat(
    title="LabelMe",
    files="a `.json` per image with `shapes`",
    source=LabelmeSource,
    read=read,
    suffixes=(".json",),
    holds=lambda path: "shapes" in json_keys(path),
)
