"""Ships of a simulated scene: their form, deck, cargo, shadow and wake.

A ship is drawn in its own frame: u ahead of amidships, v to starboard, both in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi

import numpy as np
from numpy.typing import NDArray

from .simulated_canvas import Canvas, Colour, Float, Mask, Patch, Sun, direction, linear, noise_field

Kind = str
State = str

_SMALL: dict[Kind, float] = {"general": 4, "supply": 2, "fishing": 2, "barge": 1.5, "ferry": 1.5, "tanker": 1.5}
_MIDDLE: dict[Kind, float] = {
    "bulk": 3, "general": 3, "tanker": 3, "container": 2, "roro": 1, "barge": 1, "ferry": 1, "supply": 0.5,
}  # fmt: skip
_LARGE: dict[Kind, float] = {"bulk": 5, "tanker": 3, "container": 4, "roro": 1, "gas": 0.7, "ferry": 0.4}

_DECKS = [
    (4.0, (168, 88, 66)), (2.0, (196, 112, 84)), (2.0, (128, 66, 56)), (2.0, (122, 142, 116)), (1.5, (98, 120, 104)),
    (2.5, (142, 140, 134)), (2.0, (186, 176, 156)), (1.5, (96, 98, 98)), (1.0, (92, 112, 136)), (0.6, (214, 124, 92)),
]  # fmt: skip
_HATCHES = [
    (3.0, (204, 192, 170)), (2.0, (150, 140, 128)), (2.0, (160, 96, 74)), (1.5, (112, 132, 112)),
    (1.0, (222, 218, 206)), (1.0, (96, 100, 104)), (0.7, (108, 128, 152)),
]  # fmt: skip
_HULLS = [
    (4.0, (62, 60, 60)), (2.0, (120, 62, 52)), (1.5, (60, 74, 98)), (1.0, (206, 202, 194)), (1.0, (130, 132, 128)),
    (0.7, (74, 100, 80)), (0.5, (196, 92, 58)),
]  # fmt: skip
_BOXES = [
    (3.0, (172, 84, 66)), (2.0, (70, 92, 136)), (2.0, (206, 202, 194)), (1.5, (100, 134, 116)), (1.2, (206, 146, 84)),
    (1.5, (128, 66, 58)), (1.5, (120, 122, 124)), (1.0, (70, 72, 82)), (0.6, (150, 60, 96)),
]  # fmt: skip
_HOUSES = [(5.0, (232, 226, 214)), (2.0, (212, 200, 178)), (1.0, (190, 188, 182))]
_CARGOES = [(2.0, (70, 66, 64)), (2.0, (178, 156, 122)), (1.0, (134, 84, 60)), (1.0, (150, 146, 138))]


def pick(rng: np.random.Generator, palette: list[tuple[float, tuple[int, int, int]]], jitter: float = 0.08) -> Colour:
    """One colour (3,) of a weighted palette, its brightness and bands moved by a relative ``jitter``."""
    weights = np.array([weight for weight, _ in palette])
    _, colour = palette[int(rng.choice(len(palette), p=weights / weights.sum()))]
    shift = 1 + jitter * (1.2 * rng.standard_normal() + 0.5 * rng.standard_normal(3))
    return np.asarray(linear(*colour) * np.clip(shift, 0.4, 1.8), np.float32)


def container_colours(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Linear light (count, 3) of containers; a stack often belongs to few owners."""
    owners = np.stack([pick(rng, _BOXES, 0.15) for _ in range(10)])
    weights = rng.dirichlet(np.full(len(owners), 0.7))
    return np.asarray(owners[rng.choice(len(owners), size=count, p=weights)], np.float32)


