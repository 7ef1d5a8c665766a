"""COCO labels: one JSON with images, categories and boxes (x, y, width, height) in pixels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dataset.names import CROWD
from ..raster import gdal
from ..utils.errors import InputError
from .label import NOWHERE, Box, Label, Labels, match

MAX_BYTES = 2 << 30


def read(scenes: Sequence[Mapping[str, Any]], files: Mapping[str, Path]) -> Labels:
    """Read the labels of scenes. A scene that no file lists is refused: whether it holds objects is not known.

    Args:
        scenes: Rows of the catalogue.
        files: COCO files by name.
    """
    found = Labels()
    listed: set[str] = set()
    damaged = ""
    for name, path in files.items():
        try:
            data = _load(path)
        except InputError as error:
            damaged = str(error)
            continue
        _read_file(data, name, scenes, found, listed)
    for scene in scenes:
        scene_id = str(scene["scene_id"])
        if scene["quarantined"] is None and scene_id not in listed:
            found.refused[scene_id] = f"its labels are not known: {damaged or 'no COCO file lists it under `images`'}"
    return found


def _load(path: Path) -> dict[str, list[Any]]:
    """The lists of a COCO file."""
    path = gdal.local_file(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        data = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"label file {path.name} is no JSON: {error}"[:200]) from None
    keys = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise InputError(f"label file {path.name} is no COCO file: it needs the lists {', '.join(keys)}")
    return {key: [one for one in data[key] if isinstance(one, dict)] for key in keys}


def _read_file(
    data: Mapping[str, list[Any]], name: str, scenes: Sequence[Mapping[str, Any]], found: Labels, listed: set[str]
) -> None:
    """Add the labels of one COCO file to ``found``, and the scenes that it lists to ``listed``."""
    categories = {str(one.get("id")): str(one.get("name")) for one in data["categories"]}
    names = [str(image.get("file_name")) for image in data["images"]]
    wanted = match(names, [str(scene["path"]) for scene in scenes])
    of_image: dict[str, Mapping[str, Any]] = {}
    for image, at in zip(data["images"], wanted, strict=True):
        if at is None:
            continue
        scene = scenes[at]
        of_image[str(image.get("id"))] = scene
        listed.add(str(scene["scene_id"]))
        said = image.get("height"), image.get("width")
        if scene["quarantined"] is None and None not in said and said != (scene["height"], scene["width"]):
            found.refused[str(scene["scene_id"])] = (
                f"{name} says that it has {said[0]} rows and {said[1]} columns;"
                f" it has {scene['height']} and {scene['width']}"
            )
    repeated = Counter(str(one.get("id", number)) for number, one in enumerate(data["annotations"]))
    for number, one in enumerate(data["annotations"]):
        key = str(one.get("id", number))
        key = key if repeated[key] == 1 else f"{key}.{number}"
        found.labels.append(_label(one, f"{name}:{key}", of_image.get(str(one.get("image_id"))), categories))


def _label(
    one: Mapping[str, Any], origin: str, scene: Mapping[str, Any] | None, categories: Mapping[str, str]
) -> Label:
    """One annotation as a label."""
    given = str(one.get("category_id"))
    class_name = categories.get(given, "")
    if scene is None:
        return Label(origin, None, class_name, "box", NOWHERE, origin, "its image is none of the scenes")
    box, reason = _box(one.get("bbox"))
    if reason is None and given not in categories:
        reason = f"category {given} is not under `categories`"
    if reason is None and one.get("iscrowd"):
        reason = CROWD
    return Label(f"{scene['source']}/{origin}", str(scene["scene_id"]), class_name, "box", box, origin, reason)


def _box(given: Any) -> tuple[Box, str | None]:
    try:
        col, row, width, height = (float(value) for value in given)
    except (TypeError, ValueError):
        return NOWHERE, "its bbox is not four numbers"
    return (row, col, row + height, col + width), None
