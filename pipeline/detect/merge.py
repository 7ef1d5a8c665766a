"""From scores of overlapping windows to objects. Pure NumPy and SciPy; no torch, no GDAL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.int64]

APART = 0.4
"""Two objects are at least this share of a window's side apart: a classifier of windows cannot tell nearer ones."""
REACH = 0.15
"""Windows as near as this share of a window's side to a peak say where its middle is."""


@dataclass(frozen=True)
class Objects:
    """Objects of a scene, the surest first.

    Attributes:
        centres: (N, 2) row and column of their middles on the scene's grid, in pixels from the upper left corner.
        scores: Calibrated probability (N,) of not being background.
        classes: Class number (N,), never the background's.
    """

    centres: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """How many."""
        return len(self.scores)

    def above(self, score: float) -> Objects:
        """Those whose score exceeds ``score``."""
        good = self.scores > score
        return Objects(self.centres[good], self.scores[good], self.classes[good])


def merge(windows: Windows, probabilities: Floats, size: int, least: float) -> Objects:
    """The objects that scored windows show.

    A window that is a little off an object scores high too, so each object has a hill of windows. From the highest
    window down each is a peak, unless it lies within `APART` of an earlier one. Where windows come from, which strip or
    which block of the file, makes no difference: an object on a border is one object.

    Args:
        windows: (N, 2) upper left pixels on the scene's grid.
        probabilities: Class probabilities (N, K) of each.
        size: Side of a window.
        least: Windows of no higher score are left out.
    """
    scores: Floats = 1.0 - probabilities[:, 0]
    good = np.flatnonzero(scores > least)
    windows, scores, probabilities = windows[good], scores[good], probabilities[good]
    centres = np.asarray(windows + size / 2.0, np.float64)
    if not len(centres):
        return Objects(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    tree = cKDTree(centres)
    raised = _raised(scores, centres, tree, size)
    # Ties by place, so that the order never depends on how windows came.
    order = np.lexsort((windows[:, 1], windows[:, 0], -raised))
    free = np.ones(len(order), bool)
    peaks = []
    for place in order:
        if free[place]:
            peaks.append(int(place))
            free[tree.query_ball_point(centres[place], APART * size)] = False
    near = tree.query_ball_point(centres[peaks], REACH * size)
    middles = np.array([_middle(centres[rows], scores[rows]) for rows in near])
    kinds = np.array([1 + probabilities[rows, 1:].mean(axis=0).argmax() for rows in near], np.int64)
    order = np.lexsort((middles[:, 1], middles[:, 0], -scores[peaks]))
    return Objects(middles[order], scores[peaks][order], kinds[order])


def _raised(scores: Floats, centres: Floats, tree: cKDTree, size: int) -> Floats:
    """What peaks are chosen by: the score, and among equals the one in the middle of its hill."""
    near = tree.query_ball_point(centres, REACH * size)
    return scores + 1e-3 * np.array([scores[rows].sum() for rows in near]) / max(len(rows) for rows in near)


def _middle(centres: Floats, scores: Floats) -> Floats:
    """The middle of windows, each counting by its score."""
    middle: Floats = np.average(centres, axis=0, weights=scores)
    return middle
