"""Pairs of scenes of which several matched keypoints agree on one shift, turn and scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .features import Features

Array = npt.NDArray[np.float64]

_LARGEST_RATIO = 1.7
"""Of the sizes of two matched keypoints: scales from 0.8 to 1.25 are looked for, and sizes vary by a third."""
_LOG_SCALE, _ANGLE = 0.35, 0.35
"""By how much two matches that agree may differ, in the logarithm of the scale and in radians."""
_SHORTEST_PX = 12.0
"""Matches nearer to each other than this say nothing on a turn."""
LEAST_VOTES = 3
_MOST_VOTES = 128
"""Matches of a pair of scenes that are looked at: of many any will do."""
_MOST_SETS = 3
"""Sets of matches of a pair of scenes that are proposed: on water some agree by chance, beside those that are true."""
_COMPARISONS = 1 << 19


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
    similarity: npt.NDArray[np.float32],
) -> Iterator[Candidate]:
    """Find pairs of scenes with matches of which at least three agree; a pair may come with several sets of them.

    Args:
        scene: Scene (N,) of each keypoint.
        lower: All keypoints as they are where their scene is the lower one of a pair: plain, or mirrored.
        upper: All keypoints.
        matches: Positions (M, 2) of matched keypoints of two scenes, in any order.
        similarity: How alike (M,) they are.

    Yields:
        Candidates in the order of the number of matches and of the scenes.
    """
    swapped = scene[matches[:, 0]] > scene[matches[:, 1]]
    matches = np.where(swapped[:, None], matches[:, ::-1], matches)
    matches, chosen = np.unique(matches, axis=0, return_index=True)
    similarity = similarity[chosen]
    log_scale = np.log(upper.sizes[matches[:, 1]] / lower.sizes[matches[:, 0]])
    likely = np.abs(log_scale) < np.log(_LARGEST_RATIO)
    matches, similarity = matches[likely], similarity[likely]
    pair = scene[matches[:, 0]].astype(np.int64) * (int(scene.max(initial=0)) + 1) + scene[matches[:, 1]]
    order = np.lexsort((-similarity, pair))
    matches, starts = matches[order], np.flatnonzero(np.diff(pair[order], prepend=-1))
    counts = np.minimum(np.diff(starts, append=len(matches)), _MOST_VOTES)
    for count in range(LEAST_VOTES, _MOST_VOTES + 1):
        groups = starts[counts == count]
        step = max(1, _COMPARISONS // count**2)
        for begin in range(0, len(groups), step):
            votes = matches[groups[begin : begin + step, None] + np.arange(count)]
            agree = _agreement(lower, upper, votes[..., 0], votes[..., 1]) | np.eye(count, dtype=bool)
            for group in np.flatnonzero(agree.sum(axis=2).max(axis=1) >= LEAST_VOTES):
                for members in _sets(agree[group]):
                    held = votes[group][members]
                    yield Candidate(int(scene[held[0, 0]]), int(scene[held[0, 1]]), held[:, 0], held[:, 1])


def _sets(agree: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the largest sets (M,) of matches that agree (M, M) with one of them; no match is in two."""
    left = np.ones(len(agree), bool)
    for _ in range(_MOST_SETS):
        support = np.where(left, (agree & left).sum(axis=1), 0)
        anchor = support.argmax()
        if support[anchor] < LEAST_VOTES:
            return
        chosen = agree[anchor] & left
        left &= ~chosen
        yield chosen


def _agreement(
    lower: Features, upper: Features, lower_rows: npt.NDArray[np.int64], upper_rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which of matches (G, M) agree (G, M, M): what lies between them is scaled and turned as they are."""
    length, direction = _segments(lower.places[lower_rows])
    length_there, direction_there = _segments(upper.places[upper_rows])
    agree = (length > _SHORTEST_PX) & (length_there > _SHORTEST_PX)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.log(length_there / length)
    log_scale = np.log(upper.sizes[upper_rows] / lower.sizes[lower_rows])
    turned, angle = direction_there - direction, upper.angles[upper_rows] - lower.angles[lower_rows]
    for axis in (1, 2):
        agree &= np.abs(scaled - np.expand_dims(log_scale, axis)) < _LOG_SCALE
        agree &= np.abs(wrapped(turned - np.expand_dims(angle, axis))) < _ANGLE
    return agree


def _segments(places: npt.NDArray[np.float32]) -> tuple[Array, Array]:
    """Return length and direction (G, M, M) of what lies between places (G, M, 2), two by two."""
    between = (places[:, :, None] - places[:, None]).astype(np.float64)
    return np.hypot(between[..., 0], between[..., 1]), np.arctan2(between[..., 1], between[..., 0])


def wrapped(angle: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return angles in radians as the same ones from -pi to pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
