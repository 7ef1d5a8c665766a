"""Eight orientations of a square chip: from above there is no upright, so each of them shows the same thing.

Orientations 0 to 3 are rotations by so many times 90 degrees, counter-clockwise; from 4 on the columns of the rotated
chip are flipped too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Chips = npt.NDArray[Any]

STEPS = (
    (False, False, False), (True, True, False), (False, True, True), (True, False, True),
    (False, False, True), (True, True, True), (False, True, False), (True, False, False),
)  # fmt: skip
"""How each orientation is made: whether rows and columns are swapped, then the rows flipped, then the columns."""
ORIENTATIONS = len(STEPS)
BY_FLIPS = (0, 6, 4, 2, 7, 1, 3, 5)
"""The orientations in the order in which classification draws and averages them, which its results depend on."""


def oriented(chips: Chips, orientation: int) -> Chips:
    """Return chips (N, S, S, ...) in one orientation, as a view; 0 leaves them as they are."""
    swapped, flip_rows, flip_columns = STEPS[orientation]
    view = chips.swapaxes(1, 2) if swapped else chips
    return view[:, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def inverse(orientation: int) -> int:
    """Return the orientation that undoes one; those with a flip undo themselves."""
    return -orientation % 4 if orientation < 4 else orientation


def orient_each(chips: Chips, orientations: npt.NDArray[np.int64], rows: npt.NDArray[np.int64] | None = None) -> Chips:
    """Copy square chips (N, S, S, C), each into its own orientation.

    Args:
        chips: Any dtype.
        orientations: Orientation (B,) of each chip of the result.
        rows: Which chips to take (B,); by default all of them.

    Returns:
        Chips (B, S, S, C).
    """
    # A pixel moves as one item: NumPy copies items with strides, and single bytes would take several times as long.
    pixels = np.ascontiguousarray(chips).view(np.dtype((np.void, chips.shape[3] * chips.itemsize)))[..., 0]
    rows = np.arange(len(chips)) if rows is None else rows
    out = np.empty((len(rows), *pixels.shape[1:]), pixels.dtype)
    for orientation in np.unique(orientations):
        places = np.flatnonzero(orientations == orientation)
        out[places] = oriented(pixels[rows[places]], int(orientation))
    return out.view(chips.dtype).reshape(-1, *chips.shape[1:])
