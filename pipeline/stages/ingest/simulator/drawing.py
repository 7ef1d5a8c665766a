"""Buffer of a simulated scene and how things are drawn on it: polygons, shadows, textures and noise.

Positions are metres from the upper left corner of the scene, x to the right (east), y down (south). Headings are
degrees clockwise from north. Colours are linear light in [0, 1]; :func:`linear` makes them from 8-bit display values.
An object is drawn in its own frame: u ahead of its centre, v to its right, in metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, radians, sin, tan

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = NDArray[np.float32]
Points = NDArray[np.float64]
"""Corners of a polygon (N, 2)."""
Window = tuple[slice, slice]

GSD_M = 3.0
"""Metres per pixel of a scene."""
OVERSAMPLING = 2
"""RasterBuffer pixels along the side of a scene pixel."""
_FINE = 4
"""Samples of a polygon's edge along the side of a buffer pixel."""
GAMMA = 1.8
"""Exponent of the display's tone curve."""
FOAM = (230, 230, 224)


def linear(red: float, green: float, blue: float) -> Colour:
    """Return the linear light (3,) of an 8-bit display colour."""
    return (np.array([red, green, blue], np.float32) / np.float32(255.0)) ** np.float32(GAMMA)


def direction(heading_deg: float) -> tuple[float, float]:
    """Return the unit vector (x, y) of a heading: y points down, so north is (0, -1)."""
    return sin(radians(heading_deg)), -cos(radians(heading_deg))


def placed(shape: Points, x: float, y: float, heading_deg: float) -> Points:
    """Return points (N, 2) of a frame around (x, y) as (x, y) of the scene."""
    ahead_x, ahead_y = direction(heading_deg)
    return np.asarray(shape @ np.array([[ahead_x, ahead_y], [-ahead_y, ahead_x]]) + (x, y))


# ----------------------------------------------------------------------------------------------------------- noise


