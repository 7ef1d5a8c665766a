"""A scene's rows, read forwards once: a sliding buffer between the blocks on disk and the windows cut from memory.

A scene is read in *steps*: runs of whole block rows. The buffer keeps the rows that windows still need and no more, so
memory depends on a scene's width and not on its height, and no block is decoded twice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..utils.errors import InputError
from .gdal import SceneFile, alpha_band, open_scene, read_item, valid_mask

Pixels = npt.NDArray[Any]
"""Pixels (H, W, C)."""
Valid = npt.NDArray[np.bool_]
"""Which pixels (H, W) have data."""
Spans = Sequence[tuple[int, int]]
"""Column ranges [start, stop) that are wanted of some rows."""
Fill = Callable[[int, Pixels, "Valid | None", Spans], None]
"""Writes rows from the given one on into the arrays, as many as they hold, at least in the given column ranges."""

STEP_BYTES = 32 << 20
"""Pixels that one step reads: enough for many blocks, little enough to stay near the processor's caches."""
SHARES = 2
"""Pieces of a step for each worker: where one is held up, the others take over."""
_CACHE_BYTES = 32 << 20
"""GDAL's cache while a scene is read, whatever it is elsewhere: each block is read once, and small caches stay warm."""
# Decoding a PNG or JPEG from the middle starts at its top: a second handle would do the first one's work again.
_THREADED = ("GTiff", "COG")


