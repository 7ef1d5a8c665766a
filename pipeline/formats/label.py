"""Labels as every reader returns them, and the checks that every label passes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..utils.errors import one_line

Box = tuple[float, float, float, float]
"""Pixel edges (row_min, col_min, row_max, col_max) in the scene's own grid; a point has min == max."""
Point = tuple[float, float]
"""Position (x, y) in pixels: x to the right, y down, from the upper left corner of the upper left pixel."""
FAR = "outside every scene"
"""Why a label is not used that is valid, but lies elsewhere."""
WITH_ITS_SCENE = "its scene is quarantined"
NO_SCENE = "its image is not among the scenes"
NO_NUMBER = "a coordinate is not a finite number"
NO_CLASS = "it has no class"
UNKNOWN_LABELS = "its labels are not known: "
"""Beginning of the reason why a scene is refused whose labels cannot be read."""
NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Label:
    """One label as read.

    Attributes:
        label_id: Source, file and position in it.
        scene_id: The scene it lies in; None where it lies in none.
        class_name: Its class, in the user's words.
        kind: ``box``, ``point`` or ``scene``.
        box: Where it lies. A label that cannot be used keeps its place: no background is cut there.
        origin: File and line or feature.
        reason: Why it cannot be used, or None.
        outline: WKT of a polygon or multipolygon in the scene's pixels (x to the right, y down), where the label has
            more than its box: an oriented box, a polygon or a mask. It may be invalid, as labels are (crossing edges).
    """

    label_id: str
    scene_id: str | None
    class_name: str
    kind: str
    box: Box
    origin: str
    reason: str | None = None
    outline: str | None = None


@dataclass(frozen=True)
class PixelObject:
    """One object of an image as its label file has it, in pixels.

    Attributes:
        class_name: Its class.
        box: Where it lies.
        kind: ``box`` or ``point``.
        outline: See :class:`Label`.
        reason: Why it cannot be used, or None.
        key: Its name in the file; None numbers it.
    """

    class_name: str
    box: Box
    kind: str = "box"
    outline: str | None = None
    reason: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class ImageLabels:
    """Objects of one image.

    Attributes:
        objects: The objects.
        size: Rows and columns of the image by the label file; 0 where it does not say.
        name: The image by the label file, where one file is for many.
        reason: Why the labels of the image are not known, or None.
        other_name: What the image may be called too.
    """

    objects: Sequence[PixelObject]
    size: tuple[int, int] = (0, 0)
    name: str = ""
    reason: str | None = None
    other_name: str = ""


@dataclass
class Labels:
    """Labels and scenes that a reader found.

    Attributes:
        labels: The labels.
        refused: Scenes that cannot be used because their labels are not known, each with the reason. Without its labels
            a scene must not pass for one without objects.
        unlabelled: Scenes that have no label file.
    """

    labels: list[Label] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0

    def refuse(self, scenes: Iterable[Mapping[str, Any]], error: object) -> None:
        """Refuse scenes because a label file cannot be read."""
        reason = UNKNOWN_LABELS + one_line(str(error), 240)
        self.refused |= {str(scene["scene_id"]): reason for scene in scenes if scene["quarantined"] is None}

    def add(self, image: ImageLabels, scene: Mapping[str, Any], origin: str, label_id: str | None = None) -> None:
        """Add the objects of an image as labels of its scene.

        Args:
            image: The objects.
            scene: Row of the catalogue.
            origin: What the objects are numbered after: the label file, and the image in it.
            label_id: Where label names do not begin with the source and ``origin``: their beginning.
        """
        scene_id = str(scene["scene_id"])
        if scene["quarantined"] is None:
            mismatch = size_mismatch(image.size, scene)
            if image.reason is not None or mismatch:
                self.refused[scene_id] = image.reason or f"{origin.partition(':')[0]} {mismatch}"
        beginning = label_id or f"{scene['source']}/{origin}"
        keys = Counter(item.key for item in image.objects)
        for number, item in enumerate(image.objects):
            key = item.key if item.key is not None and keys[item.key] == 1 else f"{item.key or ''}.{number}".lstrip(".")
            name = f"{beginning}:{key}"
            place = (item.class_name, item.kind, item.box)
            self.labels.append(Label(name, scene_id, *place, f"{origin}:{key}", item.reason, item.outline))


def size_mismatch(size: tuple[int, int], scene: Mapping[str, Any]) -> str | None:
    """Return how the size that a label file states differs from the scene's; None where it does not say or agrees."""
    if 0 in size or size == (scene["height"], scene["width"]):
        return None
    message = f"says that it has {size[0]} rows and {size[1]} columns; it has {scene['height']} and {scene['width']}"
    return f"{message} (when shown upright)" if size == (scene["width"], scene["height"]) else message


# ---------------------------------------------------------------------------------------------------------- objects


def box_object(class_name: str, left: float, top: float, right: float, bottom: float, **more: Any) -> PixelObject:
    """Return the object of a box with edges in pixels, in any order."""
    rows, cols = sorted((top, bottom)), sorted((left, right))
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return PixelObject(class_name, NOWHERE, reason=NO_NUMBER)
    return PixelObject(class_name, (rows[0], cols[0], rows[1], cols[1]), **more)


def point_object(class_name: str, x: float, y: float, **more: Any) -> PixelObject:
    """Return the object of a single position."""
    return PixelObject(class_name, (y, x, y, x), kind="point", **more)


