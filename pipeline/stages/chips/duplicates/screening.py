"""Cheap test of pairs by their small pictures, before their pixels are read: most candidates fail it.

Both pictures are aligned to a fraction of a pixel; then the same is asked as of the pixels (see :mod:`.confirmation`),
with more tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....dataset.orientations import orient_each
from .candidates import Candidates
from .confirmation import Comparison, agreement, correlations, smoothed
from .pictures import EDGE, INNER, THUMB, Floats, Pictures

_SHIFTS = 2 * EDGE + 1
_MISALIGNED = 0.1
"""By how much less two small pictures may correlate than the chips that they were made of."""
_LEAST_AGREEMENT, _LEAST_DEVIATIONS = 0.35, 4.0
"""Of the smoothed detail of small pictures. That of copies is at 0.54 and 6.6 or more, and of all pairs that correlate
as much one in 60 reaches both."""
_PLAINER = 0.75
"""Share of the detail of chips that their small pictures show."""


@dataclass(frozen=True)
class Screened:
    """Result of comparing some pairs by their small pictures.

    Attributes:
        promising: Which of them (M,) may be the same picture.
        shift: Rows and columns (M, 2) by which the other one's content is moved.
        undecided: Which of the others (M,) correlate and hold no detail beside one shape.
    """

    promising: npt.NDArray[np.bool_]
    shift: npt.NDArray[np.int64]
    undecided: npt.NDArray[np.bool_]


def screen(thumbs: Pictures, pairs: Candidates, min_correlation: float) -> Screened:
    """Return which pairs may correlate by at least ``min_correlation`` with the same detail."""
    # Each picture is read once, in the order of the file.
    held, place = np.unique(np.stack([pairs.first, pairs.second], axis=1), return_inverse=True)
    small, place = thumbs.read(held), place.reshape(-1, 2)
    first = small[place[:, 0], EDGE:-EDGE, EDGE:-EDGE]
    second = orient_each(small[..., None], pairs.turn, place[:, 1])[..., 0]
    first = first - first.mean(axis=(1, 2), keepdims=True)
    score, shift, offset = correlate(first, second)
    promising, undecided = score >= min_correlation - _MISALIGNED, np.zeros(len(score), bool)
    chosen = np.flatnonzero(promising)
    contrast = thumbs.contrast[held[place[chosen]]][:, :, None, None]
    left = first[chosen] * contrast[:, 0]
    right = _moved(second[chosen], shift[chosen] + offset[chosen]) * contrast[:, 1]
    # The finest detail depends on how the pixels of a chip fell on those of its small picture.
    evidence = Comparison(correlations(left, right), *agreement(smoothed(left), smoothed(right), thumbs.span))
    agree = (evidence.agreement >= _LEAST_AGREEMENT) & (evidence.deviations >= _LEAST_DEVIATIONS)
    promising[chosen] = (evidence.correlation >= min_correlation - _MISALIGNED) & agree
    plain = np.flatnonzero((evidence.correlation >= min_correlation) & ~promising[chosen])
    evidence = Comparison(evidence.correlation[plain], *agreement(left[plain], right[plain], thumbs.span))
    undecided[chosen[plain]] = ~evidence.detailed(_PLAINER)
    return Screened(promising, shift, undecided)


def correlate(first: Floats, second: Floats) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Return the correlation of pictures at the best of shifts by up to two pixels.

    Args:
        first: Inner parts (M, 28, 28) with mean 0.
        second: Pictures (M, 32, 32).

    Returns:
        The correlations (M,) at the vertex of a parabola, the shifts (M, 2): what is at a row and column of the first
        picture is so many rows and columns further in the second one; and how much further (M, 2) the vertex lies.
    """
    windows = np.lib.stride_tricks.sliding_window_view(second, (INNER, INNER), axis=(1, 2))
    common = np.einsum("nij,nxyij->nxy", first, windows)
    inside = np.tri(_SHIFTS, THUMB, INNER - 1) - np.tri(_SHIFTS, THUMB, -1)
    sums, squares = (
        inside @ values @ inside.T for values in (second.astype(np.float64), second.astype(np.float64) ** 2)
    )
    norms = np.sqrt(np.maximum(squares - sums**2 / INNER**2, 1e-9)) * np.linalg.norm(first, axis=(1, 2))[:, None, None]
    every = common / np.maximum(norms, 1e-9)
    pair = np.arange(len(every))
    place = np.stack(np.divmod(every.reshape(len(every), -1).argmax(axis=1), _SHIFTS), axis=1)
    best = every[pair, place[:, 0], place[:, 1]]
    vertex, height = np.zeros(place.shape), best.copy()
    for axis, step in enumerate(np.eye(2, dtype=np.int64)):
        before, after = (every[pair, *np.clip(place + side * step, 0, _SHIFTS - 1).T] for side in (-1, 1))
        curvature = 2 * best - before - after
        # At the edge one side is unknown.
        curved = (curvature > 1e-6) & (place[:, axis] > 0) & (place[:, axis] < _SHIFTS - 1)
        slope = np.where(curved, (after - before) / 2, 0)
        vertex[:, axis] = slope / np.where(curved, curvature, 1)
        height += slope * vertex[:, axis] / 2
    return height.astype(np.float32), place - EDGE, vertex.astype(np.float32)


def _moved(second: Floats, shift: npt.NDArray[np.floating]) -> Floats:
    """Return the inner parts (M, 28, 28) of pictures (M, 32, 32), moved by fractions of pixels (M, 2)."""
    corner = np.clip(shift + EDGE, 0, 2 * EDGE)
    whole = np.minimum(corner.astype(np.int64), 2 * EDGE - 1)
    windows = np.lib.stride_tricks.sliding_window_view(second, (INNER + 1, INNER + 1), axis=(1, 2))
    wide = windows[np.arange(len(second)), whole[:, 0], whole[:, 1]]
    down, along = (corner - whole).astype(np.float32).T[:, :, None, None]
    rows = wide[:, :-1] + down * (wide[:, 1:] - wide[:, :-1])
    moved: Floats = rows[:, :, :-1] + along * (rows[:, :, 1:] - rows[:, :, :-1])
    return moved
