"""Pairs of small pictures that may be the same one, from their lowest frequencies, in less than quadratic time.

A picture is turned and mirrored into one *canonical* orientation, in which its lowest frequency down is positive and at
least as large as that along, and the inner part of it is searched for among the others'. A copy may be shifted: of each
picture the parts beside the middle are asked for too, and it suffices to shift in half of the directions, because both
pictures of a pair ask. Where a comparison of frequencies is too close to call, it asks in several orientations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from ....dataset.orientations import ORIENTATIONS, STEPS, inverse, oriented
from ..overlap.neighbours import Coded, Rows, Space, coded, learn_space, nearest_elsewhere
from .pictures import EDGE, INNER, Floats, Pictures

_LOW = 7
"""Frequencies, from 0, down and along, by which pairs are proposed."""
_SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns by which what is asked for lies beside the middle."""
_AMBIGUOUS, _AMBIGUOUS_SHIFTED = 0.3, 0.1
"""Share of the norm of all low frequencies below which the sign of one, or of a difference of two, is not relied on:
haze over one of two pictures changes the lowest frequencies. Haze over a shifted copy is not provided for."""
_ASKED = 3
"""Neighbours that are searched for in each orientation and shift of a picture."""
_NEAREST = 6
"""Neighbours of a picture that are proposed, those in another orientation counted anew."""
_FARTHEST = 0.4
"""Squared distance of the low frequencies up to which a pair is proposed; of two unlike pictures it is up to 2."""
_ROWS, _ASKERS = 1 << 14, 1 << 17
"""Pictures that are in memory at a time, and those for which neighbours are searched at a time."""


def _compositions() -> npt.NDArray[np.int64]:
    """Return the orientation [A, B] that orientation A of a picture in orientation B is."""
    square = np.arange(4).reshape(1, 2, 2)
    each = [oriented(square, orientation) for orientation in range(ORIENTATIONS)]
    return np.array(
        [
            [next(k for k, view in enumerate(each) if (view == oriented(inner, outer)).all()) for inner in each]
            for outer in range(ORIENTATIONS)
        ]
    )


COMPOSED = _compositions()
INVERSES = np.array([inverse(orientation) for orientation in range(ORIENTATIONS)])


def low_frequencies(thumbs: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
    """Return the lowest coefficients (N, 7, 7) of the orthonormal DCT-II of the inner parts of pictures (N, 32, 32).

    The parts are those of 28 x 28 pixels that lie ``shift`` rows and columns beside the middle, scaled to mean 0 and
    norm 1; the first coefficient, of the mean, is 0.
    """
    down, along = (slice(EDGE + offset, EDGE + offset + INNER) for offset in shift)
    inner = thumbs[:, down, along]
    basis = dct(np.eye(INNER, dtype=np.float32), axis=0, norm="ortho")[:_LOW]
    frequencies: Floats = basis @ inner @ basis.T
    energy = np.einsum("nij,nij->n", inner, inner) - frequencies[:, 0, 0] ** 2
    frequencies[:, 0, 0] = 0
    frequencies /= np.sqrt(np.maximum(energy, 1e-6))[:, None, None]
    return frequencies


def oriented_frequencies(low: Floats, orientation: int) -> Floats:
    """Return the coefficients (N, K, K) that pictures with coefficients ``low`` have in one orientation.

    Flipped, a picture's odd frequencies change their sign.
    """
    swapped, flip_rows, flip_columns = STEPS[orientation]
    sign = (-1.0) ** np.arange(low.shape[1], dtype=np.float32)
    view = low.swapaxes(1, 2) if swapped else low
    view = view * sign[:, None] if flip_rows else view
    return view * sign if flip_columns else view


def canonical(low: Floats, tolerance: float = 0) -> npt.NDArray[np.bool_]:
    """Return which orientations (N, 8) of pictures with coefficients (N, K, K) are canonical up to a tolerance.

    Args:
        low: The coefficients.
        tolerance: Share of their norm by which a frequency may be negative, or the smaller of both.
    """
    slack = tolerance * np.linalg.norm(low, axis=(1, 2))
    return np.stack(
        [
            (view[:, 1, 0] >= -slack) & (view[:, 0, 1] >= -slack) & (view[:, 1, 0] - view[:, 0, 1] >= -slack)
            for view in (oriented_frequencies(low[:, :2, :2], orientation) for orientation in range(ORIENTATIONS))
        ],
        axis=1,
    )


def _vectors(low: Floats, orientation: npt.NDArray[np.int64]) -> Floats:
    """Return the coefficients (N, 7, 7), each in its own orientation (N,), as vectors (N, 49)."""
    vectors = np.empty_like(low)
    for each in range(ORIENTATIONS):
        chosen = orientation == each
        vectors[chosen] = oriented_frequencies(low[chosen], each)
    return vectors.reshape(-1, _LOW**2)


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be the same picture, each once in an orientation.

    Attributes:
        first: Positions (M,) of the one.
        second: Positions (M,) of the other, which are larger.
        turn: In which orientation (M,) the other resembles the one.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)

    def blocks(self, count: int) -> Iterator[Candidates]:
        """Yield ``count`` pairs at a time."""
        for part in _slices(0, len(self), count):
            yield Candidates(self.first[part], self.second[part], self.turn[part])