def polygon_object(class_name: str, *rings: Sequence[Point], **more: Any) -> PixelObject:
    """Return the object of one or several polygons, given by their outer rings."""
    points = [point for ring in rings for point in ring]
    if not points or not all(math.isfinite(value) for point in points for value in point):
        return PixelObject(class_name, NOWHERE, **({"reason": NO_NUMBER} | more))
    cols, rows = zip(*points, strict=True)
    box = (min(rows), min(cols), max(rows), max(cols))
    return PixelObject(class_name, box, **({"outline": outline_of(*rings)} | more))


def broken_object(class_name: str, reason: str, **more: Any) -> PixelObject:
    """Return an object whose place is not known."""
    return PixelObject(class_name, NOWHERE, reason=reason, **more)


def rotated_box(x: float, y: float, width: float, height: float, radians: float) -> list[Point]:
    """Return the corners of a box about its centre, turned clockwise as seen (y points down)."""
    cos, sin = math.cos(radians), math.sin(radians)
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners]


def outline_of(*rings: Sequence[Point]) -> str | None:
    """Return the WKT of polygons given by their outer rings, or None where they say no more than their box.

    Coordinates are rounded to a hundredth of a pixel.
    """
    closed = [[*ring, ring[0]] if ring[0] != ring[-1] else list(ring) for ring in rings if len(ring) >= 3]
    closed = [ring for ring in closed if len(ring) >= 4]
    if not closed or (len(closed) == 1 and is_upright_rectangle(closed[0])):
        return None
    texts = ["((" + ", ".join(f"{round(x, 2):g} {round(y, 2):g}" for x, y in ring) + "))" for ring in closed]
    return f"POLYGON {texts[0]}" if len(texts) == 1 else f"MULTIPOLYGON ({', '.join(texts)})"


def is_upright_rectangle(ring: Sequence[Point]) -> bool:
    """Return whether a closed ring is a rectangle with sides along the rows and columns, to a hundredth of a pixel."""
    corners = {(round(x, 2), round(y, 2)) for x, y in ring}
    sides = {x for x, _ in corners}, {y for _, y in corners}
    return len(ring) == 5 and len(corners) == 4 and len(sides[0]) == len(sides[1]) == 2


# ----------------------------------------------------------------------------------------------------------- checks


class PathIndex:
    """Paths of files, found by the names that label files and tables give them."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Index paths by themselves and by their last component."""
        self.paths = paths
        self.exact = {path: position for position, path in enumerate(paths)}
        self.by_last: dict[str, list[int]] = {}
        for position, path in enumerate(paths):
            self.by_last.setdefault(path.rpartition("/")[2], []).append(position)

    def find(self, name: str, folder: str = "", split: str = "") -> int | None:
        """Return the position of the path that a name means, or None.

        A name means the path that it equals, seen from ``folder`` or else from the root; else the one path with the
        same last component. Of several such paths it means the one that ends with the whole name, then the one below
        ``folder``, then the one in a folder whose name begins with ``split``.
        """
        name = name.replace("\\", "/").removeprefix("./")
        equal = self.exact.get(f"{folder}/{name}" if folder else name, self.exact.get(name))
        if equal is not None:
            return equal
        same = self.by_last.get(name.rpartition("/")[2], [])
        rules = [f"/{re.escape(name)}$"]
        rules += [f"^{re.escape(folder)}/"] if folder else []
        rules += [rf"(^|/){split}[a-z0-9_-]*/"] if split else []
        for rule in rules:
            if len(same) > 1:
                same = [other for other in same if re.search(rule, self.paths[other], re.IGNORECASE)] or same
        return same[0] if len(same) == 1 else None


def match(names: Sequence[str], paths: Sequence[str]) -> list[int | None]:
    """Return the position in ``paths`` of the file that each name means, or None; see :meth:`PathIndex.find`."""
    index = PathIndex(paths)
    return [index.find(name) for name in names]


def check(label: Label, size: tuple[int, int] | None, classes: Iterable[str]) -> Label:
    """Return the label with the reason why it cannot be used, if there is one.

    A box that is partly outside stays as it is: what is left of the object must not be taken for background.

    Args:
        label: The label.
        size: Height and width of its scene; None where that was quarantined.
        classes: Known classes.
    """
    if label.reason is not None:
        return label
    row_min, col_min, row_max, col_max = label.box
    reason = None
    if size is None:
        reason = WITH_ITS_SCENE
    elif not all(math.isfinite(edge) for edge in label.box):
        reason = NO_NUMBER
    elif label.kind == "box" and not (row_min < row_max and col_min < col_max):
        reason = "the box has no area"
    elif is_outside(label.kind, label.box, size):
        reason = "outside the scene"
    elif not label.class_name:
        reason = NO_CLASS
    elif label.class_name not in classes:
        reason = f"class {label.class_name!r} is not in ingest.classes"
    return replace(label, reason=reason)


def is_outside(kind: str, box: Box, size: tuple[int, int]) -> bool:
    """Return whether a label shares no pixel with a scene of ``size`` (height, width)."""
    row_min, col_min, row_max, col_max = box
    if kind == "point":
        return not (0 <= row_min < size[0] and 0 <= col_min < size[1])
    return row_max <= 0 or col_max <= 0 or row_min >= size[0] or col_min >= size[1]


def row_of(label: Label) -> dict[str, Any]:
    """Return the label as a row of the label table."""
    row_min, col_min, row_max, col_max = label.box
    return {
        "label_id": label.label_id,
        "scene_id": label.scene_id,
        "class": label.class_name,
        "kind": label.kind,
        "row_min": row_min,
        "col_min": col_min,
        "row_max": row_max,
        "col_max": col_max,
        "origin": label.origin,
        "quarantined": label.reason,
        "outline": label.outline,
    }
