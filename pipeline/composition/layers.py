"""Layers: objects without their ground, in canonical pose.

A *layer* is (rows, cols, C + 1): premultiplied bands, then alpha; the object's long axis lies along the columns, its
centre in the middle. A composite is ``(1 - a) * background + layer``. Values are in the chips' own units, as float32;
:func:`to_range` and :func:`from_range` bring them to a generator's range and back, exactly, as composition is linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .hull import Box
from .masks import Alpha, Pose
from .removal import fill

Floats = npt.NDArray[np.float32]
Layers = npt.NDArray[np.float32]
"""Layers (N, rows, cols, C + 1)."""

MULTIPLE = 8
"""Sides of a canvas are multiples of this, so that a network can halve them three times."""
MARGIN_PX = 4
"""Rows and columns of a canvas that its largest object leaves free."""
FAINT = 0.02
"""Alpha below which a layer shows nothing."""


def canvas_size(poses: Sequence[Pose], limit_px: int) -> tuple[int, int]:
    """Return rows and columns of a canvas that holds nearly all objects with a margin.

    Args:
        poses: Poses of the objects.
        limit_px: Most rows and columns: the side of a chip.
    """
    most = -(-limit_px // MULTIPLE) * MULTIPLE
    width, length = (float(np.quantile([getattr(pose, side) for pose in poses], 0.98)) for side in ("width", "length"))
    rows, cols = (min(-(-round(1.1 * side + MARGIN_PX) // MULTIPLE) * MULTIPLE, most) for side in (width, length))
    return max(rows, 2 * MULTIPLE), max(cols, 2 * MULTIPLE)


def cut_layer(chip: npt.NDArray[np.generic], alpha: Alpha, pose: Pose, canvas: tuple[int, int]) -> Floats:
    """Return the layer (rows, cols, C + 1) of a chip's object, made smaller where it does not fit.

    The ground that shines through soft edges is taken out: the layer is ``x - (1 - a) b`` with b the ground beside, so
    that it gives the chip back on its own ground and carries no rim of it to another one.

    Args:
        chip: (H, W, C).
        alpha: The object's alpha (H, W).
        pose: The object's pose.
        canvas: Rows and columns of the layer.
    """
    values = np.nan_to_num(chip.astype(np.float32))
    share = alpha[..., None]
    ground = fill(values, 1 - np.minimum(cv2.dilate(alpha, np.ones((3, 3))) * 2, 1))
    inner = values[alpha > 0.9] if (alpha > 0.9).any() else values[alpha > 0]
    low, high = inner.min(axis=0), inner.max(axis=0)
    object_only = np.clip(values - (1 - share) * ground, *_ordered(share * low, share * high))
    layer = np.concatenate([object_only, share], axis=-1)
    fit = min(1.0, (canvas[0] - MARGIN_PX) / pose.width, (canvas[1] - MARGIN_PX) / pose.length)
    return _tidy(warp(layer, _to_canvas(pose, canvas, fit), canvas), low, high)


def _ordered(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    return np.minimum(first, second), np.maximum(first, second)


def _tidy(layer: Floats, low: Floats, high: Floats) -> Floats:
    """Return a layer without what cubic interpolation shot over."""
    share = np.clip(layer[..., -1:], 0, 1)
    share[share < FAINT] = 0
    return np.concatenate([np.clip(layer[..., :-1], *_ordered(share * low, share * high)), share], axis=-1)


def _to_canvas(pose: Pose, canvas: tuple[int, int], scale: float) -> npt.NDArray[np.float64]:
    """Return the matrix from canvas pixels to chip pixels, as ``WARP_INVERSE_MAP`` wants it."""
    cos, sin = math.cos(pose.angle), math.sin(pose.angle)
    turn = np.array([[cos, -sin], [sin, cos]]) / scale
    shift = np.array([pose.col, pose.row]) - 0.5 - turn @ (np.array([canvas[1], canvas[0]]) / 2 - 0.5)
    return np.column_stack([turn, shift])


def from_canvas(
    row: float, col: float, angle: float, scale: float, mirrored: bool, canvas: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Return the matrix from chip pixels to canvas pixels of an object at a place, angle and scale."""
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    flip = -1.0 if mirrored else 1.0
    turn = np.array([[cos, sin], [-sin * flip, cos * flip]])
    shift = np.array([canvas[1], canvas[0]]) / 2 - 0.5 - turn @ (np.array([col, row]) - 0.5)
    return np.column_stack([turn, shift])


def warp(image: Floats, matrix: npt.NDArray[np.float64], shape: tuple[int, int]) -> Floats:
    """Return an image (H, W, C) warped to ``shape``, four bands at a time, as OpenCV takes no more."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    pieces = [
        cv2.warpAffine(np.ascontiguousarray(image[..., start : start + 4]), matrix, shape[::-1], flags=flags)
        for start in range(0, image.shape[-1], 4)
    ]
    return np.concatenate([piece.reshape(*shape, -1) for piece in pieces], axis=-1)


def place(ground: Floats, layer: Floats, matrix: npt.NDArray[np.float64]) -> tuple[Floats, Alpha]:
    """Return the ground (H, W, C) with a layer in front of it, and the layer's alpha (H, W) there."""
    height, width = ground.shape[:2]
    warped = warp(layer, matrix, (height, width))
    alpha = np.clip(warped[..., -1], 0, 1)
    rest, composite = 1 - alpha, np.empty_like(ground)
    for band in range(ground.shape[-1]):  # several times as fast as broadcasting over so few bands
        composite[..., band] = ground[..., band] * rest + warped[..., band]
    return composite, alpha


def length_of(layer: Floats) -> float:
    """Return the length of a layer's object along the columns, as :class:`~.masks.Pose` has it."""
    mass = layer[..., -1].sum(axis=0, dtype=np.float64)
    columns = np.arange(len(mass)) + 0.5
    total = max(float(mass.sum()), 1e-6)
    middle = float(mass @ columns) / total
    return math.sqrt(12 * float(mass @ (columns - middle) ** 2) / total)


def box_of(alpha: Alpha) -> Box:
    """Return the box of what is more than half covered, in pixel edges; NaN where nothing is."""
    solid = alpha > 0.5
    rows, cols = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        return (math.nan,) * 4
    return float(rows[0]), float(cols[0]), float(rows[-1] + 1), float(cols[-1] + 1)


def to_range(layers: Layers, low: npt.ArrayLike, high: npt.ArrayLike) -> Layers:
    """Return layers in chip values with ``low`` and ``high`` of each band at -1 and 1; alpha stays 0 to 1."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    share = layers[..., -1:]
    return np.concatenate([(2 * layers[..., :-1] - share * (low + high)) / (high - low), share], axis=-1)


def from_range(layers: Layers, low: npt.ArrayLike, high: npt.ArrayLike) -> Layers:
    """Undo :func:`to_range`."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    share = layers[..., -1:]
    return np.concatenate([(layers[..., :-1] * (high - low) + share * (low + high)) / 2, share], axis=-1)
