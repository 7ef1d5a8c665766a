"""Chips as pictures for a page: stretched to eight bits, as PNG, inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
SMALLEST_PX = 64
"""Smaller chips are enlarged by a whole factor up to this side, so that a browser does not blur them."""


@dataclass(frozen=True)
class Stretch:
    """From chip values to what a screen shows; the same for real and synthetic chips, or they cannot be compared.

    Attributes:
        bands: Bands shown as red, green and blue, counted from 0.
        low: Value shown as black, of each shown band.
        high: Value shown as white, of each shown band.
    """

    bands: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __call__(self, chips: npt.NDArray[np.generic]) -> Pixels:
        """Chips (..., C) in their own dtype to pictures (..., 3)."""
        shown = chips[..., self.bands].astype(np.float32)
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        with np.errstate(invalid="ignore"):
            scaled = np.clip((shown - low) / (high - low), 0, 1)
        picture: Pixels = np.rint(255 * np.nan_to_num(scaled)).astype(np.uint8)
        return picture


def fit_stretch(chips: npt.NDArray[np.generic]) -> Stretch:
    """Fit a stretch on real chips (N, H, W, C): uint8 as it is, else between the 1st and 99th percentile of each band.

    The first three bands are shown as red, green and blue, of fewer bands the first one as grey.
    """
    bands = (0, 1, 2) if chips.shape[-1] >= 3 else (0, 0, 0)
    if chips.dtype == np.uint8:
        return Stretch(bands, (0.0,) * 3, (255.0,) * 3)
    values = chips[..., bands].reshape(-1, 3).astype(np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return Stretch(bands, (0.0,) * 3, (1.0,) * 3)
    low, high = np.percentile(values, (1, 99), axis=0)
    high = np.where(high > low, high, low + 1)
    return Stretch(bands, tuple(map(float, low)), tuple(map(float, high)))


def png(picture: Pixels, colours: int | None = 256) -> bytes:
    """A picture (H, W, 3) as PNG.

    With a palette of its own a chip takes a third of the bytes and looks the same; None keeps all colours.
    """
    image = Image.fromarray(picture)
    if colours is not None:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Content as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def tiles(pictures: Pixels) -> list[str]:
    """Data URIs of pictures (N, H, W, 3), small ones enlarged by a whole factor."""
    factor = max(1, -(-SMALLEST_PX // max(1, pictures.shape[1])))
    return [data_uri(png(picture.repeat(factor, 0).repeat(factor, 1))) for picture in pictures]


def contact_sheet(pictures: Pixels, columns: int, gap_px: int = 2) -> Pixels:
    """Pictures (N, H, W, 3) as one picture, row by row, with a white gap between them."""
    count, height, width = pictures.shape[:3]
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 255, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + gap_px), column * (width + gap_px)
        sheet[top : top + height, left : left + width] = picture
    return sheet
