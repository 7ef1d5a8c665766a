"""Test whether two scenes show the same ground: more matches under a proposed transform, then the pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.spatial import cKDTree

from .features import REDUCTION, SIFT, Features, Floats, Picture, root_sift
from .votes import LEAST_VOTES, wrapped

Array = npt.NDArray[np.float64]

MIN_CORRELATION = 0.2
"""Of the pictures where scenes overlap. What is not the same ground stays below 0.06 on harbours and open water, the
same ground on another date is at 0.2 to 0.9."""
MIN_PROMINENCE = 1.8
"""The correlation over the largest one at other shifts: rows of containers and waves resemble themselves elsewhere."""
_NOISE = 12.0
"""Over the root of the compared pixels, the least correlation of few of them."""
LEAST_MATCHES = 9
"""Places at which keypoints match. Ships, buildings and rectangles of one shape that happen to lie alike match at up to
eight, the same ground in a tenth of a scene of 512 x 512 pixels at 20 or more."""
LEAST_TILES, LEAST_SHARE = 16, 0.3
"""Tiles in which the pictures agree by themselves, and their share of the tiles with any contrast: it has to be the
ground, and not the objects on it."""
_TILE, _AGREES, _CONTRAST = 12, 0.35, 10.0
"""Side of a tile in picture pixels, the correlation in it from which it agrees, and the standard deviation of the
contrast from which it holds any; unlike texture correlates so much in one tile of twenty."""
_FIRST_TOLERANCE_PX = 6.0
_RADII_PX = (10.0, 6.0, 4.0)
"""Where further matches are looked for, round by round, about the place where the transform puts a keypoint."""
_REACH_PX = 1024.0
"""Of large scenes the keypoints so near to the first matches are compared."""
_LEAST_SIMILARITY = 0.8
_LOG_SCALE, _ANGLE = 0.4, 0.4
_WINDOW, _SEARCHED, _AT_PEAK = 512, 40, 4
"""In picture pixels: the largest window that is correlated, the shifts tried, and those that count as the same."""
_SMALLEST_SIDE = 12


@dataclass(frozen=True)
class Evidence:
    """Evidence that two scenes show the same ground.

    Attributes:
        matrix: From column and row (2, 3) of the first scene to those of the second, in chip pixels.
        matches: Places of the first scene at which keypoints match.
        correlation: Of the two pictures under the transform.
        prominence: The correlation over the largest one at other shifts.
        pixels: Picture pixels that were compared.
        tiles: Tiles in which the pictures agree.
        share: Their share of the tiles that hold contrast in both pictures.
    """

    matrix: Array
    matches: int
    correlation: float
    prominence: float
    pixels: int
    tiles: int
    share: float

    @property
    def sure(self) -> bool:
        """Return whether it is enough; that enough places match is a condition of there being any evidence."""
        least = max(MIN_CORRELATION, _NOISE / max(self.pixels, 1) ** 0.5)
        ruled_by_objects = self.tiles < LEAST_TILES or self.share < LEAST_SHARE
        return self.correlation >= least and self.prominence >= MIN_PROMINENCE and not ruled_by_objects


def fitted(first: Floats, second: Floats, tolerance: float) -> tuple[Array, npt.NDArray[np.bool_]] | None:
    """Return the similarity (2, 3) from places (N, 2) to others (N, 2) by RANSAC, and which follow it, or None."""
    estimate, follow = cv2.estimateAffinePartial2D(
        first.astype(np.float64), second.astype(np.float64), method=cv2.RANSAC, ransacReprojThreshold=tolerance
    )
    matrix = np.asarray(estimate, np.float64)  # None, for no transform, has no two axes
    if matrix.ndim != 2 or follow.sum() < LEAST_VOTES or not 0.5 < scale_of(matrix) < 2:
        return None
    return matrix, follow.ravel().astype(bool)


def scale_of(matrix: Array) -> float:
    """Return the scale of a transform (2, 3)."""
    return float(abs(np.linalg.det(matrix[:, :2])) ** 0.5)


def moved(places: npt.NDArray[np.floating], matrix: Array) -> Array:
    """Return places (N, 2) under a transform (2, 3)."""
    return np.asarray(places @ matrix[:, :2].T + matrix[:, 2])


def examine(
    first: tuple[Features, Picture],
    second: tuple[Features, Picture],
    first_places: Floats,
    second_places: Floats,
    mirrored: bool,
) -> Evidence | None:
    """Return what speaks for two scenes showing the same ground.

    Args:
        first: Keypoints, mirrored if ``mirrored``, and picture, as it is, of the first scene.
        second: Keypoints and picture of the second scene.
        first_places: Places (N, 2) of the first scene's keypoints that agree.
        second_places: Places (N, 2) of the second scene's that they match.
        mirrored: Whether the first scene is taken as mirrored across its upper edge.

    Returns:
        The evidence, None where fewer than :data:`LEAST_MATCHES` places match under a transform, or the scenes share
        next to nothing by it.
    """
    fit = fitted(first_places, second_places, _FIRST_TOLERANCE_PX)
    if fit is None:
        return None
    matrix = fit[0]
    near = first[0].take(np.abs(first[0].places - np.median(first_places, axis=0)).max(axis=1) <= _REACH_PX)
    there = second[0].take(np.abs(second[0].places - np.median(second_places, axis=0)).max(axis=1) <= 2 * _REACH_PX)
    held = np.zeros((0, 2), np.float32)
    for radius in _RADII_PX:
        own, matched = _guided_matches(matrix, near, there, radius)
        fit = fitted(near.places[own], there.places[matched], radius / 2) if len(own) >= LEAST_VOTES else None
        if fit is None:
            return None
        matrix, held = fit[0], near.places[own[fit[1]]]
    if mirrored:
        matrix, held = matrix @ np.diag([1.0, -1.0, 1.0]), held * np.array([1, -1], np.float32)
    spots = len(np.unique(held // 8, axis=0))
    if spots < LEAST_MATCHES:
        return None
    common = _common_window(matrix, first[1], second[1], np.median(held, axis=0))
    if common is None:
        return None
    correlation, elsewhere, shift = _correlations(*common)
    tiles, share = _agreeing_tiles(*common, shift)
    pixels = int(common[2].sum())
    return Evidence(matrix, spots, correlation, correlation / max(elsewhere, 1e-6), pixels, tiles, share)


def _guided_matches(
    matrix: Array, near: Features, there: Features, radius: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return keypoints of the first scene and the most similar ones of the second, near where they should be."""
    trees = cKDTree(moved(near.places, matrix)), cKDTree(there.places)
    close = trees[0].sparse_distance_matrix(trees[1], radius, output_type="ndarray")
    one, other = close["i"], close["j"]
    angle = there.angles[other] - near.angles[one] - np.arctan2(matrix[1, 0], matrix[0, 0])
    alike = np.abs(np.log(there.sizes[other] / near.sizes[one] / scale_of(matrix))) < _LOG_SCALE
    alike &= np.abs(wrapped(angle)) < _ANGLE
    one, other = one[alike], other[alike]
    # Of the keypoints alone: wider surroundings reach beyond the ground that a small overlap shares.
    of_one, of_other = near.descriptors[one, :SIFT], there.descriptors[other, :SIFT]
    similarity = (root_sift(of_one) * root_sift(of_other)).sum(axis=1)
    order = np.lexsort((other, -similarity, one))
    order = order[similarity[order] > _LEAST_SIMILARITY]
    best = order[np.diff(one[order], prepend=-1) > 0]
    return one[best], other[best]


