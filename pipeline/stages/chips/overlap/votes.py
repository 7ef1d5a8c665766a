"""Pairs of scenes of which several matched keypoints agree on one shift, turn and scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .features import Features

_LARGEST_RATIO = 1.7
"""Of the sizes of two matched keypoints: scales from 0.8 to 1.25 are looked for, and sizes vary by a third."""
_TOLERANCE = 0.3
"""How far from where one match puts another, as a share of the distance between them, it may lie and still agree."""
_SHORTEST_PX = 12.0
"""Matches nearer to each other than this say nothing on a turn."""
LEAST_VOTES = 3
LEAST_WEIGHT = 1.0
"""Weight of all matches that agree. By chance it is above this in one pair of scenes of seven; of planted pairs with a
tenth in common that are found the least was 1.5."""
_MOST_VOTES = 128
"""Matches of a pair of scenes that are looked at: of many any will do."""
_MOST_SETS = 3
"""Sets of matches of a pair of scenes that are proposed: on water some agree by chance, beside those that are true."""
_COMPARISONS = 1 << 16


@dataclass(frozen=True)
class Candidate:
    """Two scenes that may show the same ground.

    Attributes:
        first: The lower scene.
        second: The higher scene.
        from_first: Keypoints (M,) of the first that agree.
        from_second: Those (M,) of the second that they match.
    """

    first: int
    second: int
    from_first: npt.NDArray[np.int64]
    from_second: npt.NDArray[np.int64]


def candidates(
    scene: npt.NDArray[np.int32],
    lower: Features,
    upper: Features,
    matches: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32],
) -> Iterator[Candidate]:
    """Find pairs of scenes with matches of which at least three agree; a pair may come with several sets of them.

    Args:
        scene: Scene (N,) of each keypoint.
        lower: All keypoints as they are where their scene is the lower one of a pair: plain, or mirrored.
        upper: All keypoints.
        matches: Positions (M, 2) of matched keypoints of two scenes, in any order; those of one pair are all there.
        weights: How much (M,) a match says, from 0 to 1; of the same match twice both count.

    Yields:
        Candidates in the order of the number of matches and of the scenes.
    """
    matches, weights = _merged(scene, matches, weights)
    log_scale = np.log(upper.sizes[matches[:, 1]] / lower.sizes[matches[:, 0]])
    likely = np.abs(log_scale) < np.log(_LARGEST_RATIO)
    matches, weights = matches[likely], weights[likely]
    pair = scene[matches[:, 0]].astype(np.int64) * (int(scene.max(initial=0)) + 1) + scene[matches[:, 1]]
    order = np.lexsort((-weights, pair))
    matches, weights, starts = matches[order], weights[order], np.flatnonzero(np.diff(pair[order], prepend=-1))
    counts = np.minimum(np.diff(starts, append=len(matches)), _MOST_VOTES)
    for count in range(LEAST_VOTES, _MOST_VOTES + 1):
        groups = starts[counts == count]
        step = max(1, _COMPARISONS // count**2)
        for begin in range(0, len(groups), step):
            rows = groups[begin : begin + step, None] + np.arange(count)
            agree = _agreement(lower, upper, matches[rows, 0], matches[rows, 1])
            support = (agree @ weights[rows][..., None])[..., 0]
            for group in np.flatnonzero(support.max(axis=1) >= LEAST_WEIGHT):
                for members in _sets(agree[group], weights[rows[group]]):
                    held = matches[rows[group][members]]
                    yield Candidate(int(scene[held[0, 0]]), int(scene[held[0, 1]]), held[:, 0], held[:, 1])


def _merged(
    scene: npt.NDArray[np.int32], matches: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return each match (M, 2) once, the lower scene's keypoint first, and its weight (M,) from both directions."""
    swapped = scene[matches[:, 0]] > scene[matches[:, 1]]
    matches = np.where(swapped[:, None], matches[:, ::-1], matches)
    key = matches[:, 0] * len(scene) + matches[:, 1]
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    return matches[order[first]], np.add.reduceat(weights[order], first) if len(first) else weights


def _sets(agree: npt.NDArray[np.bool_], weights: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the sets (M,) of most weight of matches that agree (M, M) with one of them; no match is in two."""
    left = np.ones(len(agree), bool)
    for _ in range(_MOST_SETS):
        support = np.where(left & ((agree & left).sum(axis=1) >= LEAST_VOTES), (agree & left) @ weights, 0)
        anchor = support.argmax()
        if support[anchor] < LEAST_WEIGHT:
            return
        chosen = agree[anchor] & left
        left &= ~chosen
        yield chosen


def _agreement(
    lower: Features, upper: Features, lower_rows: npt.NDArray[np.int64], upper_rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which of matches (G, M) agree (G, M, M): each puts the other about where it is, by its scale and turn."""
    places, places_there = (
        (features.places[rows] @ np.array([1, 1j])).astype(np.complex64)
        for features, rows in ((lower, lower_rows), (upper, upper_rows))
    )
    angle = upper.angles[upper_rows] - lower.angles[lower_rows]
    turn = (upper.sizes[upper_rows] / lower.sizes[lower_rows] * np.exp(1j * angle)).astype(np.complex64)
    between, there = places[:, None] - places[:, :, None], places_there[:, None] - places_there[:, :, None]
    expected = between * turn[:, :, None]
    agree = _squared(expected - there) < _TOLERANCE**2 * _squared(expected)
    agree &= agree.transpose(0, 2, 1)
    agree &= np.minimum(_squared(between), _squared(there)) > _SHORTEST_PX**2
    return np.asarray(agree | np.eye(agree.shape[1], dtype=bool))


def _squared(values: npt.NDArray[np.complexfloating]) -> npt.NDArray[np.floating]:
    """Return the squared magnitudes of complex numbers."""
    return np.asarray(values.real**2 + values.imag**2)


def wrapped(angle: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return angles in radians as the same ones from -pi to pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
