"""The eight symmetries of a square chip: from above there is no upright, so each of them shows the same thing.

Numbers 0 to 3 are quarter turns; from 4 on the turned chip is mirrored too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SYMMETRIES = 8

Chips = npt.NDArray[Any]


def turned(chips: Chips, number: int) -> Chips:
    """All chips (N, S, S, ...) by one symmetry, as a view; 0 leaves them as they are."""
    quarters = np.rot90(chips, number % 4, axes=(1, 2))
    return quarters if number < 4 else quarters[:, :, ::-1]


def turned_back(number: int) -> int:
    """The symmetry that undoes one; mirror images undo themselves."""
    return -number % 4 if number < 4 else number


def each_turned(chips: Chips, numbers: npt.NDArray[np.int64]) -> Chips:
    """Copies of square chips (N, S, S, C), each by its own symmetry."""
    pixel = np.dtype((np.void, chips.itemsize * chips.shape[-1]))  # one item, so that pixels move as a whole
    pixels = np.ascontiguousarray(chips).view(pixel)[..., 0]
    out = np.empty(pixels.shape, pixel)
    for place, chip, number in zip(out, pixels, numbers.tolist(), strict=True):
        place[...] = turned(chip[None], number)[0]
    return out.view(chips.dtype).reshape(chips.shape)