def _common_window(
    matrix: Array, first: Picture, second: Picture, centre: Array
) -> tuple[Picture, Picture, npt.NDArray[np.bool_]] | None:
    """Return the parts (H, W) of two pictures that show the same under a transform, and where both hold data.

    Args:
        matrix: From the first scene to the second, in chip pixels.
        first: The first picture, 0 where there is no data.
        second: The second picture.
        centre: Column and row, in chip pixels of the first scene, about which a window of a large overlap lies.

    Returns:
        The parts, None where they are too small to compare.
    """
    matrix = matrix.copy()
    # In picture pixels, whose centres are at whole numbers.
    matrix[:, 2] = matrix[:, 2] * REDUCTION + matrix[:, :2] @ [0.5, 0.5] - 0.5
    low, high = _window(matrix, first.shape, second.shape, centre * REDUCTION)
    if (high - low).min() < _SMALLEST_SIDE:
        return None
    matrix[:, 2] += matrix[:, :2] @ low
    first_window = first[low[1] : high[1], low[0] : high[0]]
    size, flags = (high - low).tolist(), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    second_window = cv2.warpAffine(second, matrix, size, flags=flags).astype(np.uint8)
    has_data = cv2.warpAffine((second > 0).astype(np.uint8) * 255, matrix, size, flags=flags) == 255
    has_data &= first_window > 0
    return (first_window, second_window, has_data) if has_data.sum() >= _SMALLEST_SIDE**2 else None


