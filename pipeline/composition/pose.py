"""Pose of an object in its chip, from its mask or its outline.

All coordinates are (row, col) in pixel edges of the chip: the middle of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

Alpha = npt.NDArray[np.float32]
"""The share of each pixel (H, W) that an object covers, 0 to 1."""

AXIS_RATIO = 1.4
"""Length over width from which an object has a long axis."""


@dataclass(frozen=True)
class Pose:
    """Pose of an object in its chip.

    Attributes:
        row: Centre.
        col: Centre.
        angle: Direction of the long axis in radians, from the columns towards the rows (clockwise as seen), -pi/2 to
            pi/2: the two ends of an axis are alike.
        length: Extent along the axis in pixels, of the rectangle that has the mask's second moments.
        width: Extent across it.
        has_axis: Whether there is a clear long axis; without one ``angle`` is 0.
    """

    row: float
    col: float
    angle: float
    length: float
    width: float
    has_axis: bool

    def moved(self, down: float, right: float) -> Pose:
        """Return the pose of the object moved by some pixels."""
        return replace(self, row=self.row + down, col=self.col + right)


def rasterise(polygons: Sequence[npt.ArrayLike], shape: tuple[int, int]) -> Alpha:
    """Return the alpha (H, W) of polygons, each (N, 2) of (row, col): the share of each pixel, to 1 / 64."""
    zoom = 8
    fine = np.zeros((shape[0] * zoom, shape[1] * zoom), np.uint8)
    for corners in polygons:
        # Bounded, as OpenCV counts in whole numbers of 32 bits.
        points = np.clip(np.asarray(corners, np.float64)[:, ::-1], -1e4, 1e4) * zoom - 0.5
        cv2.fillPoly(fine, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    alpha: Alpha = cv2.resize(fine.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) / np.float32(255)
    return alpha


def polygon_pose(polygons: Sequence[npt.ArrayLike]) -> Pose | None:
    """Return the pose of polygons, also of what lies beyond the chip; None if they have no area."""
    parts = [np.asarray(polygon, np.float64)[:, ::-1] for polygon in polygons]
    start = np.concatenate(parts).min(axis=0)
    sums = dict.fromkeys(("m00", "m10", "m01", "m20", "m11", "m02"), 0.0)
    for part in parts:
        moments = cv2.moments((part - start).astype(np.float32))
        sums = {name: total + moments[name] for name, total in sums.items()}
    if not sums["m00"] > 0:
        return None
    col, row = sums["m10"] / sums["m00"], sums["m01"] / sums["m00"]
    spreads = (
        sums["m02"] / sums["m00"] - row**2,
        sums["m20"] / sums["m00"] - col**2,
        sums["m11"] / sums["m00"] - row * col,
    )
    return _pose(row + float(start[1]), col + float(start[0]), *spreads)


def pose_of(alpha: Alpha) -> Pose:
    """Return the pose of a mask (H, W) that covers anything, from its second moments."""
    rows, cols = np.arange(alpha.shape[0]) + 0.5, np.arange(alpha.shape[1]) + 0.5
    weights = alpha.astype(np.float64) / alpha.sum(dtype=np.float64)
    down, across = weights.sum(axis=1), weights.sum(axis=0)
    row, col = float(down @ rows), float(across @ cols)
    rows, cols = rows - row, cols - col
    return _pose(row, col, float(down @ rows**2), float(across @ cols**2), float(rows @ weights @ cols))


def _pose(row: float, col: float, var_row: float, var_col: float, covariance: float) -> Pose:
    """Return the pose with some second moments: a rectangle of length L has a variance of L^2 / 12 along its axis."""
    middle, spread = (var_row + var_col) / 2, math.hypot((var_col - var_row) / 2, covariance)
    length, width = math.sqrt(12 * max(middle + spread, 1 / 12)), math.sqrt(12 * max(middle - spread, 1 / 12))
    has_axis = length >= AXIS_RATIO * width
    angle = 0.5 * math.atan2(2 * covariance, var_col - var_row) if has_axis else 0.0
    return Pose(row, col, angle, length, width, has_axis)
