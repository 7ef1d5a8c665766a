"""Fit long objects to their boxes: an upright box and the edges along an object's sides tell how it lies in the box.

The outline is a superellipse ``|u / a|^4 + |v / b|^4 = 1``, a rectangle with rounded ends, with half length a and half
width b at an angle t. Its upright box is half as high as ``((a sin t)^p + (b cos t)^p)^(1 / p)`` with p = 4 / 3, and
half as wide with sine and cosine exchanged: the support function of a norm is its dual norm. Two sides of a box leave
one of length, width and angle free, and which of the two diagonals; edges along the object's sides decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]

DUAL = 4 / 3
SEGMENTS = 5
"""Parts of a side that are examined separately."""
TURN_DEG = 14.0
"""How far an object may be turned from its box's diagonal: a width of about 0.45 of the length."""
STEP_DEG = 2.0
EDGE_WEIGHT = 8.0
"""Worth of edges, of which the strongest in the chip counts 1, in units of the penalties."""


@dataclass(frozen=True)
class Form:
    """Prior on the shape of a class's objects: mean and standard deviation of ln(width / length)."""

    log_aspect: float
    deviation: float


def form_of(log_aspects: Floats) -> Form:
    """Return the form of objects by ln(width / length) of some of them; the median holds where a few are wrong."""
    middle = float(np.median(log_aspects))
    return Form(middle, float(np.clip(1.5 * np.median(np.abs(log_aspects - middle)), 0.25, 0.5)))


@dataclass(frozen=True)
class Hull:
    """A fitted outline.

    Attributes:
        row: Centre, in pixel edges of the chip.
        col: Centre.
        angle: Of the long axis in radians, from the columns towards the rows.
        length: Pixels.
        width: Pixels.
        clearness: Strength of the edges along its sides, as a multiple of the mean over all places and angles tried.
    """

    row: float
    col: float
    angle: float
    length: float
    width: float
    clearness: float

    def distance(self, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return the distance of each pixel (H, W) from the outline to first order; negative inside."""
        rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(0.5 - self.row)
        cols = np.arange(shape[1], dtype=np.float32)[None] + np.float32(0.5 - self.col)
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        a, b = np.float32(self.length / 2), np.float32(self.width / 2)
        u, v = np.abs(cos * cols + sin * rows) / a, np.abs(cos * rows - sin * cols) / b
        u3, v3 = u**3, v**3
        norm = np.sqrt(np.sqrt(u3 * u + v3 * v))
        slope = np.hypot(u3 / a, v3 / b) / np.maximum(norm, 1e-3) ** 3
        distance: npt.NDArray[np.float32] = (norm - 1) / np.maximum(slope, 1e-3)
        return distance

    def box(self) -> Box:
        """Return the upright box of the outline."""
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        a, b = self.length / 2, self.width / 2
        tall = ((a * sin) ** DUAL + (b * cos) ** DUAL) ** (1 / DUAL)
        wide = ((a * cos) ** DUAL + (b * sin) ** DUAL) ** (1 / DUAL)
        return self.row - tall, self.col - wide, self.row + tall, self.col + wide


def fit_hull(image: npt.NDArray[np.uint8], box: Box, form: Form, has_data: npt.NDArray[np.bool_]) -> Hull | None:
    """Return the outline in a box that fits the image's edges best, or None where there are no edges.

    Args:
        image: (H, W, 3), the chip's components.
        box: The object's box; may reach beyond the chip.
        form: What is known of the class.
        has_data: Which pixels (H, W) hold data.
    """
    half = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    values = stacked(image, has_data)
    offsets = np.arange(-math.ceil(0.55 * math.hypot(*half)) - 3, math.ceil(0.55 * math.hypot(*half)) + 4)
    first, second = np.triu_indices(len(offsets), 2)
    b, shift = (offsets[second] - offsets[first]) / 2, (offsets[second] + offsets[first]) / 2
    tolerance = max(1.5, 0.05 * max(half))
    angles = _angles(half)
    edges = np.stack([_edges(values, middle, angle, 0.62 * math.hypot(*half), len(offsets)) for angle in angles])
    if edges.max() <= 0:
        return None
    best = -math.inf
    hull = None
    for angle, edge in zip(angles, edges, strict=True):
        a, misfit = _half_lengths(half, b, abs(math.sin(angle)), math.cos(angle))
        sides = edge[first] + edge[second]
        unusual = (np.log(b / np.maximum(a, 0.5)) - form.log_aspect) / form.deviation
        merit = EDGE_WEIGHT * sides / edges.max()
        merit = merit - (misfit / tolerance) ** 2 / 2 - unusual**2 / 2 - (shift / (2 * tolerance)) ** 2
        at = int(merit.argmax())
        if merit[at] > best:
            best = float(merit[at])
            row, col = middle[0] + shift[at] * math.cos(angle), middle[1] - shift[at] * math.sin(angle)
            clearness = float(sides[at] / 2 / edges.mean())
            hull = Hull(row, col, angle, float(2 * max(a[at], b[at])), float(2 * b[at]), clearness)
    return hull


def _angles(half: tuple[float, float]) -> list[float]:
    """Return the angles, in radians, of objects in a box: from its diagonals to the nearer of its sides."""
    diagonal = math.degrees(math.atan2(*half))
    low, high = (diagonal - TURN_DEG, diagonal + 3) if diagonal < 45 else (diagonal - 3, diagonal + TURN_DEG)
    sizes = np.unique(np.clip(np.arange(low, high + STEP_DEG / 2, STEP_DEG), 0, 90))
    return [math.radians(sign * size) for size in sizes for sign in ((1, -1) if 0 < size < 90 else (1,))]


def _half_lengths(half: tuple[float, float], b: Floats, sin: float, cos: float) -> tuple[Floats, Floats]:
    """Return the half lengths (N,) at which half widths b fill a box, and by how many pixels they miss it."""
    tall = np.maximum(half[0] ** DUAL - (b * cos) ** DUAL, 0) ** (1 / DUAL)
    wide = np.maximum(half[1] ** DUAL - (b * sin) ** DUAL, 0) ** (1 / DUAL)
    a = tall * sin + wide * cos
    height = ((a * sin) ** DUAL + (b * cos) ** DUAL) ** (1 / DUAL)
    width = ((a * cos) ** DUAL + (b * sin) ** DUAL) ** (1 / DUAL)
    return a, np.hypot(height - half[0], width - half[1])


def stacked(image: npt.NDArray[np.uint8], has_data: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return three smooth components, and 1 where there are data (H, W, 4); all 0 elsewhere."""
    smooth = cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.float32)
    return np.asarray(np.dstack([smooth, np.ones(has_data.shape)]) * has_data[..., None], np.float32)