def _centred(picture: Picture, has_data: npt.NDArray[np.bool_]) -> Array:
    """Return a picture less its mean, and 0 where it holds no data."""
    return np.where(has_data, picture - picture[has_data].mean(), 0)


def _correlations(
    first: Picture, second: Picture, has_data: npt.NDArray[np.bool_]
) -> tuple[float, float, tuple[int, int]]:
    """Return the correlation of two pictures (H, W) near no shift, the largest elsewhere, and the first one's shift.

    The shift is by how many rows and columns the first picture's content lies further than the second's.
    """
    values = [_centred(picture, has_data) for picture in (first, second)]
    shape = [cv2.getOptimalDFTSize(side + _SEARCHED) for side in first.shape]
    spectra = [fft.rfft2(value.astype(np.float32), shape) for value in values]
    shifts = np.arange(-_SEARCHED, _SEARCHED + 1)
    common = fft.irfft2(spectra[0] * np.conj(spectra[1]), shape)[np.ix_(shifts, shifts)]
    common /= max(float(np.linalg.norm(values[0]) * np.linalg.norm(values[1])), 1e-9)
    peak = slice(_SEARCHED - _AT_PEAK, _SEARCHED + _AT_PEAK + 1)
    near = common[peak, peak]
    correlation, (down, along) = float(near.max()), np.unravel_index(near.argmax(), near.shape)
    foot = slice(peak.start - 3, peak.stop + 3)
    common[foot, foot] = 0
    return correlation, float(common.max()), (int(down) - _AT_PEAK, int(along) - _AT_PEAK)


def _agreeing_tiles(
    first: Picture, second: Picture, has_data: npt.NDArray[np.bool_], shift: tuple[int, int]
) -> tuple[int, float]:
    """Return in how many tiles two pictures (H, W) agree, the first shifted back, and their share of those compared."""
    rows, cols = (
        (slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size + min(-by, 0)))
        for by, size in zip(shift, first.shape, strict=True)
    )
    both = has_data[rows[0], cols[0]] & has_data[rows[1], cols[1]]
    a, b = (
        _centred(picture, has_data)[row, col] * both
        for picture, row, col in zip((first, second), rows, cols, strict=True)
    )
    covariance, first_variance, second_variance = (_tile_means(product) for product in (a * b, a**2, b**2))
    held = (_tile_means(both.astype(np.float64)) > 0.5) & (np.minimum(first_variance, second_variance) > _CONTRAST**2)
    agree = held & (covariance > _AGREES * np.sqrt(first_variance * second_variance))
    return int(agree.sum()), float(agree.sum() / max(held.sum(), 1))


def _tile_means(values: Array) -> Array:
    """Return the means over whole tiles of values (H, W)."""
    rows, cols = (side // _TILE for side in values.shape)
    tiles = values[: rows * _TILE, : cols * _TILE].reshape(rows, _TILE, cols, _TILE)
    return np.asarray(tiles.mean(axis=(1, 3)))


def _window(
    matrix: Array, first: tuple[int, ...], second: tuple[int, ...], centre: Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the corners (col, row) of the part of the first picture that the second covers, of a limited size."""
    height, width = second
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    covered = moved(corners, np.asarray(cv2.invertAffineTransform(matrix), np.float64))
    low = np.maximum(np.floor(covered.min(axis=0)), 0)
    high = np.minimum(np.ceil(covered.max(axis=0)), first[::-1])
    start = np.clip(centre - _WINDOW / 2, low, np.maximum(high - _WINDOW, low))
    return start.astype(np.int64), np.minimum(start + _WINDOW, high).astype(np.int64)