@dataclass(frozen=True)
class Ship:
    """One ship: where it lies, how it is built, what it does (`moored`, `anchored` or `under way`)."""

    x: float
    y: float
    heading_deg: float
    length_m: float
    beam_m: float
    kind: Kind
    state: State

    def half_breadth(self, u: Float) -> Float:
        """Half the hull's breadth at the stations ``u``; 0 ahead of the bow and behind the stern.

        The hull is parallel amidships, tapers to the bow as a superellipse and a little to the transom.
        """
        bow, stern = _FORMS.get(self.kind, (0.16, 0.08))
        half = self.length_m / 2
        ahead = np.clip((u - (half - bow * self.length_m)) / (bow * self.length_m), 0, 1)
        behind = np.clip((-(half - stern * self.length_m) - u) / (stern * self.length_m), 0, 1)
        shape = (1 - ahead**2.2) ** (0.75 if bow > 0.1 else 0.2) * (1 - 0.28 * behind**2)
        return np.asarray(np.where(np.abs(u) < half, self.beam_m / 2 * shape, 0), np.float32)

    def outline(self) -> NDArray[np.float64]:
        """Closed polygon of the hull (N, 2) as x, y in metres of the scene."""
        half = self.length_m / 2
        stations = half * np.concatenate([[-1.0, -0.92, -0.85, 0.6, 0.68, 0.76, 0.84, 0.92, 0.97], [1.0]])
        breadth = self.half_breadth((stations * (1 - 1e-6)).astype(np.float32)).astype(np.float64)
        breadth[-1] = 0
        u = np.concatenate([stations, stations[-2::-1]])
        v = np.concatenate([breadth, -breadth[-2::-1]])
        ux, uy = direction(self.heading_deg)
        ring = np.stack([self.x + u * ux - v * uy, self.y + u * uy + v * ux], axis=1)
        return np.concatenate([ring, ring[:1]])


_FORMS: dict[Kind, tuple[float, float]] = {
    "barge": (0.05, 0.04), "container": (0.24, 0.08), "ferry": (0.26, 0.05), "supply": (0.24, 0.04),
    "fishing": (0.32, 0.12), "roro": (0.18, 0.03), "boat": (0.45, 0.15),
}  # fmt: skip


def kind_for(rng: np.random.Generator, length_m: float) -> Kind:
    """A kind of ship that is built in that length."""
    table = _SMALL if length_m < 70 else _MIDDLE if length_m < 140 else _LARGE
    weights = np.array(list(table.values()), float)
    return list(table)[int(rng.choice(len(table), p=weights / weights.sum()))]


def beam_for(rng: np.random.Generator, length_m: float, kind: Kind) -> float:
    """Beam in metres: long ships are relatively slender, barges and supply ships broad."""
    ratio = 6.7 - 2.6 * exp(-(length_m - 30) / 50)
    ratio *= {"barge": 0.78, "supply": 0.85, "roro": 0.95}.get(kind, 1.0)
    return length_m / (ratio * float(np.clip(1 + 0.07 * rng.standard_normal(), 0.85, 1.15)))


def draw_wake(canvas: Canvas, ship: Ship, rng: np.random.Generator) -> None:
    """Foam behind the stern, a smooth streak, and faint Kelvin arms at 19.5 degrees; not drawn over land."""
    length, beam = ship.length_m, ship.beam_m
    strength = rng.beta(2, 2)
    reach = length * rng.uniform(1.2, 3.5) + 60
    patch = canvas.patch(
        ship.x - direction(ship.heading_deg)[0] * reach / 2, ship.y - direction(ship.heading_deg)[1] * reach / 2,
        ship.heading_deg, (reach + length) / 2 + 10, beam + 0.36 * (reach + length), fine=1,
    )  # fmt: skip
    if patch is None:
        return
    u, v = patch.u - reach / 2, patch.v  # from amidships again
    astern = -length / 2 - u
    t = np.clip(astern / reach, 0, 1)
    bend = rng.normal(0, 0.25) * beam * t * np.sin(2 * pi * rng.uniform(0.4, 1.2) * t)
    froth = 1 + 0.45 * noise_field(rng, u.shape, 6 / canvas.step_m, 2.2)
    width = 0.32 * beam + 0.035 * np.maximum(astern, 0)
    core = np.exp(-(((v - bend) / width) ** 2)) * (astern > -2) * np.exp(-t * rng.uniform(2.5, 7)) * (1 - t)
    edge = np.abs(np.abs(v - bend) - 0.5 * beam - 0.06 * np.maximum(astern, 0))
    streaks = np.exp(-((edge / (1.5 + 0.01 * np.maximum(astern, 0))) ** 2)) * (astern > 0) * (1 - t) ** 2
    from_bow = length / 2 - u
    arm = np.abs(np.abs(v) - 0.354 * from_bow - 0.2 * beam)
    arms = np.exp(-((arm / (2.0 + 0.02 * from_bow)) ** 2)) * (from_bow > 0) * np.exp(-from_bow / (0.5 * reach))
    alpha = strength * froth * (0.85 * core + 0.25 * streaks + rng.uniform(0.05, 0.3) * arms)
    patch.blend(np.clip(alpha, 0, 0.95).astype(np.float32) * ~patch.solid, linear(232, 236, 230))
    patch.close()