def noise_field(rng: np.random.Generator, shape: tuple[int, int], length_px: float, roughness: float = 3.0) -> Float:
    """Draw a Gaussian random field (H, W) with mean 0 and standard deviation 1.

    Its amplitude spectrum is (1 + (k L)^2)^(-roughness/2): flat above the length L, a power law below it.

    Args:
        rng: Source of the field.
        shape: Height and width.
        length_px: Correlation length L in pixels.
        roughness: Exponent; 2 is rugged, 4 is smooth.
    """
    if length_px > 20 and min(shape) >= 16:
        coarse = noise_field(rng, (-(-shape[0] // 4), -(-shape[1] // 4)), length_px / 4, roughness)
        return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    scale = np.float32(2 * pi * length_px)
    return _filtered(rng, shape, lambda rows, cols: (1 + scale**2 * (rows**2 + cols**2)) ** np.float32(-roughness / 2))


def wave_field(
    rng: np.random.Generator, shape: tuple[int, int], wavelength_px: float, toward_deg: float, spread: float
) -> Float:
    """Draw random waves (H, W) around one wavelength and direction, with mean 0 and standard deviation 1.

    The spectrum falls as |cos|^(2 / spread) off the direction of travel, which is clockwise from up.
    """
    x, y = direction(toward_deg)

    def gain(rows: Float, cols: Float) -> Float:
        k = np.sqrt(rows**2 + cols**2) + np.float32(1e-9)
        along = np.abs(cols * x + rows * y) / k
        return np.asarray(np.exp(-((np.log(k * wavelength_px) / 0.35) ** 2)) * along ** (1.0 / spread) / np.sqrt(k))

    return _filtered(rng, shape, gain)


def _filtered(rng: np.random.Generator, shape: tuple[int, int], gain: Callable[[Float, Float], Float]) -> Float:
    """Filter white noise by a gain, a function of the frequencies down and across, to standard deviation 1."""
    rows = scipy.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    cols = scipy.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    gains = gain(rows, cols).astype(np.float32)
    gains[0, 0] = 0
    out: Float = scipy.fft.irfft2(scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * gains, s=shape)
    return np.asarray(out / max(float(out.std()), 1e-12), np.float32)


# ---------------------------------------------------------------------------------------------------------- buffer


@dataclass(frozen=True)
class Sun:
    """Direction and height of the light."""

    azimuth_deg: float
    elevation_deg: float

    @property
    def shadow(self) -> Points:
        """Return the offset (x, y) in metres of the shadow's end for one metre of height."""
        return -np.array(direction(self.azimuth_deg)) / tan(radians(self.elevation_deg))


class RasterBuffer:
    """A scene while it is painted, ``OVERSAMPLING`` times finer than its pixels.

    Attributes:
        light: (H, W, 3) linear light.
        solid: (H, W), true where something stands that no ship can sail over.
        size_m: Side of the scene in metres.
        step_m: Metres per buffer pixel.
        sun: Where shadows fall.
    """

    def __init__(self, size_px: int, sun: Sun) -> None:
        """Begin a scene of ``size_px`` x ``size_px`` pixels."""
        side = size_px * OVERSAMPLING
        self.size_m, self.step_m, self.sun = size_px * GSD_M, GSD_M / OVERSAMPLING, sun
        self.light = np.zeros((side, side, 3), np.float32)
        self.solid = np.zeros((side, side), bool)

    def pixels(self) -> Float:
        """Return the buffer averaged over the scene's pixels: (H, W, 3) linear light."""
        side = len(self.light) // OVERSAMPLING
        return np.asarray(cv2.resize(self.light, (side, side), interpolation=cv2.INTER_AREA), np.float32)

    def window(self, points: Points) -> Window | None:
        """Return the window of the buffer that holds points (N, 2) in metres; None if they lie beside it."""
        low = np.clip(np.floor(points.min(axis=0) / self.step_m).astype(int) - 1, 0, len(self.light))
        high = np.clip(np.ceil(points.max(axis=0) / self.step_m).astype(int) + 1, 0, len(self.light))
        return (slice(low[1], high[1]), slice(low[0], high[0])) if (low < high).all() else None

    def coverage(self, points: Points) -> tuple[Window, Float] | None:
        """Return a window and the share (h, w) of each of its pixels that a polygon covers; None beside the buffer."""
        window = self.window(points)
        if window is None:
            return None
        height, width = (part.stop - part.start for part in window)
        fineness = _FINE if max(height, width) <= 1024 else 1  # large shapes would take too much memory
        fine = np.zeros((height * fineness, width * fineness), np.uint8)
        corners = (points / self.step_m - (window[1].start, window[0].start)) * fineness - 0.5
        cv2.fillPoly(fine, [np.rint(corners * 16).astype(np.int32)], 255, shift=4)
        share = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        return window, share.astype(np.float32) / np.float32(255)

    def blend(self, window: Window, alpha: Float, colour: Colour) -> None:
        """Mix a colour, (3,) or (h, w, 3), into a window with an opacity (h, w)."""
        self.light[window] += alpha[..., None] * (colour - self.light[window])


@dataclass(frozen=True)
class Frame:
    """An object's own frame on the buffer, around (x, y); shapes are polygons (N, 2) of (u, v)."""

    buffer: RasterBuffer
    x: float
    y: float
    heading_deg: float

    def place(self, shape: Points) -> Points:
        """Return points (N, 2) of the frame as (x, y) of the scene."""
        return placed(shape, self.x, self.y, self.heading_deg)

    def fill(
        self, shape: Points, colour: Colour, height_m: float = 0.0, shadow: float = 0.5, solid: bool = False
    ) -> None:
        """Paint a shape; where it has a height, its shadow first, which leaves a share ``shadow`` of the light."""
        corners = self.place(shape)
        if height_m > 0:
            ends = np.concatenate([corners, corners + height_m * self.buffer.sun.shadow]).astype(np.float32)
            self._multiply(cv2.convexHull(ends)[:, 0].astype(np.float64), shadow)
        covered = self.buffer.coverage(corners)
        if covered is not None:
            self.buffer.blend(*covered, colour)
            if solid:
                self.buffer.solid[covered[0]] |= covered[1] > 0

    def shade(self, shape: Points, factor: float) -> None:
        """Multiply the light of a shape."""
        self._multiply(self.place(shape), factor)

    def roughen(self, shape: Points, rng: np.random.Generator, length_m: float, strength: float) -> None:
        """Multiply the light of a shape by noise with mean 1 and a relative standard deviation ``strength``."""
        covered = self.buffer.coverage(self.place(shape))
        if covered is not None:
            noise = noise_field(rng, covered[1].shape, length_m / self.buffer.step_m, 2.0)
            gain = 1 + covered[1] * np.clip(np.float32(strength) * noise, -0.6, 0.7)
            self.buffer.light[covered[0]] *= gain[..., None]

    def tile(self, corner: tuple[float, float], size: tuple[float, float], colours: Float) -> None:
        """Paint an image (R, C, 4), the last band its opacity, over u and v from ``corner`` on, its rows along v."""
        (u, v), (long, wide) = corner, size
        corners = self.place(np.array([[u, v], [u + long, v], [u, v + wide], [u + long, v + wide]]))
        window = self.buffer.window(corners)
        if window is None:
            return
        height, width = (part.stop - part.start for part in window)
        target = (corners[:3] / self.buffer.step_m - (window[1].start, window[0].start)) * _FINE - 0.5
        rows, cols = colours.shape[:2]
        source = np.array([[0, 0], [cols, 0], [0, rows]]) - 0.5
        warp = cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32))
        premultiplied = np.concatenate([colours[..., :3] * colours[..., 3:], colours[..., 3:]], axis=-1)
        fine = cv2.warpAffine(premultiplied, warp, (width * _FINE, height * _FINE), flags=cv2.INTER_NEAREST)
        layer = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        self.buffer.light[window] = self.buffer.light[window] * (1 - layer[..., 3:]) + layer[..., :3]

    def grid(self, shape: Points) -> tuple[Window, Float, Float] | None:
        """Return the window around a shape, and u and v (h, w) of its pixels; None if it lies beside the buffer."""
        window = self.buffer.window(self.place(shape))
        if window is None:
            return None
        y, x = ((np.arange(part.start, part.stop, dtype=np.float32) + 0.5) * self.buffer.step_m for part in window)
        dx, dy = x[None, :] - self.x, y[:, None] - self.y
        ahead_x, ahead_y = direction(self.heading_deg)
        return (
            window,
            (dx * ahead_x + dy * ahead_y).astype(np.float32),
            (dy * ahead_x - dx * ahead_y).astype(np.float32),
        )

    def _multiply(self, corners: Points, factor: float) -> None:
        covered = self.buffer.coverage(corners)
        if covered is not None:
            self.buffer.light[covered[0]] *= (1 + covered[1] * np.float32(factor - 1))[..., None]


def box(u0: float, u1: float, v0: float, v1: float) -> Points:
    """Return a rectangle of a frame."""
    return np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])


def disc(u: float, v: float, radius: float) -> Points:
    """Return a circle of a frame, a polygon of 24 sides."""
    turn = np.linspace(0, 2 * pi, 24, endpoint=False)
    return np.stack([u + radius * np.cos(turn), v + radius * np.sin(turn)], axis=1)
