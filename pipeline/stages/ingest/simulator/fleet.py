"""Which ships a simulated scene holds and where they lie: alongside, at anchor or under way."""

from __future__ import annotations

from math import hypot, log

import numpy as np
from scipy.special import ndtr, ndtri

from ....config.sources import SimulatedSource
from .canvas import Canvas, Mask
from .hulls import Ship, beam_for, kind_for
from .land import Berth

_TRIES = 80


def lengths(config: SimulatedSource, rng: np.random.Generator) -> list[float]:
    """Lengths in metres of one scene's ships, longest first: a Poisson number of truncated log-normal draws."""
    shortest, median, longest = config.ship_length_m
    low, high = (ndtr(log(end / median) / config.ship_length_spread) for end in (shortest, longest))
    quantiles = low + (high - low) * rng.random(rng.poisson(config.ships_per_scene))
    drawn = median * np.exp(config.ship_length_spread * ndtri(quantiles))
    return sorted(np.clip(drawn, shortest, longest).tolist(), reverse=True)


def place_fleet(
    config: SimulatedSource, canvas: Canvas, berths: list[Berth], missing: Mask | None, rng: np.random.Generator
) -> list[Ship]:
    """Choose ships and places for them so that no hull meets land, a structure, missing data or another hull.

    Args:
        config: Numbers, lengths and shares.
        canvas: Says where land and structures are; not painted.
        berths: Waterfronts for moored ships.
        missing: (H, W) at scene resolution, where the scene has no data; None for nowhere.
        rng: Source of everything drawn.

    Returns:
        The ships that found a place.
    """
    taken = canvas.solid.copy()
    if missing is not None:
        taken |= missing.repeat(2, axis=0).repeat(2, axis=1)
    wind = float(rng.uniform(0, 360))
    ships: list[Ship] = []
    for length in lengths(config, rng):
        kind = kind_for(rng, length)
        beam = beam_for(rng, length, kind)
        moored = bool(berths) and rng.random() < config.moored_share
        state = "moored" if moored else "under way" if rng.random() < config.under_way_share else "anchored"
        for attempt in range(_TRIES):
            if state == "moored" and attempt == _TRIES // 2:
                state = "anchored"  # every berth is full
            if state == "moored":
                ship = _alongside(berths[int(rng.integers(len(berths)))], length, beam, kind, rng)
            else:
                ship = _adrift(canvas.size_m, length, beam, kind, state, wind, rng)
            if _free(canvas, taken, ship):
                _occupy(canvas, taken, ship)
                ships.append(ship)
                break
    return ships


def _adrift(
    size_m: float, length: float, beam: float, kind: str, state: str, wind: float, rng: np.random.Generator
) -> Ship:
    """A ship somewhere in the scene; those at anchor head into the same wind, more or less."""
    heading = float(rng.uniform(0, 360)) if state == "under way" else (wind + float(rng.normal(0, 20))) % 360
    x, y = (float(rng.uniform(0, size_m)) for _ in range(2))
    return Ship(x, y, heading, length, beam, kind, state)


def _alongside(berth: Berth, length: float, beam: float, kind: str, rng: np.random.Generator) -> Ship:
    """A ship alongside, its side one to four metres off the berth, bow either way."""
    (x0, y0), (x1, y1) = berth.start, berth.end
    long = hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / long, (y1 - y0) / long
    at = float(rng.uniform(min(length / 2, long / 2), max(long - length / 2, long / 2)))
    off = beam / 2 + float(rng.uniform(1, 4))
    heading = np.degrees(np.arctan2(ux, -uy)) + (180 if rng.random() < 0.5 else 0) + rng.normal(0, 0.5)
    return Ship(x0 + at * ux + off * uy, y0 + at * uy - off * ux, float(heading % 360), length, beam, kind, "moored")


def _margin(size_m: float) -> float:
    """Metres between a ship's middle and the scene's edge, so that a chip around it is mostly in the scene."""
    return min(110.0, size_m / 4)


def _free(canvas: Canvas, taken: Mask, ship: Ship) -> bool:
    """Whether the ship is inside the scene and its waters are free; ships at sea keep farther off than moored ones."""
    size = canvas.size_m
    margin = _margin(size)
    if not (margin < ship.x < size - margin and margin < ship.y < size - margin):
        return False
    outline = ship.outline()
    if outline.min() < 3 or outline.max() > size - 3:
        return False
    side, ends = (0.3, 6.0) if ship.state == "moored" else (14.0, 20.0)
    return not bool(taken[_footprint(canvas, ship, side, ends)].any())


def _occupy(canvas: Canvas, taken: Mask, ship: Ship) -> None:
    """Mark the ship's hull and a little water around it as taken."""
    taken[_footprint(canvas, ship, 4.0, 6.0)] = True


def _footprint(canvas: Canvas, ship: Ship, side: float, ends: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the canvas under the ship's rectangle, grown by ``side`` and ``ends`` metres."""
    u = np.arange(-ship.length_m / 2 - ends, ship.length_m / 2 + ends, canvas.step_m)
    v = np.arange(-ship.beam_m / 2 - side, ship.beam_m / 2 + side, canvas.step_m)
    x, y = ship.points(u, v)
    last = canvas.light.shape[0] - 1
    rows, cols = (np.clip((value / canvas.step_m).astype(int), 0, last) for value in (y, x))
    return rows.ravel(), cols.ravel()