def draw_ship(canvas: Canvas, ship: Ship, sun: Sun, rng: np.random.Generator) -> None:
    """Draw hull, deck, cargo and deckhouse with their shadows over what the canvas shows."""
    length, beam = ship.length_m, ship.beam_m
    tall = 6 + 0.14 * length if ship.kind != "barge" else 4.0
    reach = tall / np.tan(np.radians(sun.elevation_deg)) + 4
    patch = canvas.patch(ship.x, ship.y, ship.heading_deg, length / 2 + reach, beam / 2 + reach)
    if patch is None:
        return
    load = rng.beta(1.3, 1.1)  # 0 in ballast and high out of the water, 1 laden
    depth = 0.075 * length + 2 if ship.kind not in ("barge", "boat") else 0.05 * length
    freeboard = max(0.8, depth * (1 - 0.72 * load))
    if ship.kind in ("roro", "ferry"):
        freeboard += 0.08 * length + 3
    _hull_shadow(patch, ship, sun, freeboard)
    half = ship.half_breadth(patch.u)
    inside = np.abs(patch.v) < half
    patch.paint(inside, pick(rng, _HULLS), solid=True)
    deck_mask = (np.abs(patch.v) < half - max(0.5, 0.05 * beam)) & (np.abs(patch.u) < length / 2 - 1)
    deck = pick(rng, _DECKS)
    patch.paint(deck_mask, deck)
    _LOADS.get(ship.kind, _general)(patch, ship, sun, rng, deck_mask, deck, load)
    grime = 1 + 0.09 * noise_field(rng, patch.u.shape, 8, 2.2)
    patch.light[inside] *= np.clip(grime[inside], 0.6, 1.4)[:, None]
    patch.close()


def _hull_shadow(patch: Patch, ship: Ship, sun: Sun, height_m: float) -> None:
    """Darken the water to leeward of the sun by the hull's own form, swept along the shadow."""
    du, dv = patch.cast(sun, height_m)
    steps = max(1, int(np.ceil(np.hypot(du, dv) / 3)))
    dark = np.zeros(patch.u.shape, bool)
    for step in range(1, steps + 1):
        t = step / steps
        dark |= np.abs(patch.v - t * dv) < ship.half_breadth(patch.u - np.float32(t * du))
    patch.shade(dark, 0.42)


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
    colour = pick(rng, _HOUSES)
    u0, u1, w = centre - long / 2, centre + long / 2, 0.42 * beam
    _block(patch, sun, height, (u0, u1, -w, w), colour, everywhere)
    patch.paint(patch.rectangle(u1 - 0.3 * long, u1, -0.5 * beam, 0.5 * beam), colour * np.float32(1.05))
    roof = patch.rectangle(u0 + 0.25 * long, u1 - 0.35 * long, -0.6 * w, 0.6 * w)
    patch.paint(roof, colour * np.float32(rng.uniform(0.55, 0.95)))
    funnel = (u0 - 0.1 * long, u0 + 0.25 * long, -0.12 * beam, 0.12 * beam)
    _block(patch, sun, 0.4 * height, funnel, pick(rng, _BOXES), everywhere)


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
    cover, cargo = pick(rng, _HATCHES), pick(rng, _CARGOES)
    open_share = rng.choice([0.0, 0.0, 0.5, 1.0]) if ship.state == "moored" else 0.0
    geared = length < 200 and rng.random() < 0.45
    crane = pick(rng, _HOUSES)
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


