"""Slide the classifier over a scene, strip by strip, with most of the work where objects may be.

Each block of the scene is read once (see :mod:`satpipe.raster.rows`); a strip of its rows is scaled to the network's
range once, and windows are copied from it. Every second window, as on the black squares of a chessboard, is scored
first, then those beside a trace of an object. Each is scored in one orientation, and in more of them, up to all that
the classifier was calibrated with, as long as its score is not low. So low scores are rough, and high ones exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import as_strided
from scipy.ndimage import binary_dilation

from ...dataset.orientations import BY_FLIPS
from ...models.classifier import Classifier, softmax, summed_logits, to_tensor
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
"""Windows of a strip, at least, where the scene is high enough."""
ROWS_IN_STRIP = 8
"""Rows of windows in a strip, at least, so that most windows have their neighbours in the same strip."""
HOPELESS = 0.05
"""Windows of a lower score are left out."""
TRACE = 0.02
"""Score from which the windows beside are scored too."""
LOOKS = ((1, 0.1), (2, 0.2), (4, 0.3), (8, 0.0))
"""Numbers of orientations, and the mean's score below which no more are taken. Chosen on scenes of an unseen area:
detections were the same as with all windows in all orientations, for a fifth of the work (docs/benchmarks.md)."""
NEAR = 0.2
"""Share of a window's side that neighbours are apart at most if only every second one is scored first."""
BESIDE = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
"""The neighbours of a window, which is the middle."""


@dataclass(frozen=True)
class Seen:
    """Windows that may show an object.

    Attributes:
        windows: (N, 2) row and column of the upper left pixel on the scene's grid.
        probabilities: Calibrated class probabilities (N, K).
        scanned: How many windows were scored.
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

    def __call__(self, chips: Values) -> Floats:
        """Return calibrated probabilities (N, K) of chips (N, S, S, C) in [-1, 1].

        Those of chips with a low score are of fewer orientations than the classifier was calibrated with.
        """
        sums = np.zeros((len(chips), len(self.classifier.architecture.classes)), np.float32)
        probabilities = np.zeros(sums.shape)
        places, done = np.arange(len(chips)), 0
        for most, least in LOOKS:
            orientations = BY_FLIPS[done : min(most, self.classifier.orientations)]
            if not len(orientations) or not len(places):
                break
            done += len(orientations)
            some = chips if len(places) == len(chips) else chips[places]
            sums[places] += self._sums(some, orientations)
            probabilities[places] = softmax(sums[places] / done, self.classifier.temperature)
            places = places[1.0 - probabilities[places, 0] >= least]
        return probabilities

    def _sums(self, chips: Values, orientations: Sequence[int]) -> Values:
        """Return the logits (N, K) of chips, summed over orientations."""
        batches = [chips[start : start + BATCH] for start in range(0, len(chips), BATCH)]
        return np.concatenate(list(self.pool.map(lambda batch: self._sums_of_batch(batch, orientations), batches)))

    def _sums_of_batch(self, chips: Values, orientations: Sequence[int]) -> Values:
        with torch.inference_mode():
            batch = to_tensor(chips).to(self.device)
            logits: Values = summed_logits(self.classifier.network, batch, orientations).cpu().numpy()
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
    """Look for objects in all windows that lie inside a scene.

    What a window across the edge would have to be padded with was seen by no classifier, and looks like an object to
    some: on the tiles of docs/experiments.md half of the wrong detections were such windows.

    Args:
        scene: The scene.
        scorer: Scores chips.
        stride: Pixels of the scene's grid from one window to the next.
        min_valid: Windows with a smaller share of valid pixels are not scored.
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
            grid = np.stack(np.meshgrid(strip, cols_at, indexing="ij"), axis=-1)
            first = np.ones(grid.shape[:2], bool)
            if stride <= NEAR * size:
                first = np.add.outer(np.searchsorted(rows_at, strip), np.searchsorted(all_cols, cols_at)) % 2 == 0
            some, scores = _strip(canvas, scorer, grid, first, min_valid)
            scanned += len(some)
            good = 1.0 - scores[:, 0] >= HOPELESS
            windows.append(some[good])
            probabilities.append(scores[good])
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
    in_strip = max(ROWS_IN_STRIP, -(-IN_STRIP // len(cols_at)))
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


def _strip(
    canvas: Canvas, scorer: Scorer, grid: Windows, first: npt.NDArray[np.bool_], min_valid: float
) -> tuple[Windows, Floats]:
    """Score the windows of a strip that come first, and those beside traces of objects.

    Args:
        canvas: Where they are cut.
        scorer: Scores chips.
        grid: All windows of the strip (rows, columns, 2).
        first: Which of them (rows, columns) come first.
        min_valid: Windows with a smaller share of valid pixels are not scored.

    Returns:
        Windows (N, 2) that were scored, and their probabilities (N, K).
    """
    probabilities = np.zeros((*first.shape, len(scorer.classifier.architecture.classes)))
    probabilities[..., 0] = 1.0
    scored = np.zeros_like(first)
    probabilities[first], scored[first] = _scores(canvas, scorer, grid[first], min_valid)
    beside = binary_dilation(1.0 - probabilities[..., 0] >= TRACE, BESIDE) & ~first
    probabilities[beside], scored[beside] = _scores(canvas, scorer, grid[beside], min_valid)
    return grid[scored], probabilities[scored]


def _scores(canvas: Canvas, scorer: Scorer, windows: Windows, min_valid: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return probabilities (N, K) of windows (N, 2), and which (N,) are valid; the others are background."""
    size, classes = scorer.classifier.architecture.size_px, len(scorer.classifier.architecture.classes)
    probabilities, valid = np.zeros((len(windows), classes)), np.zeros(len(windows), bool)
    probabilities[:, 0] = 1.0
    # A few batches at a time, so that the copies stay small.
    for start in range(0, len(windows), PIECE):
        chips, share = canvas.cut(windows[start : start + PIECE], size)
        known = share >= min_valid
        places = start + np.flatnonzero(known)
        probabilities[places], valid[places] = scorer(chips if known.all() else chips[known]), True
    return probabilities, valid
