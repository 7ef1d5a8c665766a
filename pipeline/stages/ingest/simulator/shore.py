"""Shores of a simulated scene: natural land, what people built on it, and what lies in the water off it.

A coast is a frame around the middle of the scene: u runs along the shore, v inland from the water.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .colours import CONCRETES, CRANES, GREENS, ROADS, ROCKS, ROOFS, SOILS, draw_containers, pick
from .drawing import FOAM, Float, Frame, Points, RasterBuffer, box, disc, linear, noise_field
from .fleet import Ship

Setting = Literal["sea", "coast", "harbour", "channel"]
SHORES: tuple[Setting, ...] = ("harbour", "coast", "channel")
Area = tuple[float, float, float, float]
"""A rectangle of a coast's frame: least and greatest u, least and greatest v."""


@dataclass
class Shore:
    """Berths and other places that the shores of a scene offer to ships.

    Attributes:
        berths: Waterfronts: start and end (2, 2), with water to the left of the way between them.
        cranes: Coast and position (u, v) of each quay crane; they are drawn over the ships.
    """

    berths: list[Points] = field(default_factory=list)
    cranes: list[tuple[Frame, float, float]] = field(default_factory=list)


def paint_setting(buffer: RasterBuffer, setting: Setting, rng: np.random.Generator, clutter: float) -> Shore:
    """Paint the land of a setting: a harbour has a quay, a coast is wild with jetties, a channel has two banks."""
    shore, size = Shore(), buffer.size_m
    if setting == "sea":
        return shore
    heading = float(rng.uniform(0, 360))
    near, far = (Frame(buffer, size / 2, size / 2, (heading + turn) % 360) for turn in (0, 180))
    if setting == "channel":
        gap = float(rng.uniform(0.42, 0.62)) * size
        edge = gap / 2 + float(rng.uniform(-0.08, 0.08)) * size
        _bank(shore, near, edge, rng, clutter, quay=True)
        _bank(shore, far, gap - edge, rng, clutter, quay=bool(rng.random() < 0.3))
    else:
        _bank(shore, near, float(rng.uniform(-0.12, 0.28)) * size, rng, clutter, quay=setting == "harbour")
    return shore


def _bank(shore: Shore, coast: Frame, edge: float, rng: np.random.Generator, clutter: float, quay: bool) -> None:
    """Paint the land from v = ``edge`` on with what belongs to it; note its berths and cranes."""
    size = coast.buffer.size_m
    _land(coast, rng, edge, wild=not quay)
    if quay:
        half, apron = 0.75 * size, rng.uniform(18, 45)
        coast.fill(box(-half, half, edge, edge + apron), pick(rng, CONCRETES), solid=True)
        shore.berths.append(coast.place(np.array([[-half, edge], [half, edge]])))
        _blocks(coast, rng, (-half, half, edge + apron + 6, half), clutter)
        if rng.random() < 0.6:
            shore.cranes += [(coast, u * size, edge) for u in rng.uniform(-0.5, 0.5, int(rng.integers(2, 8)))]
        for u in (-0.28, 0.22):
            if rng.random() < 0.35:
                _pier(shore, coast, rng, edge, (u + float(rng.normal(0, 0.03))) * size, clutter)
    for _ in range(rng.poisson((0.7 if quay else 1.6) * clutter)):
        _jetty(shore, coast, rng, edge, float(rng.uniform(-0.35, 0.35)) * size)


# ----------------------------------------------------------------------------------------------------- natural land


