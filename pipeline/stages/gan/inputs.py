"""Input of a training: a split's chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dataset import scaling
from ...dataset.chip_store import ChipStore, subsample
from ...dataset.split_chips import RealChips
from ...engine.task import TaskContext
from ...models.probe import TESTED
from ...utils.errors import TooLittleDataError

Scaled = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""Chips (N, H, W, C) in [-1, 1] and their class numbers (N,)."""
LEAST_CHIPS = 2
"""Fewer training chips of a class than this, and there is nothing to learn a variety from."""


@dataclass(frozen=True)
class Inputs:
    """Chips of one split.

    Attributes:
        train: Training chips (N, H, W, C) in their own dtype; may be lazy, see :meth:`ChipStore.pixels`.
        train_labels: Class numbers (N,).
        validation: Validation chips (M, H, W, C).
        validation_labels: Class numbers (M,).
        scaling: Fitted on the training chips.
        classes: Class names; the position is the class index.
        store: The training chips with their masks.
    """

    train: npt.NDArray[Any]
    train_labels: npt.NDArray[np.int64]
    validation: npt.NDArray[Any]
    validation_labels: npt.NDArray[np.int64]
    scaling: scaling.Scaling
    classes: tuple[str, ...]
    store: ChipStore

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape (H, W, C) of a chip."""
        height, width, bands = self.train.shape[1:]
        return height, width, bands

    def few(self) -> tuple[Scaled, Scaled]:
        """Return training and validation chips (N, H, W, C) in [-1, 1] with labels, as many as evaluation uses."""
        train = subsample(self.train_labels, self.shape)
        validation = subsample(self.validation_labels, self.shape, TESTED)
        return (
            (self.scaling.apply(self.train[train]), self.train_labels[train]),
            (self.scaling.apply(self.validation[validation]), self.validation_labels[validation]),
        )

    def counts(self, labels: npt.NDArray[np.int64]) -> dict[str, int]:
        """Count the chips of each class."""
        return {name: int((labels == number).sum()) for number, name in enumerate(self.classes)}


def read_inputs(context: TaskContext) -> Inputs:
    """Read the training and validation chips of the job's split.

    Raises:
        TooLittleDataError: If a class has fewer than :data:`LEAST_CHIPS` training chips.
    """
    real = RealChips.open(context.folder("index"), context.folder("split"), context.store, context.config["classes"])

    def of(role: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        chips, labels = real.of(role)
        if not len(chips):
            shard = real.store.read([0])
            return np.empty((0, *shard.shape[1:]), shard.dtype), labels
        return chips.pixels(), labels

    train, train_labels = of("train")
    for position, name in enumerate(real.classes):
        count = int((train_labels == position).sum())
        if count < LEAST_CHIPS:
            raise TooLittleDataError(
                f"{context.task.title} has {count} training chips of class {name!r}, a generator needs at least"
                f" {LEAST_CHIPS}; give more labels, or raise split.fractions"
            )
    validation, validation_labels = of("validation")
    fitted = scaling.fit(train, **context.config["scaling"])
    return Inputs(train, train_labels, validation, validation_labels, fitted, real.classes, real.of("train")[0])
