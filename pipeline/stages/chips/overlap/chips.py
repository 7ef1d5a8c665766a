"""Chips of different scenes that show the same ground by the transforms between their scenes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from .mosaic import matrices, outlines, overlapping


def overlapping_chips(
    chips: pd.DataFrame, pairs: pd.DataFrame, size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return pairs of chips whose windows overlap where their scenes show the same ground.

    Args:
        chips: Chips with scene_id, row and col.
        pairs: Pairs of scenes with scene_a, scene_b and the transform from one to the other.
        size: Side of a chip in pixels.

    Returns:
        Positions (M, 2) of two chips, the lower one first, and the shared part (M,) of the smaller window.
    """
    rows_of = chips.groupby("scene_id", sort=False).indices
    corners = chips[["col", "row"]].to_numpy(np.float64)[:, None] + outlines(np.array([[size, size]]))
    pairs_found, shares = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for first, second, matrix in zip(pairs["scene_a"], pairs["scene_b"], matrices(pairs), strict=True):
        rows_of_first, rows_of_second = (rows_of.get(name, np.zeros(0, np.int64)) for name in (first, second))
        if not len(rows_of_first) or not len(rows_of_second):
            continue
        moved = shapely.polygons(corners[rows_of_first] @ matrix[:2, :2].T + matrix[:2, 2])
        inside, there, share = overlapping(moved, shapely.polygons(corners[rows_of_second]))
        pairs_found.append(np.sort(np.stack([rows_of_first[inside], rows_of_second[there]], axis=1), axis=1))
        shares.append(share)
    together, share = np.concatenate(pairs_found), np.concatenate(shares)
    order = np.lexsort((together[:, 1], together[:, 0]))
    return together[order], share[order]
