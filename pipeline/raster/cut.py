"""Cut windows from a scene: one pass over its blocks, chips copied from memory.

The reader for many windows of one scene. Asking GDAL for each window alone decodes a block again for every window that
touches it, and pays tens of microseconds for each call; here both are paid once per block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from .gdal import SceneFile
from .grid import Target, Windows
from .resample import resampled_rows, source_columns
from .rows import SHARES, Pixels, Rows, Spans, Valid, block_height, joined, native_rows

PANEL_BYTES = 192 << 20
"""Pixels of one row of a scene's blocks that are in memory at a time."""
CHUNK_BYTES = 16 << 20
"""Chips that are yielded together."""


@dataclass(frozen=True)
class Cut:
    """Some chips of a scene.

    Attributes:
        windows: Positions (N,) of the chips in the windows that were asked for.
        chips: Chips (N, S, S, C) in the scene's dtype. Pixels outside the scene or without data hold the mean of the
            chip's other pixels, so that no network sees an edge or a -9999 that is not there; 0 where there are none.
            The array is reused for the next chips.
        valid: Share (N,) of each chip's pixels that lie in the scene and have data.
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
    """Cut windows of a scene, in the order of their rows, with memory that does not grow with it.

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
    grid = target or Target(scene.height, scene.width)
    most = max(1, CHUNK_BYTES // (size * size * len(scene.bands) * np.dtype(scene.dtype).itemsize))
    chips = np.empty((min(most, len(windows)), size, size, len(scene.bands)), scene.dtype)
    for panel, (first, last) in _panels(scene, windows, size, grid):
        with grid_rows(scene, grid, (first, last), kernel, workers, gdal) as rows:
            local = windows[panel] - (0, first)
            for inside, block in _blocks(rows, local, size):
                for start in range(0, len(inside), most):
                    positions = inside[start : start + most]
                    out = chips[: len(positions)]
                    yield Cut(panel[positions], out, _copy_shared(rows, block, local[positions], out))


@contextmanager
def grid_rows(
    scene: SceneFile,
    grid: Target,
    columns: tuple[int, int],
    kernel: str | None,
    workers: int,
    gdal: Mapping[str, str | int | bool],
) -> Iterator[Rows]:
    """Open the rows of a range of the target grid's columns.

    Raises:
        ValueError: If the grid is not the scene's own and no kernel was given.
    """
    if not grid.resampled:
        with native_rows(scene, columns, workers, **gdal) as rows:
            yield rows
        return
    if kernel is None:
        raise ValueError(f"scene {scene.scene_id} has another GSD and no resampling kernel was given")
    native = source_columns(grid, columns, scene.width, kernel)
    with native_rows(scene, native, workers, **gdal) as rows:
        yield resampled_rows(rows, native[0], grid, columns, kernel)


def panel_columns(scene: SceneFile, grid: Target, size: int) -> int:
    """Return how many columns of the target grid to read at a time: all, unless the scene is very wide.

    A row of deep blocks of a wide scene with many bands does not fit into memory. Such a scene is read panel by panel,
    and blocks that two panels share are read for both.
    """
    pixel = len(scene.bands) * np.dtype(scene.dtype).itemsize
    if scene.item is not None or scene.height * scene.width * pixel <= PANEL_BYTES:
        return grid.width
    fit = PANEL_BYTES // (block_height(scene) * pixel)
    return max(8 * size, int(fit / max(1.0, grid.scale_col)))


def _panels(
    scene: SceneFile, windows: Windows, size: int, grid: Target
) -> Iterator[tuple[npt.NDArray[np.int64], tuple[int, int]]]:
    """Yield windows (positions) and the range of columns in which they are cut; see :func:`panel_columns`."""
    widest = panel_columns(scene, grid, size)
    number = np.clip(windows[:, 1], 0, grid.width - 1) // widest
    for panel in np.unique(number):
        chosen = np.flatnonzero(number == panel)
        cols = windows[chosen, 1]
        first = min(max(int(cols.min()), 0), grid.width - 1)
        yield chosen, (first, max(first + 1, min(int(cols.max()) + size, grid.width)))


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
                valid = _strided(self.valid, corner, step, stop - start, size)
                share[start:stop] = valid.mean(axis=(1, 2))
                for partial in np.flatnonzero(share[start:stop] < 1):
                    _fill(out[start + partial], valid[partial])
        for outside in np.flatnonzero(~inside):
            share[outside] = self._pad(int(rows[outside]), int(cols[outside]), out[outside])
        return share

    def _pad(self, row: int, col: int, chip: Pixels) -> float:
        """Copy a window that crosses the scene's edge."""
        size = len(chip)
        valid = np.zeros((size, size), dtype=bool)
        low, high = max(row, 0), min(row + size, self.height)
        left, right = max(col, 0), min(col + size, self.pixels.shape[1])
        if low < high and left < right:
            source = slice(low - self.top, high - self.top), slice(left, right)
            target = slice(low - row, high - row), slice(left - col, right - col)
            chip[target] = self.pixels[source]
            valid[target] = True if self.valid is None else self.valid[source]
        _fill(chip, valid)
        return float(valid.mean())


def _fill(chip: Pixels, valid: Valid) -> None:
    """Set the invalid pixels of a chip (S, S, C) to the mean of the others."""
    mean = chip[valid].mean(axis=0, dtype=np.float64) if valid.any() else np.zeros(chip.shape[-1])
    chip[~valid] = np.rint(mean) if chip.dtype.kind in "iu" else mean


def _copy_shared(rows: Rows, block: _Block, windows: Windows, out: Pixels) -> npt.NDArray[np.float64]:
    """Copy windows with all workers, each a share of them."""
    if rows.pool is None:
        return block.copy(windows, out)
    edges = np.linspace(0, len(windows), min(len(windows), rows.workers * SHARES) + 1).astype(int)
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    return np.concatenate(list(rows.pool.map(lambda part: block.copy(windows[part], out[part]), parts)))


def _strided(array: Pixels, corner: tuple[int, int], step: int, count: int, size: int) -> Pixels:
    """Return ``count`` windows of ``array`` (R, W, ...), ``step`` columns apart, as a view (count, S, S, ...)."""
    base = array[corner[0] :, corner[1] :]
    row, col, *rest = base.strides
    return as_strided(base, (count, size, size, *base.shape[2:]), (step * col, row, col, *rest), writeable=False)


def _run(pixels: Pixels, corner: tuple[int, int], step: int, out: Pixels) -> None:
    """Copy windows of one row, ``step`` columns apart, from ``pixels`` (R, W, C) into ``out`` (N, S, S, C)."""
    count, size = out.shape[:2]
    pixel = pixels.itemsize * pixels.shape[2]
    line = pixels.shape[1] * pixel
    # A chip's line as one item: NumPy then copies lines in its inner loop, and not the bytes of one line.
    item = np.dtype((np.void, size * pixel))
    start = corner[0] * line + corner[1] * pixel
    lines = np.ndarray((count, size), item, pixels.data, start, (step * pixel, line))
    out.reshape(count, size, -1).view(item)[..., 0] = lines


def _runs(
    rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Yield ranges [start, stop) of windows inside, in one row and equally spaced: each range is copied at once."""
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
    """Yield rows that contain windows wholly, with the positions of these windows; every window comes once."""
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
    """Return the columns that windows starting at ``cols`` cover, as disjoint ranges inside the scene."""
    first = np.unique(cols)
    spans = np.stack([np.maximum(first, 0), np.minimum(first + size, width)], axis=1)
    return joined([(int(start), int(end)) for start, end in spans if end > start])
