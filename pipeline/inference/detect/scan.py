"""Slide the classifier over a scene, strip by strip: a quick scan everywhere, a close one where it may pay.

Each block of the scene is read once (see :mod:`satpipe.raster.rows`); a strip of its rows is scaled to the network's
range once, and windows are copied from it. The first scan takes each window in one orientation. Windows whose score is
not hopeless are scored in all orientations, as the classifier was calibrated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import as_strided

from ...dataset.orientations import BY_FLIPS
from ...models.classifier import Classifier, oriented, softmax, to_tensor
from ...raster.cut import grid_rows, panel_columns
from ...stages.chips.windows import starts
from .scenes import Scene

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]

BATCH = 64
"""Windows of one forward pass; fixed, because the last bits of a score depend on it."""
PIECE = 8 * BATCH
"""Windows that are copied at a time."""
IN_STRIP = 512
"""Windows of a strip's first scan, at least, where the scene is high enough."""
HOPELESS = 0.05
"""Score of the first scan below which a window is not scanned again."""


@dataclass(frozen=True)
class Seen:
    """Windows that were scanned at closely.

    Attributes:
        windows: (N, 2) row and column of the upper left pixel on the scene's grid.
        probabilities: Calibrated class probabilities (N, K).
        scanned: How many windows the first scan took.
    """

    windows: Windows
    probabilities: Floats
    scanned: int


@dataclass(frozen=True)
class Canvas:
    """A part of a scene in the network's range.

    Attributes:
        row: Row of the first line on the scene's grid.
        col: Column of the first pixel.
        values: (H, W, C) float32 in [-1, 1].
        valid: Which pixels (H, W) hold data, or None where all do.
    """

    row: int
    col: int
    values: Values
    valid: npt.NDArray[np.bool_] | None

    def cut(self, windows: Windows, size: int) -> tuple[Values, Floats]:
        """Cut windows (N, 2) into chips (N, S, S, C), with the share (N,) of each that is known.

        What is not known has the mean of what is, as in chips that are cut for training.
        """
        rows, cols = windows[:, 0] - self.row, windows[:, 1] - self.col
        chips = _views(self.values, size)[rows, cols]
        share = np.ones(len(windows))
        if self.valid is not None:
            held = _views(self.valid, size)[rows, cols]
            share = held.mean(axis=(1, 2), dtype=np.float64)
            for place in np.flatnonzero((share > 0) & (share < 1)):
                chips[place][~held[place]] = chips[place][held[place]].mean(axis=0)
        return chips, share


