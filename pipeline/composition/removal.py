"""Take objects away: fill their place with what may have been there.

The place is filled with a piece of the same image from elsewhere, the one that continues the rim best and is as calm as
what a smooth filling expects; its difference at the rim is then evened out over it, as Poisson blending does (Perez,
Gangnet and Blake 2003, doi:10.1145/882262.882269). Where no piece fits, the filling is smooth, and as rough as the rim.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .pose import Alpha

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

HALO_PX = 5
"""Pixels beyond a mask that an object still shows in: its shadow, its mooring, the sensor's blur."""
RIM_PX = 4
"""Width of the rim that a piece has to continue."""
STEP_PX = 4
FARTHEST_PX = 64
"""How far away pieces are searched for, up and down and to both sides."""
SAMPLES = 80
"""Pixels of the rim, and of the place, by which pieces are compared."""
CALM = 0.5
"""Weight of how little a piece differs from the smooth filling, beside how well it continues the rim."""
UNKNOWN_SHARE = 0.02
"""Share of a piece that may be unknown itself."""


def fill(values: Floats, weight: Floats) -> Floats:
    """Return values (H, W, C) with pixels of little weight filled smoothly from others, coarse to fine.

    Normalised convolution (Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081) at five widths.
    """
    total, mass = values * weight[..., None], weight.copy()
    filled, trusted = total.copy(), mass.copy()
    for sigma in (1.5, 3.0, 6.0, 12.0, 24.0):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(total, (0, 0), sigma).reshape(values.shape) / np.maximum(near, 1e-6)[..., None]
        trust = np.clip(near * 4, 0, 1) * (1 - trusted)
        filled += trust[..., None] * mean
        trusted += trust
    return np.asarray(filled / np.maximum(trusted, 1e-6)[..., None], np.float32)


def remove_object(image: npt.NDArray[np.generic], alpha: Alpha, rng: np.random.Generator) -> Floats:
    """Return an image (H, W, C), float32, without its object.

    Args:
        image: (H, W, C); the wider around the object, the better. Pixels that are 0 in all bands are no data.
        alpha: The object's alpha (H, W).
        rng: For the roughness of places that no piece fills.
    """
    values = np.nan_to_num(image.astype(np.float32))
    data = (values != 0).any(axis=-1)
    reach = 2 * HALO_PX + 1
    hole = cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0.1
    if not (hole & data).any() or not (~hole & data).any():
        return values
    smooth = fill(values, (data & ~hole).astype(np.float32))
    wide = cv2.dilate(hole.astype(np.uint8), np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)) > 0
    rim = wide & ~hole & data
    shift = _best_shift(values, smooth, hole, rim, data)
    if shift is None:
        filled = smooth + _roughness(values, rim, rng)
    else:
        piece = _shifted(values, shift)
        usable = _shifted((data & ~hole).astype(np.float32), shift) > 0.5
        even = _evened(values - piece, rim & usable)
        filled = np.where(usable[..., None], piece + even, smooth)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 0.8)[..., None] * data[..., None]
    soft[soft < 0.05] = 0
    low, high = values[data].min(axis=0), values[data].max(axis=0)
    return np.asarray(values * (1 - soft) + np.clip(filled, low, high) * soft, np.float32)


def _best_shift(values: Floats, smooth: Floats, hole: Flags, rim: Flags, data: Flags) -> tuple[int, int] | None:
    """Return by how many rows and columns away the piece lies that fits a hole best, or None where none does."""
    height, width = hole.shape
    if not rim.any():
        return None
    around, within = (_sample(np.argwhere(part)) for part in (rim, hole & data))
    reaches = (min(side // 2, FARTHEST_PX) for side in (height, width))
    rows, cols = (np.arange(-reach, reach + 1, STEP_PX) for reach in reaches)
    shifts = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    good = data & ~hole
    costs = []
    for points, expected in ((around, values), (within, smooth)):
        places = points + shifts
        inside = ((places >= 0) & (places < (height, width))).all(axis=-1)
        at_row, at_col = np.clip(places[..., 0], 0, height - 1), np.clip(places[..., 1], 0, width - 1)
        held = inside & good[at_row, at_col]
        apart = np.abs(values[at_row, at_col] - expected[points[:, 0], points[:, 1]]).mean(axis=-1)
        mean = (apart * held).sum(axis=1) / np.maximum(held.sum(axis=1), 1)
        costs.append(np.where(held.mean(axis=1) >= 1 - UNKNOWN_SHARE, mean, np.inf))
    cost = costs[0] + CALM * costs[1]
    best = int(cost.argmin())
    return None if not np.isfinite(cost[best]) else (int(shifts[best, 0, 0]), int(shifts[best, 0, 1]))


def _evened(apart: Floats, rim: Flags) -> Floats:
    """Return a piece's differences (H, W, C) at the rim carried on over its place.

    Where they are large, something else stands there, such as a quay that the object lay at: that counts for little.
    """
    if not rim.any():
        return np.zeros_like(apart)
    size = np.abs(apart).mean(axis=-1)
    usual = max(2 * float(np.median(size[rim])), 1e-6)
    return fill(apart, (rim * np.exp(-((size / usual) ** 2))).astype(np.float32))


def _sample(points: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return at most ``SAMPLES`` points (N, 2), evenly taken."""
    return points[np.unique(np.linspace(0, len(points) - 1, min(len(points), SAMPLES)).astype(np.int64))]


def _shifted(image: Floats, shift: tuple[int, int]) -> Floats:
    """Return the image with each pixel from so many rows and columns further, 0 where there is none."""
    matrix = np.array([[1, 0, shift[1]], [0, 1, shift[0]]], np.float64)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    bands = [np.ascontiguousarray(band) for band in (np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None])]
    moved = [cv2.warpAffine(band, matrix, image.shape[1::-1], flags=flags) for band in bands]
    return np.asarray(np.stack(moved, axis=-1) if image.ndim == 3 else moved[0], np.float32)


def _roughness(values: Floats, rim: Flags, rng: np.random.Generator) -> Floats:
    """Return noise (H, W, C) as strong as that of the rim."""
    if not rim.any():
        return np.zeros_like(values)
    rough = values - cv2.GaussianBlur(values, (0, 0), 2.0).reshape(values.shape)
    spread = np.percentile(np.abs(rough[rim]), 60, axis=0) * 1.2
    noise = cv2.GaussianBlur(rng.standard_normal(values.shape[:2]).astype(np.float32), (0, 0), 0.7)
    return np.asarray((noise / max(float(noise.std()), 1e-6))[..., None] * spread, np.float32)
