"""The arms of the experiment: what a name says about the chips a classifier is trained on. Pure, and free of NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...config.run import ClassifyConfig
from ...dataset.names import CLASSIC, SHUFFLED, synthetic_source


@dataclass(frozen=True)
class Arm:
    """A training set.

    Attributes:
        name: As in the configuration and in tables.
        augmented: Whether chips are augmented by albumentations.
        synthetic: Whether there are synthetic chips in it.
        shuffled: Whether their labels are shuffled.
    """

    name: str
    augmented: bool
    synthetic: bool
    shuffled: bool


def parse(name: str) -> Arm:
    """The arm of a name: ``real``, ``classic``, a source of synthetic chips, or ``classic+`` and a source."""
    source = synthetic_source(name)
    return Arm(
        name,
        augmented=name == CLASSIC or name.startswith(f"{CLASSIC}+"),
        synthetic=source is not None,
        shuffled=source == SHUFFLED,
    )


def settings(config: ClassifyConfig, arm: Arm) -> dict[str, Any]:
    """What of the configuration decides a training of this arm.

    The list of arms does not, and settings of something the arm lacks do not: a changed share of synthetic chips
    leaves the arms without them as they are.
    """
    unread = {"arms", "folders"}
    if not arm.augmented:
        unread |= {"augment"}
    if not arm.synthetic:
        unread |= {"synthetic_share", "synthetic_use"}
    return config.model_dump(mode="json", exclude=unread)
