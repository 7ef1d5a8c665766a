"""Ships of a simulated scene: their form, and where they lie (alongside, at anchor or under way)."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, hypot, log

import numpy as np
from scipy.special import ndtr, ndtri

from ....config.sources import SimulatedSource
from .drawing import Frame, Mask, Points, RasterBuffer, Window, box, placed

_TRIES = 80
# Weights of the kinds of ship that are built in a length.
_SMALL = {"general": 4, "supply": 2, "fishing": 2, "barge": 1.5, "ferry": 1.5, "tanker": 1.5}
_MIDDLE = {
    "bulk": 3, "general": 3, "tanker": 3, "container": 2, "roro": 1, "barge": 1, "ferry": 1, "supply": 0.5,
}  # fmt: skip
_LARGE = {"bulk": 5, "tanker": 3, "container": 4, "roro": 1, "gas": 0.7, "ferry": 0.4}
_TAPERS = {
    "barge": (0.05, 0.04), "container": (0.24, 0.08), "ferry": (0.26, 0.05), "supply": (0.24, 0.04),
    "fishing": (0.32, 0.12), "roro": (0.18, 0.03), "boat": (0.45, 0.15),
}  # fmt: skip
"""Shares of the length over which the hull of a kind narrows to the bow and to the stern."""


@dataclass(frozen=True)
class Ship:
    """One ship: where it lies, how it is built, what it does (`moored`, `anchored` or `under way`)."""

    x: float
    y: float
    heading_deg: float
    length_m: float
    beam_m: float
    kind: str
    state: str

    def frame(self, buffer: RasterBuffer) -> Frame:
        """Return the ship's frame on a buffer."""
        return Frame(buffer, self.x, self.y, self.heading_deg)

    def half_breadth(self, u: Points) -> Points:
        """Return half the hull's breadth at stations ``u`` (N,), metres ahead of amidships.

        The hull is parallel amidships, tapers to the bow as a superellipse and a little to the transom.
        """
        bow, stern = (share * self.length_m for share in _TAPERS.get(self.kind, (0.16, 0.08)))
        half = self.length_m / 2
        ahead = np.clip((u - half + bow) / bow, 0, 1)
        behind = np.clip((stern - half - u) / stern, 0, 1)
        fullness = 0.75 if bow > 0.1 * self.length_m else 0.2
        return np.asarray(self.beam_m / 2 * (1 - ahead**2.2) ** fullness * (1 - 0.28 * behind**2))

    def hull(self, aft: float = -0.5, fore: float = 0.5, inset_m: float = 0.0) -> Points:
        """Return the hull between two stations (shares of the length) as a polygon of the ship's frame."""
        u = np.unique(np.concatenate([np.linspace(aft, fore, 9), np.linspace(max(aft, 0.3), fore, 9)])) * self.length_m
        v = np.maximum(self.half_breadth(u) - inset_m, 0)
        return np.stack([np.concatenate([u, u[::-1]]), np.concatenate([v, -v[::-1]])], axis=1)

    def outline(self) -> Points:
        """Return the hull as a closed polygon (N, 2) of (x, y), metres of the scene."""
        ring = placed(self.hull(), self.x, self.y, self.heading_deg)
        return np.concatenate([ring, ring[:1]])


