"""Most similar descriptors of other scenes, in less than quadratic time.

An inverted file (Sivic and Zisserman, "Video Google", 2003): k-means divides the space of descriptors into about as
many cells as the root of their number, and a descriptor is compared with those of the cells nearest to it. Descriptors
are compared as RootSIFT (Arandjelovic and Zisserman, "Three things everyone should know", 2012), on their principal
components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Descriptors = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int32]

NEAREST = 3
"""Neighbours that are kept of a descriptor."""
_COMPONENTS = 48
_PROBED_CELLS = 4
_SAMPLE = 1 << 16
"""Descriptors that components and cells are learned from."""
_ITERATIONS = 6
_CODE_SCALE = 200.0
"""Integer steps per unit of RootSIFT, whose components stay within 0.6: descriptors take 48 bytes in memory."""
_ROWS = 1 << 14
_SIMILARITIES = 1 << 22
"""Values of a matrix of similarities that are in memory at a time."""


@dataclass(frozen=True)
class Space:
    """Principal components and cells of descriptors.

    Attributes:
        mean: Mean (128,) of RootSIFT.
        components: The largest principal components (128, D).
        centres: Centres (K, D) of the cells.
    """

    mean: Floats
    components: Floats
    centres: Floats

    def project(self, descriptors: Descriptors) -> Floats:
        """Return the principal components (N, D) of descriptors (N, 128)."""
        return np.asarray((root_sift(descriptors) - self.mean) @ self.components)

    def cells(self, points: Floats, count: int) -> Indices:
        """Return the cells (N, count) nearest to points (N, D), the nearest first."""
        count = min(count, len(self.centres))
        found = np.empty((len(points), count), np.int32)
        half_norms = (self.centres**2).sum(axis=1) / 2
        step = max(1, _SIMILARITIES // len(self.centres))
        for start in range(0, len(points), step):
            similarity = points[start : start + step] @ self.centres.T - half_norms
            found[start : start + step] = _largest(similarity, count)[0]
        return found


def root_sift(descriptors: Descriptors) -> Floats:
    """Return descriptors (N, 128) as roots of histograms that sum to 1, so that their scalar product is at most 1."""
    values = descriptors.astype(np.float32)
    roots: Floats = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    return roots


def learn_space(descriptors: Descriptors) -> Space:
    """Learn components and cells from descriptors (N, 128)."""
    count = len(descriptors)
    sample = root_sift(descriptors[np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64)])
    mean = sample.mean(axis=0)
    _, vectors = np.linalg.eigh((sample - mean).T @ (sample - mean))
    components = np.ascontiguousarray(vectors[:, -_COMPONENTS:])
    points = (sample - mean) @ components
    cells = max(1, min(round(count**0.5), len(points)))
    centres = points[np.linspace(0, len(points) - 1, cells).astype(np.int64)].copy()
    for _ in range(_ITERATIONS):
        cell = Space(mean, components, centres).cells(points, 1)[:, 0]
        order = np.argsort(cell, kind="stable")
        held, starts = np.unique(cell[order], return_index=True)
        centres[held] = np.add.reduceat(points[order], starts) / np.bincount(cell)[held][:, None]
    return Space(mean, components, centres)


def nearest_elsewhere(
    descriptors: Descriptors, scene: Indices, space: Space, change: Callable[[Descriptors], Descriptors] | None = None
) -> tuple[Indices, Floats]:
    """Find the most similar descriptors of other scenes.

    Args:
        descriptors: Descriptors (N, 128), which may lie in a file.
        scene: Scene (N,) of each.
        space: Learned from them.
        change: Makes of descriptors those to look for in their place, for instance their mirror images.

    Returns:
        Positions (N, 3) of the nearest, -1 where there are fewer; and their similarity, larger for nearer ones.
    """
    codes, probes = _coded(descriptors, space)
    asked, homes = codes, probes[:, :1]
    if change is not None:
        asked, probes = _coded(descriptors, space, change)
    members, member_ends = _by_cell(homes, len(space.centres))
    askers, asker_ends = _by_cell(probes, len(space.centres))
    found = np.full((len(codes), NEAREST), -1, np.int32)
    best = np.full((len(codes), NEAREST), -np.inf, np.float32)
    for cell in range(len(space.centres)):
        held = members[member_ends[cell] : member_ends[cell + 1]]
        who = askers[asker_ends[cell] : asker_ends[cell + 1]]
        inside = codes[held].astype(np.float32)
        half_norms = (inside**2).sum(axis=1) / 2
        step = max(1, _SIMILARITIES // max(1, len(held)))
        for rows in (who[start : start + step] for start in range(0, len(who) if len(held) else 0, step)):
            similarity = asked[rows].astype(np.float32) @ inside.T - half_norms
            similarity[scene[rows][:, None] == scene[held]] = -np.inf
            place, value = _largest(similarity, min(NEAREST, len(held)))
            place, value = np.hstack([found[rows], held[place]]), np.hstack([best[rows], value])
            order = np.argsort(-value, axis=1, kind="stable")[:, :NEAREST]
            best[rows] = np.take_along_axis(value, order, axis=1)
            found[rows] = np.take_along_axis(place, order, axis=1)
    return np.where(np.isfinite(best), found, -1), best


def _coded(
    descriptors: Descriptors, space: Space, change: Callable[[Descriptors], Descriptors] | None = None
) -> tuple[npt.NDArray[np.int8], Indices]:
    """Return descriptors, or what they are changed into, as integers (N, D), and their nearest cells (N, P)."""
    codes = np.empty((len(descriptors), space.components.shape[1]), np.int8)
    cells = np.empty((len(descriptors), min(_PROBED_CELLS, len(space.centres))), np.int32)
    for start in range(0, len(descriptors), _ROWS):
        rows = descriptors[start : start + _ROWS]
        points = space.project(rows if change is None else change(rows))
        codes[start : start + _ROWS] = np.clip(np.rint(points * _CODE_SCALE), -127, 127)
        cells[start : start + _ROWS] = space.cells(points, _PROBED_CELLS)
    return codes, cells


def _by_cell(cells: Indices, count: int) -> tuple[Indices, npt.NDArray[np.int64]]:
    """Return rows of cells (N, P) in the order of their cells, and where each of ``count`` cells starts in it."""
    order = np.argsort(cells, axis=None, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(cells.ravel(), minlength=count))])
    return (order // cells.shape[1]).astype(np.int32), ends


def _largest(values: Floats, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the columns (N, count) of the largest values of each row (N, M), and the values; overwrites them."""
    rows = np.arange(len(values))
    columns = np.empty((len(values), count), np.int64)
    largest = np.empty((len(values), count), np.float32)
    for rank in range(count):
        columns[:, rank] = values.argmax(axis=1)
        largest[:, rank] = values[rows, columns[:, rank]]
        values[rows, columns[:, rank]] = -np.inf
    return columns, largest
