"""Windows to cut from a scene: geometry and seeded draws, no input or output.

All coordinates are (row, col) pixels of the *target grid*: the scene at the chips' GSD (see :mod:`.target`), rows
downwards from the upper edge. A window is named by its upper left pixel, may start at a negative one, and is
``size_px`` high and wide. A box is ``(row_min, col_min, row_max, col_max)`` in pixel edges, half open.

Whether a background window is valid or textured is known only when its pixels are. The planner stays free of pixels
by planning *slots*: each wants one chip and names a few candidate windows in a drawn order; the reader, which passes
every block of the scene once, keeps the first valid candidate or the most textured one. So one pass over the scene is
enough, memory does not grow with the number of candidates, and the same seed gives the same chips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...raster.grid import Windows

Boxes = npt.NDArray[np.float64]
"""Boxes (N, 4): row_min, col_min, row_max, col_max."""

NEAR_MISS_VISIBLE = (0.1, 0.5)
"""A near miss shows at least, and less than, these shares of an object's box."""
_PHASES = 8
_NEAR_MISS_TRIES = 20


def starts(length: int, size: int, stride: int) -> npt.NDArray[np.int64]:
    """Return the first pixels of windows of ``size`` at ``stride`` that cover ``length`` pixels to the last one.

    There are ``ceil((length - size) / stride) + 1``: the ceiling, because the pixels that a floor leaves over at the
    far edge still need a window. That last window is moved back inside instead of being padded, so it overlaps its
    neighbour by more than the others. A ``length`` shorter than ``size`` gets one window from 0, to be padded.

    Raises:
        ValueError: If a length is not positive, or the stride leaves gaps (is larger than ``size``).
    """
    if length < 1 or size < 1 or stride < 1:
        raise ValueError(f"length {length}, size {size} and stride {stride} must be positive")
    if stride > size:
        raise ValueError(f"stride {stride} is larger than the window of {size}: pixels between windows would be lost")
    if length <= size:
        return np.zeros(1, np.int64)
    count = -(-(length - size) // stride) + 1
    first: npt.NDArray[np.int64] = np.minimum(np.arange(count, dtype=np.int64) * stride, length - size)
    return first


def grid(height: int, width: int, size: int, stride: int) -> Windows:
    """Lay windows in row-major order that together hold every pixel of a scene; see :func:`starts`."""
    rows, cols = starts(height, size, stride), starts(width, size, stride)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def centred(boxes: Boxes, size: int, shape: tuple[int, int], offsets: Windows | None = None, shift: int = 0) -> Windows:
    """Centre windows on boxes, half a pixel up and left where the centre is not on a whole pixel.

    Args:
        boxes: Boxes (N, 4).
        size: Side of the window.
        shape: Height and width of the scene.
        offsets: Jitter (N, 2), added to each window.
        shift: A window that crosses the scene's edge is moved inside by at most this many pixels; what still crosses
            is left to padding.
    """
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    windows = np.floor(middle - size / 2 + 0.5).astype(np.int64)
    if offsets is not None:
        windows = windows + offsets
    last = np.maximum(np.asarray(shape, np.int64) - size, 0)
    inside: Windows = np.clip(np.clip(windows, 0, last), windows - shift, windows + shift)
    return inside


def jitter(rng: np.random.Generator, most: int) -> Windows:
    """Draw one offset (2,), each coordinate uniform in ``-most`` to ``most``."""
    offset: Windows = rng.integers(-most, most + 1, 2)
    return offset


def grown(boxes: Boxes, margin: float) -> Boxes:
    """Grow boxes by a margin on each side."""
    larger: Boxes = boxes + np.array([-margin, -margin, margin, margin])
    return larger


def most_visible(windows: Windows, boxes: Boxes, size: int) -> npt.NDArray[np.float64]:
    """Return the largest share (N,) of any box's area that each window holds; 0 without boxes.

    A box without extent (a point) counts as held wholly by a window that contains it.
    """
    most = np.zeros(len(windows))
    # A box at a time: (N, M) at once would not fit for a scene with thousands of both.
    for box in boxes:
        sides = np.minimum(windows + size, box[2:]) - np.maximum(windows, box[:2])
        extent = box[2:] - box[:2]
        share = np.where(extent > 0, np.clip(sides, 0, None) / np.where(extent > 0, extent, 1), sides >= 0)
        np.maximum(most, share.prod(axis=1), out=most)
    return most


def touches(windows: Windows, boxes: Boxes, size: int) -> npt.NDArray[np.bool_]:
    """Return whether each window (N,) overlaps any of the boxes; sharing an edge is no overlap."""
    hit = np.zeros(len(windows), dtype=bool)
    for row_min, col_min, row_max, col_max in boxes:
        rows = (windows[:, 0] < row_max) & (windows[:, 0] + size > row_min)
        hit |= rows & (windows[:, 1] < col_max) & (windows[:, 1] + size > col_min)
    return hit


def shares(areas: npt.ArrayLike, total: int) -> npt.NDArray[np.int64]:
    """Divide ``total`` in proportion to ``areas``, into whole numbers that sum to it (largest remainders).

    Ties go to the earlier one. Without any area everything is zero.
    """
    weight = np.asarray(areas, np.float64)
    if not weight.sum():
        return np.zeros(len(weight), np.int64)
    exact = weight / weight.sum() * total
    whole: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - whole), kind="stable")[: total - int(whole.sum())]
    whole[rest] += 1
    return whole


