"""What a split's training chips tell about candidates: the model that screens them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config.run import SynthConfig
from ...dataset.chip_store import subsample
from ...dataset.scaling import Scaling
from ...dataset.split_chips import Labels, RealChips
from ...engine.task import TaskContext
from ...utils.errors import TooLittleDataError
from .filters import Limits, Measures, copy_correlation
from .scorer import Ensemble, train_ensemble

Chips = npt.NDArray[Any]

MIN_TEXTURE = 0.02
"""Chips flatter than this share of the value range are never called copies: flat water resembles all water."""
SEEDS_PER_CLASS = 2**24
"""Distance between the first seeds of two classes; more candidates of a class than this are never made."""


@dataclass(frozen=True)
class ScreeningModel:
    """What the split's training chips tell about candidates.

    Attributes:
        chips: Training chips (N, S, S, C) in their own dtype.
        labels: Class indices (N,).
        scaling: The generator's scaling, fitted on the same chips.
        ensemble: Networks trained on them, or None where they are too few to train any.
        limits: What a candidate must keep to.
        composed: Class indices whose candidates are composites: their backgrounds are real, and no copies.
    """

    chips: Chips
    labels: Labels
    scaling: Scaling
    ensemble: Ensemble | None
    limits: Limits
    composed: frozenset[int] = frozenset()

    def measure(self, values: npt.NDArray[np.float32], labels: Labels, unusual: npt.NDArray[np.float64]) -> Measures:
        """Return measures of candidates (N, S, S, C) in [-1, 1], with how unusual their composed objects are (N,)."""
        nothing = np.full(len(labels), np.nan)
        score, distance = self.ensemble.measure(values, labels) if self.ensemble else (nothing, nothing)
        correlation = np.full(len(labels), np.nan)
        whole = ~np.isin(labels, list(self.composed))
        if whole.any():
            training = self.scaling.apply(self.chips)
            correlation[whole] = copy_correlation(values[whole], training, MIN_TEXTURE, value_range=2.0)
        return Measures(score, distance, correlation, unusual)


def training_chips(context: TaskContext, real: RealChips) -> tuple[Chips, Labels, int]:
    """Return training chips (N, S, S, C), class indices (N,), and how many chips the largest class has.

    Raises:
        TooLittleDataError: If the split has no training chips.
    """
    train, labels = real.of("train")
    if not len(train):
        raise TooLittleDataError(f"split {context.task.name} has no training chips; use more labels or fewer folds")
    rows = subsample(labels, train.read([0]).shape[1:])
    return train.read(rows), labels[rows], int(np.bincount(labels).max())


def train_screening_model(
    chips: Chips,
    labels: Labels,
    classes: tuple[str, ...],
    scaling: Scaling,
    config: SynthConfig,
    context: TaskContext,
    composed: Collection[int] = (),
) -> ScreeningModel:
    """Learn from the training chips what real chips of each class look like to a network that has not seen them."""
    ensemble = train_ensemble(
        chips, labels, classes, scaling, context.profile, first_seed(context.config, len(classes))
    )
    farthest = [np.inf] * len(classes)
    if ensemble is not None:
        away = ensemble.real_distance
        farthest = [float(np.quantile(away[labels == one], config.distance_quantile)) for one in range(len(classes))]
    limits = Limits(config.min_label_score, farthest, config.copy_correlation)
    return ScreeningModel(chips, labels, scaling, ensemble, limits, frozenset(composed))


def first_seed(config: Mapping[str, Any], number: int) -> int:
    """Return the seed of the first candidate of a class; the others count up from it."""
    words = [config["seed"], config["replicate"], config["fold"], round(1000 * config["fraction"]), 4]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) * 2**30 + number * SEEDS_PER_CLASS