def _land(coast: Frame, rng: np.random.Generator, edge: float, wild: bool) -> None:
    """Paint ground from v = ``edge`` inland: a quay's straight edge, or a beach or mangrove with its shallows."""
    buffer, step = coast.buffer, coast.buffer.step_m
    shape, reach = buffer.solid.shape, buffer.size_m
    view = coast.grid(box(-reach, reach, -reach, reach))
    assert view is not None
    inland = view[2] - np.float32(edge)
    if wild:
        inland += 45 * noise_field(rng, shape, 170 / step, 2.9) + 3 * noise_field(rng, shape, 15 / step, 2.6)
        shallow = np.exp(np.minimum(inland, 0) / rng.uniform(12, 50)) * rng.uniform(0.1, 0.6)
        buffer.blend(view[0], shallow.astype(np.float32), pick(rng, SOILS, 0.8))
        surf = np.exp(-(((inland + 4) / 3.5) ** 2)) * np.clip(noise_field(rng, shape, 40 / step, 2.6), 0, 1)
        buffer.blend(view[0], (rng.uniform(0, 0.6) * surf).astype(np.float32), linear(*FOAM))
    land = inland > 0
    buffer.light[land] = _ground(rng, step, inland, view[1], wild)[land]
    buffer.solid |= land


def _ground(rng: np.random.Generator, step: float, inland: Float, along: Float, wild: bool) -> Float:
    """Return soil and vegetation (H, W, 3) with a beach, a road or two along the shore and one inland."""

    def noise(length_m: float, roughness: float) -> Float:
        return noise_field(rng, inland.shape, length_m / step, roughness)

    cover = 1 / (1 + np.exp(-3 * (noise(60, 2.6) - rng.normal(0.0, 0.8))))
    rough = 1 + 0.17 * noise(7, 1.8) + 0.08 * noise(40, 2.6)
    plots = np.floor(1.3 * noise(110, 3.0)) % 3  # clearings and fields with sharp borders
    rough = np.clip(rough * (1 + rng.uniform(0, 0.2) * (plots - 1)), 0.4, 1.8)[..., None]
    soil, green = pick(rng, SOILS), pick(rng, GREENS)
    ground = (soil + cover[..., None] * (green - soil)) * rough
    if wild:
        beach = inland < rng.uniform(0, 22)
        ground[beach] = (pick(rng, CONCRETES) * np.clip(rough, 0.8, 1.2))[beach]
    bend, road = 12 * noise(150, 3.4), pick(rng, ROADS)
    ground[np.abs(inland + bend - rng.uniform(40, 110)) < rng.uniform(3, 8)] = road
    ground[(np.abs(along + 2 * bend - rng.uniform(-500, 500)) < rng.uniform(2, 6)) & (inland > 25)] = road
    return np.asarray(ground, np.float32)


def _mound(frame: Frame, rng: np.random.Generator, length: float, width: float) -> None:
    """Paint a rubble mound in the water: breakwater, groyne, islet or sandbank."""
    buffer = frame.buffer
    view = frame.grid(box(-length / 2 - 15, length / 2 + 15, -width / 2 - 15, width / 2 + 15))
    if view is None:
        return
    window, u, v = view
    along = np.maximum(np.abs(u) - max(0.0, length / 2 - width / 2), 0)
    off = np.hypot(along, v) + 0.10 * width * noise_field(rng, u.shape, 10, 2.4)
    water = ~buffer.solid[window]
    lee = 0.5 + 0.5 * np.cos(np.arctan2(v, u) - rng.uniform(0, 2 * np.pi))
    surf = np.exp(-(((off - width / 2 - 2) / 2.5) ** 2)) * lee * rng.uniform(0, 0.6)
    buffer.blend(window, (surf * water).astype(np.float32), linear(*FOAM))
    buffer.light[window][(off < width / 2 + 1.5) & water] *= np.float32(0.7)  # wet rock at the waterline
    mound = (off < width / 2) & water
    rough = np.clip(1 + 0.22 * noise_field(rng, u.shape, 3, 2.0), 0.35, 1.9)[..., None]
    buffer.light[window][mound] = (pick(rng, ROCKS, jitter=0.12) * rough)[mound]
    if rng.random() < 0.6:
        buffer.light[window][mound & (np.abs(v) < 0.16 * width) & (along <= 0)] = pick(rng, CONCRETES)
    buffer.solid[window] |= mound


# ------------------------------------------------------------------------------------------------------- structures


