"""Temperature and threshold, from validation chips only. Pure NumPy; no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

TEMPERATURES = (0.05, 20.0)
PRIOR_WIDTH = 0.7
"""Width of the prior on the log temperature, centred on 1. Validation chips that are all right would otherwise drive
the temperature to zero; with this, a few of them move it by a factor of two and hundreds decide alone."""


def nll(logits: Floats, labels: Labels, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the labels (N,) under logits (N, K) divided by a temperature."""
    scaled = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-scaled[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Temperature of temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 9).

    Minimises the negative log likelihood of the validation chips, with a log-normal prior around 1 that matters only
    where they are few.

    Args:
        logits: (N, K); N may be zero.
        labels: Class numbers (N,).
    """
    if not len(labels):
        return 1.0

    def loss(log_temperature: float) -> float:
        prior = log_temperature**2 / (2 * PRIOR_WIDTH**2 * len(labels))
        return nll(logits, labels, float(np.exp(log_temperature))) + prior

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def balanced_accuracy(predicted: Labels, labels: Labels) -> float:
    """Mean recall over the classes that occur in ``labels``; 0 to 1."""
    return float(np.mean([(predicted[labels == number] == number).mean() for number in np.unique(labels)]))


def fit_threshold(scores: Floats, labels: Labels) -> float:
    """Score that separates background from the rest with the best balanced accuracy to be expected.

    A few dozen validation chips make the plain maximum jump by whole tenths from one chip to the next. So each
    calibrated score counts as what it says, a probability: a chip with log odds s falls on the far side of a threshold
    at log odds t with probability expit(s - t). The mean over foreground chips of expit(s - t) and over background
    chips of expit(t - s) is a smooth balanced accuracy, and its maximum moves little when one chip is exchanged.

    Args:
        scores: Calibrated probability of not being background (N,).
        labels: Class numbers (N,).

    Returns:
        The threshold in (0, 1); 0.5 where validation has one side only, and the middle where a stretch is best.
    """
    foreground = labels > 0
    if foreground.all() or not foreground.any():
        return 0.5
    odds = logit(np.clip(np.asarray(scores, np.float64), 1e-9, 1 - 1e-9))
    grid = np.linspace(-6, 6, 241)
    kept = expit(odds[foreground][None, :] - grid[:, None]).mean(axis=1)
    rejected = expit(grid[:, None] - odds[~foreground][None, :]).mean(axis=1)
    value = kept + rejected
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(expit(grid[best].mean()))
