"""Cut windows from a scene: one pass over its blocks, chips copied from memory.

The reader for many windows of one scene. Asking GDAL for each window alone decodes a block again for every window that
touches it, and pays tens of microseconds for each call; here both are paid once per block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from ..raster import SceneFile
from .rows import Pixels, Rows, Spans, Valid, joined, native_rows, resampled_rows
from .target import Target
from .windows import Windows

CHUNK_BYTES = 16 << 20
"""Chips that are handed over together."""


@dataclass(frozen=True)
class Cut:
    """Some chips of a scene.

    Attributes:
        windows: Positions (N,) of the chips in the windows that were asked for.
        chips: Chips (N, S, S, C) in the scene's dtype. Pixels outside the scene or without data hold the mean of the
            chip's other pixels, so that nobody sees an edge or a -9999 that is not there; 0 where there are no others.
            The array is used again for the next ones.
        valid: Share (N,) of each chip's pixels that lie in the scene and hold data.
    """

    windows: npt.NDArray[np.int64]
    chips: Pixels
    valid: npt.NDArray[np.float64]


def cut(
    scene: SceneFile,
    windows: Windows,
    size: int,
    target: Target | None = None,
    kernel: str | None = None,
    workers: int = 1,
    **gdal: str | int | bool,
) -> Iterator[Cut]:
    """Cut windows of a scene, in the order of their rows, with memory that depends on its width alone.

    Args:
        scene: The scene.
        windows: Windows (N, 2) on the target grid; they may cross its edges.
        size: Side of a window.
        target: The target grid; None takes the scene's own.
        kernel: Resampling kernel; only used where the grids differ.
        workers: Threads that read, each with a handle of its own.
        **gdal: Further GDAL options.

    Yields:
        Chips, up to `CHUNK_BYTES` at a time.

    Raises:
        InputError: If the scene is damaged.
    """
    with native_rows(scene, workers, **gdal) as rows:
        if target is not None and target.resampled:
            assert kernel is not None, "a scene of another GSD needs a kernel"
            rows = resampled_rows(rows, target, kernel)
        chip_bytes = size * size * rows.bands * rows.dtype.itemsize
        most = max(1, CHUNK_BYTES // chip_bytes)
        chips = np.empty((min(most, len(windows)), size, size, rows.bands), rows.dtype)
        for chosen, block in _blocks(rows, windows, size):
            for start in range(0, len(chosen), most):
                part = chosen[start : start + most]
                yield Cut(part, chips[: len(part)], block.copy(windows[part], chips[: len(part)]))


def cut_all(
    scene: SceneFile, windows: Windows, size: int, out: Pixels | None = None, workers: int = 1, **gdal: str | int | bool
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Cut all windows of a scene into memory.

    Returns:
        Chips (N, S, S, C) in the order of the windows, and the valid share (N,) of each.
    """
    valid = np.zeros(len(windows))
    with native_rows(scene, workers, **gdal) as rows:
        if out is None:
            out = np.empty((len(windows), size, size, rows.bands), rows.dtype)
        for chosen, block in _blocks(rows, windows, size):
            if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1 and (np.diff(chosen) == 1).all():
                valid[chosen] = block.copy(windows[chosen], out[chosen[0] : chosen[-1] + 1])
            else:
                for position in chosen:
                    valid[position] = block.copy(windows[position : position + 1], out[position : position + 1])[0]
    return out, valid


