"""Land and structures of a simulated scene: shore, ground, roads, roofs, quays, yards, jetties and breakwaters.

Everything ashore is laid out in the coast's frame: a runs along the shore, b inland, both in metres from the middle
of the scene; the coast's heading is the direction of a, and b points to its right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .simulated_canvas import Canvas, Colour, Float, Mask, Patch, Sun, direction, linear, noise_field
from .simulated_ships import container_colours, pick

_SOILS = [
    (3.0, (178, 160, 132)), (2.0, (150, 136, 112)), (2.0, (120, 124, 96)), (1.5, (96, 108, 82)), (1.0, (204, 186, 156)),
]  # fmt: skip
_GREENS = [(2.0, (84, 98, 72)), (2.0, (104, 110, 82)), (1.0, (70, 86, 66)), (1.0, (128, 124, 94))]
_CONCRETES = [(2.0, (176, 168, 150)), (2.0, (196, 186, 166)), (1.0, (150, 146, 136)), (1.0, (208, 196, 176))]
_ROADS = [(2.0, (120, 114, 106)), (1.0, (186, 176, 156)), (1.0, (146, 138, 126))]
_ROOFS = [
    (3.0, (214, 206, 192)), (2.0, (176, 170, 160)), (2.0, (168, 96, 76)), (1.0, (128, 120, 112)),
    (1.0, (110, 132, 150)), (1.0, (196, 124, 94)), (1.0, (120, 140, 118)), (0.7, (236, 232, 224)),
]  # fmt: skip
_ROCKS = [(2.0, (150, 142, 128)), (1.0, (118, 112, 104)), (1.0, (180, 168, 148))]


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
        inland = inland + 28 * noise_field(rng, shape, 130 / step, 3.2) + 3 * noise_field(rng, shape, 15 / step, 2.6)
        shallow = np.exp(np.clip(inland, None, 0) / rng.uniform(12, 50)) * rng.uniform(0.1, 0.6)
        canvas.light += shallow[..., None] * (pick(rng, _SOILS) * np.float32(0.8) - canvas.light)
        surf = np.exp(-(((inland + 4) / 3.5) ** 2)) * np.clip(noise_field(rng, shape, 40 / step, 2.6), 0, 1)
        canvas.light += (rng.uniform(0, 0.6) * surf)[..., None] * (linear(230, 228, 220) - canvas.light)
    land = inland > 0
    canvas.light[land] = _ground(rng, shape, step, inland, a, wild)[land]
    canvas.solid |= land


def _ground(
    rng: np.random.Generator, shape: tuple[int, int], step: float, inland: Float, a: Float, wild: bool
) -> Float:
    """Soil and vegetation (H, W, 3) with a beach, a road or two along the shore and one inland."""
    soil, green = pick(rng, _SOILS), pick(rng, _GREENS)
    cover = 1 / (1 + np.exp(-3 * (noise_field(rng, shape, 60 / step, 2.6) - rng.normal(0.0, 0.8))))
    rough = 1 + 0.13 * noise_field(rng, shape, 6 / step, 2.0) + 0.08 * noise_field(rng, shape, 40 / step, 2.6)
    ground = (soil + cover[..., None] * (green - soil)) * np.clip(rough, 0.4, 1.8)[..., None]
    if wild:
        beach = inland < rng.uniform(0, 22)
        ground[beach] = (pick(rng, _CONCRETES) * np.clip(rough, 0.8, 1.2)[..., None])[beach]
    bend = 12 * noise_field(rng, shape, 150 / step, 3.4)
    road = pick(rng, _ROADS)
    ground[np.abs(inland + bend - rng.uniform(40, 110)) < rng.uniform(3, 8)] = road
    ground[(np.abs(a + 2 * bend - rng.uniform(-500, 500)) < rng.uniform(2, 6)) & (inland > 25)] = road
    return np.asarray(ground, np.float32)


def paint_quay(coast: Coast, rng: np.random.Generator, sun: Sun, edge_m: float, clutter: float) -> None:
    """A quay along the whole shore: apron, cranes, and blocks of yards, roofs and tanks behind it."""
    half = 0.75 * coast.canvas.size_m
    apron = rng.uniform(18, 45)
    patch = coast.box(-half, half, edge_m - 4, edge_m + apron, around=2, fine=1)
    if patch is not None:
        concrete = pick(rng, _CONCRETES)
        where = patch.v > -(apron + 4) / 2 + 4
        worn = (concrete * (1 + 0.06 * np.sin(patch.v / 3))[..., None]).astype(np.float32)
        patch.paint(where & (patch.v < (apron + 4) / 2), worn, solid=True)
        patch.close()
    coast.berth(-half, half, edge_m, edge_m)
    b = edge_m + apron + 6
    while b < half:
        deep = rng.uniform(55, 120)
        a = -half + rng.uniform(0, 60)
        while a < half:
            wide = rng.uniform(70, 230)
            _block(coast, rng, sun, (a, a + wide, b, b + deep), clutter)
            a += wide + rng.uniform(7, 22)
        b += deep + rng.uniform(8, 26)


def _block(
    coast: Coast, rng: np.random.Generator, sun: Sun, box: tuple[float, float, float, float], clutter: float
) -> None:
    """One block ashore: containers, long roofs, tanks, houses or open ground."""
    patch = coast.box(*box, fine=1)
    if patch is None:
        return
    wide, deep = box[1] - box[0], box[3] - box[2]
    use = rng.choice(["containers", "roofs", "tanks", "houses", "open"], p=_uses(clutter))
    inside = patch.rectangle(-wide / 2, wide / 2, -deep / 2, deep / 2)
    paving = pick(rng, _CONCRETES)
    patch.paint(inside, paving * (1 + 0.05 * noise_field(rng, patch.u.shape, 20, 2.4))[..., None].astype(np.float32))
    _USES[str(use)](patch, rng, sun, wide, deep)
    patch.close()


def _uses(clutter: float) -> list[float]:
    """Shares of the uses of a block; clutter makes those more common that look like ships."""
    weights = np.array([0.26 * clutter, 0.34 * clutter, 0.08, 0.14, 0.18])
    return list(weights / weights.sum())


def _containers(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Stacks of containers in rows with lanes between."""
    block, lane = rng.uniform(12, 26), rng.uniform(6, 14)
    v0 = -deep / 2 + 4
    while v0 + block < deep / 2:
        cols, rows = max(1, int((wide - 8) / 12.8)), max(1, int(block / 2.6))
        colours = container_colours(rng, cols * rows)
        filled = rng.random(cols * rows) < rng.uniform(0.6, 1.0)
        col = np.floor((patch.u + wide / 2 - 4) / 12.8).astype(int)
        row = np.floor((patch.v - v0) / 2.6).astype(int)
        number = np.clip(col, 0, cols - 1) * rows + np.clip(row, 0, rows - 1)
        where = (col >= 0) & (col < cols) & (row >= 0) & (row < rows) & filled[number]
        patch.shade(patch.box_shadow(sun, 8, -wide / 2 + 4, -wide / 2 + 4 + 12.8 * cols, v0, v0 + 2.6 * rows), 0.55)
        patch.paint(where, colours[number])
        v0 += block + lane


