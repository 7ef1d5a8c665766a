"""Curves over thresholds and over numbers of labels; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .metrics import CALIBRATION_BINS, Floats, Ints

RECALLS = np.linspace(0.0, 1.0, 101)


def precision_at_recall(positive: npt.NDArray[np.bool_], score: Floats) -> Floats:
    """Return the precision at the highest threshold that reaches each of :data:`RECALLS`; NaN without positives.

    At recall 0 it is the precision of the highest score. Ties are taken together.

    Args:
        positive: Whether each chip is an object (N,).
        score: Scores (N,).
    """
    if not positive.any():
        return np.full(len(RECALLS), np.nan)
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    recall, precision = hits[last] / hits[-1], hits[last] / (last + 1)
    # A hair below, because a recall of 7/10 is not quite 0.7 in binary.
    return precision[np.searchsorted(recall, RECALLS - 1e-12)]


def reliability(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats, Ints]:
    """Return mean score, share of positives and number of chips in each of ten equal bins of the score; NaN if empty.

    Args:
        positive: Whether each chip is an object (N,).
        score: Probabilities (N,).
    """
    bins = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(bins, weights=score, minlength=CALIBRATION_BINS) / count
        share = np.bincount(bins, weights=positive.astype(np.float64), minlength=CALIBRATION_BINS) / count
    return mean, share, count


def labels_needed(labels: Sequence[float], values: Floats, target: Floats) -> Floats:
    """Return how many labels a learning curve needs to reach a target, linear in their logarithm between points.

    A curve that dips is replaced by the best so far: labels once had are not lost. A target above the curve's end
    needs more labels than there are, infinity; one below its start would be reached with fewer than the fewest, by how
    many is unknown: minus infinity.

    Args:
        labels: Numbers of labels, rising (F,).
        values: Values of the curve (..., F); higher is better.
        target: Value to reach (...).
    """
    best = np.maximum.accumulate(values, axis=-1)
    logs = np.log(np.asarray(labels, dtype=np.float64))
    flat, wanted = best.reshape(-1, best.shape[-1]), np.broadcast_to(target, best.shape[:-1]).reshape(-1)
    needed = np.empty(len(flat))
    for number, (curve, aim) in enumerate(zip(flat, wanted, strict=True)):
        needed[number] = _crossing(labels, logs, curve, float(aim))
    return needed.reshape(best.shape[:-1])


def _crossing(labels: Sequence[float], logs: Floats, curve: Floats, aim: float) -> float:
    if np.isnan(aim) or np.isnan(curve).any():
        return float("nan")
    if aim > curve[-1] or aim < curve[0]:
        return float("inf") if aim > curve[-1] else float("-inf")
    after = int(np.searchsorted(curve, aim))
    if curve[after] == aim:
        return float(labels[after])
    share = (aim - curve[after - 1]) / (curve[after] - curve[after - 1])
    return float(np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1])))
