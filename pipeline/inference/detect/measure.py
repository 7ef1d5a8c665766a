"""Quality of detections: matched with labelled objects, precision and recall. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """Detections above a score against labelled objects.

    Attributes:
        score: The score.
        right: Detections that found an object of their own.
        detected: All detections above the score.
        objects: Labelled objects.
    """

    score: float
    right: int
    detected: int
    objects: int

    @property
    def precision(self) -> float:
        """Return the share of the detections that are right; NaN without any."""
        return self.right / self.detected if self.detected else float("nan")

    @property
    def recall(self) -> float:
        """Return the share of the objects that were found; NaN without any."""
        return self.right / self.objects if self.objects else float("nan")

    @property
    def f1(self) -> float:
        """Return the harmonic mean of the two; 0 where nothing is right."""
        return 2 * self.right / (self.detected + self.objects) if self.right else 0.0


def match(centres: Floats, scores: Floats, boxes: Floats, tolerance: float) -> Ints:
    """Return the index (N,) of the object that each detection finds, or -1.

    A detection finds an object if its centre lies in the object's box, grown by ``tolerance`` on each side. From the
    surest detection on each takes the nearest object that is still free: further detections of one object are wrong.

    Args:
        centres: (N, 2) row and column of the detections.
        scores: Their scores (N,).
        boxes: (M, 4) row_min, col_min, row_max, col_max of the objects.
        tolerance: Pixels.
    """
    matched = np.full(len(centres), -1, np.int64)
    if not len(boxes):
        return matched
    low, high = boxes[:, :2] - tolerance, boxes[:, 2:] + tolerance
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    free = np.ones(len(boxes), bool)
    for place in np.argsort(-scores, kind="stable"):
        inside = free & (centres[place] >= low).all(axis=1) & (centres[place] <= high).all(axis=1)
        if inside.any():
            away = np.where(inside, np.linalg.norm(middles - centres[place], axis=1), np.inf)
            matched[place] = int(away.argmin())
            free[matched[place]] = False
    return matched


def quality(scores: Floats, right: npt.NDArray[np.bool_], objects: int, score: float) -> Quality:
    """Return the quality of the detections whose score exceeds ``score``."""
    above = scores > score
    return Quality(score, int(right[above].sum()), int(above.sum()), objects)


def best(scores: Floats, right: npt.NDArray[np.bool_], objects: int) -> Quality | None:
    """Return the quality at the score with the highest F1, halfway between two detections' scores; None without any."""
    distinct = np.unique(scores)
    below = np.concatenate([[0.0], distinct[:-1]])
    halfway = (distinct + below) / 2
    # Between neighbouring floating-point numbers there is no middle: it may round up to the score itself, which would
    # then not exceed it.
    candidates = np.where(halfway < distinct, halfway, below)
    qualities = [quality(scores, right, objects, float(score)) for score in candidates]
    return max(qualities, key=lambda result: (result.f1, result.score), default=None)


def average_precision(scores: Floats, right: npt.NDArray[np.bool_], objects: int) -> float:
    """Return the area under precision as a function of recall, each precision the best at that recall or beyond.

    As in Pascal VOC since 2010 (Everingham et al. 2010, doi:10.1007/s11263-009-0275-4). Objects that no detection finds
    at any score count as not found. NaN without objects.
    """
    if not objects:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right[order]].sum() / objects)
