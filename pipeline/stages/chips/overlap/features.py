"""Local features of scenes: SIFT keypoints of contrast-normalised pictures.

Open water and haze leave steps of one or two grey levels, which lie below any fixed contrast threshold. Dividing by the
local standard deviation first makes them as visible as land, and takes brightness and haze out of the comparison.
Lowe, "Distinctive Image Features from Scale-Invariant Keypoints" (2004), describes the keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

REDUCTION = 0.75
"""Picture pixels per chip pixel: finer detail is what re-encoding changes first."""
ALIGNED = 4
"""Sides and corners of blocks are multiples of this, so that they fall on whole picture pixels."""
DENSITY = 3000 / 512**2
"""Keypoints per chip pixel, at most."""
SIFT = 128
"""Length of a SIFT descriptor."""
DESCRIPTOR = 2 * SIFT
"""Length of a descriptor: SIFT of a keypoint, then SIFT of surroundings twice as wide, which tells waves apart."""
_WIDE = np.float32(0.2)
"""Weight of the wider surroundings: less than of the keypoint itself, since they may lie beyond what scenes share."""
FEWEST_KEYPOINTS = 90
"""A scene with fewer is too small or too plain for an overlap of a tenth to be seen, and is paired with none."""
_SMOOTHING_SIGMA, _CONTRAST_SIGMA = 1.0, 5.0
"""Gaussians, in picture pixels: against noise, and for the surroundings that contrast is relative to."""
_FAINTEST = 0.25
"""Standard deviation, of 255 grey levels, that is added to the local one: what is fainter is rounding."""
_GAIN = 50.0
_CONTRAST_THRESHOLD, _EDGE_THRESHOLD = 0.02, 15.0
_NODATA_SIDE = 25
"""Side of a constant square that counts as without data: larger than three blocks of JPEG."""
_NODATA_MARGIN = 6
"""Picture pixels that keypoints keep from pixels without data, whose outline is no ground."""


@dataclass(frozen=True)
class Features:
    """Keypoints, the strongest first.

    Attributes:
        places: Column and row (N, 2) of each in chip pixels; the scene's upper left corner is (0, 0).
        sizes: Diameters (N,) in chip pixels.
        angles: Directions (N,) in radians, from the columns towards the rows.
        descriptors: SIFT descriptors (N, 256): of the keypoint, then of surroundings twice as wide.
    """

    places: Floats
    sizes: Floats
    angles: Floats
    descriptors: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of keypoints."""
        return len(self.places)

    def take(self, chosen: slice | npt.NDArray[Any]) -> Features:
        """Return some of the keypoints."""
        return Features(*(getattr(self, field.name)[chosen] for field in fields(self)))


def concatenated(parts: list[Features]) -> Features:
    """Return keypoints as one; none of no parts."""
    parts = parts or [_none()]
    return Features(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Features)))


def _none() -> Features:
    empty = np.zeros(0, np.float32)
    return Features(np.zeros((0, 2), np.float32), empty, empty, np.zeros((0, DESCRIPTOR), np.uint8))


