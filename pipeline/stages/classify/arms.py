"""Configuration that decides the training of an arm. Pure, and free of NumPy."""

from __future__ import annotations

from typing import Any

from ...config.run import ClassifyConfig
from ...dataset.arms import Arm


def settings(config: ClassifyConfig, arm: Arm) -> dict[str, Any]:
    """Return what of the configuration decides a training of this arm.

    The list of arms does not, and settings of something the arm lacks do not: a changed share of synthetic chips
    leaves the arms without them as they are.
    """
    unread = {"arms", "folders"}
    if arm.augmentation is None:
        unread |= {"augment"}
    if arm.source is None:
        unread |= {"synthetic_share", "synthetic_use"}
    return config.model_dump(mode="json", exclude=unread)
