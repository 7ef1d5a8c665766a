"""HRSC2016 labels: one XML per image, with an oriented box for each ship."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from .base import LabelFormat, LabelInput, PerImageSource, Recognised, read_per_image
from .inventory import Inventory, has_tags
from .label import ImageLabels, Labels, PixelObject, box_object, broken_object, polygon_object, rotated_box
from .recognition import recognise_per_image
from .xml_tree import Element, image_size, read_xml


class HrscSource(PerImageSource):
    """Images with an XML of the same name as HRSC2016 has it: `HRSC_Objects` with oriented boxes."""

    type: Literal["hrsc2016"] = "hrsc2016"
    default_class: str | None = "ship"
    """Class of every object; null takes the number of its type, `Class_ID`, which `class_map` can name."""


def parse(path: Path, default_class: str | None) -> ImageLabels:
    """Return size and objects of one file.

    Raises:
        InputError: If the file cannot be read or is no such annotation.
    """
    root = read_xml(path, "HRSC_Image", "an HRSC2016 annotation")
    size = image_size(root, "Img_SizeHeight", "Img_SizeWidth")
    return ImageLabels([_object(element, default_class) for element in root.all("HRSC_Objects", "HRSC_Object")], size)


def _object(element: Element, default_class: str | None) -> PixelObject:
    name = default_class or element.value("Class_ID")
    key = element.value("Object_ID") or None
    try:
        return polygon_object(
            name, rotated_box(*element.numbers("mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang")), key=key
        )
    except ValueError:
        pass
    try:
        return box_object(name, *element.numbers("box_xmin", "box_ymin", "box_xmax", "box_ymax"), key=key)
    except ValueError:
        return broken_object(name, "it has neither an oriented nor an upright box", key=key)


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects."""
    return read_per_image(given, partial(parse, default_class=given.source(HrscSource).default_class))


def holds(path: Path) -> bool:
    """Return whether a file is an HRSC2016 annotation."""
    return has_tags(path, "HRSC_Image", "HRSC_Objects", "Img_FileName")


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise XML files of HRSC2016 beside their images."""
    recognised = recognise_per_image(folder, FORMAT, holds)
    if recognised is not None:
        recognised.source["default_class"] = "ship"
        recognised.why["default_class"] = "null uses the types of ships by number (Class_ID)"
    return recognised


FORMAT = LabelFormat(
    title="HRSC2016",
    files="an `.xml` per image (`Annotations/`) with `<HRSC_Object>`; images as `.bmp`",
    source=HrscSource,
    read=read,
    recognise=recognise,
    suffixes=(".xml",),
    holds=holds,
)
