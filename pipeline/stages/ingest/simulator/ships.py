"""Ships of a simulated scene as they look: hull, shadow and wake; the deck is in :mod:`.simulated_cargo`.

A ship is drawn in its own frame: u ahead of amidships, v to starboard, both in metres.
"""

from __future__ import annotations

from math import pi

import numpy as np

from .canvas import Canvas, Mask, Patch, Sun, direction, linear, noise_field
from .cargo import LOADS
from .colours import DECKS, HATCHES, HULLS, pick
from .hulls import Ship


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
    alpha = strength * froth * (0.85 * core + 0.25 * streaks + rng.uniform(0.02, 0.2) * arms)
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
    patch.paint(inside, pick(rng, HULLS), solid=True)
    deck_mask = (np.abs(patch.v) < half - max(0.5, 0.05 * beam)) & (np.abs(patch.u) < length / 2 - 1)
    deck = pick(rng, DECKS)
    patch.paint(deck_mask, deck)
    _fittings(patch, ship, rng, deck_mask)
    LOADS[ship.kind](patch, ship, sun, rng, deck_mask, deck, load)
    grime = 1 + 0.14 * noise_field(rng, patch.u.shape, 5, 2.0)
    patch.light[inside] *= np.clip(grime[inside], 0.5, 1.6)[:, None]
    patch.close()


def _fittings(patch: Patch, ship: Ship, rng: np.random.Generator, deck_mask: Mask) -> None:
    """A pale rail inside the bulwark, and winches, vents and gear scattered over the deck."""
    if rng.random() < 0.5:
        rail = deck_mask & (np.abs(patch.v) > ship.half_breadth(patch.u) - max(1.6, 0.12 * ship.beam_m))
        patch.paint(rail, pick(rng, HATCHES) * np.float32(1.15))
    specks = noise_field(rng, patch.u.shape, 2, 1.5)
    patch.light[deck_mask & (specks > 1.7)] *= np.float32(1.9)
    patch.light[deck_mask & (specks < -1.8)] *= np.float32(0.5)


def _hull_shadow(patch: Patch, ship: Ship, sun: Sun, height_m: float) -> None:
    """Darken the water to leeward of the sun by the hull's own form, swept along the shadow."""
    du, dv = patch.cast(sun, height_m)
    steps = max(1, int(np.ceil(np.hypot(du, dv) / 3)))
    dark = np.zeros(patch.u.shape, bool)
    for step in range(1, steps + 1):
        t = step / steps
        dark |= np.abs(patch.v - t * dv) < ship.half_breadth(patch.u - np.float32(t * du))
    patch.shade(dark, 0.33)
