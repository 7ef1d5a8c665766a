"""Rules by which candidates are accepted, and the reasons where they are not. Pure NumPy; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dataset.orientations import ORIENTATIONS, oriented

Chips = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LABEL = "the probability of its class is too low"
DISTANCE = "unlike the real chips of its class"
COPY = "copy of a training chip"
OBJECT = "its object is unlike the real ones"
UNLEARNED = "the generator did not learn its class"
"""Against all chips of a class, by what the generator's evaluation measured; see :mod:`satpipe.models.quality`."""
REASONS = (OBJECT, LABEL, DISTANCE, COPY)

COMPARED_PX = 20
"""Largest side at which pixels are compared: a copy is one at any resolution, and this takes out the noise."""
ROWS = 2048
"""Candidates compared with all training chips at a time, so that memory stays bounded."""


@dataclass(frozen=True)
class Measures:
    """Measurements of candidates that screening uses.

    Attributes:
        label_score: Probability of the candidate's own class (N,).
        distance: To the nearest real chip of its class, 1 being typical of unseen real chips (N,).
        correlation: Largest pixel correlation with a training chip in any orientation (N,).
        unusual: How unusual its composed object is (N,), 1 being the limit; NaN for whole chips.
    """

    label_score: Floats
    distance: Floats
    correlation: Floats
    unusual: Floats


@dataclass(frozen=True)
class Limits:
    """Limits that a candidate must keep to.

    Attributes:
        min_label_score: Least probability of its own class.
        max_distance: Largest distance, by class number.
        max_correlation: Pixel correlation from which a candidate is a copy.
    """

    min_label_score: float
    max_distance: Sequence[float]
    max_correlation: float


def reasons(measures: Measures, labels: npt.NDArray[np.int64], limits: Limits) -> npt.NDArray[np.object_]:
    """Return the first reason against each candidate (N,), or an empty string for one that is accepted."""
    farthest = np.asarray(limits.max_distance, np.float64)[labels]
    failed = (
        measures.unusual > 1,
        measures.label_score < limits.min_label_score,
        measures.distance > farthest,
        measures.correlation >= limits.max_correlation,
    )
    return np.select(failed, np.array(REASONS, dtype=object), default="").astype(object)


def shrunk(chips: Chips, side: int = COMPARED_PX) -> Floats:
    """Return block means (N, s, s, C) of chips (N, H, W, C), by the smallest blocks for which ``s`` <= ``side``."""
    block = -(-chips.shape[1] // side)
    keep = chips.shape[1] // block * block
    count, bands = len(chips), chips.shape[3]
    blocks = chips[:, :keep, :keep].astype(np.float64).reshape(count, keep // block, block, keep // block, block, bands)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _unit_vectors(chips: Floats) -> Floats:
    """Flatten chips (N, s, s, C) to vectors (N, D) of mean zero per band and length one; a flat chip becomes zero."""
    centred = (chips - chips.mean(axis=(1, 2), keepdims=True)).reshape(len(chips), -1)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9))


def copy_correlation(candidates: Chips, training: Chips, min_texture: float, value_range: float) -> Floats:
    """Return the largest correlation (N,) of each candidate with any training chip under the eight symmetries.

    Flat chips resemble each other whatever made them, so a candidate with little texture is never called a copy.

    Args:
        candidates: (N, S, S, C).
        training: (M, S, S, C) in the same units.
        min_texture: Standard deviation, as a share of the value range, below which a candidate counts as flat.
        value_range: Range of chip values.
    """
    small, base = shrunk(candidates), shrunk(training)
    ours = _unit_vectors(small)
    best = np.full(len(small), -1.0)
    for number in range(ORIENTATIONS):
        theirs = _unit_vectors(oriented(base, number))
        for start in range(0, len(ours), ROWS):
            rows = slice(start, start + ROWS)
            best[rows] = np.maximum(best[rows], (ours[rows] @ theirs.T).max(axis=1, initial=-1.0))
    texture = (small - small.mean(axis=(1, 2), keepdims=True)).std(axis=(1, 2, 3)) / value_range
    return np.asarray(np.where(texture < min_texture, 0.0, best))