def _blocks(coast: Frame, rng: np.random.Generator, area: Area, clutter: float) -> None:
    """Fill an area with blocks in rows along the shore, streets between them."""
    u0, u1, v, v1 = area
    uses = (_containers, _roofs, _tanks, _houses, _open_ground)
    weights = np.array([0.26 * clutter, 0.34 * clutter, 0.08, 0.14, 0.18])  # clutter: those that look like ships
    while v1 - v > 20:
        deep, u = min(rng.uniform(55, 120), v1 - v), u0
        while u1 - u > 20:
            wide = min(rng.uniform(70, 230), u1 - u)
            block = (u, u + wide, v, v + deep)
            if coast.buffer.window(coast.place(box(*block))) is not None:
                coast.fill(box(*block), pick(rng, CONCRETES))
                coast.roughen(box(*block), rng, 20, 0.05)
                uses[int(rng.choice(len(uses), p=weights / weights.sum()))](coast, rng, *block)
            u += wide + rng.uniform(7, 22)
        v += deep + rng.uniform(8, 26)


def _containers(coast: Frame, rng: np.random.Generator, u0: float, u1: float, v0: float, v1: float) -> None:
    """Draw stacks of containers in rows with lanes between."""
    wide, lane, cols = rng.uniform(12, 26), rng.uniform(6, 14), max(1, int((u1 - u0 - 8) / 12.8))
    rows = int(wide / 2.6)
    for v in np.arange(v0 + 4, v1 - wide, wide + lane):
        area = box(u0 + 4, u0 + 4 + 12.8 * cols, v, v + 2.6 * rows)
        coast.fill(area, pick(rng, CONCRETES), 8)
        draw_containers(coast, rng, (u0 + 4, v), (12.8 * cols, 2.6 * rows), (rows, cols), rng.uniform(0.6, 1.0))


def _roofs(coast: Frame, rng: np.random.Generator, u0: float, u1: float, v0: float, v1: float) -> None:
    """Draw long gabled roofs side by side, about as long and wide as ships."""
    v = v0 + rng.uniform(3, 10)
    while v < v1 - 12:
        across, u = min(rng.uniform(14, 38), v1 - 2 - v), u0 + rng.uniform(2, 20)
        while u < u1 - 25:
            along = min(rng.uniform(35, 170), u1 - 2 - u)
            coast.fill(box(u, u + along, v, v + across), pick(rng, ROOFS, 1.08, 0.12), rng.uniform(6, 16), 0.42)
            coast.shade(box(u, u + along, v, v + across / 2), rng.uniform(0.75, 1.0))
            for light in np.arange(u + 6, u + along - 6, rng.uniform(10, 30)):
                coast.shade(box(light, light + 2, v + 2, v + across - 2), rng.uniform(0.75, 1.2))
            u += along + rng.uniform(6, 25)
        v += across + rng.uniform(6, 22)


def _tanks(coast: Frame, rng: np.random.Generator, u0: float, u1: float, v0: float, v1: float) -> None:
    """Draw round tanks on a grid, each with a lit roof and a shadow."""
    radius, colour = rng.uniform(6, 19), pick(rng, ROOFS[:2])
    pitch = 2 * radius + rng.uniform(8, 16)
    for u in np.arange(u0 + pitch / 2, u1 - pitch / 2, pitch):
        for v in np.arange(v0 + pitch / 2, v1 - pitch / 2 + 0.1, pitch):
            if rng.random() < 0.85:
                coast.fill(disc(u, v, radius), colour, 0.9 * radius, 0.45)
                coast.shade(disc(u, v, 0.85 * radius), rng.uniform(0.7, 1.0))


def _houses(coast: Frame, rng: np.random.Generator, u0: float, u1: float, v0: float, v1: float) -> None:
    """Draw small houses on plots with trees."""
    coast.roughen(box(u0, u1, v0, v1), rng, 6, 0.2)
    for u in np.arange(u0 + 3, u1 - 16, rng.uniform(16, 24)):
        for v in np.arange(v0 + 3, v1 - 14, rng.uniform(15, 24)):
            if rng.random() < 0.8:
                house = box(u, u + rng.uniform(8, 14), v, v + rng.uniform(7, 12))
                coast.fill(house, pick(rng, ROOFS, jitter=0.12), 6)