class Rows:
    """Rows of a scene on some grid, buffered in a window that only moves down."""

    def __init__(
        self,
        fill: Fill,
        shape: tuple[int, int, int],
        dtype: str,
        step: int,
        masked: bool,
        pool: ThreadPoolExecutor | None = None,
        workers: int = 1,
    ) -> None:
        """Prepare to read.

        Args:
            fill: Reads rows; called for each row once, downwards, with whole steps (the last one may be shorter).
            shape: Height, width and bands of the grid.
            dtype: Type of the pixels.
            step: Rows of a step.
            masked: Whether pixels may be without data.
            pool: Threads that users of the rows may use too, or None.
            workers: How many they are.
        """
        self.pool = pool
        self.workers = workers
        self.height, self.width, self.bands = shape
        self.dtype = np.dtype(dtype)
        self.step = step
        self._fill = fill
        self.masked = masked
        self._pixels: Pixels = np.empty((0, self.width, self.bands), self.dtype)
        self._valid: Valid | None = np.empty((0, self.width), bool) if masked else None
        self._low = self._high = 0

    def end_of_step(self, row: int) -> int:
        """Return the end of the step that contains the row before ``row``."""
        return min(-(-row // self.step) * self.step, self.height)

    def view(self, low: int, high: int, spans: Spans) -> tuple[Pixels, Valid | None]:
        """Return rows ``low`` to ``high`` (a step's end); new ones are read at least in the columns of ``spans``.

        ``low`` must not be less than in an earlier call. Steps that lie wholly above ``low`` are never read.
        """
        if low >= self._high:
            self._low = self._high = low // self.step * self.step
        self._make_room(low, high)
        start, stop = self._high - self._low, high - self._low
        if stop > start:
            valid = None if self._valid is None else self._valid[start:stop]
            self._fill(self._high, self._pixels[start:stop], valid, spans)
            self._high = high
        part = slice(low - self._low, stop)
        return self._pixels[part], None if self._valid is None else self._valid[part]

    def _make_room(self, low: int, high: int) -> None:
        """Move the rows from ``low`` on to the buffer's start where those to ``high`` would not fit behind them."""
        if high - self._low <= len(self._pixels):
            return
        filled = self._high - self._low
        kept = slice(min(low - self._low, filled), filled)
        count = kept.stop - kept.start
        needed = count + high - self._high
        if needed > len(self._pixels):
            # No larger than needed: the same few megabytes, reused for each step, stay in the caches.
            pixels = np.empty((needed, self.width, self.bands), self.dtype)
            valid = np.empty((needed, self.width), bool) if self.masked else None
        else:
            pixels, valid = self._pixels, self._valid
        pixels[:count] = self._pixels[kept]
        if valid is not None and self._valid is not None:
            valid[:count] = self._valid[kept]
        self._pixels, self._valid, self._low = pixels, valid, self._low + kept.start


@dataclass(frozen=True)
class _Task:
    """A run of whole blocks to read: rows and columns, in pixels of the scene."""

    row: int
    stop: int
    col: int
    end: int


def block_height(scene: SceneFile) -> int:
    """Return the rows of a block of a raster file."""
    with open_scene(scene.path) as file:
        return int(min(file.block_shapes[0][0], file.height))


@contextmanager
def native_rows(
    scene: SceneFile, columns: tuple[int, int], workers: int = 1, **gdal: str | int | bool
) -> Iterator[Rows]:
    """Open the rows of a scene as they are on disk; each block is read once, by one of ``workers`` threads.

    Args:
        scene: The scene.
        columns: Range [start, stop) of its columns that the rows hold.
        workers: Threads, each with a handle of its own. PNG and JPEG are read by one.
        **gdal: Further GDAL options.

    Yields:
        The rows. Blocks outside the wanted columns are not read, and their part of a view is undefined.

    Raises:
        InputError: If the file is damaged.
    """
    left, right = columns
    shape = (scene.height, right - left, len(scene.bands))
    masked = scene.mask is not None or np.dtype(scene.dtype).kind == "f"
    if scene.item is not None:
        pixels, valid = read_item(scene)
        kept = slice(left, right)
        fill_from = _from_memory(pixels[:, kept], None if valid is None else valid[:, kept])
        yield Rows(fill_from, shape, scene.dtype, scene.height, masked)
        return
    with ExitStack() as stack:
        first = stack.enter_context(open_scene(scene.path, None, **({"GDAL_CACHEMAX": _CACHE_BYTES} | gdal)))
        workers = workers if first.driver in _THREADED else 1
        handles = [first, *(stack.enter_context(open_scene(scene.path, None, **gdal)) for _ in range(workers - 1))]
        pool = stack.enter_context(ThreadPoolExecutor(workers)) if workers > 1 else None
        block_height, block_width = first.block_shapes[0]
        row_bytes = block_height * (right - left) * len(scene.bands) * np.dtype(scene.dtype).itemsize
        step = block_height * max(1, STEP_BYTES // row_bytes)
        alpha = alpha_band(first) if scene.mask == "alpha" else None

        def read(handle: Any, task: _Task, top: int, pixels: Pixels, valid: Valid | None) -> None:
            rows, cols = slice(task.row - top, task.stop - top), slice(task.col - left, task.end - left)
            _read(handle, scene, alpha, task, pixels[rows, cols], None if valid is None else valid[rows, cols])

        def fill(top: int, pixels: Pixels, valid: Valid | None, spans: Spans) -> None:
            wanted = [(start + left, end + left) for start, end in spans]
            tasks = deque(_tasks((top, top + len(pixels)), columns, wanted, (block_height, block_width), workers))
            if pool is None:
                for task in tasks:
                    read(first, task, top, pixels, valid)
                return

            def work(handle: Any) -> None:
                while True:
                    try:
                        task = tasks.popleft()
                    except IndexError:
                        return
                    read(handle, task, top, pixels, valid)

            for future in [pool.submit(work, handle) for handle in handles]:
                future.result()

        yield Rows(fill, shape, scene.dtype, step, masked, pool, workers)


def _from_memory(pixels: Pixels, valid: Valid | None) -> Fill:
    def fill(top: int, into: Pixels, valid_into: Valid | None, spans: Spans) -> None:
        into[:] = pixels[top : top + len(into)]
        if valid_into is not None:
            valid_into[:] = True if valid is None else valid[top : top + len(into)]

    return fill


def _tasks(
    rows: tuple[int, int], columns: tuple[int, int], spans: Spans, block: tuple[int, int], workers: int
) -> Iterator[_Task]:
    """Yield runs of blocks that contain the wanted columns, in block order; enough of them for all workers.

    Args:
        rows: Range of the rows; begins with a block.
        columns: Range of the columns to stay in.
        spans: Wanted columns.
        block: Height and width of a block.
        workers: Workers that share them.
    """
    top, stop = rows
    block_height, block_width = block
    runs = joined([(start // block_width, -(-end // block_width)) for start, end in spans])
    blocks = sum(last - first for first, last in runs)
    deep = -(-(stop - top) // block_height)
    # One call for all rows where nobody has to share; GDAL goes through the blocks in their order itself.
    shares = workers * SHARES if workers > 1 else 1
    height = block_height * max(1, deep // shares)
    longest = blocks if deep >= shares else math.ceil(blocks * deep / shares)
    for row in range(top, stop, height):
        for first, last in runs:
            for start in range(first, last, longest):
                end = min(min(start + longest, last) * block_width, columns[1])
                yield _Task(row, min(row + height, stop), max(start * block_width, columns[0]), end)


def joined(runs: Spans) -> list[tuple[int, int]]:
    """Merge ranges, given in ascending order, that touch or overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _read(handle: Any, scene: SceneFile, alpha: int | None, task: _Task, pixels: Pixels, valid: Valid | None) -> None:
    """Read one task into ``pixels`` (rows, cols, C) and ``valid`` (rows, cols)."""
    window = Window(task.col, task.row, task.end - task.col, task.stop - task.row)
    given = None
    try:
        # A view with the bands first: GDAL writes pixel-interleaved, which spares a pass over the memory.
        handle.read(list(scene.bands), window=window, out=pixels.transpose(2, 0, 1))
        if alpha is not None:
            given = handle.read(alpha, window=window)
        elif scene.mask == "mask":
            given = handle.dataset_mask(window=window)
    except (RasterioError, ValueError, OSError) as error:
        raise InputError(
            f"{scene.path.name} cannot be read at row {task.row}, column {task.col} (truncated or damaged?); remove it"
            " from the scenes, or download it again"
        ) from error
    if valid is not None:
        mask = valid_mask(pixels, scene, given)
        valid[:] = True if mask is None else mask
