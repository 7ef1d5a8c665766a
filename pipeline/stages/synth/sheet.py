"""A sheet of accepted synthetic chips, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

GAP_PX = 2


def write_sheet(blocks: Sequence[npt.NDArray[np.float32]], columns: int, path: Path) -> None:
    """Write blocks of chips (N, H, W, C) in [-1, 1] below each other as RGB; each block starts a new row on white.

    Three bands or more show the first three, fewer show the first as grey.
    """
    chips = [chip for block in blocks for chip in _padded(block, columns)]
    if not chips:
        Image.new("RGB", (1, 1), "white").save(path)
        return
    height, width, _ = chips[0].shape
    rows = len(chips) // columns
    sheet = np.full((rows * (height + GAP_PX) + GAP_PX, columns * (width + GAP_PX) + GAP_PX, 3), 255, np.uint8)
    for number, chip in enumerate(chips):
        row, column = divmod(number, columns)
        top, left = GAP_PX + row * (height + GAP_PX), GAP_PX + column * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = chip
    Image.fromarray(sheet).save(path)


def _padded(block: npt.NDArray[np.float32], columns: int) -> list[npt.NDArray[np.uint8]]:
    bands = block[..., :3] if block.shape[-1] >= 3 else block[..., [0, 0, 0]]
    pictures = list(np.rint((np.clip(bands, -1, 1) + 1) * 127.5).astype(np.uint8))
    white = np.full((*block.shape[1:3], 3), 255, np.uint8)
    return pictures + [white] * (-len(pictures) % columns)