def proposed(thumbs: Pictures, scenes: npt.NDArray[np.int32], workers: int) -> Candidates:
    """Return pairs of pictures of different scenes (N,) whose low frequencies are near to each other's."""
    none = np.zeros(0, np.int64)
    if len(np.unique(scenes)) < 2:
        return Candidates(none, none, none)

    def canonical_vectors(rows: Rows) -> Floats:
        positions = np.arange(len(thumbs))[rows]
        lows = (low_frequencies(thumbs.read(positions[part])) for part in _slices(0, len(positions), _ROWS))
        return np.concatenate([_vectors(low, canonical(low).argmax(axis=1)) for low in lows])

    space = learn_space(canonical_vectors, len(thumbs))
    held = coded(canonical_vectors, len(thumbs), space)
    nearest = _Nearest(len(thumbs))
    for rows in _slices(0, len(thumbs), _ASKERS):
        for shift in _SHIFTS:
            asked, asker, turn = _asked(thumbs, rows, shift, space)
            near, similarity = nearest_elsewhere(held, asked, scenes, _ASKED, workers, scenes[asker])
            match = near.astype(np.int64) * ORIENTATIONS + turn[:, None]
            nearest.add(rows, asker, match, _distances(asked, similarity, space))
    held_turn = np.concatenate(
        [
            canonical(low_frequencies(thumbs.read(rows))).argmax(axis=1).astype(np.int8)
            for rows in _slices(0, len(thumbs), _ROWS)
        ]
    )
    return nearest.pairs(held_turn)


def _slices(start: int, stop: int, length: int) -> Iterator[slice]:
    """Yield slices of at most some length that make up a range."""
    for begin in range(start, stop, length):
        yield slice(begin, min(begin + length, stop))


def _asked(
    thumbs: Pictures, asking: slice, shift: tuple[int, int], space: Space
) -> tuple[Coded, npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Return the shifted parts of some pictures in all orientations that may be canonical.

    Returns:
        The parts (A,), whose they are (A,), in ascending order, and the orientation (A,) of each.
    """
    tolerance = _AMBIGUOUS_SHIFTED if any(shift) else _AMBIGUOUS
    codes, cells, asker, orientation = [], [], [], []
    for rows in _slices(asking.start, asking.stop, _ROWS):
        low = low_frequencies(thumbs.read(rows), shift)
        row, turn = np.nonzero(canonical(low, tolerance))
        part = coded(_vectors(low[row], turn).__getitem__, len(row), space)
        codes.append(part.codes)
        cells.append(part.cells)
        asker.append((rows.start + row).astype(np.int32))
        orientation.append(turn.astype(np.int8))
    return Coded(np.concatenate(codes), np.concatenate(cells)), np.concatenate(asker), np.concatenate(orientation)


def _distances(asked: Coded, similarity: Floats, space: Space) -> Floats:
    """Return the squared distances (A, K) to neighbours of a similarity, infinite where there is none."""
    norms = np.einsum("nd,nd->n", asked.codes, asked.codes, dtype=np.float32)
    return np.asarray((norms[:, None] - 2 * similarity) / space.code_scale**2, np.float32)


class _Nearest:
    """Nearest neighbours of each picture so far, each once in an orientation.

    Attributes:
        match: Position of each neighbour (N, 6), times 8, plus the orientation of the picture that resembles it.
        distance: Their squared distances (N, 6), infinite where there are fewer neighbours.
    """

    def __init__(self, count: int) -> None:
        self.match = np.zeros((count, _NEAREST), np.int64)
        self.distance = np.full((count, _NEAREST), np.inf, np.float32)

    def add(self, asking: slice, asker: npt.NDArray[np.int32], match: npt.NDArray[np.int64], distance: Floats) -> None:
        """Add matches (A, K) of some pictures (A,), which are in ascending order."""
        for rows in _slices(asking.start, asking.stop, _ROWS):
            part = slice(*np.searchsorted(asker, (rows.start, rows.stop)))
            held = np.repeat(np.arange(rows.start, rows.stop), _NEAREST)
            owner = np.concatenate([held, np.repeat(asker[part], match.shape[1])])
            matches = np.concatenate([self.match[rows].ravel(), match[part].ravel()])
            distances = np.concatenate([self.distance[rows].ravel(), distance[part].ravel()])
            near = distances <= _FARTHEST
            owner, matches, distances = owner[near], matches[near], distances[near]
            # Each match once, at its smallest distance; then the nearest ones of each picture.
            order = np.lexsort((distances, matches, owner))
            order = order[(np.diff(owner[order], prepend=-1) != 0) | (np.diff(matches[order], prepend=-1) != 0)]
            order = order[np.lexsort((matches[order], distances[order], owner[order]))]
            rank = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
            order, rank = order[rank < _NEAREST], rank[rank < _NEAREST]
            self.match[owner[order], rank] = matches[order]
            self.distance[owner[order], rank] = distances[order]

    def pairs(self, canonical_turn: npt.NDArray[np.int8]) -> Candidates:
        """Return the pairs; neighbours were searched for in their canonical orientations (N,)."""
        keys = [np.zeros(0, np.int64)]
        for rows in _slices(0, len(self.match), _ROWS):
            row, rank = np.nonzero(np.isfinite(self.distance[rows]))
            asker = rows.start + row
            near, turn = np.divmod(self.match[asker, rank], ORIENTATIONS)
            # One orientation of the asker resembles the canonical one of its neighbour.
            turn = COMPOSED[INVERSES[canonical_turn[near]], turn]
            turn = np.where(near < asker, turn, INVERSES[turn])
            pair = np.minimum(asker, near) * len(self.match) + np.maximum(asker, near)
            keys.append(pair * ORIENTATIONS + turn)
        pair, turn = np.divmod(np.unique(np.concatenate(keys)), ORIENTATIONS)
        return Candidates(*np.divmod(pair, len(self.match)), turn)
