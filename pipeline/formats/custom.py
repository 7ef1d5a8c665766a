"""Labels that a function of the user's reads, where none of our readers knows the format."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .label import NOWHERE, Label, Labels, match


def read(scenes: Sequence[Mapping[str, Any]], files: Mapping[str, Path], reader: str) -> Labels:
    """Read the labels of scenes, one label file after the other.

    A file that the function fails on could hold labels of any scene, so all are refused: without them a scene must not
    pass for one without objects.

    Args:
        scenes: Rows of the catalogue.
        files: Label files by name.
        reader: The function as ``package.module:function``. Called with the path of a label file, it returns or yields
            (image, class, x_min, y_min, x_max, y_max) for each object: the name of its image, with or without folder
            and suffix, the name of its class, and pixel edges, x to the right and y down from the image's upper left
            corner.
    """
    module, _, function = reader.partition(":")
    found = Labels()
    usable = [str(scene["scene_id"]) for scene in scenes if scene["quarantined"] is None]
    rows: list[tuple[str, Any]] = []
    for name, path in files.items():
        try:
            given = list(getattr(importlib.import_module(module), function)(path))
        except Exception as error:  # it is not our code
            reason = f"its labels are not known: {reader} fails on {path.name}: {type(error).__name__}: {error}"
            found.refused |= dict.fromkeys(usable, reason[:300])
            continue
        rows += [(f"{name}:{number}", row) for number, row in enumerate(given, 1)]
    places = _places([_image(row) for _, row in rows], [str(scene["path"]) for scene in scenes])
    labelled = set()
    for (origin, row), place in zip(rows, places, strict=True):
        scene = None if place is None else scenes[place]
        label = _label(origin, row, scene)
        found.labels.append(label)
        labelled.add(label.scene_id)
    found.unlabelled = len(set(usable) - labelled)
    return found


def _image(row: Any) -> str:
    """The image that a row names."""
    try:
        return str(row[0])
    except (TypeError, IndexError, KeyError):
        return ""


def _places(names: Sequence[str], paths: Sequence[str]) -> list[int | None]:
    """Position of the scene that each name means, with or without its suffix; None for no scene or several."""
    stems = [path.rpartition(".")[0] for path in paths]
    with_suffix, without = match(names, paths), match(names, stems)
    return [other if place is None else place for place, other in zip(with_suffix, without, strict=True)]


def _label(origin: str, row: Any, scene: Mapping[str, Any] | None) -> Label:
    scene_id = None if scene is None else str(scene["scene_id"])
    source = "" if scene is None else f"{scene['source']}/"
    try:
        _, class_name, left, top, right, bottom = row
        box = float(top), float(left), float(bottom), float(right)
    except (TypeError, ValueError):
        reason = f"the reader gives no (image, class, x_min, y_min, x_max, y_max): {row!r}"[:200]
        return Label(f"{source}{origin}", scene_id, "", "box", NOWHERE, origin, reason)
    if scene is None:
        return Label(
            origin, None, str(class_name), "box", NOWHERE, origin, f"its image {row[0]!r} is none of the scenes"
        )
    kind = "point" if box[0] == box[2] and box[1] == box[3] and all(map(math.isfinite, box)) else "box"
    return Label(f"{source}{origin}", scene_id, str(class_name), kind, box, origin)
