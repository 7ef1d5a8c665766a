"""Classification metrics of many replicates under many weightings of the test units at once.

A resampling method asks the same question thousands of times: what would the metric be if this unit counted twice and
that one not at all? So a metric here is a :data:`Scorer`: from unit weights (B, U) to values (B, R), one for each
weighting and replicate. Metrics that depend on counts alone need one matrix product for all weightings; average
precision sorts each replicate's scores once.

The positive class is everything that is not background: class indices above 0. Accuracy and balanced accuracy look at
all classes, whatever their number; the others at objects against background.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Scorer = Callable[[Floats], Floats]
"""Unit weights (B, U) to metric values (B, R); NaN where a metric is undefined, such as recall without objects."""

Formula = Callable[[Floats], Floats]
"""Summed counts (..., M) to metric values (...)."""

CALIBRATION_BINS = 10
CHUNK = 4_000_000


def confusion_counts(true: Ints, predicted: Ints, unit: Ints, units: int, classes: int) -> Floats:
    """Return the confusion matrix of each unit, flat: (units, classes * classes), true class major.

    Args:
        true: True class numbers (N,).
        predicted: Predicted class numbers (N,).
        unit: Unit number of each chip (N,).
        units: How many units there are.
        classes: How many classes there are.
    """
    cell = (unit * classes + true) * classes + predicted
    return np.bincount(cell, minlength=units * classes * classes).reshape(units, -1).astype(np.float64)


def calibration_counts(positive: npt.NDArray[np.bool_], score: Floats, unit: Ints, units: int) -> Floats:
    """Return per unit and score bin the sum of (score - positive), and the number of chips: (units, bins + 1).

    The expected calibration error needs no more than these: within a bin, n * |mean score - share of positives| is the
    size of the summed difference.
    """
    bins = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(
        unit * CALIBRATION_BINS + bins, weights=score - positive, minlength=units * CALIBRATION_BINS
    ).reshape(units, CALIBRATION_BINS)
    return np.column_stack([gap, np.bincount(unit, minlength=units)])


def _ratio(numerator: Floats, denominator: Floats, otherwise: float = np.nan) -> Floats:
    out: Floats = np.full(denominator.shape, otherwise)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _square(counts: Floats) -> Floats:
    classes = round(np.sqrt(counts.shape[-1]))
    return counts.reshape(*counts.shape[:-1], classes, classes)


def accuracy(counts: Floats) -> Floats:
    """Return the share of chips that are classified rightly; confusion counts (..., K * K) to (...)."""
    table = _square(counts)
    return _ratio(np.trace(table, axis1=-2, axis2=-1), table.sum((-2, -1)))


def class_recall(number: int) -> Formula:
    """Return the formula of the recall of one class: of the chips of class ``number``, the share predicted as such."""

    def recall_of_class(counts: Floats) -> Floats:
        table = _square(counts)
        return _ratio(table[..., number, number], table[..., number, :].sum(-1))

    return recall_of_class


def balanced_accuracy(counts: Floats) -> Floats:
    """Return the mean of the recalls of the classes that occur; confusion counts (..., K * K) to (...)."""
    table = _square(counts)
    recalls = _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(-1))
    defined = ~np.isnan(recalls)
    return _ratio(np.where(defined, recalls, 0.0).sum(-1), defined.sum(-1).astype(np.float64))


def _objects(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Return true positives, false positives and false negatives of objects against background."""
    table = _square(counts)
    return table[..., 1:, 1:].sum((-2, -1)), table[..., 0, 1:].sum(-1), table[..., 1:, 0].sum(-1)


def recall(counts: Floats) -> Floats:
    """Return the share of the objects that are found; undefined without objects."""
    hit, _, missed = _objects(counts)
    return _ratio(hit, hit + missed)


def precision(counts: Floats) -> Floats:
    """Return the share of the finds that are objects; 0 where nothing was found, as scikit-learn has it."""
    hit, false, _ = _objects(counts)
    return _ratio(hit, hit + false, 0.0)


def f1(counts: Floats) -> Floats:
    """Return the harmonic mean of precision and recall of objects; 0 with nothing to find and nothing found."""
    hit, false, missed = _objects(counts)
    return _ratio(2 * hit, 2 * hit + false + missed, 0.0)


def calibration_error(counts: Floats) -> Floats:
    """Return the expected calibration error over ten equal bins of the score (Guo et al. 2017, equation 3)."""
    return _ratio(np.abs(counts[..., :-1]).sum(-1), counts[..., -1])


def counted(counts: Floats, formula: Formula) -> Scorer:
    """Return the scorer of a metric of counts.

    Args:
        counts: Counts (R, U, M) of each replicate and unit.
        formula: From summed counts (..., M) to values (...).
    """
    replicates, units, kinds = counts.shape
    flat = np.ascontiguousarray(counts.transpose(1, 0, 2).reshape(units, replicates * kinds))

    def score(weights: Floats) -> Floats:
        return formula((weights @ flat).reshape(len(weights), replicates, kinds))

    return score


def average_precision(
    positive: npt.NDArray[np.bool_], scores: Floats, unit: Ints, present: npt.NDArray[np.bool_] | None = None
) -> Scorer:
    """Return the scorer of average precision, sum over thresholds of (R_n - R_{n-1}) P_n, ties taken together.

    Args:
        positive: Whether each chip is an object (N,).
        scores: Scores (R, N) of each replicate.
        unit: Unit number of each chip (N,).
        present: Which chips each replicate tested (R, N); all of them by default.
    """
    present = np.ones(scores.shape, bool) if present is None else present
    sorted_replicates = []
    for values, present_chips in zip(scores, present, strict=True):
        chips = np.flatnonzero(present_chips)
        order = chips[np.argsort(-values[chips], kind="stable")]
        last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
        sorted_replicates.append((unit[order], positive[order].astype(np.float64), last))

    def score(weights: Floats) -> Floats:
        out = np.empty((len(weights), len(sorted_replicates)))
        for column, (units, hits, last) in enumerate(sorted_replicates):
            step = max(1, CHUNK // max(1, len(units)))
            for start in range(0, len(weights), step):
                chunk = weights[start : start + step][:, units]
                out[start : start + step, column] = _weighted_average_precision(chunk, hits, last)
        return out

    return score


def _weighted_average_precision(weights: Floats, hits: Floats, last: npt.NDArray[np.int64]) -> Floats:
    """Return the average precision (B,) of chips in falling order of score, weights (B, N); `last` ends ties."""
    total_weight = np.cumsum(weights, axis=1)[:, last]
    hit_weight = np.cumsum(weights * hits, axis=1)[:, last]
    gained = np.diff(hit_weight, axis=1, prepend=0.0)
    total = hit_weight[:, -1]
    area = np.sum(gained * _ratio(hit_weight, total_weight, 0.0), axis=1)
    return _ratio(area, total)


FORMULAS: dict[str, Formula] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "recall": recall,
    "precision": precision,
    "f1": f1,
}
"""Metrics of the confusion counts."""

METRICS: dict[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "average_precision": "average precision",
    "calibration_error": "expected calibration error",
}
"""All metrics and what people call them; higher is better but for the last."""


def describe(name: str) -> dict[str, Any]:
    """Return the title of a metric and whether more of it is better."""
    return {"title": METRICS[name], "higher_is_better": name != "calibration_error"}
