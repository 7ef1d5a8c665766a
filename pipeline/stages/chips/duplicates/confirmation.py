"""Test of whether two chips are one picture: their pixels correlate, and so does what lies outside the object.

Bright ships of one size on calm water correlate with up to 0.99 although they are different ships: one strong shape
rules the correlation, and many chips share it. What two chips of different ground do not share is the texture around
that shape. So the picture is divided into tiles, the half of them with the strongest common structure is set aside, and
the fine detail of the others has to agree. Where they hold no detail, as on water without a wave, nothing can be
decided, and the pair is no near-duplicate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ....dataset.chip_store import ChipStore
from ....dataset.orientations import orient_each
from .pictures import EDGE, THUMB, Floats

Array = npt.NDArray[np.float64]

_DETAIL_SIDE = 26
"""Detail is compared in pixels of which a chip has so many to twice as many along a side, or in its own if it is
smaller: finer detail is what re-encoding changes first."""
_TILE = 2
"""Side of a tile in these pixels."""
_LEAST_AGREEMENT = 0.45
"""Of the detail of two pictures outside their strongest structure. Chips of different ground stay below 0.3, copies
that were encoded anew, blurred or made noisy are at 0.5 to 1."""
_LEAST_DEVIATIONS = 5.0
"""Agreement in standard deviations of that of independent detail: few tiles agree by chance."""
_LEAST_TILES, _LEAST_SHARE = 16.0, 1 / 3
"""Tiles with detail, and their share of the compared ones, from which a decision is possible."""
_GREY_LEVELS = 255.0
_FAINTEST = 0.5
"""Standard deviation of the detail, of 255 grey levels, from which a tile counts half: what is fainter is rounding."""
_LOWEST_GAIN, _HIGHEST_GAIN = 0.2, 5.0
_BYTES = 64 << 20
"""Grey chips that are in memory at a time."""


@dataclass(frozen=True)
class Comparison:
    """Evidence that some pairs of chips are one picture.

    Attributes:
        correlation: Of the pictures (M,), averaged to :data:`THUMB` pixels along a side.
        agreement: Of the detail (M,) in the half of the tiles with the weaker common structure: 1 or more if the one's
            detail is in the other, 0 for independent ones.
        deviations: The agreement (M,) in standard deviations of that of independent detail.
        tiles: Number (M,) of tiles with detail in that half; those with faint detail count in part.
        share: Their share (M,) of the half.
    """

    correlation: Array
    agreement: Array
    deviations: Array
    tiles: Array
    share: Array

    def detailed(self, share: float = 1) -> npt.NDArray[np.bool_]:
        """Return which pairs (M,) hold enough detail beside their strongest structure, or a share of that."""
        return np.asarray((self.tiles >= share * _LEAST_TILES) & (self.share >= share * _LEAST_SHARE))

    def same(self, min_correlation: float) -> npt.NDArray[np.bool_]:
        """Return which pairs (M,) are one picture."""
        agree = (self.agreement >= _LEAST_AGREEMENT) & (self.deviations >= _LEAST_DEVIATIONS)
        return np.asarray((self.correlation >= min_correlation) & agree & self.detailed())

    def undecided(self, min_correlation: float) -> npt.NDArray[np.bool_]:
        """Return which pairs (M,) are undecided: they hold no detail beside one shape."""
        return np.asarray((self.correlation >= min_correlation) & ~self.detailed())


def compare(
    chips: ChipStore,
    pairs: npt.NDArray[np.int64],
    orientation: npt.NDArray[np.int64],
    shift: npt.NDArray[np.int64],
    span: float,
) -> Comparison:
    """Compare pairs of chips, the second one in a given orientation and moved to where it correlates most.

    Args:
        chips: The chips, squares of one size.
        pairs: Positions (M, 2) of the chips in the index.
        orientation: Which orientation (M,) the second chip is given.
        shift: Rows and columns (M, 2), in pixels of the small pictures, by which the second one's content is moved.
        span: The range of the data.
    """
    correlation, *evidence = np.zeros((5, len(pairs)))
    start = 0
    for first, second in _grey_pairs(chips, pairs, orientation):
        done = slice(start, start + len(first))
        inner, matched = _aligned(first, second, shift[done])
        small = _small_side(inner.shape[1], first.shape[1])
        correlation[done] = correlations(_reduced(inner, small), _reduced(matched, small))
        factor = max(1, first.shape[1] // _DETAIL_SIDE)
        for whole, scores in zip(
            evidence, agreement(_averaged(inner, factor), _averaged(matched, factor), span), strict=True
        ):
            whole[done] = scores
        start = done.stop
    return Comparison(correlation, *evidence)


def _grey_pairs(
    chips: ChipStore, pairs: npt.NDArray[np.int64], orientation: npt.NDArray[np.int64]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the grey pictures (K, S, S) of the first and of the second, oriented chips of some pairs at a time."""
    if not len(pairs):
        return
    side = chips.read(pairs[:1, 0]).shape[1]
    step = max(1, _BYTES // (2 * 4 * side**2))
    for start in range(0, len(pairs), step):
        held, place = np.unique(pairs[start : start + step], return_inverse=True)
        grey = _mean_of_bands(chips.read(held))
        place = place.reshape(-1, 2)
        yield grey[place[:, 0]], orient_each(grey[..., None], orientation[start : start + step], place[:, 1])[..., 0]


def _mean_of_bands(chips: npt.NDArray[Any]) -> Floats:
    """Return the means over the bands (N, H, W) of chips (N, H, W, C)."""
    bands = chips.shape[-1]
    # A product takes a fifth of the time of a mean over the last axis.
    mean = chips.reshape(-1, bands).astype(np.float32) @ np.full(bands, 1 / bands, np.float32)
    return np.asarray(mean.reshape(chips.shape[:-1]))


def _aligned(first: Floats, second: Floats, shift: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the inner part of the first pictures, and the parts of the second that correlate most with them."""
    side = first.shape[1]
    edge = round(EDGE * side / THUMB)
    inner = side - 2 * edge
    around = math.ceil(side / THUMB / 2)
    centre = np.ascontiguousarray(first[:, edge : edge + inner, edge : edge + inner])
    matched = np.empty_like(centre)
    expected = np.rint(edge + shift * (side / THUMB)).astype(np.int64)
    low, high = np.clip(expected - around, 0, 2 * edge), np.clip(expected + around, 0, 2 * edge)
    for pair, (top, left), (bottom, right) in zip(range(len(centre)), low.tolist(), high.tolist(), strict=True):
        searched = second[pair, top : bottom + inner, left : right + inner]
        scores = cv2.matchTemplate(np.ascontiguousarray(searched), centre[pair], cv2.TM_CCOEFF_NORMED)
        down, along = divmod(int(scores.argmax()), scores.shape[1])
        matched[pair] = searched[down : down + inner, along : along + inner]
    return centre, matched


def _small_side(inner: int, whole: int) -> int:
    """Return the side of the inner part of chips once these are averaged to :data:`THUMB` pixels along a side."""
    return min(inner, round(inner * THUMB / whole))


def _averaged(pictures: Floats, factor: int) -> Floats:
    """Return pictures (K, S, S) averaged over ``factor`` pixels both ways, less what is left over at the far edges."""
    side = pictures.shape[1] // factor
    return _reduced(pictures[:, : side * factor, : side * factor], side)


def _reduced(pictures: Floats, side: int) -> Floats:
    """Return pictures (K, S, S) averaged over equal areas, as (K, side, side)."""
    if side == pictures.shape[1]:
        return pictures
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])


def correlations(left: Floats, right: Floats) -> Array:
    """Return Pearson's correlation (K,) of pictures (K, S, S)."""
    first, second = (picture - picture.mean(axis=(1, 2), keepdims=True) for picture in (left, right))
    norms = np.linalg.norm(first, axis=(1, 2)) * np.linalg.norm(second, axis=(1, 2))
    return np.asarray((first * second).sum(axis=(1, 2)) / np.maximum(norms, 1e-12), np.float64)


def agreement(left: Floats, right: Floats, span: float) -> tuple[Array, Array, Array, Array]:
    """Return how far the detail of pictures (K, S, S) agrees outside their strongest structure.

    That is the covariance over the smaller of both variances, so that noise which one picture alone has does not lower
    it; tiles are weighted so that each that holds detail counts alike.

    Returns:
        The agreement (K,), the same in standard deviations, and the number of tiles with detail and their share.
    """
    faintest = (_FAINTEST * span / _GREY_LEVELS) ** 2
    first, second = _detail(left), _detail(right) / _gain(left, right)[:, None, None]
    values = [_tiles(product) for product in (first * second, first**2, second**2)]
    common = np.minimum(values[1], values[2])
    weaker = np.argsort(-common, axis=1, kind="stable")[:, common.shape[1] // 2 :]
    both, own, others = (np.take_along_axis(value, weaker, axis=1).astype(np.float64) for value in values)
    larger = np.maximum(own, others)
    weight = 1 / (larger + faintest)
    covariance = (weight * both).sum(axis=1)
    chance = np.sqrt((weight**2 * own * others).sum(axis=1)) / _TILE
    smaller = np.minimum((weight * own).sum(axis=1), (weight * others).sum(axis=1))
    tiles = (weight * larger).sum(axis=1)
    agreement, deviations = covariance / np.maximum(smaller, 1e-9), covariance / np.maximum(chance, 1e-9)
    return agreement, deviations, tiles, tiles / weaker.shape[1]


def _gain(reference: Floats, second: Floats) -> Floats:
    """Return by how much (K,) the contrast of the second pictures is larger."""
    first = reference - reference.mean(axis=(1, 2), keepdims=True)
    gain = (first * second).sum(axis=(1, 2)) / np.maximum((first**2).sum(axis=(1, 2)), 1e-12)
    return np.asarray(np.clip(gain, _LOWEST_GAIN, _HIGHEST_GAIN), np.float32)


def _detail(pictures: Floats) -> Floats:
    """Return pictures (K, S, S) less their weighted mean over 3 x 3 pixels, as (K, S - 2, S - 2)."""
    return np.asarray(pictures[:, 1:-1, 1:-1] - smoothed(pictures))


def smoothed(pictures: Floats) -> Floats:
    """Return the means of pictures (K, S, S) over 3 x 3 pixels, weighted 1, 2, 1 both ways, as (K, S - 2, S - 2)."""
    down = pictures[:, :-2] + 2 * pictures[:, 1:-1] + pictures[:, 2:]
    return np.asarray((down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 16)


def _tiles(values: Floats) -> npt.NDArray[Any]:
    """Return the means (K, T) of values (K, S, S) over tiles; what is left over at the far edges is left out."""
    count = values.shape[1] // _TILE
    inside = values[:, : count * _TILE, : count * _TILE].reshape(len(values), count, _TILE, count, _TILE)
    return np.asarray(inside.mean(axis=(2, 4)).reshape(len(values), count**2))
