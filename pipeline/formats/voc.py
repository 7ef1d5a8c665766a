"""Pascal VOC labels: one XML per image, corners counted from 1, both inside the box."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, PerImageSource, read_per_image
from .inventory import has_tags
from .label import ImageLabels, Labels, PixelObject, box_object, broken_object
from .xml_tree import Element, image_size, read_xml


class VocSource(PerImageSource):
    """Images with a Pascal VOC file (XML) of the same name each."""

    type: Literal["voc"] = "voc"
    labels: str | None = None
    """Folder of the XML files; null looks beside the images, and in `Annotations/` beside `JPEGImages/`."""


def parse(path: Path) -> ImageLabels:
    """Return size and objects of one file.

    Raises:
        InputError: If the file cannot be read, is no VOC annotation, or holds objects of another format.
    """
    root = read_xml(path, "annotation", "Pascal VOC annotation")
    if root.find("objects") is not None and root.find("object") is None:
        raise InputError(f"label file {path.name} has <objects> as FAIR1M has them; set type: fair1m")
    size = image_size(root.find("size") or Element("size"))
    return ImageLabels([_object(element) for element in root.all("object")], size)


def _object(element: Element) -> PixelObject:
    """Return one object. Without a name its class is not known, and which other tag is meant only the user knows."""
    name = element.value("name")
    box = element.find("bndbox")
    try:
        col_min, row_min, col_max, row_max = (box or Element("")).numbers("xmin", "ymin", "xmax", "ymax")
    except ValueError:
        return broken_object(name, "the object has no bndbox of four numbers")
    reason = None
    if not name:
        tags = ", ".join(f"<{child.tag}>" for child in element.children if child.tag != "bndbox") or "nothing else"
        reason = f"the object has no <name>, which is its class; it has {tags}: rename the one that is the class"
    return box_object(name, col_min - 1, row_min - 1, col_max, row_max, reason=reason)


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects."""
    return read_per_image(given, parse)


def holds(path: Path) -> bool:
    """Return whether a file is a VOC annotation; one without objects too."""
    return has_tags(path, "annotation", "object", "size", "filename") and not has_tags(path, "annotation", "objects")


FORMAT = LabelFormat(
    title="Pascal VOC",
    files="an `.xml` per image (`Annotations/`)",
    source=VocSource,
    read=read,
    suffixes=(".xml",),
    holds=holds,
)
