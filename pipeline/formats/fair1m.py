"""FAIR1M labels: one XML per image, with the corners of each object and the most likely class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .base import LabelFormat, LabelInput, PerImageSource, read_per_image
from .inventory import has_tags
from .label import ImageLabels, Labels, PixelObject, broken_object, polygon_object
from .xml_tree import Element, image_size, read_xml


class Fair1mSource(PerImageSource):
    """Images with an XML of the same name as FAIR1M has it: `points` and `possibleresult` of each object."""

    type: Literal["fair1m"] = "fair1m"


def parse(path: Path) -> ImageLabels:
    """Return size and objects of one file.

    Raises:
        InputError: If the file cannot be read or is no such annotation.
    """
    root = read_xml(path, "annotation", "a FAIR1M annotation")
    size = image_size(root.find("size") or Element("size"))
    return ImageLabels([_object(element) for element in root.all("objects", "object")], size)


def _object(element: Element) -> PixelObject:
    name = element.value("possibleresult", "name")
    if element.value("coordinate") not in ("", "pixel"):
        return broken_object(name, f"its coordinates are in {element.value('coordinate')!r} and not in pixels"[:120])
    try:
        points = [tuple(map(float, point.text.split(","))) for point in element.all("points", "point")]
        ring = [(x, y) for x, y in points]
    except ValueError:
        return broken_object(name, "its points are not pairs of numbers")
    if len(ring) < 2:
        return broken_object(name, "it has no points")
    return polygon_object(name, ring)


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects."""
    return read_per_image(given, parse)


def holds(path: Path) -> bool:
    """Return whether a file is a FAIR1M annotation."""
    return has_tags(path, "annotation", "objects")


FORMAT = LabelFormat(
    title="FAIR1M",
    files="an `.xml` per image (`labelXml/`) with `<points>` and `<possibleresult>`",
    source=Fair1mSource,
    read=read,
    suffixes=(".xml",),
    holds=holds,
)
