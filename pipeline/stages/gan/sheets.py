"""Sample sheets: chips in rows by class, as PNG, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

GAP_PX = 2


def picture(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Chips (N, H, W, C) in [-1, 1] as RGB (N, H, W, 3): the first three bands, or the first as grey."""
    bands = values[..., :3] if values.shape[-1] >= 3 else values[..., [0, 0, 0]]
    rgb: npt.NDArray[np.uint8] = np.rint((np.clip(bands, -1, 1) + 1) * 127.5).astype(np.uint8)
    return rgb


def write_sheet(values: npt.NDArray[np.float32], columns: int, path: Path) -> None:
    """Write chips (N, H, W, C) in [-1, 1] as a grid, row by row, on white."""
    chips = picture(values)
    count, height, width, _ = chips.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + GAP_PX) + GAP_PX, columns * (width + GAP_PX) + GAP_PX, 3), 255, np.uint8)
    for number, chip in enumerate(chips):
        row, column = divmod(number, columns)
        top, left = GAP_PX + row * (height + GAP_PX), GAP_PX + column * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = chip
    Image.fromarray(sheet).save(path, optimize=False)
