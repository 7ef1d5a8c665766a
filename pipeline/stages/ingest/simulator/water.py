"""Water of a simulated scene: hue, plumes, waves, slicks and sun glint."""

from __future__ import annotations

import numpy as np

from .drawing import RasterBuffer, linear, noise_field, wave_field

_WATERS = [
    (44, 74, 82), (58, 84, 80), (64, 92, 86), (70, 104, 98), (92, 120, 108), (84, 100, 84), (112, 128, 112),
    (128, 126, 104), (134, 122, 104), (164, 148, 122), (190, 172, 148), (60, 66, 70), (52, 62, 58),
]  # fmt: skip
"""Display colours of sea, coast, estuary and silt-laden river, as PlanetScope's visual product shows them."""


def paint_water(buffer: RasterBuffer, rng: np.random.Generator, waves: float, glint: float) -> None:
    """Fill the buffer with water.

    Args:
        buffer: Painted in place.
        rng: Source of everything drawn.
        waves: Mean contrast of the waves, 1 for a usual day.
        glint: Mean strength of the sun's reflection, 1 for a usual day.
    """
    shape, step = buffer.solid.shape, buffer.step_m
    first, second = (linear(*_WATERS[int(rng.integers(len(_WATERS)))]) for _ in range(2))
    first = first * np.float32(rng.uniform(0.85, 1.15))
    plume = noise_field(rng, shape, 350 / step, 3.4)
    share = rng.uniform(0, 0.45) / (1 + np.exp(-2.5 * (plume - rng.normal(0.6, 0.6))))
    buffer.light[:] = first + share[..., None].astype(np.float32) * (second - first)

    toward = float(rng.uniform(0, 360))
    wind = wave_field(rng, shape, rng.uniform(9, 24) / step, toward, 0.35)
    swell = wave_field(rng, shape, rng.uniform(35, 90) / step, toward + rng.normal(0, 30), 0.1)
    sea = np.float32(0.75) * wind + np.float32(0.45) * swell
    contrast = waves * float(rng.gamma(1.5, 0.018))
    gusts = noise_field(rng, shape, 160 / step, 3.0)
    buffer.light *= np.clip(1 + contrast * sea + 0.018 * gusts, 0.5, 2)[..., None]
    if rng.random() < 0.5:  # slicks damp the waves and leave smooth bands
        slick = np.exp(-((noise_field(rng, shape, 120 / step, 3.2) / 0.07) ** 2))
        buffer.light *= (1 + rng.normal(0, 0.05) * slick)[..., None].astype(np.float32)
    # The sun's reflection is brighter towards one side of the scene, and on the slopes of waves that face it.
    angle = rng.uniform(0, 2 * np.pi)
    rows, cols = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    ramp = np.exp(0.8 * (rows * np.sin(angle) + cols * np.cos(angle))).astype(np.float32)
    facets = 0.6 + 0.4 * np.exp(np.clip(0.6 * sea, -3, 2))
    buffer.light += (np.float32(glint * rng.gamma(1.2, 0.012)) * ramp * facets)[..., None] * linear(255, 246, 232)