@dataclass(frozen=True)
class _Block:
    """Rows in memory, from which windows are copied.

    Attributes:
        top: The first row's number.
        height: Rows of the whole scene.
        pixels: Rows (R, W, C).
        valid: Which pixels (R, W) hold data, or None where all do.
    """

    top: int
    height: int
    pixels: Pixels
    valid: Valid | None

    def copy(self, windows: Windows, out: Pixels) -> npt.NDArray[np.float64]:
        """Copy windows (N, 2) into ``out`` (N, S, S, C) and return the valid share (N,) of each."""
        size = out.shape[1]
        share = np.ones(len(windows))
        rows, cols = windows[:, 0], windows[:, 1]
        inside = (rows >= 0) & (cols >= 0) & (rows + size <= self.height) & (cols + size <= self.pixels.shape[1])
        for start, stop in _runs(rows, cols, inside):
            step = int(cols[start + 1] - cols[start]) if stop - start > 1 else 0
            corner = (int(rows[start]) - self.top, int(cols[start]))
            _run(self.pixels, corner, step, out[start:stop])
            if self.valid is not None:
                known = _strided(self.valid, corner, step, stop - start, size)
                share[start:stop] = known.mean(axis=(1, 2))
                for partial in np.flatnonzero(share[start:stop] < 1):
                    _fill(out[start + partial], known[partial])
        for outside in np.flatnonzero(~inside):
            share[outside] = self._pad(int(rows[outside]), int(cols[outside]), out[outside])
        return share

    def _pad(self, row: int, col: int, chip: Pixels) -> float:
        """Copy a window that crosses the scene's edge."""
        size = len(chip)
        known = np.zeros((size, size), dtype=bool)
        low, high = max(row, 0), min(row + size, self.height)
        left, right = max(col, 0), min(col + size, self.pixels.shape[1])
        if low < high and left < right:
            here = slice(low - self.top, high - self.top), slice(left, right)
            there = slice(low - row, high - row), slice(left - col, right - col)
            chip[there] = self.pixels[here]
            known[there] = True if self.valid is None else self.valid[here]
        _fill(chip, known)
        return float(known.mean())


def _fill(chip: Pixels, known: Valid) -> None:
    """Give the pixels of a chip (S, S, C) that are not known the mean of the others."""
    mean = chip[known].mean(axis=0, dtype=np.float64) if known.any() else np.zeros(chip.shape[-1])
    chip[~known] = np.rint(mean) if chip.dtype.kind in "iu" else mean


def _strided(array: Pixels, corner: tuple[int, int], step: int, count: int, size: int) -> Pixels:
    """``count`` windows of ``array`` (R, W, ...) side by side, ``step`` columns apart, as a view (count, S, S, ...)."""
    base = array[corner[0] :, corner[1] :]
    row, col, *rest = base.strides
    return as_strided(base, (count, size, size, *base.shape[2:]), (step * col, row, col, *rest), writeable=False)


def _run(pixels: Pixels, corner: tuple[int, int], step: int, out: Pixels) -> None:
    """Copy windows of one row, ``step`` columns apart, into ``out`` (N, S, S, C)."""
    out[:] = _strided(pixels, corner, step, len(out), out.shape[1])


def _runs(
    rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Ranges [start, stop) of windows that lie inside, in one row, equally far apart: each is copied at once."""
    count = len(rows)
    start = 0
    joins = np.zeros(count, dtype=bool)
    if count > 1:
        joins[1:] = (np.diff(rows) == 0) & (np.diff(cols) > 0) & inside[1:] & inside[:-1]
    steps = np.diff(cols, prepend=cols[:1])
    even = np.zeros(count, dtype=bool)
    if count > 2:
        even[2:] = steps[2:] == steps[1:-1]
    while start < count:
        stop = start + 1
        if stop < count and joins[stop]:
            stop += 1
            while stop < count and joins[stop] and even[stop]:
                stop += 1
        if inside[start]:
            yield start, stop
        start = stop


def _blocks(rows: Rows, windows: Windows, size: int) -> Iterator[tuple[npt.NDArray[np.int64], _Block]]:
    """Rows that hold windows wholly, with the positions of these windows; every window comes once."""
    order = np.lexsort((windows[:, 1], windows[:, 0]))
    low = np.clip(windows[order, 0], 0, rows.height - 1)
    high = np.clip(windows[order, 0] + size, 1, rows.height)
    start = 0
    while start < len(order):
        end = rows.end_of_step(int(high[start]))
        stop = int(np.searchsorted(high, end, side="right"))
        top = int(low[start])
        touched = windows[order[start : int(np.searchsorted(low, end, side="left"))], 1]
        pixels, valid = rows.view(top, end, _spans(touched, size, rows.width))
        yield order[start:stop], _Block(top, rows.height, pixels, valid)
        start = stop


def _spans(cols: npt.NDArray[np.int64], size: int, width: int) -> Spans:
    """The columns that windows from ``cols`` on cover, as disjoint ranges inside the scene."""
    first = np.unique(cols)
    spans = np.stack([np.maximum(first, 0), np.minimum(first + size, width)], axis=1)
    return joined([(int(start), int(end)) for start, end in spans if end > start])
