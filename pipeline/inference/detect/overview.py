"""A picture of a scene with what was found in it, of bounded size whatever the scene's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

LARGEST, SMALLEST = 2000, 600
"""Longest side of a picture in pixels; smaller scenes are magnified by a whole number."""
FOUND, WRONG, MISSED = (64, 255, 64), (255, 64, 64), (255, 208, 0)


class Overview:
    """Gathers a scene's pixels as they are read, shrunk by block means, and draws on them."""

    def __init__(self, height: int, width: int) -> None:
        """Prepare for a scene's grid of that size."""
        self.factor = max(1, -(-max(height, width) // LARGEST))
        self.zoom = max(1, SMALLEST // max(height, width))
        shape = -(-height // self.factor), -(-width // self.factor)
        self.sums = np.zeros((*shape, 3), np.float32)
        self.counts = np.zeros(shape, np.int32)

    def add(self, row: int, col: int, values: npt.NDArray[np.float32]) -> None:
        """Add pixels (H, W, C) in [-1, 1] of the grid from ``row`` and ``col`` on; three bands show, or the first."""
        bands = values[..., :3] if values.shape[2] >= 3 else values[..., [0, 0, 0]]
        height, width = bands.shape[:2]
        if not height or not width:
            return
        lines, first = _starts(row, height, self.factor)
        places, left = _starts(col, width, self.factor)
        sums = np.add.reduceat(np.add.reduceat(bands, lines, axis=0), places, axis=1)
        tall, wide = np.diff([*lines, height]), np.diff([*places, width])
        region = slice(first, first + len(lines)), slice(left, left + len(places))
        self.sums[region] += sums
        self.counts[region] += np.outer(tall, wide).astype(np.int32)

    def picture(self) -> Image.Image:
        """Return the picture of the scene, without marks."""
        mean = self.sums / np.maximum(self.counts, 1)[..., None]
        pixels = np.rint((np.clip(mean, -1, 1) + 1) * 127.5).astype(np.uint8)
        return Image.fromarray(pixels.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1))

    def write(
        self,
        path: Path,
        boxes: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
        right: npt.NDArray[np.bool_] | None,
        missed: npt.NDArray[np.float64],
        names: Sequence[str],
    ) -> None:
        """Draw boxes on the scene and write it as PNG.

        Args:
            path: Where to.
            boxes: (N, 4) row_min, col_min, row_max, col_max of the detections on the grid.
            scores: Their scores (N,).
            right: Which of them (N,) are right, or None where that is not known.
            missed: (M, 4) boxes of the objects that were not found.
            names: Class name (N,) of each detection; written beside its score where they differ.
        """
        image = self.picture()
        draw = ImageDraw.Draw(image)
        several = len(set(names)) > 1
        scale = self.zoom / self.factor
        for box in missed * scale:
            draw.rectangle(_corners(box), outline=MISSED, width=2)
        for place, box in enumerate(boxes * scale):
            colour = FOUND if right is None or right[place] else WRONG
            draw.rectangle(_corners(box), outline=colour, width=1)
            text = f"{names[place]} {scores[place]:.2f}" if several else f"{scores[place]:.2f}"
            draw.text((box[1] + 2, box[0] + 1), text, fill=colour)
        if right is not None:
            words = (("right", FOUND), ("wrong", WRONG), ("missed", MISSED))
            for line, (word, colour) in enumerate(words):
                draw.text((4, 4 + 12 * line), word, fill=colour, stroke_width=2, stroke_fill=(0, 0, 0))
        image.save(path, format="PNG", optimize=False)


def _starts(first: int, length: int, factor: int) -> tuple[npt.NDArray[np.int64], int]:
    """Return where blocks of ``factor`` begin within ``length`` pixels from ``first`` on, and the first index."""
    block = first // factor
    starts = np.arange(block, (first + length - 1) // factor + 1, dtype=np.int64) * factor - first
    return np.maximum(starts, 0), block


def _corners(box: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom, at least three pixels apart, so that a point shows."""
    top, left, bottom, right = (float(edge) for edge in box)
    return min(left, right - 3), min(top, bottom - 3), max(right, left + 3), max(bottom, top + 3)