def lines(
    values: npt.NDArray[np.float32], middle: tuple[float, float], angle: float, along: int, across: int
) -> npt.NDArray[np.float32]:
    """Return what lies around a point as lines (across, along, 4) at an angle."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    start = np.array([middle[1], middle[0]]) - 0.5 - turn @ np.array([(along - 1) / 2, (across - 1) / 2])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(values, np.column_stack([turn, start]), (along, across), flags=flags)
    return np.asarray(turned, np.float32)


def strength(parts: npt.NDArray[np.floating]) -> Floats:
    """Return how strong an edge is along each line but the first and last, from the means of its parts (N, ..., P, 4).

    An edge is the difference between the lines on both sides. Roots of the parts are averaged, so that a strong edge
    along one part alone counts little.
    """
    held = parts[..., 3]
    colour = parts[..., :3] / np.maximum(held, 1e-3)[..., None]
    jump = np.sqrt(np.square(colour[2:] - colour[:-2]).sum(axis=-1))
    measured = np.minimum(held[2:], held[:-2])
    root = (np.sqrt(jump) * measured).sum(axis=-1) / np.maximum(measured.sum(axis=-1), 0.5)
    return np.asarray(root, np.float64) ** 2


def _edges(
    values: npt.NDArray[np.float32], middle: tuple[float, float], angle: float, reach: float, count: int
) -> Floats:
    """Return how strong an edge is along each of ``count`` lines at an angle, a pixel apart, around a point."""
    along = max(int(2 * reach) // SEGMENTS, 1) * SEGMENTS
    turned = lines(values, middle, angle, along, count + 2)
    return strength(turned.reshape(count + 2, SEGMENTS, -1, 4).mean(axis=2))
