"""What stands on the deck of a simulated ship: hatches, pipes, tanks, containers, deckhouse, by kind of ship.

All is drawn in the ship's frame: u ahead of amidships, v to starboard, both in metres.
"""

from __future__ import annotations

from math import pi

import numpy as np

from .canvas import Colour, Mask, Patch, Sun
from .colours import BOXES, CARGOES, DECKS, HATCHES, HOUSES, container_colours, pick
from .hulls import Ship


def _block(
    patch: Patch, sun: Sun, height_m: float, box: tuple[float, float, float, float], colour: Colour, within: Mask
) -> None:
    """A box on deck with its shadow, both clipped to the hull or not by ``within``."""
    patch.shade(patch.box_shadow(sun, height_m, *box) & within, 0.5)
    patch.paint(patch.rectangle(*box) & within, colour)


def _house(patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, centre: float, long: float) -> None:
    """Deckhouse across the beam at station ``centre``, with bridge wings and a funnel behind it."""
    beam, height = ship.beam_m, 6 + 0.09 * ship.length_m
    everywhere = np.ones(patch.u.shape, bool)
    colour = pick(rng, HOUSES)
    u0, u1, w = centre - long / 2, centre + long / 2, 0.42 * beam
    _block(patch, sun, height, (u0, u1, -w, w), colour, everywhere)
    patch.paint(patch.rectangle(u1 - 0.3 * long, u1, -0.5 * beam, 0.5 * beam), colour * np.float32(1.05))
    roof = patch.rectangle(u0 + 0.25 * long, u1 - 0.35 * long, -0.6 * w, 0.6 * w)
    patch.paint(roof, colour * np.float32(rng.uniform(0.55, 0.95)))
    funnel = (u0 - 0.1 * long, u0 + 0.25 * long, -0.12 * beam, 0.12 * beam)
    _block(patch, sun, 0.4 * height, funnel, pick(rng, BOXES), everywhere)


def _forecastle(patch: Patch, ship: Ship, deck_mask: Mask, deck: Colour, rng: np.random.Generator) -> None:
    """A raised bow in another tone of the deck."""
    start = ship.length_m * rng.uniform(0.40, 0.44)
    patch.paint(deck_mask & (patch.u > start), deck * np.float32(rng.uniform(0.7, 1.5)))


