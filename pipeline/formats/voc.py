"""Pascal VOC labels: one XML per image, corners counted from 1, both inside the box."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, Paths, PerImageSource, read_per_image
from .inventory import has_tags
from .label import (
    ImageLabels,
    Labels,
    PixelObject,
    Point,
    box_object,
    broken_object,
    outline_of,
    polygon_object,
    rotated_box,
)
from .xml_tree import Element, image_size, read_xml


class VocSource(PerImageSource):
    """Images with a Pascal VOC file (XML) of the same name each."""

    type: Literal["voc"] = "voc"
    labels: Paths | None = None
    """Folder of the XML files, or a list of folders; null looks beside the images, and in `Annotations/` beside
    `JPEGImages/`."""


def parse(path: Path) -> ImageLabels:
    """Return size and objects of one file.

    Raises:
        InputError: If the file cannot be read, is no VOC annotation, or holds objects of another format.
    """
    root = read_xml(path, "annotation", "a Pascal VOC annotation")
    if root.find("objects") is not None and root.find("object") is None:
        raise InputError(f"label file {path.name} has <objects> like FAIR1M; set type: fair1m")
    size = image_size(root.find("size") or Element("size"))
    return ImageLabels([_object(element) for element in root.all("object")], size)


def _object(element: Element) -> PixelObject:
    """Return one object. Without a name its class is not known, and which other tag is meant only the user knows."""
    name = element.value("name")
    reason = None
    if not name:
        shapes = ("bndbox", "robndbox", "polygon")
        tags = ", ".join(f"<{child.tag}>" for child in element.children if child.tag not in shapes) or "nothing else"
        reason = f"the object has no <name>, which is its class; it has {tags}: rename the one that is the class"
    more = {} if reason is None else {"reason": reason}
    ring = _ring(element)
    try:
        left, top, right, bottom = (element.find("bndbox") or Element("")).numbers("xmin", "ymin", "xmax", "ymax")
    except ValueError:
        if ring:
            return polygon_object(name, ring, **more)
        return broken_object(name, "the object has neither a bndbox of four numbers nor a robndbox")
    outline = outline_of(ring) if ring else None
    return box_object(name, left - 1, top - 1, right, bottom, outline=outline, **more)


def _ring(element: Element) -> list[Point]:
    """Return the corners of an object's oriented box or polygon; none where it has none.

    A `robndbox` is a centre with sides and angle, as roLabelImg writes it, or four named corners, as in DIOR-R; a
    `polygon` has x1, y1 and so on.
    """
    turned = element.find("robndbox") or Element("")
    polygon = element.find("polygon") or Element("")
    names = ("left_top", "right_top", "right_bottom", "left_bottom")
    count = sum(child.tag[:1] == "x" and child.tag[1:].isdecimal() for child in polygon.children)
    try:
        if turned.find("cx") is not None:
            return rotated_box(*turned.numbers("cx", "cy", "w", "h", "angle"))
        tags = [(f"x_{name}", f"y_{name}") for name in names] if turned.children else []
        tags += [(f"x{number}", f"y{number}") for number in range(1, count + 1)]
        pairs = (turned.numbers(*pair) if turned.children else polygon.numbers(*pair) for pair in tags)
        return [(x, y) for x, y in pairs]
    except ValueError:
        return []


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects."""
    return read_per_image(given, parse)


def holds(path: Path) -> bool:
    """Return whether a file is a VOC annotation; one without objects too."""
    return has_tags(path, "annotation", "object", "size", "filename") and not has_tags(path, "annotation", "objects")


FORMAT = LabelFormat(
    title="Pascal VOC",
    files="an `.xml` per image (`Annotations/`), with upright or oriented boxes (`bndbox`, `robndbox`) or polygons",
    source=VocSource,
    read=read,
    suffixes=(".xml",),
    holds=holds,
)