def _views(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """View every window of an array (H, W, ...), as (H - S + 1, W - S + 1, S, S, ...)."""
    height, width, *rest = array.shape
    row, col, *more = array.strides
    shape = (height - size + 1, width - size + 1, size, size, *rest)
    return as_strided(array, shape, (row, col, row, col, *more), writeable=False)


class Scorer:
    """Scores chips with several threads, in batches of a fixed size."""

    def __init__(self, classifier: Classifier, pool: ThreadPoolExecutor) -> None:
        """Score with ``classifier`` in the threads of ``pool``."""
        self.classifier = classifier
        self.pool = pool
        self.device = next(classifier.network.parameters()).device

    def __call__(self, chips: Values, orientations: int) -> Floats:
        """Return calibrated probabilities (N, K) of chips (N, S, S, C) in [-1, 1]."""
        batches = [chips[start : start + BATCH] for start in range(0, len(chips), BATCH)]
        logits = list(self.pool.map(lambda batch: self._logits(batch, orientations), batches))
        classes = len(self.classifier.architecture.classes)
        joined = np.concatenate(logits) if logits else np.zeros((0, classes), np.float32)
        return softmax(joined, self.classifier.temperature)

    def _logits(self, chips: Values, orientations: int) -> Values:
        with torch.inference_mode():
            batch = to_tensor(chips).to(self.device)
            each = [self.classifier.network(oriented(batch, number)).float() for number in BY_FLIPS[:orientations]]
            logits: Values = torch.stack(each).mean(dim=0).cpu().numpy()
        return logits


Show = Callable[[int, int, Values], None]
"""Receives the scene's pixels in the network's range as they are read: first row, first column, values (H, W, C)."""


def scan(
    scene: Scene,
    scorer: Scorer,
    stride: int,
    min_valid: float,
    workers: int,
    show: Show,
    tick: Callable[[float, float], None],
) -> Seen:
    """Look at all windows that lie inside a scene.

    What a window across the edge would have to be padded with was seen by no classifier, and looks like an object to
    some: on the tiles of docs/experiments.md half of the wrong detections were such windows.

    Args:
        scene: The scene.
        scorer: Scores chips.
        stride: Pixels of the scene's grid from one window of the first scan to the next.
        min_valid: Windows with a smaller share of valid pixels are not scanned at.
        workers: Threads that read.
        show: Is given each pixel once, unless the scene is so wide that it is read in panels.
        tick: Told which part of the scene is done, of 1.

    Raises:
        InputError: If the scene is damaged.
    """
    size = scorer.classifier.architecture.size_px
    if min(scene.grid.height, scene.grid.width) < size:
        return Seen(np.zeros((0, 2), np.int64), np.zeros((0, len(scorer.classifier.architecture.classes))), 0)
    rows_at = starts(scene.grid.height, size, stride)
    all_cols = starts(scene.grid.width, size, stride)
    panels = np.array_split(all_cols, -(-scene.grid.width // panel_columns(scene.file, scene.grid, size)))
    windows, probabilities, scanned = [], [], 0
    for number, cols_at in enumerate(panels):
        for place, (canvas, strip) in enumerate(_canvases(scene, scorer, rows_at, cols_at, workers, show)):
            quick = np.stack(np.meshgrid(strip, cols_at, indexing="ij"), axis=-1).reshape(-1, 2)
            for some, scores, count in _closer(canvas, scorer, quick, min_valid):
                scanned += count
                windows.append(some)
                probabilities.append(scores)
            tick(number + (place + 1) * len(strip) / len(rows_at), len(panels))
    tick(len(panels), len(panels))
    return Seen(np.concatenate(windows), np.concatenate(probabilities), scanned)


def _canvases(
    scene: Scene,
    scorer: Scorer,
    rows_at: npt.NDArray[np.int64],
    cols_at: npt.NDArray[np.int64],
    workers: int,
    show: Show,
) -> Iterator[tuple[Canvas, npt.NDArray[np.int64]]]:
    """Yield a canvas for each strip of windows, with the rows at which they begin."""
    size = scorer.classifier.architecture.size_px
    grid, scaling = scene.grid, scorer.classifier.scaling
    columns = int(cols_at[0]), int(cols_at[-1]) + size
    in_strip = max(1, -(-IN_STRIP // len(cols_at)))
    shown = 0
    with grid_rows(scene.file, grid, columns, scene.kernel, workers, {}) as rows:
        for start in range(0, len(rows_at), in_strip):
            strip = rows_at[start : start + in_strip]
            low, high = int(strip[0]), int(strip[-1]) + size
            pixels, valid = rows.view(low, rows.end_of_step(high), [(0, rows.width)])
            values = scaling.apply(pixels[: high - low])
            show(shown, columns[0], values[shown - low :])
            shown = high
            valid_rows = None if valid is None or valid[: high - low].all() else valid[: high - low]
            yield Canvas(low, columns[0], values, valid_rows), strip


def _closer(canvas: Canvas, scorer: Scorer, quick: Windows, min_valid: float) -> Iterator[tuple[Windows, Floats, int]]:
    """Yield the windows that are not hopeless with their probabilities, and how many were scored, piece by piece."""
    size = scorer.classifier.architecture.size_px
    # A few batches at a time, so that the copies stay small.
    for start in range(0, len(quick), PIECE):
        some = quick[start : start + PIECE]
        chips, share = canvas.cut(some, size)
        some, chips = some[share >= min_valid], chips[share >= min_valid]
        promising = 1.0 - scorer(chips, 1)[:, 0] >= HOPELESS
        yield some[promising], scorer(chips[promising], scorer.classifier.orientations), len(some)