def _roofs(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Long gabled roofs side by side, about as long and wide as ships."""
    v0 = -deep / 2 + rng.uniform(3, 10)
    while v0 < deep / 2 - 12:
        across = min(rng.uniform(14, 38), deep / 2 - 2 - v0)
        u0 = -wide / 2 + rng.uniform(2, 20)
        while u0 < wide / 2 - 25:
            along = min(rng.uniform(35, 170), wide / 2 - 2 - u0)
            roof, height = pick(rng, _ROOFS, 0.12), rng.uniform(6, 16)
            patch.shade(patch.box_shadow(sun, height, u0, u0 + along, v0, v0 + across), 0.42)
            patch.paint(patch.rectangle(u0, u0 + along, v0, v0 + across), roof * np.float32(1.08))
            patch.shade(patch.rectangle(u0, u0 + along, v0, v0 + across / 2), rng.uniform(0.75, 1.0))
            for at in np.arange(u0 + 6, u0 + along - 6, rng.uniform(10, 30)):
                patch.shade(patch.rectangle(at, at + 2, v0 + 2, v0 + across - 2), rng.uniform(0.75, 1.2))
            u0 += along + rng.uniform(6, 25)
        v0 += across + rng.uniform(6, 22)


def _tanks(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Round tanks on a grid, each with a lit roof and a shadow."""
    radius = rng.uniform(6, 19)
    pitch = 2 * radius + rng.uniform(8, 16)
    white = pick(rng, _ROOFS[:2])
    du, dv = patch.cast(sun, 0.9 * radius)
    for u0 in np.arange(-wide / 2 + pitch / 2, wide / 2 - pitch / 2, pitch):
        for v0 in np.arange(-deep / 2 + pitch / 2, deep / 2 - pitch / 2 + 0.1, pitch):
            if rng.random() < 0.15:
                continue
            patch.shade(patch.disc(u0 + du, v0 + dv, radius) | patch.disc(u0 + du / 2, v0 + dv / 2, radius), 0.45)
            patch.paint(patch.disc(u0, v0, radius), white)
            patch.shade(patch.disc(u0, v0, 0.85 * radius), rng.uniform(0.7, 1.0))


def _houses(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Small houses on plots with trees."""
    patch.light *= (1 + 0.2 * noise_field(rng, patch.u.shape, 6, 2.0))[..., None].clip(0.4, 1.6).astype(np.float32)
    for u0 in np.arange(-wide / 2 + 3, wide / 2 - 16, rng.uniform(16, 24)):
        for v0 in np.arange(-deep / 2 + 3, deep / 2 - 14, rng.uniform(15, 24)):
            if rng.random() < 0.2:
                continue
            u1, v1 = u0 + rng.uniform(8, 14), v0 + rng.uniform(7, 12)
            patch.shade(patch.box_shadow(sun, 6, u0, u1, v0, v1), 0.5)
            patch.paint(patch.rectangle(u0, u1, v0, v1), pick(rng, _ROOFS, 0.12))


def _open(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Bare ground, heaps of coal or sand, parked trucks."""
    tone = pick(rng, [*_SOILS, *_GREENS, (1.5, (64, 62, 60))])
    u1, v1 = rng.uniform(0.2, 0.5) * wide, rng.uniform(0.2, 0.45) * deep
    rough = 1 + 0.15 * noise_field(rng, patch.u.shape, 9, 2.2)
    patch.paint(patch.rectangle(-u1, u1, -v1, v1), (tone * rough[..., None].clip(0.4, 1.8)).astype(np.float32))
    for _ in range(int(rng.integers(0, 25))):
        u0, v0 = rng.uniform(-0.48, 0.42) * wide, rng.uniform(-0.48, 0.42) * deep
        box = (u0, u0 + rng.uniform(6, 14), v0, v0 + 3)
        patch.paint(patch.rectangle(*box), container_colours(rng, 1)[0])


_USES = {"containers": _containers, "roofs": _roofs, "tanks": _tanks, "houses": _houses, "open": _open}


def paint_cranes(coast: Coast, rng: np.random.Generator, sun: Sun, edge_m: float, count: int) -> None:
    """Quay cranes: thin booms over the water and the berthed ships, with long shadows."""
    for _ in range(count):
        a = rng.uniform(-0.5, 0.5) * coast.canvas.size_m
        patch = coast.box(a - 12, a + 12, edge_m - 40, edge_m + 30, around=45)
        if patch is None:
            continue
        colour = pick(rng, [(2.0, (70, 96, 140)), (2.0, (206, 200, 190)), (1.0, (190, 90, 60)), (1.0, (90, 92, 96))])
        boom = rng.uniform(20, 42)
        for u0 in (-8.0, 5.0):
            patch.shade(patch.box_shadow(sun, 30, u0, u0 + 2.5, -boom, 28), 0.72)
        for u0 in (-8.0, 5.0):
            patch.paint(patch.rectangle(u0, u0 + 2.2, 2, 28), colour)
        patch.paint(patch.rectangle(-1.4, 1.4, 5 - boom, 30), colour)
        patch.close()


def paint_jetty(coast: Coast, rng: np.random.Generator, sun: Sun, edge_m: float, a: float) -> None:
    """A trestle from the shore to a jetty head with dolphins and catwalks; ships berth on its outer side."""
    out = rng.uniform(90, 240)
    head, deep = rng.uniform(25, 90), rng.uniform(9, 20)
    span = head / 2 + rng.uniform(30, 70)
    patch = coast.box(a - span, a + span, edge_m - out, edge_m + 60, around=25)
    if patch is None:
        return
    top = -(out + 60) / 2
    deck = pick(rng, _CONCRETES)
    shifted = [(-2.5, 2.5, top + deep, -top), (-head / 2, head / 2, top, top + deep)]
    for at in (-span, -0.6 * span, 0.6 * span, span):
        shifted.append((at - 4, at + 4, top + 3, top + 11))
        patch.paint(patch.rectangle(min(at, 0), max(at, 0), top + 6, top + 7.5), deck * np.float32(0.8), solid=True)
    for box in shifted:
        patch.shade(patch.box_shadow(sun, 6, *box), 0.55)
    for box in shifted:
        patch.paint(patch.rectangle(*box), deck, solid=True)
    for _ in range(int(rng.integers(0, 5))):
        u0 = rng.uniform(-head / 2, head / 2 - 5)
        patch.paint(patch.rectangle(u0, u0 + 5, top + 2, top + 6), container_colours(rng, 1)[0])
    patch.close()
    coast.berth(a - span - 40, a + span + 40, edge_m - out, edge_m - out)


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
    rock = pick(rng, _ROCKS, 0.12)
    rough = (1 + 0.22 * noise_field(rng, patch.u.shape, 5, 2.0)).clip(0.35, 1.9)
    surf = np.exp(-(((off - width / 2 - 2) / 2.5) ** 2)) * rng.uniform(0, 0.5)
    patch.blend((surf * ~patch.solid).astype(np.float32), linear(226, 226, 220))
    mound: Mask = (off < width / 2) & ~patch.solid
    patch.paint(mound, (rock * rough[..., None]).astype(np.float32), solid=True)
    if rng.random() < 0.6:
        crown: Colour = pick(rng, _CONCRETES)
        patch.paint(mound & (np.abs(patch.v) < 0.16 * width) & (along <= 0), crown)
    patch.close()


def paint_platform(
    canvas: Canvas, rng: np.random.Generator, sun: Sun, centre: tuple[float, float], heading_deg: float
) -> None:
    """A rectangular pontoon, caisson or landing stage afloat, empty or with a shed: no ship."""
    length, width = rng.uniform(25, 110), rng.uniform(10, 34)
    patch = canvas.patch(*centre, heading_deg, length / 2 + 15, width / 2 + 15)
    if patch is None:
        return
    box = (-length / 2, length / 2, -width / 2, width / 2)
    patch.shade(patch.box_shadow(sun, 3, *box), 0.5)
    patch.paint(patch.rectangle(*box), pick(rng, [*_CONCRETES, *_ROOFS[:3]]), solid=True)
    for _ in range(int(rng.integers(0, 4))):
        u0, v0 = rng.uniform(-length / 2, length / 2 - 8), rng.uniform(-width / 2, width / 2 - 6)
        shed = (u0, u0 + rng.uniform(5, 20), v0, v0 + rng.uniform(4, 9))
        patch.paint(patch.rectangle(*shed) & patch.rectangle(*box), pick(rng, _ROOFS))
    patch.close()
