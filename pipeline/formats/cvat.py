"""CVAT labels ("CVAT for images"): one XML with images and their boxes, polygons, ellipses and masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, SharedSource
from .inventory import has_tags
from .json_file import as_size
from .label import ImageLabels, Labels, PixelObject, Point, broken_object, point_object, polygon_object, rotated_box
from .shared_images import read_images
from .xml_tree import Element, read_xml


class CvatSource(SharedSource):
    """Images with their labels in one XML as CVAT exports it ("CVAT for images 1.1")."""

    type: Literal["cvat"] = "cvat"


def parse(path: Path) -> Iterator[ImageLabels]:
    """Yield the images of a file.

    Raises:
        InputError: If the file cannot be read, or is of a video.
    """
    root = read_xml(path, "annotations", "a CVAT annotation")
    if root.find("track") is not None:
        raise InputError(f"label file {path.name} annotates a video; export the task as `CVAT for images`")
    for image in root.all("image"):
        size = as_size(image.attributes.get("height"), image.attributes.get("width"))
        objects = [item for child in image.children for item in _objects(child)]
        yield ImageLabels(objects, size, image.attributes.get("name", ""))


def _objects(element: Element) -> Iterator[PixelObject]:
    """Yield what one element stands for; tags of whole images stand for no object."""
    name = element.attributes.get("label", "")
    try:
        if element.tag == "box":
            left, top, right, bottom = (float(element.attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            turn = math.radians(float(element.attributes.get("rotation", 0)))
            corners = rotated_box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, turn)
            yield polygon_object(
                name, corners if turn else [(left, top), (right, top), (right, bottom), (left, bottom)]
            )
        elif element.tag == "polygon":
            yield polygon_object(name, _points(element))
        elif element.tag == "points":
            yield from (point_object(name, x, y) for x, y in _points(element))
        elif element.tag == "polyline":
            yield polygon_object(
                name, _points(element), reason="it is a line, not a box, polygon or point", outline=None
            )
        elif element.tag == "ellipse":
            x, y, across, down = (float(element.attributes[key]) for key in ("cx", "cy", "rx", "ry"))
            turn = math.radians(float(element.attributes.get("rotation", 0)))
            yield polygon_object(name, ellipse(x, y, across, down, turn))
        elif element.tag == "mask":
            from . import rle

            top, left, height, width = (
                int(float(element.attributes[key])) for key in ("top", "left", "height", "width")
            )
            counts = [int(word) for word in element.attributes["rle"].split(",")]
            yield rle.mask_object(name, rle.from_counts(counts, height, width, down_columns=False), top, left)
    except (KeyError, ValueError, OverflowError) as error:
        yield broken_object(name, f"its {element.tag} cannot be read: {error}"[:120])


def _points(element: Element) -> list[Point]:
    pairs = (pair.split(",") for pair in element.attributes["points"].split(";") if pair.strip())
    return [(float(x), float(y)) for x, y in pairs]


def ellipse(x: float, y: float, across: float, down: float, radians: float = 0.0, corners: int = 32) -> list[Point]:
    """Return a polygon along an ellipse about its centre, with half axes along the columns and the rows."""
    cos, sin = math.cos(radians), math.sin(radians)
    angles = [2 * math.pi * number / corners for number in range(corners)]
    places = [(across * math.cos(angle), down * math.sin(angle)) for angle in angles]
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in places]


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes. A scene that no file lists is refused: whether it holds objects is not known."""
    return read_images(given, parse, "no CVAT file lists it")


FORMAT = LabelFormat(
    title="CVAT",
    files='an `.xml` for many images (`annotations.xml`, "CVAT for images")',
    source=CvatSource,
    read=read,
    suffixes=(".xml",),
    holds=lambda path: has_tags(path, "annotations", "image", "track"),
)
