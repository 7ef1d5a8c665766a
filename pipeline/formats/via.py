"""VGG Image Annotator (VIA) labels: a JSON or CSV of images with regions in pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from .base import LabelFormat, LabelInput, Recognised, SharedSource
from .cvat import ellipse
from .inventory import Inventory
from .json_file import as_list, as_points
from .label import ImageLabels, Labels, PixelObject, box_object, broken_object, point_object, polygon_object
from .recognition import recognise_shared
from .shared_images import read_images
from .via_files import holds, images_of


class ViaSource(SharedSource):
    """Images with their labels in a JSON or CSV as VGG Image Annotator writes it (project, annotations or table)."""

    type: Literal["via"] = "via"
    class_attribute: str | None = None
    """Attribute of a region that names its class; null takes the only one."""
    default_class: str = "ship"
    """Class of regions without one."""


def parse(path: Path, attribute: str | None, default_class: str) -> Iterator[ImageLabels]:
    """Yield the images of a file.

    Raises:
        InputError: If the file cannot be read.
    """
    for image in images_of(path):
        regions = [region for region in as_list(image.get("regions")) if isinstance(region, dict)]
        objects = [item for region in regions for item in _objects(region, _class(region, attribute) or default_class)]
        yield ImageLabels(objects, name=str(image["filename"]))


def _class(region: Mapping[str, Any], attribute: str | None) -> str:
    """Return the class of a region: an attribute's text, or the options that are ticked in it."""
    given = region.get("region_attributes")
    attributes = given if isinstance(given, dict) else {}
    if attribute is None and len(attributes) == 1:
        attribute = next(iter(attributes))
    value = attributes.get(attribute or "")
    if isinstance(value, dict):
        return " ".join(str(key) for key, ticked in value.items() if ticked)
    return "" if value is None else str(value)


def _objects(region: Mapping[str, Any], name: str) -> Iterator[PixelObject]:
    """Yield what one region stands for."""
    given = region.get("shape_attributes")
    shape = given if isinstance(given, dict) else {}
    kind = shape.get("name")
    try:
        if kind == "rect":
            x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
            yield box_object(name, x, y, x + width, y + height)
        elif kind in ("polygon", "polyline"):
            points = as_points(shape["all_points_x"], shape["all_points_y"])
            more = {} if kind == "polygon" else {"reason": "it is a polyline, not a polygon", "outline": None}
            yield polygon_object(name, points, **more)
        elif kind == "point":
            yield point_object(name, float(shape["cx"]), float(shape["cy"]))
        elif kind == "circle":
            x, y, radius = (float(shape[key]) for key in ("cx", "cy", "r"))
            yield polygon_object(name, ellipse(x, y, radius, radius))
        elif kind == "ellipse":
            x, y, across, down = (float(shape[key]) for key in ("cx", "cy", "rx", "ry"))
            yield polygon_object(name, ellipse(x, y, across, down, float(shape.get("theta") or 0)))
        else:
            yield broken_object(name, f"its shape {kind!r} is unknown"[:80])
    except (KeyError, TypeError, ValueError) as error:
        yield broken_object(name, f"its {kind} cannot be read: {error}"[:120])


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes. A scene that no file lists is refused: whether it holds objects is not known."""
    source = given.source(ViaSource)
    return read_images(
        given, lambda path: parse(path, source.class_attribute, source.default_class), "no VIA file lists it"
    )


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise VIA files, and the attribute that names the class: the one with most different values, a few."""
    recognised = recognise_shared(folder, FORMAT, holds)
    if recognised is None:
        return None
    values: dict[str, Counter[str]] = {}
    for image in (image for name in recognised.files[:20] for image in images_of(folder.path(name))):
        for region in as_list(image.get("regions")):
            for attribute in region.get("region_attributes") or {} if isinstance(region, dict) else {}:
                values.setdefault(attribute, Counter())[_class(region, attribute)] += 1
    few = [attribute for attribute, counts in values.items() if len(counts) <= 30]
    if len(values) > 1 and few:
        usual = [name for name in few if name.lower() in ("class", "type", "label", "name", "category")]
        recognised.source["class_attribute"] = (usual or few)[0]
        others = ", ".join(attribute for attribute in values if attribute != recognised.source["class_attribute"])
        recognised.why["class_attribute"] = f"attributes that are not used: {others}"
        recognised.notes.append(
            f"the class is taken from the attribute {recognised.source['class_attribute']} and not from"
            f" {others}: check it"
        )
    return recognised


FORMAT = LabelFormat(
    title="VIA",
    files="a `.json` or `.csv` of VGG Image Annotator, a project or its annotations, of version 1, 2 or 3",
    source=ViaSource,
    read=read,
    recognise=recognise,
    suffixes=(".json", ".csv"),
    holds=holds,
)
