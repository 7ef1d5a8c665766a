"""Ships of a simulated scene as they look: wake, hull with its shadow, cargo on deck and deckhouse."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from .colours import BOXES, CARGOES, DECKS, HATCHES, HOUSES, HULLS, draw_containers, pick
from .drawing import FOAM, Colour, Frame, RasterBuffer, box, disc, linear, noise_field
from .fleet import Ship


def draw_wake(buffer: RasterBuffer, ship: Ship, rng: np.random.Generator) -> None:
    """Draw foam behind the stern, a smooth streak and faint Kelvin arms at 19.5 degrees; not over land."""
    length, beam, strength = ship.length_m, ship.beam_m, rng.beta(2, 2)
    reach = length * rng.uniform(1.2, 3.5) + 60
    aside = beam + 0.36 * (reach + length)
    view = ship.frame(buffer).grid(box(-length / 2 - reach, length / 2 + 10, -aside, aside))
    if view is None:
        return
    window, u, v = view
    astern, from_bow = -length / 2 - u, length / 2 - u
    behind, t = np.maximum(astern, 0), np.clip(astern / reach, 0, 1)
    bend = rng.normal(0, 0.25) * beam * t * np.sin(2 * pi * rng.uniform(0.4, 1.2) * t)
    froth = 1 + 0.45 * noise_field(rng, u.shape, 6 / buffer.step_m, 2.2)
    core = np.exp(-(((v - bend) / (0.32 * beam + 0.035 * behind)) ** 2)) * np.exp(-t * rng.uniform(2.5, 7)) * (1 - t)
    edge = np.abs(np.abs(v - bend) - 0.5 * beam - 0.06 * behind)
    streaks = np.exp(-((edge / (1.5 + 0.01 * behind)) ** 2)) * (1 - t) ** 2
    arm = np.abs(np.abs(v) - 0.354 * from_bow - 0.2 * beam)
    arms = np.exp(-((arm / np.maximum(2.0 + 0.02 * from_bow, 1)) ** 2) - np.maximum(from_bow, 0) / (0.5 * reach))
    foam = (0.85 * core + 0.25 * streaks) * (astern > -2) + rng.uniform(0.02, 0.2) * arms * (from_bow > 0)
    alpha = np.clip(strength * froth * foam, 0, 0.95) * ~buffer.solid[window]
    buffer.blend(window, alpha.astype(np.float32), linear(*FOAM))


def draw_ship(buffer: RasterBuffer, ship: Ship, rng: np.random.Generator) -> None:
    """Draw hull, deck, cargo and deckhouse with their shadows."""
    load = float(rng.beta(1.3, 1.1))  # 0 in ballast and high out of the water, 1 laden
    depth = 0.05 * ship.length_m if ship.kind in ("barge", "boat") else 0.075 * ship.length_m + 2
    freeboard = max(0.8, depth * (1 - 0.72 * load))
    if ship.kind in ("roro", "ferry"):
        freeboard += 0.08 * ship.length_m + 3
    frame = ship.frame(buffer)
    frame.fill(ship.hull(), pick(rng, HULLS), freeboard, shadow=0.33, solid=True)
    bulwark = max(0.5, 0.05 * ship.beam_m)
    if rng.random() < 0.5:  # a pale rail
        frame.fill(ship.hull(-0.49, 0.49, bulwark), pick(rng, HATCHES, 1.15))
        bulwark = max(1.6, 0.12 * ship.beam_m)
    deck = Deck(frame, ship, rng, load, pick(rng, DECKS))
    frame.fill(ship.hull(-0.49, 0.49, bulwark), deck.colour)
    frame.roughen(ship.hull(), rng, 7, 0.12)
    _LOADS[ship.kind](deck)


@dataclass(frozen=True)
class Deck:
    """A ship's deck while cargo and superstructure are drawn on it.

    Attributes:
        frame: The ship's frame.
        ship: The ship.
        rng: Source of everything drawn.
        load: From 0, in ballast, to 1, laden.
        colour: Of the bare deck.
    """

    frame: Frame
    ship: Ship
    rng: np.random.Generator
    load: float
    colour: Colour

    def block(self, u0: float, u1: float, half_breadth: float, colour: Colour, height_m: float = 0.0) -> None:
        """Draw a box across the centreline, with its shadow."""
        self.frame.fill(box(u0, u1, -half_breadth, half_breadth), colour, height_m)

    def scatter(self, most: int, aft: float, fore: float, height_m: float) -> None:
        """Draw up to ``most`` boxes, the more the more laden, between two shares of the length."""
        for _ in range(int(self.load * self.rng.integers(0, most))):
            u, v = self.rng.uniform(aft, fore) * self.ship.length_m, self.rng.uniform(-0.35, 0.2) * self.ship.beam_m
            corner = box(u, u + self.rng.uniform(3, 11), v, v + self.rng.uniform(2, 5))
            self.frame.fill(corner, pick(self.rng, BOXES), height_m)

    def house(self, centre: float, long: float) -> None:
        """Draw a deckhouse across the beam, with bridge wings in front and a funnel behind."""
        beam, height, colour = self.ship.beam_m, 6 + 0.09 * self.ship.length_m, pick(self.rng, HOUSES)
        aft, fore = centre - long / 2, centre + long / 2
        self.block(aft, fore, 0.42 * beam, colour, height)
        self.block(fore - 0.3 * long, fore, 0.5 * beam, colour * np.float32(1.05))
        self.block(
            aft + 0.25 * long, fore - 0.35 * long, 0.25 * beam, colour * np.float32(self.rng.uniform(0.55, 0.95))
        )
        self.block(aft - 0.1 * long, aft + 0.25 * long, 0.12 * beam, pick(self.rng, BOXES), 0.4 * height)

    def house_aft(self, share: float, least_m: float) -> float:
        """Draw forecastle and a deckhouse aft; return the station in metres where the hold begins."""
        length = self.ship.length_m
        bow = self.ship.hull(self.rng.uniform(0.40, 0.44), 0.49, 0.05 * self.ship.beam_m)
        self.frame.fill(bow, self.colour * np.float32(self.rng.uniform(0.7, 1.5)))
        long = max(least_m, share * length)
        self.house(-0.45 * length + long / 2, long)
        return -0.44 * length + long


def _hatches(deck: Deck, first: float, last: float, count: int, gap: float, wide: float) -> Colour:
    """Draw hatch covers in a row between two stations, with a seam along the middle; return their colour."""
    cover, cargo = pick(deck.rng, HATCHES), pick(deck.rng, CARGOES)
    open_share = deck.rng.choice([0.0, 0.0, 0.5, 1.0]) if deck.ship.state == "moored" else 0.0
    pitch = (last - first) / count
    for u in first + pitch * np.arange(count):
        colour = cargo * np.float32(0.4 + 0.6 * deck.load) if deck.rng.random() < open_share else cover
        deck.block(u + gap * pitch, u + (1 - gap) * pitch, wide, colour, 2.0)
        deck.frame.shade(box(u + gap * pitch, u + (1 - gap) * pitch, -0.5, 0.5), 0.75)
    return cover


def _bulk(deck: Deck) -> None:
    """Draw many hatches, sometimes with cranes between them; house aft."""
    length, beam, rng = deck.ship.length_m, deck.ship.beam_m, deck.rng
    first, last = deck.house_aft(0.075, 9), 0.40 * length
    count = int(np.clip(round((last - first) / rng.uniform(19, 30)), 2, 9))
    _hatches(deck, first, last, count, 0.14, beam * rng.uniform(0.24, 0.36))
    if length < 200 and rng.random() < 0.45:
        crane, pitch = pick(rng, HOUSES), (last - first) / count
        for u in first + pitch * np.arange(1, count):
            deck.block(u - 0.12 * pitch, u + 0.1 * pitch, 2.2, crane, 16)
            deck.block(u, u + 0.8 * pitch, 1.1, crane)


def _general(deck: Deck) -> None:
    """Draw one to three long hatches, timber or machines on deck; house aft."""
    first, last = deck.house_aft(0.12, 7), 0.38 * deck.ship.length_m
    _hatches(deck, first, last, int(deck.rng.integers(1, 4)), 0.05, deck.ship.beam_m * deck.rng.uniform(0.3, 0.4))
    deck.scatter(9, first / deck.ship.length_m, 0.34, 4)


def _tanker(deck: Deck) -> None:
    """Draw a pipe rack along the deck, the manifold across it, small fittings; house aft."""
    length, beam, rng = deck.ship.length_m, deck.ship.beam_m, deck.rng
    first, pipe, middle = deck.house_aft(0.10, 9), pick(rng, HATCHES), rng.uniform(-0.04, 0.08) * length
    for station in np.arange(first + 8, 0.36 * length, max(10.0, 0.08 * length)):
        deck.block(station, station + 1.2, 0.4 * beam, deck.colour * np.float32(1.35))
    deck.block(first, 0.38 * length, max(1.0, 0.05 * beam), pipe, 1.5)
    deck.block(middle - 0.018 * length, middle + 0.018 * length, 0.42 * beam, pipe)
    deck.block(middle + 2, middle + 4.5, 2, pick(rng, HOUSES), 12)


def _gas(deck: Deck) -> None:
    """Draw spherical tanks in a row; house aft."""
    length, beam, colour = deck.ship.length_m, deck.ship.beam_m, pick(deck.rng, HOUSES)
    first, last = deck.house_aft(0.10, 10), 0.42 * length
    count = int(np.clip(round((last - first) / (1.05 * beam)), 2, 5))
    pitch = (last - first) / count
    radius = min(0.42 * beam, 0.47 * pitch)
    for u in first + pitch * (np.arange(count) + 0.5):
        deck.frame.fill(disc(u, 0, radius), colour * np.float32(0.8), 0.5 * radius)
        deck.frame.fill(disc(u, 0, 0.65 * radius), colour * np.float32(1.1))


def _container(deck: Deck) -> None:
    """Draw bays of containers, some of them low or empty; house aft or two thirds aft."""
    length, beam, rng = deck.ship.length_m, deck.ship.beam_m, deck.rng
    first = deck.house_aft(0.06, 8)
    forward = length > 150 and rng.random() < 0.5
    if forward:
        deck.house(-0.2 * length, 0.06 * length)
    for u in np.arange(first + 1, 0.40 * length - 13, 13.2):
        tiers, half = rng.binomial(6, 0.15 + 0.75 * deck.load), float(deck.ship.half_breadth(np.array([u + 12.4]))[0])
        if not tiers or (forward and abs(u + 6 + 0.2 * length) < 0.03 * length + 8):
            continue
        half = min(half, 0.45 * beam)
        deck.block(u, u + 12.4, half, deck.colour, 2.6 * tiers)
        draw_containers(deck.frame, rng, (u, -half), (12.4, 2 * half), (max(2, int(half / 1.25)), 1), 1.0)


def _roro(deck: Deck) -> None:
    """Draw one smooth pale box with ventilators and hardly any open deck."""
    length, beam = deck.ship.length_m, deck.ship.beam_m
    roof = pick(deck.rng, [*HOUSES, (1.0, (150, 168, 150)), (1.0, (150, 110, 92))])
    deck.frame.fill(deck.ship.hull(-0.49, 0.49, 0.5), roof)
    for side in (-0.36, 0.36):
        for u in np.arange(-0.42 * length, 0.38 * length, 0.09 * length):
            deck.frame.shade(box(u, u + 2.5, side * beam - 1, side * beam + 1), 0.7)
    deck.block(0.30 * length, 0.35 * length, 0.42 * beam, roof, 6)


def _ferry(deck: Deck) -> None:
    """Draw white decks in steps, a coloured sun deck and a funnel."""
    length, beam, rng, white = deck.ship.length_m, deck.ship.beam_m, deck.rng, pick(deck.rng, HOUSES)
    aft, fore, funnel = -rng.uniform(0.25, 0.45), rng.uniform(0.25, 0.36), -rng.uniform(0.1, 0.3) * length
    deck.frame.fill(deck.ship.hull(-0.49, 0.49, 0.5), white)
    deck.block(aft * length, fore * length, 0.38 * beam, white * np.float32(1.08), 5)
    deck.block(0.8 * aft * length, 0.7 * fore * length, 0.2 * beam, pick(rng, DECKS), 3)
    deck.block(funnel, funnel + 0.06 * length, 0.12 * beam, pick(rng, BOXES), 7)


def _supply(deck: Deck) -> None:
    """Draw a house forward and an open working deck aft with some cargo."""
    deck.scatter(8, -0.42, 0.05, 3)
    deck.house(0.24 * deck.ship.length_m, 0.2 * deck.ship.length_m)


def _fishing(deck: Deck) -> None:
    """Draw a house amidships or aft, and gear on deck."""
    length = deck.ship.length_m
    deck.block(0.2 * length, 0.26 * length, 2, pick(deck.rng, BOXES), 4)
    deck.house(deck.rng.uniform(-0.3, 0.05) * length, 0.2 * length)


def _barge(deck: Deck) -> None:
    """Draw an open hold, heaped or empty; no house."""
    length, hold = deck.ship.length_m, 0.38 * deck.ship.beam_m
    if deck.load < 0.35:
        deck.block(-0.43 * length, 0.43 * length, hold, deck.colour * np.float32(0.5))
        return
    deck.block(-0.43 * length, 0.43 * length, hold, pick(deck.rng, CARGOES))
    deck.frame.roughen(box(-0.43 * length, 0.43 * length, -hold, hold), deck.rng, 0.1 * length, 0.3)


def _boat(deck: Deck) -> None:
    """Draw a small boat: a pale or coloured spot with a cabin."""
    length, beam, rng = deck.ship.length_m, deck.ship.beam_m, deck.rng
    deck.frame.fill(deck.ship.hull(), pick(rng, [*HOUSES, (2.0, (150, 120, 96)), *BOXES[:4]]))
    aft = rng.uniform(-0.25, 0.15) * length
    deck.block(aft, aft + 0.25 * length, 0.3 * beam, pick(rng, HOUSES))


_LOADS = {
    "bulk": _bulk, "general": _general, "tanker": _tanker, "gas": _gas, "container": _container, "roro": _roro,
    "ferry": _ferry, "supply": _supply, "fishing": _fishing, "barge": _barge, "boat": _boat,
}  # fmt: skip
