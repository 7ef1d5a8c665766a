"""Rules by which candidates are accepted, and the reasons where they are not. Pure NumPy; no torch."""

from __future__ import annotations

import math
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

MOST_UNUSUAL = 1.0
"""How unusual a composed object may be, see :meth:`~satpipe.composition.compose.Law.unusual`."""
COMPARED_PX = 20
"""Largest side at which pixels are compared: a copy is one at any resolution, and this takes out the noise."""
ROWS = 256
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
        measures.unusual > MOST_UNUSUAL,
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
    # Rows first, then columns: NumPy is slow over axes beside one of three bands.
    rows = chips[:, :keep, :keep].reshape(count, keep // block, block, -1).mean(axis=2, dtype=np.float64)
    return np.asarray(rows.reshape(count, keep // block, keep // block, block, bands).mean(axis=3))


def unit_vectors(chips: Floats) -> npt.NDArray[np.float32]:
    """Flatten chips (N, s, s, C) to vectors (N, D) of mean zero per band and length one; a flat chip becomes zero."""
    return _normalised(chips)[0].astype(np.float32)


def _normalised(chips: Floats) -> tuple[Floats, Floats]:
    """Return vectors (N, D) of chips (N, s, s, C), see :func:`unit_vectors`, and their standard deviation (N,)."""
    pixels = chips.reshape(len(chips), -1, chips.shape[-1])
    centred = (pixels - pixels.mean(axis=1, keepdims=True)).reshape(len(chips), -1)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return unit, length[:, 0] / math.sqrt(centred.shape[1])


def copy_correlation(
    candidates: Chips, training: npt.NDArray[np.float32], min_texture: float, value_range: float
) -> Floats:
    """Return the largest correlation (N,) of each candidate with any training chip under the eight symmetries.

    Flat chips resemble each other whatever made them, so a candidate with little texture is never called a copy.

    Args:
        candidates: (N, S, S, C).
        training: :func:`unit_vectors` of training chips, :func:`shrunk` (M, D).
        min_texture: Standard deviation, as a share of the value range, below which a candidate counts as flat.
        value_range: Range of candidates' values.
    """
    small = shrunk(candidates)
    unit, texture = _normalised(small)
    ours = unit.astype(np.float32).reshape(small.shape)
    best = np.full(len(small), -1.0)
    for start in range(0, len(small), ROWS):
        rows = slice(start, start + ROWS)
        # Candidates are turned, not training chips: they are fewer.
        turned = np.concatenate([oriented(ours[rows], number) for number in range(ORIENTATIONS)])
        products = turned.reshape(len(turned), -1) @ training.T
        best[rows] = products.max(axis=1, initial=-1.0).reshape(ORIENTATIONS, -1).max(axis=0)
    return np.where(texture / value_range < min_texture, 0.0, best)
