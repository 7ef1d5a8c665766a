"""Effects between the scene and the file: cloud, haze, optics, noise, tone curve and the edge of the swath."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .drawing import GAMMA, Float, Mask, Sun, linear, noise_field


def add_clouds(light: Float, rng: np.random.Generator, sun: Sun, cover: float) -> Float:
    """Draw cumulus with its shadows over ``light`` (H, W, 3) in place; return its opacity (H, W) in [0, 1].

    Args:
        light: Linear light.
        rng: Source of the clouds.
        sun: Where the shadows fall.
        cover: Share of the scene under cloud.
    """
    shape = light.shape[:2]
    if cover <= 0:
        return np.zeros(shape, np.float32)
    lumps = noise_field(rng, shape, 50, 2.6) + 0.12 * noise_field(rng, shape, 6, 1.8)
    body = lumps - np.float32(np.quantile(lumps, 1 - min(cover, 1.0)))
    opacity = np.clip(body * 1.5, 0, 1) ** np.float32(1.2)
    x, y = sun.shadow * rng.uniform(70, 200)
    shadow = np.roll(opacity, (round(y), round(x)), axis=(0, 1))
    light *= (1 - 0.55 * gaussian_filter(shadow, 2.0, mode="wrap"))[..., None]
    relief = 1 + 0.10 * noise_field(rng, shape, 10, 2.2) + 0.15 * np.clip(body, 0, 2)
    light += opacity[..., None] * (linear(240, 236, 228) * relief[..., None] - light)
    return np.asarray(opacity, np.float32)


def add_haze(light: Float, rng: np.random.Generator, strength: float) -> None:
    """Lay a veil over ``light`` (H, W, 3) in place: it lifts the dark and greys or warms the scene."""
    tints = [(178, 186, 186), (206, 194, 176), (226, 190, 154), (188, 190, 178)]
    tint = linear(*tints[int(rng.integers(len(tints)))])
    uneven = 1 + 0.25 * noise_field(rng, light.shape[:2], 200, 3.4)
    light += np.clip(strength * uneven, 0, 0.9).astype(np.float32)[..., None] * (tint - light)


def expose(light: Float, rng: np.random.Generator, blur_px: float, noise: float) -> NDArray[np.uint8]:
    """Blur, sharpen as a visual product is, add noise, and develop to 8 bits.

    Args:
        light: (H, W, 3) linear light.
        rng: Source of white balance and noise.
        blur_px: Standard deviation of the optics' point spread in pixels.
        noise: Standard deviation of the noise in digital numbers; neighbours and bands are correlated.

    Returns:
        (H, W, 3) uint8 from 1 to 255: 0 stands for missing data.
    """
    balance = np.array([1.04, 1.0, 0.95]) * (1 + 0.03 * rng.standard_normal(3)) * (1 + 0.10 * rng.standard_normal())
    grey = light.mean(axis=2, keepdims=True)
    muted = grey + np.float32(0.88) * (light - grey)  # the bands' responses overlap
    image = gaussian_filter(muted * balance.astype(np.float32), (blur_px, blur_px, 0), mode="nearest")
    image = np.clip(image, 0, None)
    image = np.where(image > 0.8, 0.8 + 0.45 * np.tanh((image - 0.8) / 0.45), image)  # shoulder of the tone curve
    image = 255 * image ** np.float32(1 / GAMMA)
    image += 0.5 * (image - gaussian_filter(image, (1.3, 1.3, 0), mode="nearest"))
    shared = rng.standard_normal((*light.shape[:2], 1), dtype=np.float32)
    own = rng.standard_normal(light.shape, dtype=np.float32)
    grain = gaussian_filter(0.75 * shared + 0.66 * own, (0.55, 0.55, 0), mode="wrap")
    image += noise / 0.557 * grain  # the filter leaves 0.557 of the standard deviation
    return np.asarray(np.clip(np.rint(image), 1, 255), np.uint8)


def swath_edge(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    """Draw the pixels (H, W) beyond the tilted edge of the swath, 5 to 40 % of the scene."""
    tilt = np.radians(rng.choice([12.0, 102.0, 192.0, 282.0]) + rng.normal(0, 3))
    rows, cols = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    across = rows * np.cos(tilt) + cols * np.sin(tilt)
    return np.asarray(across > np.quantile(across, 1 - rng.uniform(0.05, 0.40)))