def _open_ground(coast: Frame, rng: np.random.Generator, u0: float, u1: float, v0: float, v1: float) -> None:
    """Draw bare ground, a heap of coal or sand, and parked trucks."""
    wide, deep = (u1 - u0) * rng.uniform(0.4, 0.9), (v1 - v0) * rng.uniform(0.4, 0.9)
    u, v = rng.uniform(u0, u1 - wide), rng.uniform(v0, v1 - deep)
    coast.fill(box(u, u + wide, v, v + deep), pick(rng, [*SOILS, *GREENS, (1.5, (64, 62, 60))]))
    coast.roughen(box(u, u + wide, v, v + deep), rng, 9, 0.15)
    for _ in range(int(rng.integers(0, 25))):
        u, v = rng.uniform(u0 + 2, u1 - 16), rng.uniform(v0 + 2, v1 - 6)
        draw_containers(coast, rng, (u, v), (rng.uniform(6, 14), 3), (1, 1))


def _pier(shore: Shore, coast: Frame, rng: np.random.Generator, edge: float, u: float, clutter: float) -> None:
    """Draw a broad pier into the harbour with yards or sheds on it and berths on three sides."""
    half, head = rng.uniform(30, 75), edge - float(rng.uniform(0.14, 0.26)) * coast.buffer.size_m
    coast.fill(box(u - half, u + half, head, edge + 10), pick(rng, CONCRETES), 3, solid=True)
    _blocks(coast, rng, (u - half + 12, u + half - 12, head + 14, edge - 5), clutter)
    corners = coast.place(np.array([[u - half, edge], [u - half, head], [u + half, head], [u + half, edge]]))
    shore.berths += [corners[start : start + 2] for start in range(3)]


def _jetty(shore: Shore, coast: Frame, rng: np.random.Generator, edge: float, u: float) -> None:
    """Draw a trestle to a jetty head with dolphins and catwalks; ships berth on its outer side."""
    out, head, deep = rng.uniform(90, 240), rng.uniform(25, 90), rng.uniform(9, 20)
    span, top = head / 2 + rng.uniform(30, 70), edge - out
    water = coast.buffer.coverage(coast.place(box(u - span, u + span, top - 25, top + 40)))
    if water is None or (coast.buffer.solid[water[0]] & (water[1] > 0)).any():
        return  # a pier or another jetty is in the way
    deck = pick(rng, CONCRETES)
    for off in (-span, -0.6 * span, 0.6 * span, span):
        coast.fill(box(u + min(off, 0), u + max(off, 0), top + 6, top + 7.5), deck * np.float32(0.8), solid=True)
        coast.fill(box(u + off - 4, u + off + 4, top + 3, top + 11), deck, 6, 0.55, solid=True)
    for part in (box(u - 2.5, u + 2.5, top + deep, edge + 60), box(u - head / 2, u + head / 2, top, top + deep)):
        coast.fill(part, deck, 6, 0.55, solid=True)
    for _ in range(int(rng.integers(0, 5))):
        draw_containers(coast, rng, (u + rng.uniform(-head / 2, head / 2 - 5), top + 2), (5, 4), (1, 1))
    shore.berths.append(coast.place(np.array([[u - span - 40, top], [u + span + 40, top]])))


def draw_cranes(shore: Shore, rng: np.random.Generator) -> None:
    """Draw the quay cranes, thin booms over the water and the berthed ships, with long shadows."""
    for coast, u, edge in shore.cranes:
        colour, boom = pick(rng, CRANES), rng.uniform(20, 42)
        for leg in (u - 8.0, u + 5.0):
            coast.fill(box(leg, leg + 2.2, edge + 2, edge + 28), colour, 25, 0.72)
        coast.fill(box(u - 1.4, u + 1.4, edge + 5 - boom, edge + 30), colour, 30, 0.8)