def place_fleet(
    config: SimulatedSource, buffer: RasterBuffer, berths: list[Points], missing: Mask | None, rng: np.random.Generator
) -> list[Ship]:
    """Choose ships and places for them so that no hull meets land, a structure, missing data or another hull.

    Args:
        config: Numbers, lengths and shares.
        buffer: Says where land and structures are; not painted.
        berths: Waterfronts for moored ships: start and end (2, 2), water to the left of the way between them.
        missing: (H, W) at scene resolution, where the scene has no data; None for nowhere.
        rng: Source of everything drawn.

    Returns:
        The ships that found a place.
    """
    taken = buffer.solid.copy()
    if missing is not None:
        taken |= missing.repeat(2, axis=0).repeat(2, axis=1)
    wind = float(rng.uniform(0, 360))
    ships: list[Ship] = []
    for length in _lengths(config, rng):
        kind, beam = _build(rng, length)
        moored = bool(berths) and rng.random() < config.moored_share
        state = "moored" if moored else "under way" if rng.random() < config.under_way_share else "anchored"
        for attempt in range(_TRIES):
            if state == "moored" and attempt == _TRIES // 2:
                state = "anchored"  # every berth is taken
            if state == "moored":
                x, y, heading = _alongside(berths[int(rng.integers(len(berths)))], length, beam, rng)
            else:
                # Ships at anchor head into the same wind, more or less.
                heading = rng.uniform(0, 360) if state == "under way" else wind + rng.normal(0, 20)
                x, y = rng.uniform(0, buffer.size_m, 2)
            ship = Ship(float(x), float(y), float(heading % 360), length, beam, kind, state)
            if _fits(buffer, taken, ship):
                window, inside = _surroundings(buffer, ship, 4.0, 6.0)
                taken[window] |= inside
                ships.append(ship)
                break
    return ships


def _lengths(config: SimulatedSource, rng: np.random.Generator) -> list[float]:
    """Draw the lengths in metres of a scene's ships, longest first: a Poisson number of truncated log-normal draws."""
    shortest, median, longest = config.ship_length_m
    low, high = (ndtr(log(end / median) / config.ship_length_spread) for end in (shortest, longest))
    quantiles = low + (high - low) * rng.random(rng.poisson(config.ships_per_scene))
    drawn = median * np.exp(config.ship_length_spread * ndtri(quantiles))
    return sorted(np.clip(drawn, shortest, longest).tolist(), reverse=True)


def _build(rng: np.random.Generator, length_m: float) -> tuple[str, float]:
    """Draw a kind that is built in that length, and a beam: long ships are slender, barges and supply ships broad."""
    table = _SMALL if length_m < 70 else _MIDDLE if length_m < 140 else _LARGE
    weights = np.array(list(table.values()))
    kind = list(table)[int(rng.choice(len(table), p=weights / weights.sum()))]
    ratio = (6.7 - 2.6 * exp(-(length_m - 30) / 50)) * {"barge": 0.78, "supply": 0.85, "roro": 0.95}.get(kind, 1.0)
    return kind, length_m / (ratio * float(np.clip(1 + 0.07 * rng.standard_normal(), 0.85, 1.15)))


def _alongside(berth: Points, length: float, beam: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw x, y and heading of a ship with its side one to four metres off a berth, bow either way."""
    (x0, y0), (x1, y1) = berth
    long = hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / long, (y1 - y0) / long
    along = float(rng.uniform(min(length / 2, long / 2), max(long - length / 2, long / 2)))
    off = beam / 2 + float(rng.uniform(1, 4))
    heading = np.degrees(np.arctan2(ux, -uy)) + (180 if rng.random() < 0.5 else 0) + rng.normal(0, 0.5)
    return x0 + along * ux + off * uy, y0 + along * uy - off * ux, float(heading)


def _fits(buffer: RasterBuffer, taken: Mask, ship: Ship) -> bool:
    """Return whether a ship lies inside the scene on free water; ships at sea keep farther off than moored ones."""
    margin = min(110.0, buffer.size_m / 4)  # so that most of a chip around the ship lies in the scene
    outline = ship.outline()
    centred = all(margin < place < buffer.size_m - margin for place in (ship.x, ship.y))
    if not centred or outline.min() < 3 or outline.max() > buffer.size_m - 3:
        return False
    side, ends = (0.3, 6.0) if ship.state == "moored" else (14.0, 20.0)
    window, inside = _surroundings(buffer, ship, side, ends)
    return not (taken[window] & inside).any()


def _surroundings(buffer: RasterBuffer, ship: Ship, side: float, ends: float) -> tuple[Window, Mask]:
    """Return a window, and its pixels (h, w) in a ship's rectangle grown by ``side`` and ``ends`` metres."""
    half, beam = ship.length_m / 2 + ends, ship.beam_m / 2 + side
    covered = buffer.coverage(ship.frame(buffer).place(box(-half, half, -beam, beam)))
    assert covered is not None  # its middle lies on the buffer
    return covered[0], covered[1] > 0.5
