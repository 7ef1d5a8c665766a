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

THRESHOLDS = (-8.0, 8.0)
"""Log odds between which the threshold lies."""
THRESHOLD_WIDTH = 0.5
"""Width of the prior on the log odds of the threshold, centred on 0, where equal class shares put it. Chosen on groups
of training areas that nothing was trained on."""


def nll(logits: Floats, labels: Labels, temperature: float = 1.0) -> float:
    """Return the mean negative log likelihood of labels (N,) under logits (N, K) divided by a temperature."""
    scaled = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-scaled[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Fit the temperature of temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 9).

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

    minimum = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(minimum.x))


def balanced_accuracy(predicted: Labels, labels: Labels) -> float:
    """Return the mean recall over the classes that occur in ``labels``; 0 to 1."""
    return float(np.mean([(predicted[labels == number] == number).mean() for number in np.unique(labels)]))


def fit_threshold(scores: Floats, labels: Labels) -> float:
    """Score that separates background from the rest, for the best balanced accuracy to be expected.

    Batches have equal class shares, so log odds of 0 are the threshold to begin with; validation chips say by how much
    to move it. With s the log odds of a calibrated score and t those of the threshold, a foreground chip is lost with
    probability expit(t - s) and a background chip kept with expit(s - t). The log loss of a shift t, both classes
    weighing the same, is least where these two are equally frequent:

        n / 2 (mean log(1 + exp(t - s)) over foreground + mean log(1 + exp(s - t)) over background) + t^2 / (2 w^2)

    n is twice the chips of the smaller class, for that is what decides how far validation can be trusted; w is
    :data:`THRESHOLD_WIDTH`. The maximum of balanced accuracy itself, also a smoothed one, follows the few objects of a
    small validation part: with fifteen of them it loses points on other groups, and what it loses differs from one
    replicate to the next.

    Args:
        scores: Calibrated probability of not being background (N,).
        labels: Class numbers (N,).

    Returns:
        The threshold in (0, 1); 0.5 where validation has one side only.
    """
    foreground = labels > 0
    if foreground.all() or not foreground.any():
        return 0.5
    odds = logit(np.clip(np.asarray(scores, np.float64), 1e-9, 1 - 1e-9))
    weight = min(int(foreground.sum()), int((~foreground).sum()))

    def loss(shift: float) -> float:
        lost = np.logaddexp(0.0, shift - odds[foreground]).mean()
        kept = np.logaddexp(0.0, odds[~foreground] - shift).mean()
        return float(weight * (lost + kept) + shift**2 / (2 * THRESHOLD_WIDTH**2))

    return float(expit(minimize_scalar(loss, bounds=THRESHOLDS, method="bounded", options={"xatol": 1e-6}).x))
