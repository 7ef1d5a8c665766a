"""Objects as pixels of a scene, and their blending into its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....composition.compose import as_dtype
from ....composition.layers import FAINT, Floats, from_canvas, warp
from ....composition.pose import Alpha
from ....raster.grid import Target
from .objects import SceneObject

FINEST = 4
"""Fineness at which an object is drawn before it is averaged to a scene's pixels, at most."""


@dataclass(frozen=True)
class Patch:
    """An object in a scene's own pixels.

    Attributes:
        row: Row of the upper left pixel.
        col: Its column.
        bands: (H, W, C), premultiplied, in chip values.
        alpha: (H, W); 0 where the scene shows alone.
    """

    row: int
    col: int
    bands: Floats
    alpha: Alpha

    @property
    def stop(self) -> tuple[int, int]:
        """Return the row and column after the last ones."""
        return self.row + self.alpha.shape[0], self.col + self.alpha.shape[1]


def render(item: SceneObject, centre: tuple[float, float], grid: Target) -> Patch:
    """Draw an object in a scene's own pixels.

    Args:
        item: The object.
        centre: Row and column of its centre on the generator's grid.
        grid: The scene's grid at the generator's GSD.
    """
    canvas = item.layer.shape[0], item.layer.shape[1]
    down, along = grid.scale_row, grid.scale_col
    reach = math.hypot(*canvas) / 2 * item.scale
    top, bottom = (math.floor((centre[0] + side * reach) * down) for side in (-1, 1))
    left, right = (math.floor((centre[1] + side * reach) * along) for side in (-1, 1))
    # Pixels coarser than the layer's average it.
    fine = int(np.clip(math.ceil(1 / (item.scale * min(down, along))), 1, FINEST))
    shape = (bottom - top + 1) * fine, (right - left + 1) * fine
    to_canvas = from_canvas(*centre, item.angle, item.scale, item.mirrored, canvas)
    to_grid = np.array(
        [
            [1 / (along * fine), 0, (left + 0.5 / fine) / along - 0.5],
            [0, 1 / (down * fine), (top + 0.5 / fine) / down - 0.5],
            [0, 0, 1],
        ]
    )
    drawn = warp(item.layer, to_canvas @ to_grid, shape)
    if fine > 1:
        drawn = drawn.reshape(shape[0] // fine, fine, shape[1] // fine, fine, -1).mean(axis=(1, 3))
    alpha = np.clip(drawn[..., -1], 0, 1)
    alpha[alpha < FAINT] = 0
    rows, cols = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return Patch(top, left, drawn[:0, :0, :-1], alpha[:0, :0])
    inside = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    return Patch(top + int(rows[0]), left + int(cols[0]), drawn[inside][..., :-1], alpha[inside])


def blend(
    pixels: npt.NDArray[np.generic], row: int, col: int, patch: Patch, bands: Sequence[int], nodata: float | None
) -> None:
    """Blend an object into a window of a scene, in place; pixels that it does not touch stay as they are.

    Args:
        pixels: (C, H, W), all bands of the scene.
        row: Row of the window's upper left pixel.
        col: Its column.
        patch: The object; it may lie partly or wholly outside the window.
        bands: The bands, from 1, that the object has.
        nodata: Value of pixels without data, which no pixel of an object may have in all of its bands.
    """
    height, width = pixels.shape[1:]
    top, left = max(patch.row, row), max(patch.col, col)
    bottom, right = min(patch.stop[0], row + height), min(patch.stop[1], col + width)
    if top >= bottom or left >= right:
        return
    own = slice(top - patch.row, bottom - patch.row), slice(left - patch.col, right - patch.col)
    alpha = patch.alpha[own]
    shown = alpha > 0
    rows, cols = np.nonzero(shown)
    places = np.array(bands)[:, None] - 1, rows + (top - row), cols + (left - col)
    ground = np.nan_to_num(pixels[places].astype(np.float32))
    values = as_dtype(ground * (1 - alpha[shown]) + patch.bands[own][shown].T, pixels.dtype)
    if nodata is not None and not math.isnan(nodata):
        empty = (values == values.dtype.type(nodata)).all(axis=0)
        values[0, empty] += values.dtype.type(1 if nodata <= 0 else -1)
    pixels[places] = values
