"""What every reader of labels returns, and the checks that every label passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Box = tuple[float, float, float, float]
"""Pixel edges (row_min, col_min, row_max, col_max) in the scene's own grid; a point has min == max."""
FAR = "outside every scene"
"""Why a label is not used that is right, but of elsewhere."""
WITH_ITS_SCENE = "its scene is quarantined"
NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Label:
    """One label as read.

    Attributes:
        label_id: Source, file and position in it.
        scene_id: The scene it lies in; None where it lies in none.
        class_name: Its class, in the user's words.
        kind: ``box``, ``point`` or ``scene``.
        box: Where.
        origin: File and line or feature.
        reason: Why it cannot be used, or None.
    """

    label_id: str
    scene_id: str | None
    class_name: str
    kind: str
    box: Box
    origin: str
    reason: str | None = None


@dataclass
class Labels:
    """What a reader of labels found.

    Attributes:
        labels: The labels.
        refused: Scenes that cannot be used because their labels are not known, each with the reason. Without its labels
            a scene must not pass for one without objects.
        unlabelled: Scenes that have no label file.
    """

    labels: list[Label] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0


def match(names: Sequence[str], paths: Sequence[str]) -> list[int | None]:
    """Position in ``paths`` of the file that each name means, or None.

    A name means the path that it equals, else the one path with the same last component.
    """
    exact = {path: position for position, path in enumerate(paths)}
    last: dict[str, list[int]] = {}
    for position, path in enumerate(paths):
        last.setdefault(path.rpartition("/")[2], []).append(position)
    found: list[int | None] = []
    for name in (name.replace("\\", "/").removeprefix("./") for name in names):
        same = last.get(name.rpartition("/")[2], [])
        found.append(exact.get(name, same[0] if len(same) == 1 else None))
    return found


def check(label: Label, size: tuple[int, int] | None, classes: Iterable[str]) -> Label:
    """The label with the reason why it cannot be used, if there is one.

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
        reason = "a coordinate is not a finite number"
    elif label.kind == "box" and not (row_min < row_max and col_min < col_max):
        reason = "the box has no area"
    elif is_outside(label.kind, label.box, size):
        reason = "outside the scene"
    elif label.class_name not in classes:
        reason = f"class {label.class_name!r} is not in ingest.classes"
    return replace(label, reason=reason)


def is_outside(kind: str, box: Box, size: tuple[int, int]) -> bool:
    """Whether a label shares no pixel with a scene of ``size`` (height, width)."""
    row_min, col_min, row_max, col_max = box
    if kind == "point":
        return not (0 <= row_min < size[0] and 0 <= col_min < size[1])
    return row_max <= 0 or col_max <= 0 or row_min >= size[0] or col_min >= size[1]


def row_of(label: Label) -> dict[str, Any]:
    """The label as a row of the label table."""
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
    }