def picture_shape(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the picture of a scene of so many chip pixels; 0 and 0 if that is too small."""
    if height * width * DENSITY < FEWEST_KEYPOINTS:
        return 0, 0
    down, along = (round(-(-side // ALIGNED) * ALIGNED * REDUCTION) for side in (height, width))
    return down, along


def contrast_picture(pixels: npt.NDArray[Any]) -> Picture:
    """Return the contrast of pixels about their surroundings, from 1 to 255; 0 where there is no data.

    Args:
        pixels: Pixels (H, W, C) of any dtype, sides multiples of :data:`ALIGNED`; constant where there is no data.

    Returns:
        The picture (3/4 H, 3/4 W).
    """
    grey = pixels.mean(axis=-1, dtype=np.float32)
    low, high = (0.0, 255.0) if pixels.dtype == np.uint8 else np.percentile(grey, [0.1, 99.9])
    grey = (grey - np.float32(low)) * np.float32(255 / max(high - low, 1e-12))
    size = (round(grey.shape[1] * REDUCTION), round(grey.shape[0] * REDUCTION))
    nodata = cv2.resize(_nodata(grey).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    has_data = (nodata == 0).astype(np.float32)
    grey = _smoothed(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), has_data, _SMOOTHING_SIGMA)
    contrast = grey - _smoothed(grey, has_data, _CONTRAST_SIGMA)
    deviation = np.sqrt(_smoothed(contrast**2, has_data, _CONTRAST_SIGMA))
    shown = np.clip(128 + _GAIN * contrast / (deviation + _FAINTEST), 1, 255)
    return np.where(has_data > 0, shown, 0).astype(np.uint8)


def _nodata(grey: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return 1 where grey pixels (H, W) belong to a constant square, and just beside it."""
    square = np.ones((_NODATA_SIDE, _NODATA_SIDE), np.uint8)
    constant = cv2.dilate(grey, square) == cv2.erode(grey, square)
    beside = np.ones((_NODATA_SIDE + 2,) * 2, np.uint8)
    return np.asarray(cv2.dilate(constant.astype(np.uint8), beside), np.uint8)


def _smoothed(grey: npt.NDArray[Any], has_data: Floats, sigma: float) -> npt.NDArray[Any]:
    """Return the Gaussian mean of the known pixels."""
    weight = np.maximum(cv2.GaussianBlur(has_data, (0, 0), sigma), 1e-6)
    return np.asarray(cv2.GaussianBlur(grey * has_data, (0, 0), sigma) / weight)


def find_features(picture: Picture, most: int) -> Features:
    """Return the strongest keypoints, ``most`` at most, of a picture (H, W); places are relative to its corner."""
    if most < 1:
        return _none()
    beside = np.ones((2 * _NODATA_MARGIN + 1,) * 2, np.uint8)
    searched = (cv2.dilate((picture == 0).astype(np.uint8), beside) == 0).astype(np.uint8)
    plain = np.where(picture == 0, 128, picture).astype(np.uint8)
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST_THRESHOLD, edgeThreshold=_EDGE_THRESHOLD)
    keypoints = sift.detect(plain, searched)
    if not keypoints:
        return _none()
    place = np.array([point.pt for point in keypoints])
    angle = np.deg2rad([point.angle for point in keypoints])
    size = np.array([point.size for point in keypoints])
    # Re-encoding and rescaling spare one in five of the smallest keypoints, and half of those twice as large.
    strength = size * [point.response for point in keypoints]
    order = np.lexsort((angle, place[:, 0], place[:, 1], -strength))[:most]
    return Features(
        ((place[order] + 0.5) / REDUCTION).astype(np.float32),
        (size[order] / REDUCTION).astype(np.float32),
        angle[order].astype(np.float32),
        _descriptors(sift, plain, [keypoints[position] for position in order]),
    )


def _descriptors(sift: cv2.SIFT, picture: Picture, keypoints: list[cv2.KeyPoint]) -> npt.NDArray[np.uint8]:
    """Return the descriptors (N, 256) of keypoints of a picture."""
    own = np.asarray(sift.compute(picture, keypoints)[1])
    for point in keypoints:
        point.size *= 2
        # OpenCV packs the octave into the lowest byte: twice the size is the next one.
        point.octave = point.octave & ~0xFF | (point.octave + 1) & 0xFF
    return np.hstack([own, np.asarray(sift.compute(picture, keypoints)[1])]).astype(np.uint8)


def mirrored(descriptors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the descriptors (N, 256) that keypoints have in the mirrored scene.

    SIFT is a grid of 4 x 4 histograms of 8 directions, in the keypoint's own frame: rows and directions turn.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return np.ascontiguousarray(cells[..., -np.arange(8) % 8]).reshape(descriptors.shape)


def turned_over(features: Features) -> Features:
    """Return keypoints with the places and directions of the scene mirrored across its upper edge, rows negative."""
    places = features.places * np.array([1, -1], np.float32)
    return Features(places, features.sizes, -features.angles, features.descriptors)


def flipped(features: Features) -> Features:
    """Return the keypoints that the scene mirrored across its upper edge has, with their descriptors."""
    turned = turned_over(features)
    return Features(turned.places, turned.sizes, turned.angles, mirrored(features.descriptors))


def root_sift(descriptors: npt.NDArray[np.uint8]) -> Floats:
    """Return descriptors (N, 128) as roots of histograms that sum to 1, so that their scalar product is at most 1.

    Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval" (2012), section 2.
    """
    values = descriptors.astype(np.float32)
    roots: Floats = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    return roots


def search_vectors(descriptors: npt.NDArray[np.uint8]) -> Floats:
    """Return descriptors (N, 256) as the vectors by whose distance keypoints of all scenes are matched."""
    own, wide = descriptors[:, :SIFT], descriptors[:, SIFT:]
    return np.hstack([root_sift(own), _WIDE**0.5 * root_sift(wide)])
