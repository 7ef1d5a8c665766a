"""DOTA labels: one text file per image with four corners, class and difficulty in a line, in pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from ..utils.plural import plural
from .base import LabelFormat, LabelInput, PerImageSource, read_per_image
from .inventory import lines_of
from .label import ImageLabels, Labels, PixelObject, broken_object, polygon_object
from .text_file import read_lines

HEADER = re.compile(r"\s*(imagesource|gsd|acquisition dates?|[a-z]+)\s*:.*", re.IGNORECASE)
LINE = re.compile(r"\s*(?:[-+.\deE]+[\s,]+){8}(?![-+.\deE]+(?:\s|$))[^\s].*")


class DotaSource(PerImageSource):
    """Images with a text file of the same name, as in DOTA: `x1 y1 x2 y2 x3 y3 x4 y4 class difficulty`, in pixels."""

    type: Literal["dota"] = "dota"


def parse_line(line: str) -> PixelObject:
    """Return the object of one line; names of classes may hold spaces, and the difficulty may be missing."""
    words = line.replace(",", " ").split()
    try:
        values = [float(word) for word in words[:8]]
        if len(values) < 8 or len(words) < 9:
            raise ValueError(f"it has {plural(len(words), 'field')}")
    except ValueError as error:
        return broken_object("", f"the line has no four corners and a class: {error}"[:120])
    rest = words[8:-1] if len(words) > 9 and words[-1].lstrip("-").isdigit() else words[8:]
    return polygon_object(" ".join(rest), list(zip(values[::2], values[1::2], strict=True)))


def parse(path: Path) -> ImageLabels:
    """Return the objects of one file.

    Raises:
        InputError: If the file cannot be read.
    """
    return ImageLabels([parse_line(line) for line in read_lines(path) if line.strip() and not HEADER.fullmatch(line)])


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects."""
    return read_per_image(given, parse)


def holds(path: Path) -> bool:
    """Return whether most lines of a text file have four corners and a class, or it has DOTA's header alone."""
    lines = [line for line in lines_of(path) if line.strip()]
    rows = [line for line in lines if not HEADER.fullmatch(line)]
    if lines and not rows:
        return lines[0].lower().startswith("imagesource")
    return bool(lines) and sum(LINE.fullmatch(line) is not None for line in rows) * 2 >= max(1, len(rows))


FORMAT = LabelFormat(
    title="DOTA",
    files="a `.txt` per image (`labelTxt/`) with four corners, class and difficulty in a line",
    source=DotaSource,
    read=read,
    suffixes=(".txt",),
    holds=holds,
)
