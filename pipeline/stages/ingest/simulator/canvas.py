"""The sheet that a simulated scene is painted on, and the windows through which objects are painted.

Positions are metres from the upper left corner of the scene, x to the right (east), y down (south). Headings are
degrees clockwise from north. Colours are linear light in [0, 1]; :func:`linear` makes them from 8-bit display values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, cos, pi, radians, sin, tan

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = NDArray[np.float32]

GSD_M = 3.0
"""Metres per pixel of a scene."""
OVERSAMPLING = 2
"""Canvas pixels along the side of a scene pixel; objects are sampled twice finer again."""
GAMMA = 1.8
"""Exponent of the display's tone curve."""


def linear(red: float, green: float, blue: float) -> Colour:
    """Linear light (3,) float32 of an 8-bit display colour."""
    return (np.array([red, green, blue], np.float32) / np.float32(255.0)) ** np.float32(GAMMA)


def noise_field(rng: np.random.Generator, shape: tuple[int, int], length_px: float, roughness: float = 3.0) -> Float:
    """Periodic Gaussian random field with mean 0 and standard deviation 1.

    Its amplitude spectrum is (1 + (k L)^2)^(-roughness/2): flat above the length L, a power law below it.

    Args:
        rng: Source of the field.
        shape: Height and width.
        length_px: Correlation length L in pixels.
        roughness: Exponent; 2 is rugged, 4 is smooth.

    Returns:
        (H, W) float32.
    """
    if length_px > 20 and shape[0] % 4 == shape[1] % 4 == 0:
        coarse = noise_field(rng, (shape[0] // 4, shape[1] // 4), length_px / 4, roughness)
        return _enlarged(_enlarged(coarse, 4).T, 4).T
    rows = scipy.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    cols = scipy.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    scale = np.float32(2 * pi * length_px)
    gain = (1 + scale * scale * (rows * rows + cols * cols)) ** np.float32(-roughness / 2)
    gain[0, 0] = 0
    return _shaped(rng, shape, gain)


def _enlarged(field: Float, times: int) -> Float:
    """A periodic field with ``times`` as many rows, linearly interpolated between pixel centres."""
    out = np.empty((field.shape[0] * times, field.shape[1]), np.float32)
    for phase in range(times):
        offset = (phase + 0.5) / times - 0.5
        other = np.roll(field, 1 if offset < 0 else -1, axis=0)
        out[phase::times] = field + np.float32(abs(offset)) * (other - field)
    return out


def wave_field(
    rng: np.random.Generator, shape: tuple[int, int], wavelength_px: float, toward_deg: float, spread: float
) -> Float:
    """Periodic random waves around one wavelength and direction, with mean 0 and standard deviation 1.

    Args:
        rng: Source of the field.
        shape: Height and width.
        wavelength_px: Wavelength at the peak of the spectrum.
        toward_deg: Direction of travel, clockwise from up.
        spread: Directional spread; the spectrum falls as |cos|^(2 / spread) off the direction of travel.

    Returns:
        (H, W) float32.
    """
    rows = scipy.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    cols = scipy.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    k = np.sqrt(rows * rows + cols * cols) + np.float32(1e-9)
    along = np.abs(cols * sin(radians(toward_deg)) - rows * cos(radians(toward_deg))) / k
    gain = np.exp(-((np.log(k * wavelength_px) / 0.35) ** 2)) * along ** (1.0 / spread) / np.sqrt(k)
    gain[0, 0] = 0
    return _shaped(rng, shape, gain.astype(np.float32))


def _shaped(rng: np.random.Generator, shape: tuple[int, int], gain: Float) -> Float:
    """White noise filtered by a gain (H, W // 2 + 1), scaled to standard deviation 1."""
    white = rng.standard_normal(shape, dtype=np.float32)
    out: Float = scipy.fft.irfft2(scipy.fft.rfft2(white) * gain, s=shape)
    return np.asarray(out / max(float(out.std()), 1e-12), np.float32)


def box_mean(image: Float, side: int) -> Float:
    """Mean over squares of ``side`` pixels: (H, W, C) to (H / side, W / side, C)."""
    out = image[::side, ::side].copy()
    for row, col in list(np.ndindex(side, side))[1:]:
        out += image[row::side, col::side]
    return out / np.float32(side * side)


@dataclass(frozen=True)
class Sun:
    """Where the light comes from."""

    azimuth_deg: float
    elevation_deg: float

    @property
    def shadow(self) -> tuple[float, float]:
        """(x, y) offset in metres of the shadow's end for one metre of height."""
        reach = 1.0 / tan(radians(self.elevation_deg))
        return -sin(radians(self.azimuth_deg)) * reach, cos(radians(self.azimuth_deg)) * reach


@dataclass
class Patch:
    """A window of the canvas in an object's own frame, sampled ``fine`` times finer than the canvas.

    Attributes:
        u: (h, w) metres ahead of the object's centre.
        v: (h, w) metres to its right.
        light: (h, w, 3) linear light, painted in place.
        solid: (h, w) where something stands that no ship can sail over.
    """

    canvas: Canvas
    rows: slice
    cols: slice
    fine: int
    heading_deg: float
    u: Float
    v: Float
    light: Float
    solid: Mask

    def paint(self, where: Mask, colour: Colour | Float, solid: bool = False) -> None:
        """Cover ``where`` (h, w) with one colour (3,) or with the same pixels of an image (h, w, 3)."""
        self.light[where] = colour if colour.ndim == 1 else colour[where]
        if solid:
            self.solid |= where

    def blend(self, alpha: Float, colour: Colour) -> None:
        """Mix a colour in with an opacity (h, w) in [0, 1]."""
        self.light += alpha[..., None] * (colour - self.light)

    def shade(self, where: Mask, factor: float) -> None:
        """Multiply the light where something casts a shadow or catches the sun."""
        self.light[where] *= np.float32(factor)

    def rectangle(self, u0: float, u1: float, v0: float, v1: float) -> Mask:
        """(h, w) true inside a rectangle of the object's frame."""
        return (self.u >= u0) & (self.u < u1) & (self.v >= v0) & (self.v < v1)

    def disc(self, u0: float, v0: float, radius: float) -> Mask:
        """(h, w) true inside a circle of the object's frame."""
        return np.asarray((self.u - u0) ** 2 + (self.v - v0) ** 2 < radius * radius)

    def cast(self, sun: Sun, height_m: float) -> tuple[float, float]:
        """(u, v) offset in metres of the shadow of a point ``height_m`` high."""
        x, y = sun.shadow
        ahead_x, ahead_y = direction(self.heading_deg)
        return height_m * (x * ahead_x + y * ahead_y), height_m * (-x * ahead_y + y * ahead_x)

    def box_shadow(self, sun: Sun, height_m: float, u0: float, u1: float, v0: float, v1: float) -> Mask:
        """(h, w) ground in the shadow of a box, in steps that leave no gap for boxes over 3 m wide."""
        du, dv = self.cast(sun, height_m)
        steps = max(1, ceil(max(abs(du), abs(dv)) / 3.0))
        out = np.zeros(self.u.shape, bool)
        for step in range(1, steps + 1):
            t = step / steps
            out |= self.rectangle(u0 + t * du, u1 + t * du, v0 + t * dv, v1 + t * dv)
        return out

    def close(self) -> None:
        """Average the samples and put them back on the canvas."""
        self.canvas.light[self.rows, self.cols] = box_mean(self.light, self.fine)
        solid = self.canvas.solid[self.rows, self.cols]
        for row, col in np.ndindex(self.fine, self.fine):
            solid |= self.solid[row :: self.fine, col :: self.fine]


@dataclass
class Canvas:
    """The scene while it is painted, ``OVERSAMPLING`` times finer than its pixels.

    Attributes:
        light: (H, W, 3) linear light.
        solid: (H, W) land and structures.
    """

    size_m: float
    light: Float
    solid: Mask = field(init=False)

    def __post_init__(self) -> None:
        """Start with water everywhere."""
        self.solid = np.zeros(self.light.shape[:2], bool)

    @property
    def step_m(self) -> float:
        """Metres per canvas pixel."""
        return self.size_m / int(self.light.shape[0])

    def patch(self, x: float, y: float, heading_deg: float, ahead: float, aside: float, fine: int = 2) -> Patch | None:
        """Open the window that holds |u| < ahead and |v| < aside around (x, y); None if it is off the canvas."""
        ux, uy = direction(heading_deg)
        reach_x = abs(ux) * ahead + abs(uy) * aside
        reach_y = abs(uy) * ahead + abs(ux) * aside
        step, (height, width) = self.step_m, self.light.shape[:2]
        top, bottom = max(0, int((y - reach_y) / step)), min(height, ceil((y + reach_y) / step))
        left, right = max(0, int((x - reach_x) / step)), min(width, ceil((x + reach_x) / step))
        if top >= bottom or left >= right:
            return None
        rows, cols = slice(top, bottom), slice(left, right)
        dy = (top + (np.arange((bottom - top) * fine, dtype=np.float32) + 0.5) / fine) * step - y
        dx = (left + (np.arange((right - left) * fine, dtype=np.float32) + 0.5) / fine) * step - x
        u = np.asarray(dx[None, :] * ux + dy[:, None] * uy, np.float32)
        v = np.asarray(dx[None, :] * -uy + dy[:, None] * ux, np.float32)
        light = self.light[rows, cols].repeat(fine, axis=0).repeat(fine, axis=1)
        solid = self.solid[rows, cols].repeat(fine, axis=0).repeat(fine, axis=1)
        return Patch(self, rows, cols, fine, heading_deg, u, v, light, solid)


def direction(heading_deg: float) -> tuple[float, float]:
    """Unit vector (x, y) of a heading: y points down, so north is (0, -1)."""
    return sin(radians(heading_deg)), -cos(radians(heading_deg))
