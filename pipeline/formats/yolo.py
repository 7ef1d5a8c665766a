"""YOLO labels: one text file per image, one object per line, in parts of the image's width and height."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml

from ..utils.errors import InputError
from ..utils.plural import plural
from ..utils.section import PositiveCount
from .base import LabelFormat, LabelInput, PerImageSource, Recognised, scenes_with_files
from .inventory import Inventory, lines_of, spread
from .label import NO_NUMBER, NOWHERE, Label, Labels, PixelObject, outline_of
from .recognition import recognise_per_image
from .text_file import read_lines

NAMES_FILES = ("classes.txt", "obj.names", "classes.names", "labels.txt", "_darknet.labels")
LINE = re.compile(r"\s*(\d+)(?:\.0*)?((?:\s+[-+.\deE]+){4,})\s*")


class YoloSource(PerImageSource):
    """Images with a label file of the same name: `class x_centre y_centre width height`, normalised."""

    type: Literal["yolo"] = "yolo"
    class_names: tuple[str, ...] = ("ship",)
    """Names of the class numbers in the label files."""
    normalised_by_px: PositiveCount | None = None
    """Side by which the boxes were divided, where that is not the image's own width and height."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects, as YOLO has it."""
    source = given.source(YoloSource)
    labels = Labels()
    for scene, file in scenes_with_files(given, labels):
        scene_id = str(scene["scene_id"])
        try:
            lines = read_lines(file)
        except InputError as error:
            labels.refuse([scene], error)
            continue
        usable = scene["quarantined"] is None
        height, width = (scene["height"], scene["width"]) if usable else (1, 1)
        factors = (source.normalised_by_px or height, source.normalised_by_px or width)
        for number, line in enumerate(lines, 1):
            if line.strip():
                label_id = f"{scene_id.rpartition('.')[0]}.txt:{number}"
                item = parse_line(line, factors, source.class_names)
                place = (item.class_name, item.kind, item.box)
                labels.labels.append(Label(label_id, scene_id, *place, label_id, item.reason, item.outline))
    return labels


def parse_line(line: str, factors: tuple[float, float], class_names: Sequence[str]) -> PixelObject:
    """Return one object: ``class x y width height`` about its centre, or ``class x1 y1 x2 y2 x3 y3 ...`` around it.

    A sixth value is a detector's confidence and is passed over; a class may be written as 0.0.

    Args:
        line: The line.
        factors: Pixels that 1.0 stands for, down and across.
        class_names: Names of the class numbers.
    """
    words = line.split()
    try:
        number, values = float(words[0]), [float(word) for word in words[1:]]
        if not number.is_integer():
            raise ValueError(f"{words[0]} is not a class index")
        if len(values) in (4, 5):
            x, y, width, height = values[:4]
            cols, rows = [x - width / 2, x + width / 2], [y - height / 2, y + height / 2]
        elif len(values) >= 6 and len(values) % 2 == 0:
            cols, rows = values[::2], values[1::2]
        else:
            raise ValueError(f"{plural(len(values), 'number')} after the class")
    except ValueError as error:
        return PixelObject("", NOWHERE, reason=f"the line is not a YOLO label: {error}"[:120])
    down, across = factors
    index = int(number)
    name = class_names[index] if 0 <= index < len(class_names) else str(index)
    reason = None if 0 <= index < len(class_names) else f"class index {index} has no name in class_names"
    if not all(map(math.isfinite, values)):  # min() and max() may pass over a NaN
        return PixelObject(name, NOWHERE, reason=reason or NO_NUMBER)
    box = min(rows) * down, min(cols) * across, max(rows) * down, max(cols) * across
    ring = [(x * across, y * down) for x, y in zip(cols, rows, strict=True)]
    return PixelObject(name, box, outline=outline_of(ring), reason=reason)


# ------------------------------------------------------------------------------------------------------ recognition


def holds(path: Path) -> bool:
    """Return whether most lines of a text file are YOLO labels; an empty file is one of an image without objects."""
    if path.name in NAMES_FILES:
        return False
    lines = [line for line in lines_of(path) if line.strip()]
    return sum(LINE.fullmatch(line) is not None for line in lines) * 2 > len(lines) or not lines


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise text files named like their images, with lines of a class number and coordinates."""
    recognised = recognise_per_image(folder, FORMAT, holds)
    if recognised is None:
        return None
    texts = [name for name in recognised.files if name.lower().endswith(".txt")]
    matches = [LINE.fullmatch(line) for name in spread(texts) for line in lines_of(folder.path(name))]
    numbers = {int(match[1]) for match in matches if match}
    if not numbers and len(texts) * 2 < len(folder.images):
        return None  # empty texts beside a few images say nothing
    names, where = class_names(folder)
    recognised.why["class_names"] = f"from {where}" if where else "the label files have numbers only: give the names"
    if not names:
        highest = max(numbers, default=0)
        names = ["ship"] if highest == 0 else [f"class-{number}" for number in range(highest + 1)]
    recognised.source["class_names"] = names
    return recognised


def class_names(folder: Inventory) -> tuple[list[str], str | None]:
    """Return names of YOLO's class numbers, and the file that says them: a data set's YAML, or a list of names."""
    for name in folder.suffixed((".yaml", ".yml")):
        try:
            names = yaml.safe_load(folder.path(name).read_text("utf-8"))["names"]
            if isinstance(names, dict):
                names = [names.get(number, f"class-{number}") for number in range(max(map(int, names), default=-1) + 1)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError, yaml.YAMLError):
            continue
        if isinstance(names, list) and names and all(isinstance(item, str | int) for item in names):
            return [str(item) for item in names], name
    for name in (name for wanted in NAMES_FILES for name in folder.files if Path(name).name == wanted):
        names = [line.strip() for line in lines_of(folder.path(name)) if line.strip()]
        if names and not any(re.match(r"\d+(\s+[\d.]+){4}", line) for line in names):
            return names, name
    return [], None


FORMAT = LabelFormat(
    title="YOLO",
    files="a `.txt` per image: boxes, or corners (OBB, segments); class names from `data.yaml`, `obj.names` ...",
    source=YoloSource,
    read=read,
    recognise=recognise,
    suffixes=(".txt",),
    holds=holds,
)
