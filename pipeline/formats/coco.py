"""COCO labels: one JSON with images, categories and boxes (x, y, width, height) in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..dataset.names import CROWD
from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, Paths, SharedSource
from .inventory import json_keys
from .json_file import as_points, as_size, read_json
from .label import (
    NO_SCENE,
    NOWHERE,
    UNKNOWN_LABELS,
    ImageLabels,
    Label,
    Labels,
    PixelObject,
    box_object,
    broken_object,
    polygon_object,
)

KEYS = ("images", "annotations", "categories")


class CocoSource(SharedSource):
    """Images with their boxes and masks in one COCO file (`images`, `annotations`, `categories`)."""

    type: Literal["coco"] = "coco"
    labels: Paths
    """The COCO file, or several."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes. A scene that no file lists is refused: whether it holds objects is not known."""
    labels = Labels()
    listed: set[str] = set()
    damaged = ""
    for name, path in given.files.items():
        try:
            data = _load(path)
        except InputError as error:
            damaged = str(error)
            continue
        _read_file(data, name, given, labels, listed)
    for scene in given.usable:
        if scene["scene_id"] not in listed:
            reason = damaged or "no COCO file lists it under `images`"
            labels.refused[str(scene["scene_id"])] = UNKNOWN_LABELS + reason
    return labels


def _load(path: Path) -> dict[str, list[Any]]:
    """Return the lists of a COCO file."""
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in KEYS):
        raise InputError(f"label file {path.name} is not a COCO file: it needs the lists {', '.join(KEYS)}")
    return {key: [item for item in data[key] if isinstance(item, dict)] for key in KEYS}


def _read_file(data: Mapping[str, list[Any]], name: str, given: LabelInput, labels: Labels, listed: set[str]) -> None:
    """Add the labels of one COCO file to ``labels``, and the scenes that it lists to ``listed``."""
    categories = {str(item.get("id")): str(item.get("name")) for item in data["categories"]}
    positions = given.match([str(image.get("file_name")) for image in data["images"]], name)
    objects: dict[str, list[PixelObject]] = {}
    for number, annotation in enumerate(data["annotations"]):
        item = _object(annotation, str(annotation.get("id", number)), categories)
        objects.setdefault(str(annotation.get("image_id")), []).append(item)
    keys: set[str | None] = set()
    for items in objects.values():
        items[:] = [_numbered(item, keys) for item in items]
    for image, position in zip(data["images"], positions, strict=True):
        if position is None:
            continue
        scene = given.scenes[position]
        listed.add(str(scene["scene_id"]))
        size = as_size(image.get("height"), image.get("width"))
        labels.add(ImageLabels(objects.pop(str(image.get("id")), []), size), scene, name)
    for item in (item for items in objects.values() for item in items):
        origin = f"{name}:{item.key}"
        labels.labels.append(Label(origin, None, item.class_name, "box", NOWHERE, origin, NO_SCENE))


def _numbered(item: PixelObject, keys: set[str | None]) -> PixelObject:
    """Return an object under a name that no other one of the file has."""
    names = (item.key if not number else f"{item.key}.{number}" for number in range(len(keys) + 1))
    key = next(name for name in names if name not in keys)
    keys.add(key)
    return replace(item, key=key)


def _object(annotation: Mapping[str, Any], key: str, categories: Mapping[str, str]) -> PixelObject:
    """Return one annotation: its box, or the one around its segmentation where it has none."""
    given = str(annotation.get("category_id"))
    reason = None if given in categories else f"category {given} is not under `categories`"
    reason = CROWD if reason is None and annotation.get("iscrowd") else reason
    name = categories.get(given, "")
    shape = _segmentation(name, annotation.get("segmentation"), key, reason)
    try:
        col, row, width, height = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        if shape is not None:
            return shape
        return broken_object(name, reason or "its bbox is not four numbers", key=key)
    outline = None if shape is None else shape.outline
    if shape is not None and not (width > 0 and height > 0):
        return shape
    return box_object(name, col, row, col + width, row + height, outline=outline, reason=reason, key=key)


def _segmentation(name: str, given: Any, key: str, reason: str | None) -> PixelObject | None:
    """Return the object of a segmentation: polygons as lists of x, y, or runs of pixels; None where there is none."""
    more: dict[str, Any] = {"key": key} | ({} if reason is None else {"reason": reason})
    try:
        if isinstance(given, dict):
            from . import rle

            height, width = (int(side) for side in given["size"])
            counts = given["counts"]
            if isinstance(counts, str):
                return rle.mask_object(name, rle.from_compressed(counts, height, width), **more)
            return rle.mask_object(name, rle.from_counts(counts, height, width, down_columns=True), **more)
        rings = [as_points(ring[::2], ring[1::2]) for ring in given or []]
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return None
    rings = [ring for ring in rings if len(ring) >= 3]
    return polygon_object(name, *rings, **more) if rings else None


FORMAT = LabelFormat(
    title="COCO",
    files="one or several `.json` with `images`, `annotations` and `categories`",
    source=CocoSource,
    read=read,
    suffixes=(".json",),
    holds=lambda path: set(KEYS) <= set(json_keys(path)),
)