def dither(count: int, share: float, phase: float) -> npt.NDArray[np.bool_]:
    """Choose which of ``count`` slots belong to a ``share`` of them, spread evenly.

    Slot i belongs where ``floor((i + 1) * share + phase)`` steps up. A random ``phase`` per scene makes the share true
    on average also for scenes with one slot, and more slots leave the earlier ones as they were.
    """
    steps = np.floor(np.arange(count + 1) * share + phase)
    belongs: npt.NDArray[np.bool_] = np.diff(steps) > 0
    return belongs


def free_windows(shape: tuple[int, int], size: int, avoid: Boxes, wanted: int, rng: np.random.Generator) -> Windows:
    """Draw at least ``wanted`` windows inside the scene that touch no box of ``avoid``, or return all there are.

    They are the cells of a grid at a drawn offset, in a drawn order, so that windows of one offset do not overlap;
    where one offset does not hold enough, further offsets follow (up to eight), which also reach between boxes that a
    single offset would lock. Empty if the scene is smaller than a window.
    """
    room = np.asarray(shape, np.int64) - size
    windows: list[Windows] = []
    if wanted < 1 or (room < 0).any():
        return np.zeros((0, 2), np.int64)
    visited: set[tuple[int, int]] = set()
    for _ in range(_PHASES):
        offset = rng.integers(0, np.minimum(room, size - 1) + 1)
        rows, cols = (np.arange(first, last + 1, size) for first, last in zip(offset, room, strict=True))
        cells = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
        cells = rng.permutation(cells[~touches(cells, avoid, size)])
        cells = cells[[(int(row), int(col)) not in visited for row, col in cells]] if visited else cells
        visited.update((int(row), int(col)) for row, col in cells)
        windows.append(cells)
        if len(visited) >= wanted:
            break
    return np.concatenate(windows)


def near_misses(shape: tuple[int, int], size: int, objects: Boxes, wanted: int, rng: np.random.Generator) -> Windows:
    """Draw up to ``wanted`` windows inside the scene that hold part of an object; see `NEAR_MISS_VISIBLE`."""
    room = np.asarray(shape, np.int64) - size
    if wanted < 1 or not len(objects) or (room < 0).any():
        return np.zeros((0, 2), np.int64)
    low, high = NEAR_MISS_VISIBLE
    chosen = objects[rng.integers(0, len(objects), wanted * _NEAR_MISS_TRIES)]
    span = (chosen[:, 2:] - chosen[:, :2] + size) / 2
    middle = (chosen[:, :2] + chosen[:, 2:] - size) / 2
    windows: Windows = np.rint(middle + rng.uniform(-1, 1, middle.shape) * span).astype(np.int64)
    windows = windows[((windows >= 0) & (windows <= room)).all(axis=1)]
    share = most_visible(windows, objects, size)
    windows = windows[(share >= low) & (share < high)]
    _, first = np.unique(windows, axis=0, return_index=True)
    chosen_windows: Windows = windows[np.sort(first)][:wanted]
    return chosen_windows


@dataclass(frozen=True)
class Slots:
    """Background chips wanted from one scene, each with its candidates.

    Attributes:
        windows: Candidate windows (N, 2), grouped by slot, in the order of preference within a slot.
        slot: Slot number (N,) of each candidate, from 0.
        rank: Preference (N,) of each candidate within its slot, from 0.
        kind: Per slot: ``random`` and ``near_miss`` take the first valid candidate, ``textured`` the most textured.
        missing: Slots that the scene has no room for.
    """

    windows: Windows
    slot: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int64]
    kind: tuple[str, ...]
    missing: int


@dataclass(frozen=True)
class Policy:
    """Settings for drawing background chips; see ``NegativesConfig`` for what each value means."""

    textured_share: float
    near_miss_share: float
    candidates: int
    margin_px: float


def background_slots(
    shape: tuple[int, int], size: int, objects: Boxes, count: int, policy: Policy, rng: np.random.Generator
) -> Slots:
    """Draw the background slots of one scene.

    Near misses come first out of ``count``; where a scene has too few of them, random windows take their place.

    Args:
        shape: Height and width of the scene on the target grid.
        size: Side of a window.
        objects: Boxes of the objects that a background window must not hold.
        count: How many background chips are wanted.
        policy: Shares and margin.
        rng: Generator seeded for this scene.
    """
    # A stream for each purpose: how much one draws does not move the others.
    phases, for_misses, for_free = rng.spawn(3)
    near = dither(count, policy.near_miss_share, phases.random())
    textured = dither(
        int((~near).sum()), policy.textured_share / max(1 - policy.near_miss_share, 1e-9), phases.random()
    )
    misses = near_misses(shape, size, objects, int(near.sum()), for_misses)
    others = count - len(misses)
    free = free_windows(shape, size, grown(objects, policy.margin_px), others * policy.candidates, for_free)
    filled = min(others, len(free))
    kinds = ["textured" if flag else "random" for flag in textured] + ["random"] * (int(near.sum()) - len(misses))
    free = free[: filled * policy.candidates]
    # Dealt like cards: the first round gives every slot a candidate, the next one a second.
    rank, slot = np.divmod(np.arange(len(free)), max(filled, 1))
    order = np.argsort(slot, kind="stable")
    return Slots(
        windows=np.concatenate([misses, free[order]]),
        slot=np.concatenate([np.arange(len(misses)), slot[order] + len(misses)]),
        rank=np.concatenate([np.zeros(len(misses), np.int64), rank[order]]),
        kind=("near_miss",) * len(misses) + tuple(kinds[:filled]),
        missing=others - filled,
    )
