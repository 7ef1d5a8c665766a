"""Surroundings of objects, and backgrounds that look like them.

Chips are compared by cells of :data:`CELL` pixels: the mean of each band and the local contrast. What lies under an
object, beside it and at its ends is the mean over the cells there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from .pose import Alpha, Pose

Chips = npt.NDArray[np.generic]
"""Chips (N, H, W, C) in the scene's own dtype."""
Floats = npt.NDArray[np.float32]

IMPORTANCE = np.array([2, 1, 1, 0.5, 0.5], np.float32)
"""Of what is under an object, beside it and at its ends: where it lies counts most."""

CELL = 4
"""Side of a cell in pixels."""
EDGE = 6 / 255
"""Gradient per pixel of an edge, as a share of the value range."""
CROWDED = 0.18
"""Share of edges around an object from which it lies beside structures or other objects."""
LEAST_RING = 40
"""Pixels around an object that tell whether it lies beside something."""
REACH_PX = 9.0
"""How far surroundings reach from an object's edge, beyond a gap of two pixels."""


def cell_features(chips: Chips) -> Floats:
    """Return what cells look like: (N, rows, cols, C + 1), mean of each band and local contrast."""
    count, height, width, bands = chips.shape
    down, across = height // CELL, width // CELL
    features = np.empty((count, down, across, bands + 1), np.float32)
    for row, chip in zip(features, chips, strict=True):
        values = np.nan_to_num(chip.astype(np.float32))
        contrast = np.abs(values - cv2.blur(values, (3, 3)).reshape(values.shape)).mean(axis=-1, keepdims=True)
        both = np.concatenate([values, contrast], axis=-1)[: down * CELL, : across * CELL]
        row[...] = both.reshape(down, CELL, across, CELL, -1).mean(axis=(1, 3))
    return features


def sectors(pose: Pose, cells: tuple[int, int]) -> Floats:
    """Return the weights (5, cells) of what is under an object, beside its two long sides, and at its two ends.

    A sector outside the chip has weights of zero; those of each other one sum to 1.
    """
    rows = (np.arange(cells[0], dtype=np.float32)[:, None] + 0.5) * CELL - pose.row
    cols = (np.arange(cells[1], dtype=np.float32)[None] + 0.5) * CELL - pose.col
    along = math.cos(pose.angle) * cols + math.sin(pose.angle) * rows
    beside = math.cos(pose.angle) * rows - math.sin(pose.angle) * cols
    over_along, over_beside = np.abs(along) - pose.length / 2, np.abs(beside) - pose.width / 2
    over = np.maximum(over_along, over_beside)
    ring = (over > 2) & (over < 2 + REACH_PX)
    side = over_beside >= over_along
    flags = (
        over < 0,
        ring & side & (beside > 0),
        ring & side & (beside <= 0),
        ring & ~side & (along > 0),
        ring & ~side & (along <= 0),
    )
    weights = np.stack([flag.ravel() for flag in flags]).astype(np.float32)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return weights


def edge_share(chip: npt.NDArray[np.generic], alpha: Alpha, value_range: float) -> float:
    """Return the share of edges in the ring of 11 pixels around an object, or 1 where no ring is to be seen.

    Beside quays, jetties and other objects it is high; on open water or a plain field it is near 0.

    Args:
        chip: (H, W, C).
        alpha: The object's alpha (H, W).
        value_range: Difference between the lightest and the darkest chip value; an edge is a gradient of more than
            :data:`EDGE` of it per pixel, of the chip smoothed by one pixel.
    """
    far, near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (27, 27)), np.ones((5, 5), np.uint8)
    values = np.nan_to_num(chip.astype(np.float32))
    ring = (cv2.dilate(alpha, far) > 0.05) & (cv2.dilate(alpha, near) <= 0.05) & (values != 0).any(axis=-1)
    if ring.sum() < LEAST_RING:
        return 1.0
    smooth = cv2.GaussianBlur(values, (0, 0), 1.0).reshape(values.shape)
    bands = [np.ascontiguousarray(band) for band in np.moveaxis(smooth, -1, 0)]
    slopes = [np.hypot(cv2.Sobel(band, cv2.CV_32F, 1, 0), cv2.Sobel(band, cv2.CV_32F, 0, 1)) / 8 for band in bands]
    return float((np.max(slopes, axis=0)[ring] > EDGE * value_range).mean())


