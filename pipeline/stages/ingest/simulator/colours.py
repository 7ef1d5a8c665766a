"""Colours of a simulated scene: weighted palettes of 8-bit display values, and draws from them in linear light."""

from __future__ import annotations

import numpy as np

from .drawing import Colour, Frame, linear

Palette = list[tuple[float, tuple[int, int, int]]]

DECKS: Palette = [
    (3.5, (188, 104, 80)), (2.0, (218, 132, 104)), (2.0, (142, 76, 64)), (2.0, (148, 168, 142)), (1.5, (116, 138, 122)),
    (2.5, (164, 160, 152)), (2.5, (208, 196, 174)), (1.5, (108, 108, 106)), (1.0, (108, 128, 150)),
    (0.8, (232, 150, 118)),
]  # fmt: skip
HATCHES: Palette = [
    (3.0, (226, 214, 192)), (2.0, (170, 158, 144)), (2.0, (180, 112, 90)), (1.5, (136, 156, 134)),
    (1.0, (244, 238, 226)), (1.0, (104, 108, 110)), (0.7, (124, 144, 162)),
]  # fmt: skip
HULLS: Palette = [
    (3.0, (62, 60, 60)), (2.0, (130, 72, 60)), (1.5, (70, 84, 108)), (1.5, (214, 208, 198)), (1.0, (140, 142, 138)),
    (0.7, (84, 110, 90)), (0.5, (204, 104, 72)),
]  # fmt: skip
BOXES: Palette = [
    (3.0, (190, 102, 82)), (2.0, (84, 106, 146)), (2.0, (226, 220, 210)), (1.5, (116, 148, 132)),
    (1.2, (222, 164, 104)), (1.5, (142, 78, 68)), (1.5, (136, 136, 136)), (1.0, (78, 80, 90)), (0.6, (160, 76, 108)),
]  # fmt: skip
HOUSES: Palette = [(5.0, (255, 250, 240)), (2.0, (236, 226, 206)), (1.0, (206, 202, 194))]
CARGOES: Palette = [(2.0, (70, 66, 64)), (2.0, (178, 156, 122)), (1.0, (134, 84, 60)), (1.0, (150, 146, 138))]
SOILS: Palette = [
    (3.0, (178, 160, 132)), (2.0, (150, 136, 112)), (2.0, (120, 124, 96)), (1.5, (96, 108, 82)), (1.0, (204, 186, 156)),
]  # fmt: skip
GREENS: Palette = [(2.0, (84, 98, 72)), (2.0, (104, 110, 82)), (1.0, (70, 86, 66)), (1.0, (128, 124, 94))]
CONCRETES: Palette = [(2.0, (176, 168, 150)), (2.0, (196, 186, 166)), (1.0, (150, 146, 136)), (1.0, (208, 196, 176))]
ROADS: Palette = [(2.0, (120, 114, 106)), (1.0, (186, 176, 156)), (1.0, (146, 138, 126))]
ROOFS: Palette = [
    (3.0, (214, 206, 192)), (2.0, (176, 170, 160)), (2.0, (168, 96, 76)), (1.0, (128, 120, 112)),
    (1.0, (110, 132, 150)), (1.0, (196, 124, 94)), (1.0, (120, 140, 118)), (1.5, (250, 246, 238)),
]  # fmt: skip
CRANES: Palette = [(2.0, (70, 96, 140)), (2.0, (206, 200, 190)), (1.0, (190, 90, 60)), (1.0, (90, 92, 96))]
ROCKS: Palette = [(2.0, (150, 142, 128)), (1.0, (118, 112, 104)), (1.0, (180, 168, 148))]


def pick(rng: np.random.Generator, palette: Palette, gain: float = 1.0, jitter: float = 0.08) -> Colour:
    """Draw a colour (3,) of a weighted palette, ``gain`` times as bright; ``jitter`` moves brightness and bands."""
    limits = np.cumsum([weight for weight, _ in palette])
    _, colour = palette[int(np.searchsorted(limits, rng.random() * limits[-1], side="right"))]
    shift = 1 + jitter * (1.2 * rng.standard_normal() + 0.3 * rng.standard_normal(3))
    return np.asarray(linear(*colour) * np.clip(shift, 0.4, 1.8) * gain, np.float32)


def draw_containers(
    frame: Frame, rng: np.random.Generator, corner: tuple[float, float], size: tuple[float, float],
    shape: tuple[int, int], filled: float = 1.0,
) -> None:  # fmt: skip
    """Draw containers in a grid of ``shape`` (across, along), a share ``filled`` of it; few owners paint most of them.

    Args:
        frame: The ship's or the coast's frame.
        rng: Source of everything drawn.
        corner: Least u and v of the grid.
        size: Its extents along u and v.
        shape: Containers along v and u.
        filled: Share of the places that hold one.
    """
    owners = np.stack([pick(rng, BOXES, jitter=0.15) for _ in range(10)])
    colours = np.ones((*shape, 4), np.float32)
    colours[..., :3] = owners[rng.choice(len(owners), shape, p=rng.dirichlet(np.full(len(owners), 0.7)))]
    colours[..., 3] = rng.random(shape) < filled
    frame.tile(corner, size, colours)