def _platform(frame: Frame, rng: np.random.Generator) -> None:
    """Draw a rectangular pontoon, caisson or landing stage afloat, empty or with sheds: no ship."""
    half, beam = rng.uniform(12, 65), rng.uniform(5, 15)
    frame.fill(box(-half, half, -beam, beam), pick(rng, [*CONCRETES, *ROOFS[:3]]), 3, solid=True)
    if rng.random() < 0.4:  # stores in rows
        for u in np.arange(4 - half, half - 8, rng.uniform(9, 20)):
            frame.fill(box(u, u + rng.uniform(4, 8), -0.7 * beam, 0.7 * beam), pick(rng, ROOFS))
    for _ in range(int(rng.integers(0, 4))):
        u, v = rng.uniform(1.5 - half, half - 8), rng.uniform(1.5 - beam, beam - 6)
        shed = box(u, min(u + rng.uniform(5, 20), half - 1.5), v, min(v + rng.uniform(4, 9), beam - 1.5))
        frame.fill(shed, pick(rng, ROOFS), 6, 0.6)


# ----------------------------------------------------------------------------------------------------------- afloat


def paint_afloat(buffer: RasterBuffer, rng: np.random.Generator, clutter: float) -> None:
    """Paint breakwaters, islets, sandbanks and pontoons off the shore."""
    for _ in range(rng.poisson(2.0 * clutter)):
        _mound(_anywhere(buffer, rng), rng, float(rng.uniform(50, 260)), float(rng.uniform(9, 24)))
    for _ in range(rng.poisson(0.5 * clutter)):
        wide = float(rng.uniform(15, 60))
        _mound(_anywhere(buffer, rng), rng, wide * float(rng.uniform(1.1, 2.5)), wide)
    for _ in range(rng.poisson(2.6 * clutter)):
        _platform(_anywhere(buffer, rng), rng)


def _anywhere(buffer: RasterBuffer, rng: np.random.Generator) -> Frame:
    """Draw a place and a heading, on open water if some is soon found."""
    around = round(50 / buffer.step_m)
    for _ in range(20):
        x, y = (float(rng.uniform(0, buffer.size_m)) for _ in range(2))
        row, col = int(y / buffer.step_m), int(x / buffer.step_m)
        if not buffer.solid[max(0, row - around) : row + around : 4, max(0, col - around) : col + around : 4].any():
            break
    return Frame(buffer, x, y, float(rng.uniform(0, 360)))


def small_boats(buffer: RasterBuffer, rng: np.random.Generator, fleet: list[Ship], clutter: float) -> list[Ship]:
    """Draw boats of 6 to 32 m, some under way and some in mooring fields, off land and ships. Never labelled."""
    heading = float(rng.uniform(0, 360))
    boats = []
    for _ in range(rng.poisson(11 * clutter)):
        spot = _anywhere(buffer, rng)
        boats.append(_boat(rng, spot.x, spot.y, spot.heading_deg, "under way" if rng.random() < 0.45 else "moored"))
    if rng.random() < 0.3 * clutter:
        spot = _anywhere(buffer, rng)
        for _ in range(int(rng.integers(10, 45))):
            x, y = spot.x + float(rng.normal(0, 80)), spot.y + float(rng.normal(0, 80))
            boats.append(_boat(rng, x, y, heading + float(rng.normal(0, 15)), "moored"))
    return [boat for boat in boats if _clear(buffer, boat, fleet)]


def _boat(rng: np.random.Generator, x: float, y: float, heading: float, state: str) -> Ship:
    length = float(np.clip(6 * np.exp(0.7 * abs(rng.standard_normal()) + 0.2), 6, 32))
    return Ship(x, y, heading % 360, length, length / 3.2, "boat", state)


def _clear(buffer: RasterBuffer, boat: Ship, fleet: list[Ship]) -> bool:
    """Return whether a boat floats, inside the scene and off every ship."""
    row, col = int(boat.y // buffer.step_m), int(boat.x // buffer.step_m)
    if not (0 <= row < len(buffer.solid) and 0 <= col < len(buffer.solid)) or buffer.solid[row, col]:
        return False
    return all(np.hypot(boat.x - ship.x, boat.y - ship.y) > ship.length_m / 2 + boat.length_m for ship in fleet)