def _bulk(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """Rows of hatches, open or covered, sometimes cranes between them; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(9.0, 0.075 * length)
    first, last = -length / 2 + 0.06 * length + house, length * 0.40
    count = int(np.clip(round((last - first) / rng.uniform(19, 30)), 2, 9))
    pitch, wide = (last - first) / count, beam * rng.uniform(0.24, 0.36)
    cover, cargo = pick(rng, HATCHES), pick(rng, CARGOES)
    open_share = rng.choice([0.0, 0.0, 0.5, 1.0]) if ship.state == "moored" else 0.0
    geared = length < 200 and rng.random() < 0.45
    crane = pick(rng, HOUSES)
    for i in range(count):
        u0, u1 = first + (i + 0.14) * pitch, first + (i + 0.86) * pitch
        colour = cargo * np.float32(0.4 + 0.6 * load) if rng.random() < open_share else cover
        _block(patch, sun, 2.0, (u0, u1, -wide, wide), colour, deck_mask)
        patch.shade(patch.rectangle(u0, u1, -0.5, 0.5) & deck_mask, 0.75)
        if geared and i:
            _block(patch, sun, 16, (u0 - 0.26 * pitch, u0 - 0.04 * pitch, -2.2, 2.2), crane, deck_mask | patch.solid)
            patch.paint(patch.rectangle(u0, u0 + 0.8 * pitch, -1.1, 1.1) & deck_mask, crane)
    _forecastle(patch, ship, deck_mask, deck, rng)
    _house(patch, ship, sun, rng, -length / 2 + 0.05 * length + house / 2, house)


def general(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """One to three long hatches, timber or machines on deck when laden; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(7.0, 0.12 * length)
    first, last = -length / 2 + 0.07 * length + house, length * 0.38
    count = int(rng.integers(1, 4))
    pitch, wide = (last - first) / count, beam * rng.uniform(0.3, 0.4)
    cover = pick(rng, HATCHES)
    for i in range(count):
        u0, u1 = first + (i + 0.05) * pitch, first + (i + 0.95) * pitch
        _block(patch, sun, 2.0, (u0, u1, -wide, wide), cover, deck_mask)
    for _ in range(int(load * rng.integers(0, 9))):
        u0, v0 = rng.uniform(first, last - 6), rng.uniform(-wide, wide - 2)
        box = (u0, u0 + rng.uniform(4, 12), v0, v0 + rng.uniform(2, 5))
        _block(patch, sun, 4.0, box, pick(rng, BOXES), deck_mask)
    _forecastle(patch, ship, deck_mask, deck, rng)
    _house(patch, ship, sun, rng, -length / 2 + 0.05 * length + house / 2, house)


def _tanker(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """A pipe rack along the deck, the manifold across it, small fittings; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(9.0, 0.10 * length)
    first = -length / 2 + 0.06 * length + house
    pipe = pick(rng, HATCHES)
    rack = max(1.0, 0.05 * beam)
    patch.paint(patch.rectangle(first, 0.38 * length, -rack, rack) & deck_mask, pipe)
    at = rng.uniform(-0.04, 0.08) * length
    patch.paint(patch.rectangle(at - 0.018 * length, at + 0.018 * length, -0.42 * beam, 0.42 * beam) & deck_mask, pipe)
    _block(patch, sun, 12, (at + 2, at + 4.5, -2, 2), pick(rng, HOUSES), deck_mask)
    for station in np.arange(first + 8, 0.36 * length, max(10.0, 0.08 * length)):
        patch.paint(
            patch.rectangle(station, station + 1.2, -0.4 * beam, 0.4 * beam) & deck_mask, deck * np.float32(1.35)
        )
    _forecastle(patch, ship, deck_mask, deck, rng)
    _house(patch, ship, sun, rng, -length / 2 + 0.05 * length + house / 2, house)


def _gas(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """Spherical tanks in a row; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(10.0, 0.10 * length)
    first, last = -length / 2 + 0.07 * length + house, 0.42 * length
    count = int(np.clip(round((last - first) / (1.05 * beam)), 2, 5))
    pitch = (last - first) / count
    radius = min(0.42 * beam, 0.47 * pitch)
    colour = pick(rng, HOUSES)
    du, dv = patch.cast(sun, 0.5 * radius)
    for i in range(count):
        u0 = first + (i + 0.5) * pitch
        patch.shade(patch.disc(u0 + du, dv, radius), 0.5)
        patch.paint(patch.disc(u0, 0, radius), colour * np.float32(0.8))
        patch.paint(patch.disc(u0 - 0.25 * du, -0.25 * dv, 0.7 * radius), colour * np.float32(1.15))
    _house(patch, ship, sun, rng, -length / 2 + 0.05 * length + house / 2, house)


def _container(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """Bays of containers, some of them low or empty; house aft or two thirds aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(8.0, 0.06 * length)
    aft = -length / 2 + 0.05 * length
    centre = aft + (0.22 * length if length > 150 and rng.random() < 0.5 else house / 2)
    bay = 13.2
    rows = max(2, int(0.9 * beam / 2.5))
    for u0 in np.arange(aft if centre > aft + house else aft + house + 1, 0.40 * length - bay, bay):
        if centre - house / 2 - bay < u0 < centre + house / 2:
            continue
        tiers = rng.binomial(6, 0.15 + 0.75 * load)
        if not tiers:
            continue
        colours = container_colours(rng, rows)
        row = np.clip(((patch.v + 0.45 * beam) / (0.9 * beam) * rows).astype(int), 0, rows - 1)
        where = patch.rectangle(u0, u0 + 12.4, -0.45 * beam, 0.45 * beam) & (
            np.abs(patch.v) < ship.half_breadth(patch.u)
        )
        patch.shade(patch.box_shadow(sun, 2.6 * tiers, u0, u0 + 12.4, -0.45 * beam, 0.45 * beam), 0.5)
        patch.paint(where, colours[row])
    _forecastle(patch, ship, deck_mask, deck, rng)
    _house(patch, ship, sun, rng, centre, house)


def _roro(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """One smooth pale box with ventilators, hardly any open deck."""
    length, beam = ship.length_m, ship.beam_m
    roof = pick(rng, [*HOUSES, (1.0, (150, 168, 150)), (1.0, (150, 110, 92))])
    patch.paint(deck_mask, roof)
    for side in (-0.36, 0.36):
        for station in np.arange(-0.42 * length, 0.38 * length, 0.09 * length):
            patch.shade(patch.rectangle(station, station + 2.5, side * beam - 1, side * beam + 1), 0.7)
    _block(patch, sun, 4, (0.36 * length, 0.40 * length, -0.45 * beam, 0.45 * beam), roof, deck_mask)


def _ferry(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """White decks in steps, coloured sun deck, funnel."""
    length, beam = ship.length_m, ship.beam_m
    white = pick(rng, HOUSES)
    patch.paint(deck_mask, white)
    box = (-rng.uniform(0.25, 0.45) * length, rng.uniform(0.25, 0.36) * length, -0.38 * beam, 0.38 * beam)
    _block(patch, sun, 5, box, white * np.float32(1.08), deck_mask)
    inner = (0.8 * box[0], 0.7 * box[1], -0.2 * beam, 0.2 * beam)
    _block(patch, sun, 3, inner, pick(rng, DECKS), deck_mask)
    at = -rng.uniform(0.1, 0.3) * length
    _block(patch, sun, 7, (at, at + 0.06 * length, -0.12 * beam, 0.12 * beam), pick(rng, BOXES), deck_mask)


def _supply(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """House forward, open working deck aft with some cargo."""
    length, beam = ship.length_m, ship.beam_m
    for _ in range(int(load * rng.integers(0, 8))):
        u0, v0 = rng.uniform(-0.42, 0.05) * length, rng.uniform(-0.35, 0.2) * beam
        _block(patch, sun, 3, (u0, u0 + rng.uniform(3, 9), v0, v0 + rng.uniform(2, 4)), pick(rng, BOXES), deck_mask)
    _house(patch, ship, sun, rng, 0.24 * length, 0.2 * length)


def _fishing(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """House amidships or aft, gear on deck."""
    _block(patch, sun, 4, (0.2 * ship.length_m, 0.26 * ship.length_m, -2, 2), pick(rng, BOXES), deck_mask)
    _house(patch, ship, sun, rng, rng.uniform(-0.3, 0.05) * ship.length_m, 0.2 * ship.length_m)


def _barge(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """An open hold with a heap of cargo, or an empty one; no house."""
    length, beam = ship.length_m, ship.beam_m
    hold = patch.rectangle(-0.43 * length, 0.43 * length, -0.38 * beam, 0.38 * beam) & deck_mask
    if load < 0.35:
        patch.paint(hold, deck * np.float32(0.5))
        return
    heaps = 1 + 0.35 * np.cos(patch.u * (2 * pi * rng.integers(2, 6) / length)) * np.cos(patch.v * (pi / beam))
    patch.paint(hold, (pick(rng, CARGOES) * heaps[..., None]).astype(np.float32))


def _boat(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """A small boat is a pale or coloured spot with a cabin."""
    patch.paint(np.abs(patch.v) < ship.half_breadth(patch.u), pick(rng, [*HOUSES, (2.0, (150, 120, 96)), *BOXES[:4]]))
    at, long = rng.uniform(-0.25, 0.15) * ship.length_m, 0.25 * ship.length_m
    patch.paint(patch.rectangle(at, at + long, -0.3 * ship.beam_m, 0.3 * ship.beam_m), pick(rng, HOUSES))


LOADS = {
    "bulk": _bulk, "general": general, "tanker": _tanker, "gas": _gas, "container": _container, "roro": _roro,
    "ferry": _ferry, "supply": _supply, "fishing": _fishing, "barge": _barge, "boat": _boat,
}  # fmt: skip
