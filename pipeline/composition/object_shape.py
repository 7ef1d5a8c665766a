"""Statistics of the real objects of a class, and how far generated ones are from them.

A generator that has learned little paints blobs: too soft at the edge, in pieces, or not filling the rectangle of their
own extent. On real backgrounds a network of few labels takes them for objects; these figures do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Layers = npt.NDArray[np.float32]

FIGURES = (
    "area",
    "length",
    "width",
    "brightness",
    "saturation",
    "contrast",
    "detail",
    "softness",
    "fill",
    "largest piece",
)
LEAST_SPREAD = np.array([0.1, 0.1, 0.1, 0.03, 0.01, 0.02, 0.005, 0.05, 0.05, 0.05])
"""Spread that each figure has at least: few labelled objects are now and then all alike in one."""
MARGIN = 1.25
"""A generated object may be this many times as unusual as the most unusual real one."""


def figures_of(layers: Layers, value_range: float) -> Floats:
    """Return the figures (N, 10) of layers (N, rows, cols, C + 1) in chip values, in the order of :data:`FIGURES`.

    Area, length and width are logarithms; brightness, saturation, contrast and detail are shares of the value range.
    Softness is 0 where every pixel is covered fully or not at all; fill is the area over length times width.
    """
    count, rows, cols, channels = layers.shape
    pixels = layers.reshape(count, -1, channels).astype(np.float64)
    sums, alphas = np.ones(rows * cols) @ pixels, np.ascontiguousarray(pixels[..., -1]).reshape(count, rows, cols)
    area = np.maximum(sums[:, -1], 1e-6)
    length, width = (_extent(alphas.sum(axis=axis), area) for axis in (1, 2))
    mean = sums[:, :-1] / (area[:, None] * value_range)
    softness = 4 * (sums[:, -1] - np.einsum("nrc,nrc->n", alphas, alphas)) / area
    brightness = mean.mean(axis=1)
    grey = (pixels[..., :-1] @ np.full(channels - 1, 1 / ((channels - 1) * value_range))).reshape(alphas.shape)
    each = zip(grey, alphas, brightness, strict=True)
    contrast, detail, largest = np.array([_texture(*item) for item in each]).reshape(-1, 3).T
    logs = [np.log(np.maximum(item, 1e-3)) for item in (area, length, width)]
    fill = area / np.maximum(length * width, 1)
    return np.stack([*logs, brightness, mean.std(axis=1), contrast, detail, softness, fill, largest], axis=1)


def _extent(mass: Floats, total: Floats) -> Floats:
    """Return the side (N,) of the rectangle with the second moment of masses (N, side) along an axis."""
    places = np.arange(mass.shape[1]) + 0.5
    middle = mass @ places / total
    spread = np.maximum(mass @ places**2 / total - middle**2, 0)
    return np.asarray(np.sqrt(12 * spread))


def _texture(grey: Floats, alpha: Floats, brightness: float) -> tuple[float, float, float]:
    """Return contrast and detail of an object's premultiplied grey values, and the share of its largest piece."""
    covered = alpha > 0.3
    if not covered.any():
        return 0.0, 0.0, 0.0
    shown = np.where(covered, grey / np.maximum(alpha, 0.3), brightness)
    solid = alpha > 0.5 if (alpha > 0.5).any() else covered
    detail = np.abs(shown - cv2.blur(shown, (3, 3)))[solid].mean()
    _, _, pieces, _ = cv2.connectedComponentsWithStats(covered.astype(np.uint8))
    areas = pieces[1:, cv2.CC_STAT_AREA]
    return float(shown[solid].std()), float(detail), float(areas.max() / areas.sum())


@dataclass(frozen=True)
class TypicalObject:
    """Statistics of the labelled objects of a class.

    Attributes:
        middle: Median of each figure.
        spread: Spread of each figure about it.
        limit: How many spreads any figure of an object may lie off.
        value_range: Difference between the lightest and the darkest chip value.
    """

    middle: tuple[float, ...]
    spread: tuple[float, ...]
    limit: float
    value_range: float

    @classmethod
    def of(cls, layers: Layers, value_range: float) -> TypicalObject:
        """Return what real layers (N, rows, cols, C + 1) in chip values are like."""
        figures = figures_of(layers, value_range)
        middle = np.median(figures, axis=0)
        deviation = 1.4826 * np.median(np.abs(figures - middle), axis=0)
        # Half the distance of the outer tenths beside it: figures with two heaps, such as two kinds of ship.
        tenths = np.diff(np.quantile(figures, (0.1, 0.9), axis=0), axis=0)[0] / 2.56
        spread = np.maximum(np.maximum(deviation, tenths), LEAST_SPREAD)
        limit = MARGIN * float(np.abs((figures - middle) / spread).max())
        return cls(tuple(middle.tolist()), tuple(spread.tolist()), limit, value_range)

    def distance(self, layers: Layers) -> Floats:
        """Return how unusual objects of layers (N, rows, cols, C + 1) are (N,); more than 1 is beyond the limit."""
        off = np.abs((figures_of(layers, self.value_range) - self.middle) / self.spread)
        return np.asarray(off.max(axis=1) / self.limit)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "middle": list(self.middle), "spread": list(self.spread), "limit": self.limit,
            "value_range": self.value_range,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TypicalObject:
        """Read what :meth:`as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is not that.
        """
        middle, spread = (tuple(float(value) for value in data[name]) for name in ("middle", "spread"))
        if len(middle) != len(FIGURES) or len(spread) != len(FIGURES) or min(spread) <= 0 or not data["limit"] > 0:
            raise ValueError("the statistics of a typical object are malformed")
        return cls(middle, spread, float(data["limit"]), float(data["value_range"]))