def crowded(chips: Chips, alphas: npt.NDArray[np.float32], value_range: float) -> npt.NDArray[np.bool_]:
    """Return which objects (N,) lie beside structures or other objects; see :func:`edge_share`."""
    pairs = zip(chips, alphas, strict=True)
    return np.array([edge_share(chip, alpha, value_range) > CROWDED for chip, alpha in pairs], bool)


@dataclass(frozen=True)
class Backgrounds:
    """Chips without objects, and what their cells look like.

    Attributes:
        chips: (N, H, W, C).
        features: (N, cells, C + 1), standardised.
        middle: Mean of each feature over all cells.
        spread: Standard deviation of each feature.
        cells: Rows and columns of cells in a chip.
        chip_ids: Chip that each is, perhaps in another orientation; empty where they are generated.
        labelled: How many are of labelled scenes; those after them are of scenes without labels.
    """

    chips: Chips
    features: Floats
    middle: Floats
    spread: Floats
    cells: tuple[int, int]
    chip_ids: tuple[str, ...] = ()
    labelled: int = 0

    @classmethod
    def of(cls, chips: Chips, chip_ids: Sequence[str] = (), unlabelled: int = 0) -> Backgrounds:
        """Return backgrounds from chips (N, H, W, C), at least one, and their names; the last are unlabelled."""
        raw = cell_features(chips)
        flat = raw.reshape(-1, raw.shape[-1])
        middle, spread = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-6)
        features = ((raw - middle) / spread).reshape(len(raw), -1, raw.shape[-1])
        return cls(
            chips, features, middle, spread, (raw.shape[1], raw.shape[2]), tuple(chip_ids), len(raw) - unlabelled
        )

    def of_labelled_scenes(self) -> Backgrounds:
        """Return those of labelled scenes; all, where there are no others or none."""
        if self.labelled in (0, len(self.chips)):
            return self
        chips, features = self.chips[: self.labelled], self.features[: self.labelled]
        return replace(self, chips=chips, features=features, chip_ids=self.chip_ids[: self.labelled])

    def draw(self, count: int, unlabelled_share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the positions (count,) of candidates; in a share of the draws, of unlabelled scenes."""
        every = len(self.chips)
        if self.labelled in (0, every):
            return rng.integers(0, every, count)
        first, stop = (self.labelled, every) if rng.random() < unlabelled_share else (0, self.labelled)
        return rng.integers(first, stop, count)

    def surroundings(self, chips: Chips, poses: list[Pose]) -> Floats:
        """Return what surrounds the objects of chips (N, H, W, C), in raw values: (N, 5, C + 1).

        What lies under an object is not visible: the calmest of its sides stands for it.
        """
        raw = cell_features(chips).reshape(len(chips), -1, self.features.shape[-1])
        weights = np.stack([sectors(pose, self.cells) for pose in poses])
        around = weights @ raw
        calm = np.where(weights[:, 1:].any(axis=-1), around[:, 1:, -1], np.inf).argmin(axis=1)
        around[:, 0] = around[np.arange(len(around)), calm + 1]
        return np.asarray(around, np.float32)

    def most_alike(self, candidates: npt.NDArray[np.int64], pose: Pose, around: Floats) -> int:
        """Return the candidate (of positions) in which an object would be surrounded most like ``around`` (5, C + 1).

        Args:
            candidates: Positions of backgrounds.
            pose: Where the object would lie.
            around: What should surround it, in raw values; rows of zeros count for nothing.
        """
        weights = sectors(pose, self.cells)
        comparable = weights.any(axis=1) & around.any(axis=1)
        wanted = (around[comparable] - self.middle) / self.spread
        apart = (weights[comparable] @ self.features[candidates] - wanted) ** 2
        return int(candidates[(apart.sum(axis=2) @ IMPORTANCE[comparable]).argmin()])
