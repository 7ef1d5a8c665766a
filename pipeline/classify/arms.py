"""The arms of the experiment: what a name says about the chips a classifier is trained on. Pure, and free of NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..config import ClassifyConfig

Synthetic = Literal["gan"]
CLASSIC = "classic"
REAL = "real"
GAN = "gan"


@dataclass(frozen=True)
class Arm:
    """A training set.

    Attributes:
        name: As in the configuration and in tables.
        augmented: Whether chips are augmented by albumentations.
        synthetic: Where synthetic chips come from, or None.
    """

    name: str
    augmented: bool
    synthetic: str | None


def parse(name: str) -> Arm:
    """The arm of a name: ``real``, ``classic``, a source of synthetic chips, or ``classic+`` and a source."""
    augmentation, _, source = name.rpartition("+")
    if source in (REAL, CLASSIC):
        return Arm(name, augmented=source == CLASSIC, synthetic=None)
    return Arm(name, augmented=augmentation == CLASSIC, synthetic=source)


def settings(config: ClassifyConfig, arm: Arm) -> dict[str, Any]:
    """What of the configuration decides a training of this arm.

    The list of arms does not, and settings of something the arm lacks do not: a changed share of synthetic chips
    leaves the arms without them as they are.
    """
    unread = {"arms"}
    if not arm.augmented:
        unread |= {"augment"}
    if arm.synthetic is None:
        unread |= {"synthetic_share", "synthetic_use"}
    return config.model_dump(mode="json", exclude=unread)
