"""Chips as pictures: 8-bit RGB, and contact sheets that show many of them, a block of rows for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .scaling import Scaling, fit

Pixels = npt.NDArray[np.uint8]
"""Pictures (N, H, W, 3)."""

COLUMNS = 16
SMALLEST_PX = 64
"""Smaller chips are enlarged to at least this side where people look at single ones, so that nothing blurs them."""
_GAP_PX = 2
_TITLE_PX = 16


def chosen(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw up to ``most`` positions out of ``count`` without repetition, in ascending order."""
    if count <= most:
        return np.arange(count)
    drawn = np.random.default_rng([seed, count, most]).choice(count, most, replace=False)
    return np.sort(drawn).astype(np.int64)


def to_rgb(values: npt.NDArray[np.float32]) -> Pixels:
    """Return chips (N, H, W, C) in [-1, 1] as pictures: the first three bands, or the first as grey; NaN is black."""
    bands = values[..., :3] if values.shape[-1] >= 3 else values[..., [0, 0, 0]]
    pictures: Pixels = np.rint((np.clip(np.nan_to_num(bands, nan=-1), -1, 1) + 1) * 127.5).astype(np.uint8)
    return pictures


def viewable(chips: npt.NDArray[Any], scaling: Scaling | None = None) -> Pixels:
    """Return chips (N, H, W, C) of any dtype as pictures, by ``scaling`` or one that is fitted on them."""
    return to_rgb((scaling or fit(chips)).apply(chips))


def enlarged(pictures: Pixels) -> Pixels:
    """Enlarge pictures by a whole factor to a side of :data:`SMALLEST_PX` or more."""
    factor = max(1, -(-SMALLEST_PX // max(1, pictures.shape[1])))
    return pictures.repeat(factor, axis=1).repeat(factor, axis=2)


def draw_sheet(groups: Sequence[Pixels], columns: int = COLUMNS, titles: Sequence[str] = ()) -> Image.Image:
    """Draw groups of pictures below each other, row by row on white.

    Args:
        groups: Pictures of each group, all of one size; a group may be empty.
        columns: Pictures in a row.
        titles: Title above each group, or none at all.
    """
    filled = [group for group in groups if len(group)]
    height, width = (side + _GAP_PX for side in (filled[0].shape[1:3] if filled else (0, 0)))
    heights = [(_TITLE_PX if titles else 0) + -(-len(group) // columns) * height for group in groups]
    sheet = Image.new("RGB", (columns * width + _GAP_PX, sum(heights) + _GAP_PX), "white")
    top = 0
    for position, group in enumerate(groups):
        first = top + (_TITLE_PX if titles else _GAP_PX)
        if titles:
            text, font = _drawable(titles[position])
            ImageDraw.Draw(sheet).text((_GAP_PX, top + 2), text, fill="black", font=font)
        for number, picture in enumerate(group):
            row, column = divmod(number, columns)
            sheet.paste(Image.fromarray(picture), (_GAP_PX + column * width, first + row * height))
        top += heights[position]
    return sheet


def _drawable(title: str) -> tuple[str, ImageFont.FreeTypeFont | None]:
    """Return a title that can be drawn, and its font, None for Pillow's own, which has ASCII alone.

    Letters that the font lacks are written by their number, so that no two classes look alike.
    """
    if title.isascii():
        return title, None
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    path = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    letters = FT2Font(path).get_charmap()
    text = "".join(letter if ord(letter) in letters else f"[U+{ord(letter):04X}]" for letter in title)
    return text, ImageFont.truetype(path, 11)
