"""Natural land of a simulated scene: shore, ground, roads, breakwaters and islets.

Everything ashore is laid out in the coast's frame: a runs along the shore, b inland, both in metres from the middle
of the scene; the coast's heading is the direction of a, and b points to its right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .canvas import Canvas, Colour, Float, Mask, Patch, direction, linear, noise_field
from .colours import CONCRETES, GREENS, ROADS, ROCKS, SOILS, pick


@dataclass(frozen=True)
class Berth:
    """A straight waterfront where ships lie alongside; water is to the left of the way from start to end."""

    start: tuple[float, float]
    end: tuple[float, float]


@dataclass
class Coast:
    """The coast's frame on the canvas and what was built on it."""

    canvas: Canvas
    heading_deg: float
    berths: list[Berth] = field(default_factory=list)

    def place(self, a: float, b: float) -> tuple[float, float]:
        """(x, y) of a point of the coast's frame."""
        ux, uy = direction(self.heading_deg)
        middle = self.canvas.size_m / 2
        return middle + a * ux - b * uy, middle + a * uy + b * ux

    def box(self, a0: float, a1: float, b0: float, b1: float, around: float = 30, fine: int = 2) -> Patch | None:
        """The patch that holds a rectangle; its u is a and its v is b, from the rectangle's middle."""
        x, y = self.place((a0 + a1) / 2, (b0 + b1) / 2)
        return self.canvas.patch(x, y, self.heading_deg, (a1 - a0) / 2 + around, (b1 - b0) / 2 + around, fine)

    def berth(self, a0: float, a1: float, b0: float, b1: float) -> None:
        """Note a waterfront; water is at smaller b for a0 < a1."""
        self.berths.append(Berth(self.place(a0, b0), self.place(a1, b1)))


def paint_shore(coast: Coast, rng: np.random.Generator, edge_m: float, wild: bool) -> None:
    """Ground from b = edge inland: a quay's straight edge, or a beach or mangrove with its shallows."""
    canvas = coast.canvas
    shape, step = canvas.light.shape[:2], canvas.step_m
    grid = (np.arange(shape[0], dtype=np.float32) + 0.5) * step - canvas.size_m / 2
    ux, uy = (np.float32(part) for part in direction(coast.heading_deg))
    a = grid[None, :] * ux + grid[:, None] * uy
    inland = grid[None, :] * -uy + grid[:, None] * ux - np.float32(edge_m)
    if wild:
        inland = inland + 45 * noise_field(rng, shape, 170 / step, 2.9) + 3 * noise_field(rng, shape, 15 / step, 2.6)
        shallow = np.exp(np.clip(inland, None, 0) / rng.uniform(12, 50)) * rng.uniform(0.1, 0.6)
        canvas.light += shallow[..., None] * (pick(rng, SOILS) * np.float32(0.8) - canvas.light)
        surf = np.exp(-(((inland + 4) / 3.5) ** 2)) * np.clip(noise_field(rng, shape, 40 / step, 2.6), 0, 1)
        canvas.light += (rng.uniform(0, 0.6) * surf)[..., None] * (linear(230, 228, 220) - canvas.light)
    land = inland > 0
    canvas.light[land] = _ground(rng, shape, step, inland, a, wild)[land]
    canvas.solid |= land


def _ground(
    rng: np.random.Generator, shape: tuple[int, int], step: float, inland: Float, a: Float, wild: bool
) -> Float:
    """Soil and vegetation (H, W, 3) with a beach, a road or two along the shore and one inland."""
    soil, green = pick(rng, SOILS), pick(rng, GREENS)
    cover = 1 / (1 + np.exp(-3 * (noise_field(rng, shape, 60 / step, 2.6) - rng.normal(0.0, 0.8))))
    rough = 1 + 0.17 * noise_field(rng, shape, 7 / step, 1.8) + 0.08 * noise_field(rng, shape, 40 / step, 2.6)
    plots = np.floor(1.3 * noise_field(rng, shape, 110 / step, 3.0)) % 3  # clearings and fields with sharp borders
    rough *= 1 + rng.uniform(0, 0.2) * (plots - 1)
    ground = (soil + cover[..., None] * (green - soil)) * np.clip(rough, 0.4, 1.8)[..., None]
    if wild:
        beach = inland < rng.uniform(0, 22)
        ground[beach] = (pick(rng, CONCRETES) * np.clip(rough, 0.8, 1.2)[..., None])[beach]
    bend = 12 * noise_field(rng, shape, 150 / step, 3.4)
    road = pick(rng, ROADS)
    ground[np.abs(inland + bend - rng.uniform(40, 110)) < rng.uniform(3, 8)] = road
    ground[(np.abs(a + 2 * bend - rng.uniform(-500, 500)) < rng.uniform(2, 6)) & (inland > 25)] = road
    return np.asarray(ground, np.float32)


def paint_mound(
    canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float], heading_deg: float, size: tuple[float, float]
) -> None:
    """A rubble mound in the water, ``size`` (length, width) metres: breakwater, groyne, islet or sandbank."""
    length, width = size
    patch = canvas.patch(*centre, heading_deg, length / 2 + 25, width / 2 + 25)
    if patch is None:
        return
    along = np.maximum(np.abs(patch.u) - max(0.0, length / 2 - width / 2), 0)
    off = np.hypot(along, patch.v) + 0.10 * width * noise_field(rng, patch.u.shape, 14, 2.4)
    rock = pick(rng, ROCKS, 0.12)
    rough = (1 + 0.22 * noise_field(rng, patch.u.shape, 5, 2.0)).clip(0.35, 1.9)
    lee = 0.5 + 0.5 * np.cos(np.arctan2(patch.v, patch.u) - rng.uniform(0, 2 * np.pi))
    surf = np.exp(-(((off - width / 2 - 2) / 2.5) ** 2)) * lee * rng.uniform(0, 0.6)
    patch.blend((surf * ~patch.solid).astype(np.float32), linear(226, 226, 220))
    patch.shade((off < width / 2 + 1.5) & ~patch.solid, 0.7)  # wet rock at the waterline
    mound: Mask = (off < width / 2) & ~patch.solid
    patch.paint(mound, (rock * rough[..., None]).astype(np.float32), solid=True)
    if rng.random() < 0.6:
        crown: Colour = pick(rng, CONCRETES)
        patch.paint(mound & (np.abs(patch.v) < 0.16 * width) & (along <= 0), crown)
    patch.close()
