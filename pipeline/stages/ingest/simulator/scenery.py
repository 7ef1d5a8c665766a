"""What a simulated scene shows beside its ships: which coast, what lies off it, and the small boats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .canvas import Canvas, Sun
from .hulls import Ship
from .land import Berth, Coast, paint_mound, paint_shore
from .port import paint_cranes, paint_jetty, paint_pier, paint_platform, paint_quay

Setting = Literal["sea", "coast", "harbour", "channel"]
SHORES: tuple[Setting, ...] = ("harbour", "coast", "channel")


@dataclass
class Scenery:
    """Berths for ships, and the cranes that reach over them: (coast, edge of the quay, number)."""

    berths: list[Berth] = field(default_factory=list)
    cranes: list[tuple[Coast, float, int]] = field(default_factory=list)


def paint_setting(
    canvas: Canvas, setting: Setting, rng: np.random.Generator, sun: Sun, clutter: float
) -> Scenery:
    """Paint the land of a setting.

    A harbour has a quay with blocks behind it and sometimes a pier; a coast is wild with jetties; a channel has one
    bank of each sort.
    """
    scenery = Scenery()
    if setting == "sea":
        return scenery
    size, heading = canvas.size_m, float(rng.uniform(0, 360))
    near = Coast(canvas, heading)
    if setting == "channel":
        gap = float(rng.uniform(0.42, 0.62)) * size
        edge = gap / 2 + float(rng.uniform(-0.08, 0.08)) * size
        far = Coast(canvas, (heading + 180) % 360)
        _bank(scenery, near, edge, rng, sun, clutter, quay=True)
        _bank(scenery, far, gap - edge, rng, sun, clutter, quay=bool(rng.random() < 0.3))
    else:
        edge = float(rng.uniform(-0.12, 0.28)) * size
        _bank(scenery, near, edge, rng, sun, clutter, quay=setting == "harbour")
    return scenery


def _bank(
    scenery: Scenery, coast: Coast, edge_m: float, rng: np.random.Generator, sun: Sun, clutter: float, quay: bool
) -> None:
    """One shore with what belongs to it; its berths and cranes are added to the scenery."""
    size = coast.canvas.size_m
    paint_shore(coast, rng, edge_m, wild=not quay)
    if quay:
        paint_quay(coast, rng, sun, edge_m, clutter)
        if rng.random() < 0.6:
            scenery.cranes.append((coast, edge_m, int(rng.integers(2, 8))))
        for a in (-0.28, 0.22):
            if rng.random() < 0.35:
                out = float(rng.uniform(0.14, 0.26)) * size
                paint_pier(coast, rng, sun, edge_m, (a + float(rng.normal(0, 0.03))) * size, out, clutter)
    for _ in range(rng.poisson((0.7 if quay else 1.6) * clutter)):
        paint_jetty(coast, rng, sun, edge_m, float(rng.uniform(-0.35, 0.35)) * size)
    scenery.berths += coast.berths


def paint_cranes_over(scenery: Scenery, rng: np.random.Generator, sun: Sun) -> None:
    """Draw the quay cranes, which stand over the ships alongside."""
    for coast, edge, count in scenery.cranes:
        paint_cranes(coast, rng, sun, edge, count)


def paint_afloat(canvas: Canvas, rng: np.random.Generator, sun: Sun, clutter: float) -> None:
    """Breakwaters, islets, sandbanks and pontoons off the shore."""
    for _ in range(rng.poisson(2.0 * clutter)):
        size = (float(rng.uniform(50, 260)), float(rng.uniform(9, 24)))
        paint_mound(canvas, rng, _anywhere(canvas, rng), float(rng.uniform(0, 360)), size)
    for _ in range(rng.poisson(0.5 * clutter)):
        wide = float(rng.uniform(15, 60))
        paint_mound(
            canvas, rng, _anywhere(canvas, rng), float(rng.uniform(0, 360)), (wide * rng.uniform(1.1, 2.5), wide)
        )
    for _ in range(rng.poisson(2.6 * clutter)):
        paint_platform(canvas, rng, sun, _anywhere(canvas, rng), float(rng.uniform(0, 360)))


def _anywhere(canvas: Canvas, rng: np.random.Generator) -> tuple[float, float]:
    """A point (x, y) of the scene, on open water if some is soon found."""
    around = round(50 / canvas.step_m)
    for _ in range(20):
        x, y = (float(rng.uniform(0, canvas.size_m)) for _ in range(2))
        row, col = int(y / canvas.step_m), int(x / canvas.step_m)
        near = canvas.solid[max(0, row - around) : row + around : 4, max(0, col - around) : col + around : 4]
        if not near.any():
            break
    return x, y


def small_boats(canvas: Canvas, rng: np.random.Generator, fleet: list[Ship], clutter: float) -> list[Ship]:
    """Boats of 6 to 32 m, some under way and some in mooring fields; none on land or over a ship. Never labelled."""
    heading = float(rng.uniform(0, 360))
    boats = [
        _boat(rng, _anywhere(canvas, rng), float(rng.uniform(0, 360)), rng.random() < 0.45)
        for _ in range(rng.poisson(11 * clutter))
    ]
    if rng.random() < 0.3 * clutter:
        x, y = _anywhere(canvas, rng)
        for _ in range(int(rng.integers(10, 45))):
            spot = (x + float(rng.normal(0, 80)), y + float(rng.normal(0, 80)))
            boats.append(_boat(rng, spot, heading + float(rng.normal(0, 15)), sails=False))
    return [boat for boat in boats if _clear(canvas, boat, fleet)]


def _boat(rng: np.random.Generator, spot: tuple[float, float], heading: float, sails: bool) -> Ship:
    length = float(np.clip(6 * np.exp(0.7 * abs(rng.standard_normal()) + 0.2), 6, 32))
    return Ship(*spot, heading % 360, length, length / 3.2, "boat", "under way" if sails else "moored")


def _clear(canvas: Canvas, boat: Ship, fleet: list[Ship]) -> bool:
    """Whether a boat floats, inside the scene and off every ship."""
    side = canvas.light.shape[0]
    row, col = int(boat.y / canvas.step_m), int(boat.x / canvas.step_m)
    if not (0 <= row < side and 0 <= col < side) or canvas.solid[row, col]:
        return False
    return all(np.hypot(boat.x - ship.x, boat.y - ship.y) > ship.length_m / 2 + boat.length_m for ship in fleet)
