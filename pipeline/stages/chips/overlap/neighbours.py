"""Most similar vectors of other scenes, in less than quadratic time.

An inverted file (Sivic and Zisserman, "Video Google", 2003): k-means divides the space into about as many cells as the
root of the number of vectors, and a vector is compared with those of the cells nearest to it, on the principal
components of all.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]
Rows = slice | npt.NDArray[np.int64]
Read = Callable[[Rows], Floats]
"""Returns some of the vectors (N, V)."""

NEAREST = 3
"""Neighbours that are kept of a vector."""
_COMPONENTS = 64
PROBED_CELLS = 4
_SAMPLE = 1 << 16
"""Vectors that components and cells are learned from."""
_ITERATIONS = 6
_ROWS = 1 << 14
_SIMILARITIES = 1 << 18
"""Values of a matrix of similarities that are looked at at a time: a megabyte, which stays in a processor's cache."""


@dataclass(frozen=True)
class Space:
    """Principal components and cells of vectors.

    Attributes:
        mean: Mean (V,) of the vectors.
        components: The largest principal components (V, D).
        centres: Centres (K, D) of the cells.
        code_scale: Integer steps per unit of a component: in memory a vector takes D bytes.
    """

    mean: Floats
    components: Floats
    centres: Floats
    code_scale: float

    def project(self, vectors: Floats) -> Floats:
        """Return the principal components (N, D) of vectors (N, V)."""
        return np.asarray((vectors - self.mean) @ self.components)

    def cells(self, points: Floats, count: int) -> Indices:
        """Return the cells (N, count) nearest to points (N, D), the nearest first."""
        count = min(count, len(self.centres))
        nearest_cells = np.empty((len(points), count), np.int32)
        half_norms = (self.centres**2).sum(axis=1) / 2
        step = max(1, _SIMILARITIES // len(self.centres))
        for start in range(0, len(points), step):
            similarity = points[start : start + step] @ self.centres.T - half_norms
            nearest_cells[start : start + step] = _largest(similarity, count)[0]
        return nearest_cells


def learn_space(read: Read, count: int) -> Space:
    """Learn components and cells from ``count`` vectors."""
    sample = read(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    mean = sample.mean(axis=0)
    _, axes = np.linalg.eigh((sample - mean).T @ (sample - mean))
    components = np.ascontiguousarray(axes[:, -_COMPONENTS:])
    points = (sample - mean) @ components
    cells = max(1, min(round(count**0.5), len(points)))
    centres = points[np.linspace(0, len(points) - 1, cells).astype(np.int64)].copy()
    scale = 127 / max(float(np.abs(points).max()), 1e-12)
    for _ in range(_ITERATIONS):
        cell = Space(mean, components, centres, scale).cells(points, 1)[:, 0]
        order = np.argsort(cell, kind="stable")
        held, starts = np.unique(cell[order], return_index=True)
        centres[held] = np.add.reduceat(points[order], starts) / np.bincount(cell)[held][:, None]
    return Space(mean, components, centres, scale)


@dataclass(frozen=True)
class Coded:
    """Vectors as they are compared.

    Attributes:
        codes: Principal components (N, D) as integers.
        cells: The cells (N, P) nearest to each, the nearest first.
    """

    codes: npt.NDArray[np.int8]
    cells: Indices


def coded(read: Read, count: int, space: Space, probed: int = PROBED_CELLS) -> Coded:
    """Return ``count`` vectors as they are compared, each with the members of the ``probed`` cells nearest to it."""
    codes = np.empty((count, space.components.shape[1]), np.int8)
    cells = np.empty((count, min(probed, len(space.centres))), np.int32)
    for start in range(0, count, _ROWS):
        rows = slice(start, min(start + _ROWS, count))
        points = space.project(read(rows))
        codes[rows] = np.clip(np.rint(points * space.code_scale), -127, 127)
        cells[rows] = space.cells(points, probed)
    return Coded(codes, cells)


def nearest_elsewhere(
    held: Coded,
    asked: Coded,
    scene: npt.NDArray[np.integer],
    nearest: int = NEAREST,
    workers: int = 1,
    asked_scene: npt.NDArray[np.integer] | None = None,
) -> tuple[Indices, Floats]:
    """Find the most similar vectors of other scenes.

    Args:
        held: The vectors.
        asked: What to look for: the vectors themselves, or for instance those of mirror images.
        scene: Scene (N,) of each vector.
        nearest: How many to find of each.
        workers: Threads.
        asked_scene: Scene (A,) of what is looked for; by default one of each vector is, and of its scene.

    Returns:
        Positions (A, nearest), -1 where there are fewer; and their similarity, larger for nearer ones.
    """
    count = int(max(held.cells.max(initial=0), asked.cells.max(initial=0))) + 1
    members = _by_cell(held.cells[:, 0], count)
    positions = np.full((len(asked.codes), nearest), -1, np.int32)
    best = np.full((len(asked.codes), nearest), -np.inf, np.float32)
    asked_scene = scene if asked_scene is None else asked_scene

    def compare(inside: Indices, who: Indices) -> None:
        codes = held.codes[inside].astype(np.float32)
        half_norms = (codes**2).sum(axis=1) / 2
        step = max(1, _SIMILARITIES // max(1, len(inside)))
        for rows in (who[start : start + step] for start in range(0, len(who) if len(inside) else 0, step)):
            similarity = asked.codes[rows].astype(np.float32) @ codes.T - half_norms
            if not np.isfinite(best[rows, -1]).all():
                np.copyto(similarity, -np.inf, where=asked_scene[rows][:, None] == scene[inside])
            row, column = _better(similarity, best[rows, -1], nearest)
            other = asked_scene[rows[row]] != scene[inside[column]]
            row, column = row[other], column[other]
            changed, row = np.unique(row, return_inverse=True)
            rows, similarity = rows[changed], similarity[changed[row], column]
            rank = np.concatenate([np.repeat(np.arange(len(rows)), nearest), row])
            place = np.concatenate([positions[rows].ravel(), inside[column]])
            value = np.concatenate([best[rows].ravel(), similarity])
            # Stable: of equally similar ones those found first.
            order = np.lexsort((-value, rank))
            kept = order[np.searchsorted(rank[order], np.arange(len(rows)))[:, None] + np.arange(nearest)]
            positions[rows], best[rows] = place[kept], value[kept]

    with ThreadPoolExecutor(workers) as pool:
        # Each vector asks in one cell at a time, so that no two threads change what was found for it.
        for rank in range(asked.cells.shape[1]):
            for _ in pool.map(compare, members, _by_cell(asked.cells[:, rank], count)):
                pass
    return np.where(np.isfinite(best), positions, -1), best


def _by_cell(cells: Indices, count: int) -> list[Indices]:
    """Return the positions of vectors, whose cells (N,) are given, in each of ``count`` cells."""
    order = np.argsort(cells, kind="stable").astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(cells, minlength=count))[:-1])


def _better(values: Floats, least: Floats, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return rows and columns of values (N, M) above the least one (N,) of their row that matters.

    Where that is not known yet (-inf), of the ``count`` largest of the row and those equal to the last of them.
    """
    if not np.isfinite(least).all() and count < values.shape[1]:
        last = _largest(values.copy(), count)[1][:, -1]
        least = np.maximum(least, np.nextafter(last, np.float32(-np.inf)))
    # Three times as fast as np.nonzero of two axes.
    row, column = np.divmod(np.flatnonzero(values > least[:, None]), values.shape[1])
    return row, column


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
