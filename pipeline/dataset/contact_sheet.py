"""A contact sheet: chips side by side, a block of rows for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .scaling import fit

COLUMNS = 16
_GAP = 2
_TITLE = 16
_SMALLEST = 64


def chosen(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Up to ``most`` positions out of ``count``, drawn without repetition, in ascending order."""
    if count <= most:
        return np.arange(count)
    drawn = np.random.default_rng([seed, count, most]).choice(count, most, replace=False)
    return np.sort(drawn).astype(np.int64)


def viewable(chips: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Chips (N, H, W, C) of any dtype as RGB (N, H, W, 3): the first three bands, or the first one as grey."""
    bands = chips[..., :3] if chips.shape[-1] >= 3 else chips[..., :1].repeat(3, axis=-1)
    scaled = fit(bands).apply(bands)
    picture: npt.NDArray[np.uint8] = np.rint((scaled + 1) * 127.5).astype(np.uint8)
    return picture


def write_sheet(titles: Sequence[str], groups: Sequence[npt.NDArray[Any]], path: Path) -> None:
    """Draw groups of chips as :func:`draw_sheet` does and write them as PNG; without chips nothing is written."""
    sheet = draw_sheet(titles, groups)
    if sheet is not None:
        sheet.save(path, format="PNG", optimize=False)


def draw_sheet(titles: Sequence[str], groups: Sequence[npt.NDArray[Any]]) -> Image.Image | None:
    """Draw groups of chips below each other, each under its title; None without chips.

    Args:
        titles: Title of each group.
        groups: Chips (N, H, W, C) of each group, all of one shape and dtype.
    """
    filled = [group for group in groups if len(group)]
    if not filled:
        return None
    pictures = viewable(np.concatenate(filled))
    zoom = max(1, -(-_SMALLEST // pictures.shape[1]))
    height, width = pictures.shape[1] * zoom + _GAP, pictures.shape[2] * zoom + _GAP
    rows = [-(-len(group) // COLUMNS) for group in groups]
    sheet = Image.new("RGB", (COLUMNS * width + _GAP, sum(rows) * height + len(groups) * _TITLE + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = start = 0
    for title, group, lines in zip(titles, groups, rows, strict=True):
        draw.text((_GAP, top + 2), title, fill="black")
        top += _TITLE
        for position, picture in enumerate(pictures[start : start + len(group)]):
            image = Image.fromarray(picture.repeat(zoom, axis=0).repeat(zoom, axis=1))
            line, column = divmod(position, COLUMNS)
            sheet.paste(image, (_GAP + column * width, top + line * height))
        top, start = top + lines * height, start + len(group)
    return sheet
