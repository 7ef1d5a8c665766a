"""Nearest training chip of a synthetic chip, by the correlation of pixels over the eight orientations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....dataset.orientations import ORIENTATIONS, oriented

Chips = npt.NDArray[np.generic]
SIDE_PX = 16
"""Chips are averaged down to about this side before they are compared: a copy is a copy at a quarter of the detail."""


def reduced(chips: Chips) -> npt.NDArray[np.float32]:
    """Reduce chips (N, H, W, C) to small grey pictures (N, S, S) of mean 0 and length 1; flat ones become zero."""
    grey = np.nan_to_num(chips.astype(np.float32)).mean(axis=3)
    factor = max(1, grey.shape[1] // SIDE_PX)
    side = grey.shape[1] // factor
    cut = grey[:, : side * factor, : side * factor]
    small = cut.reshape(len(cut), side, factor, side, factor).mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(small).sum(axis=(1, 2), keepdims=True))
    scaled: npt.NDArray[np.float32] = np.zeros_like(small)
    np.divide(small, length, out=scaled, where=length > 1e-6)
    return scaled


def nearest(synthetic: Chips, real: Chips) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the nearest real chip (N, H, W, C) of each synthetic one (M, H, W, C): position and correlation."""
    references = reduced(real).reshape(len(real), -1).T
    best = np.full(len(synthetic), -2.0, dtype=np.float32)
    where = np.zeros(len(synthetic), dtype=np.int64)
    small = reduced(synthetic)
    for number in range(ORIENTATIONS):
        correlation = oriented(small, number).reshape(len(small), -1) @ references
        closest = correlation.argmax(axis=1)
        value = correlation[np.arange(len(small)), closest]
        better = value > best
        best[better], where[better] = value[better], closest[better]
    return where, best
