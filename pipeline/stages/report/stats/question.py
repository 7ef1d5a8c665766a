"""Question of an experiment: two arms, one metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .statistics import Folds


@dataclass(frozen=True)
class Question:
    """Question that the verdict answers.

    Attributes:
        metric: The one metric.
        treatment: Arm that the question is about.
        baseline: Arm that it has to beat.
        fraction: Real fraction.
        confidence: Confidence of the intervals.
        draws: Bootstrap draws.
        seed: Seed of the draws.
        unit: Column that the test units come from.
        folds: Whether folds are random effects, such as areas, or fixed: units were assigned to them at random.
    """

    metric: str
    treatment: str
    baseline: str
    fraction: float
    confidence: float
    draws: int
    seed: int
    unit: str
    folds: Folds = "random"
