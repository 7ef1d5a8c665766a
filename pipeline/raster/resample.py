"""Rows of a scene at another GSD, resampled by GDAL's warper from rows in memory.

A ``WarpedVRT`` would read the scene itself, in its own order and a block more than once, and does not work on scenes
without georeference. Feeding the warper from :class:`.rows.Rows` keeps "each block once" and works in pixels alone. A
pixel does not depend on which windows are cut: rows are made in fixed pieces, each with the kernel's margin above and
below, and the kernel's width is given instead of being guessed from the piece.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

from .grid import Target
from .rows import STEP_BYTES, Pixels, Rows, Spans, Valid

_RADIUS = {"nearest": 1, "average": 1, "bilinear": 1, "cubic": 2, "lanczos": 3}
"""Source pixels that a kernel uses on each side, at scale 1."""
# Any projected system does: source and result share it, so that only the pixel grids differ.
_PLANE = "EPSG:3857"
# GDAL takes a grid from (0, 0) with pixels of 1 for one without position, and warps nothing.
_ORIGIN = 1024.0


def margin(kernel: str, scale: float) -> int:
    """Return how many source pixels a kernel uses on each side, rounded up."""
    return math.ceil(_RADIUS[kernel] * max(1.0, scale)) + 1


class Resampler:
    """Fills rows of the target grid from a scene's rows."""

    def __init__(self, source: Rows, source_left: int, target: Target, left: int, kernel: str, step: int) -> None:
        """Prepare to resample.

        Args:
            source: The scene's rows.
            source_left: The scene's column that they begin with.
            target: The target grid.
            left: Its column that the filled rows begin with.
            kernel: Kernel as named in the configuration.
            step: Rows made at a time.
        """
        self.step = step
        self._source = source
        self._target = target
        self._lefts = (source_left, left)
        self._kernel = Resampling[kernel]
        self._margin = margin(kernel, target.scale_row)

    def fill(self, top: int, pixels: Pixels, valid: Valid | None, spans: Spans) -> None:
        """Write target rows from ``top`` (a step's start) on, step by step."""
        for start in range(0, len(pixels), self.step):
            part = slice(start, start + self.step)
            self._piece(top + start, pixels[part], None if valid is None else valid[part])

    def _piece(self, top: int, pixels: Pixels, valid: Valid | None) -> None:
        """Write the rows of one step; a pixel counts as valid if at least half of its kernel's weight is."""
        scale = self._target.scale_row
        low = max(math.floor(top * scale) - self._margin, 0)
        high = min(math.ceil((top + len(pixels)) * scale) + self._margin, self._source.height)
        high = self._source.end_of_step(high)
        source, mask = self._source.view(low, high, [(0, self._source.width)])
        if mask is not None and not mask.all():
            share = self._warp(mask[..., None].astype(np.float32), low, top, pixels.shape[:2])
            data = np.where(mask[..., None], source, 0).astype(np.float64 if source.dtype == np.float64 else np.float32)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(share > 0, self._warp(data, low, top, pixels.shape[:2]) / share, 0)
            pixels[:] = _cast(values, pixels.dtype)
            if valid is not None:
                valid[:] = share[..., 0] >= 0.5
            return
        pixels[:] = self._warp(source, low, top, pixels.shape[:2])
        if valid is not None:
            valid[:] = True

    def _warp(self, source: Pixels, low: int, top: int, shape: tuple[int, ...]) -> Pixels:
        """Return target rows (H, W, C) from ``top`` on, from source rows from ``low`` on, in the source's dtype."""
        down, along = self._target.scale_row, self._target.scale_col
        bands = np.ascontiguousarray(source.transpose(2, 0, 1))
        target: npt.NDArray[Any] = np.zeros((bands.shape[0], *shape), source.dtype)
        reproject(
            bands,
            target,
            src_transform=Affine(1, 0, _ORIGIN + self._lefts[0], 0, -1, _ORIGIN - low),
            src_crs=_PLANE,
            dst_transform=Affine(along, 0, _ORIGIN + self._lefts[1] * along, 0, -down, _ORIGIN - top * down),
            dst_crs=_PLANE,
            resampling=self._kernel,
            tolerance=0,
            # Else GDAL guesses the kernel's width from the window, which depends on where it is cut.
            XSCALE=1 / along,
            YSCALE=1 / down,
        )
        return target.transpose(1, 2, 0)


def _cast(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return values in another dtype, rounded and clipped where that is an integer."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.floor(values + 0.5), limits.min, limits.max)
    return values.astype(dtype)


def resampled_rows(source: Rows, source_left: int, target: Target, columns: tuple[int, int], kernel: str) -> Rows:
    """Return rows of a scene on its target grid, resampled from its own rows.

    Args:
        source: The scene's rows, of the columns that :func:`source_columns` names.
        source_left: The first of them.
        target: The target grid.
        columns: Range of its columns that the rows hold.
        kernel: Name of the kernel.
    """
    shape = (target.height, columns[1] - columns[0], source.bands)
    row_bytes = shape[1] * shape[2] * source.dtype.itemsize
    step = max(1, min(int(source.step / target.scale_row), STEP_BYTES // row_bytes))
    resampler = Resampler(source, source_left, target, columns[0], kernel, step)
    return Rows(resampler.fill, shape, str(source.dtype), step, source.masked, source.pool, source.workers)


def source_columns(target: Target, columns: tuple[int, int], width: int, kernel: str) -> tuple[int, int]:
    """Return the scene's columns, of ``width``, that columns of its target grid are computed from."""
    beside = margin(kernel, target.scale_col)
    first, last = (column * target.scale_col for column in columns)
    return max(math.floor(first) - beside, 0), min(math.ceil(last) + beside, width)