def _general(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """One to three long hatches, timber or machines on deck when laden; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(7.0, 0.12 * length)
    first, last = -length / 2 + 0.07 * length + house, length * 0.38
    count = int(rng.integers(1, 4))
    pitch, wide = (last - first) / count, beam * rng.uniform(0.3, 0.4)
    cover = pick(rng, _HATCHES)
    for i in range(count):
        u0, u1 = first + (i + 0.05) * pitch, first + (i + 0.95) * pitch
        _block(patch, sun, 2.0, (u0, u1, -wide, wide), cover, deck_mask)
    for _ in range(int(load * rng.integers(0, 9))):
        u0, v0 = rng.uniform(first, last - 6), rng.uniform(-wide, wide - 2)
        box = (u0, u0 + rng.uniform(4, 12), v0, v0 + rng.uniform(2, 5))
        _block(patch, sun, 4.0, box, pick(rng, _BOXES), deck_mask)
    _forecastle(patch, ship, deck_mask, deck, rng)
    _house(patch, ship, sun, rng, -length / 2 + 0.05 * length + house / 2, house)


def _tanker(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """A pipe rack along the deck, the manifold across it, small fittings; house aft."""
    length, beam = ship.length_m, ship.beam_m
    house = max(9.0, 0.10 * length)
    first = -length / 2 + 0.06 * length + house
    pipe = pick(rng, _HATCHES)
    rack = max(1.0, 0.05 * beam)
    patch.paint(patch.rectangle(first, 0.38 * length, -rack, rack) & deck_mask, pipe)
    at = rng.uniform(-0.04, 0.08) * length
    patch.paint(patch.rectangle(at - 0.018 * length, at + 0.018 * length, -0.42 * beam, 0.42 * beam) & deck_mask, pipe)
    _block(patch, sun, 12, (at + 2, at + 4.5, -2, 2), pick(rng, _HOUSES), deck_mask)
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
    colour = pick(rng, _HOUSES)
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
    roof = pick(rng, [*_HOUSES, (1.0, (150, 168, 150)), (1.0, (150, 110, 92))])
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
    white = pick(rng, _HOUSES)
    patch.paint(deck_mask, white)
    box = (-rng.uniform(0.25, 0.45) * length, rng.uniform(0.25, 0.36) * length, -0.38 * beam, 0.38 * beam)
    _block(patch, sun, 5, box, white * np.float32(1.08), deck_mask)
    inner = (0.8 * box[0], 0.7 * box[1], -0.2 * beam, 0.2 * beam)
    _block(patch, sun, 3, inner, pick(rng, _DECKS), deck_mask)
    at = -rng.uniform(0.1, 0.3) * length
    _block(patch, sun, 7, (at, at + 0.06 * length, -0.12 * beam, 0.12 * beam), pick(rng, _BOXES), deck_mask)


def _supply(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """House forward, open working deck aft with some cargo."""
    length, beam = ship.length_m, ship.beam_m
    for _ in range(int(load * rng.integers(0, 8))):
        u0, v0 = rng.uniform(-0.42, 0.05) * length, rng.uniform(-0.35, 0.2) * beam
        _block(patch, sun, 3, (u0, u0 + rng.uniform(3, 9), v0, v0 + rng.uniform(2, 4)), pick(rng, _BOXES), deck_mask)
    _house(patch, ship, sun, rng, 0.24 * length, 0.2 * length)


def _fishing(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """House amidships or aft, gear on deck."""
    _block(patch, sun, 4, (0.2 * ship.length_m, 0.26 * ship.length_m, -2, 2), pick(rng, _BOXES), deck_mask)
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
    patch.paint(hold, (pick(rng, _CARGOES) * heaps[..., None]).astype(np.float32))


def _boat(
    patch: Patch, ship: Ship, sun: Sun, rng: np.random.Generator, deck_mask: Mask, deck: Colour, load: float
) -> None:
    """A small boat is a pale or coloured spot with a cabin."""
    patch.paint(np.abs(patch.v) < ship.half_breadth(patch.u), pick(rng, [*_HOUSES, (2.0, (150, 120, 96)), *_BOXES[:4]]))
    at, long = rng.uniform(-0.25, 0.15) * ship.length_m, 0.25 * ship.length_m
    patch.paint(patch.rectangle(at, at + long, -0.3 * ship.beam_m, 0.3 * ship.beam_m), pick(rng, _HOUSES))


_LOADS = {
    "bulk": _bulk, "general": _general, "tanker": _tanker, "gas": _gas, "container": _container, "roro": _roro,
    "ferry": _ferry, "supply": _supply, "fishing": _fishing, "barge": _barge, "boat": _boat,
}  # fmt: skip
