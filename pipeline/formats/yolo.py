"""YOLO labels: one text file per image, one object per line, in parts of the image's width and height."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .label import NOWHERE, Label, Labels

MAX_BYTES = 64 << 20


def read(
    scenes: Sequence[Mapping[str, Any]],
    files: Mapping[str, Path],
    class_names: Sequence[str],
    normalised_by_px: int | None = None,
) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects, as YOLO has it.

    Args:
        scenes: Rows of the catalogue.
        files: Label file of each scene that has one, by the scene's path below its source.
        class_names: Names of the class numbers.
        normalised_by_px: What the values were divided by, where that is not the image's own width and height.
    """
    found = Labels()
    for scene in scenes:
        scene_id, file = str(scene["scene_id"]), files.get(str(scene["path"]))
        if file is None:
            found.unlabelled += 1
            continue
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
            lines = file.read_text("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            found.refused[scene_id] = f"its label file {file.name} cannot be read: {error}"[:200]
            continue
        usable = scene["quarantined"] is None
        height, width = (scene["height"], scene["width"]) if usable else (1, 1)
        factors = (normalised_by_px or height, normalised_by_px or width)
        for number, line in enumerate(lines, 1):
            if line.strip():
                label_id = f"{scene_id.rpartition('.')[0]}.txt:{number}"
                found.labels.append(parse_line(line, label_id, scene_id, factors, class_names))
    return found


def parse_line(
    line: str, label_id: str, scene_id: str, factors: tuple[float, float], class_names: Sequence[str]
) -> Label:
    """One object: ``class x y width height`` about its centre, or ``class x1 y1 x2 y2 x3 y3 ...`` around its outline.

    A sixth value is a detector's confidence and is passed over.

    Args:
        line: The line.
        label_id: File and line number.
        scene_id: The image's scene.
        factors: Pixels that 1.0 stands for, down and across.
        class_names: Names of the class numbers.
    """
    words = line.split()
    try:
        number, values = int(words[0]), [float(word) for word in words[1:]]
        if len(values) in (4, 5):
            x, y, width, height = values[:4]
            cols, rows = [x - width / 2, x + width / 2], [y - height / 2, y + height / 2]
        elif len(values) >= 6 and len(values) % 2 == 0:
            cols, rows = values[::2], values[1::2]
        else:
            raise ValueError(f"{len(values)} numbers after the class")
    except ValueError as error:
        reason = f"the line is no YOLO label: {error}"[:120]
        return Label(label_id, scene_id, "", "box", NOWHERE, label_id, reason)
    down, across = factors
    box = min(rows) * down, min(cols) * across, max(rows) * down, max(cols) * across
    if not all(map(math.isfinite, values)):  # min() and max() may pass over a NaN
        box = NOWHERE
    if not 0 <= number < len(class_names):
        reason = f"class number {number} has no name in class_names"
        return Label(label_id, scene_id, str(number), "box", box, label_id, reason)
    return Label(label_id, scene_id, class_names[number], "box", box, label_id)
