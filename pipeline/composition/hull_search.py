"""Look for a long object near the middle of a chip whose label has no box.

Half lengths, half widths, angles and centres are tried in a reduced chip; edges along the sides and across the ends
count. The best is fitted again, in its own box, at the chip's own pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .hull import EDGE_WEIGHT, SEGMENTS, Floats, Form, Hull, fit_hull, lines, stacked, strength

END_WEIGHT = 0.7
"""Worth of an edge across an end, as a part of one along a side."""
COARSE_DEG = 7.5
COARSE_PX = 40
"""Side of the reduced chip in which an outline is searched for without a box."""
LONG = 1.25
"""How much longer edges count for more, as a power of the root of their length."""


def find_hull(image: npt.NDArray[np.uint8], form: Form, has_data: npt.NDArray[np.bool_]) -> Hull | None:
    """Return the outline near the chip's centre that fits the image's edges best, without a box.

    Edges along the sides and across the ends count. What is found coarsely is fitted again in its own box.

    Args:
        image: (H, W, 3), the chip's components.
        form: What is known of the class.
        has_data: Which pixels (H, W) hold data.
    """
    shrink = max(round(min(image.shape[:2]) / COARSE_PX), 1)
    height, width = image.shape[0] // shrink, image.shape[1] // shrink
    reduced = np.asarray(
        cv2.resize(stacked(image, has_data), (width, height), interpolation=cv2.INTER_AREA), np.float32
    )
    search = _Search.of(min(height, width) // 2, form)
    middle = height / 2, width / 2
    angles = [math.radians(degrees) for degrees in np.arange(-90.0, 90.0, COARSE_DEG)]
    turned = (lines(reduced, middle, angle, search.along, search.across) for angle in angles)
    sides, ends = zip(*map(search.edges, turned), strict=True)
    merits = search.merits(np.stack(sides), np.stack(ends))
    place = int(merits.argmax())
    angle = angles[place // merits[0].size]
    a, b, shift, beside = search.candidate(place % merits[0].size)
    cos, sin = math.cos(angle), math.sin(angle)
    row, col = middle[0] + shift * sin + beside * cos, middle[1] + shift * cos - beside * sin
    coarse = Hull(row * shrink, col * shrink, angle, 2 * a * shrink, 2 * b * shrink, 0.0)
    return fit_hull(image, coarse.box(), form, has_data)


@dataclass(frozen=True)
class _Search:
    """Half lengths a, half widths b and centres that :func:`find_hull` tries at each angle, as index arrays."""

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    shifts: npt.NDArray[np.int64]
    besides: npt.NDArray[np.int64]
    along: int
    across: int
    prior: Floats

    @classmethod
    def of(cls, reach: int, form: Form) -> _Search:
        a = np.unique(np.rint(np.geomspace(4, 1.3 * reach, 14)).astype(np.int64))
        b = np.arange(1, max(int(0.5 * reach), 3))
        shifts, besides = np.arange(-4, 5, 2), np.arange(-2, 3)
        lengths, widths, shift, beside = np.meshgrid(a, b, shifts, besides, indexing="ij")
        unusual = (np.log(widths / lengths) - form.log_aspect) / form.deviation
        prior = unusual**2 / 2 + (shift**2 + beside**2) / (2 * 2.0**2)
        return cls(a, b, shifts, besides, 2 * (int(a[-1]) + 8) + 1, 2 * (int(b[-1]) + 6) + 1, prior)

    def edges(self, turned: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Return the edges along sides (A, S, across) and across ends (A, B, S, P) in a chip turned to an angle."""
        middle, level = self.along // 2, self.across // 2
        total = np.zeros((turned.shape[0], turned.shape[1] + 1, 4), np.float32)
        np.cumsum(turned, axis=1, out=total[:, 1:])
        cuts = np.linspace(-0.88, 0.88, SEGMENTS + 1) * self.a[:, None, None] + self.shifts[:, None]
        cuts = np.rint(cuts + middle + 0.5).astype(np.int64)
        parts = np.diff(total[:, cuts], axis=3) / np.diff(cuts, axis=2)[..., None]
        sides = np.zeros((*cuts.shape[:2], self.across), np.float32)
        sides[..., 1:-1] = np.moveaxis(strength(parts), 0, -1)
        down = np.zeros((turned.shape[0] + 1, turned.shape[1], 4), np.float32)
        np.cumsum(turned, axis=0, out=down[1:])
        half = np.maximum(np.rint(0.6 * self.b).astype(np.int64), 1)
        top = level + self.besides - half[:, None]
        bars = (down[top + 2 * half[:, None] + 1] - down[top]) / (2 * half[:, None, None, None] + 1)
        jumps = np.moveaxis(strength(np.moveaxis(bars, 2, 0)[:, :, :, None]), 0, -1)
        jumps = np.pad(jumps, ((0, 0), (0, 0), (1, 1)))
        where = self.a[:, None] + self.shifts, self.shifts - self.a[:, None]
        both = [jumps[:, :, middle + offset] for offset in where]
        return sides, np.moveaxis(both[0] + both[1], (2, 3), (0, 2))

    def merits(self, sides: Floats, ends: Floats) -> Floats:
        """Return the merits (angles, A, B, S, P) of all candidates.

        The means of longer lines vary less by chance, as the root of their length: by so much more an edge along them
        counts.
        """
        level = self.across // 2
        sides = np.maximum(sides - np.median(sides), 0) * np.sqrt(self.a)[:, None, None] ** LONG
        low, high = (level + self.besides[None] + sign * self.b[:, None] for sign in (-1, 1))
        both = np.moveaxis(sides[..., low] + sides[..., high], 2, 3)
        ends = np.maximum(ends - np.median(ends), 0) * np.sqrt(self.b)[:, None, None] ** LONG
        worth = both + END_WEIGHT * ends
        merits: Floats = 2 * EDGE_WEIGHT * worth / max(float(worth.max()), 1e-6) - self.prior
        return merits

    def candidate(self, place: int) -> tuple[float, float, float, float]:
        indices = np.unravel_index(place, self.prior.shape)
        return (
            float(self.a[indices[0]]),
            float(self.b[indices[1]]),
            float(self.shifts[indices[2]]),
            float(self.besides[indices[3]]),
        )
