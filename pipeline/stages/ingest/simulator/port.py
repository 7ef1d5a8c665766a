"""What people built on the shore of a simulated scene: quays, piers, yards, roofs, tanks, cranes, jetties, pontoons.

Like the land it is laid out in the coast's frame: a along the shore, b inland, in metres.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Patch, Sun, noise_field
from .colours import CONCRETES, GREENS, ROOFS, SOILS, container_colours, pick
from .land import Coast


def paint_quay(coast: Coast, rng: np.random.Generator, sun: Sun, edge_m: float, clutter: float) -> None:
    """A quay along the whole shore: apron, cranes, and blocks of yards, roofs and tanks behind it."""
    half = 0.75 * coast.canvas.size_m
    apron = rng.uniform(18, 45)
    patch = coast.box(-half, half, edge_m - 4, edge_m + apron, around=2, fine=1)
    if patch is not None:
        concrete = pick(rng, CONCRETES)
        where = patch.v > -(apron + 4) / 2 + 4
        worn = (concrete * (1 + 0.06 * np.sin(patch.v / 3))[..., None]).astype(np.float32)
        patch.paint(where & (patch.v < (apron + 4) / 2), worn, solid=True)
        patch.close()
    coast.berth(-half, half, edge_m, edge_m)
    _blocks(coast, rng, sun, (-half, half, edge_m + apron + 6, half), clutter)


def paint_pier(
    coast: Coast, rng: np.random.Generator, sun: Sun, edge_m: float, a: float, out_m: float, clutter: float
) -> None:
    """A broad pier into the harbour with yards or sheds on it and berths on three sides."""
    half = rng.uniform(30, 75)
    box = (a - half, a + half, edge_m - out_m, edge_m + 10)
    patch = coast.box(*box, fine=1)
    if patch is None:
        return
    patch.paint(patch.rectangle(-half, half, -(out_m + 10) / 2, (out_m + 10) / 2), pick(rng, CONCRETES), solid=True)
    patch.close()
    _blocks(coast, rng, sun, (box[0] + 12, box[1] - 12, box[2] + 14, edge_m - 5), clutter)
    coast.berth(box[0], box[0], edge_m, box[2])
    coast.berth(box[0], box[1], box[2], box[2])
    coast.berth(box[1], box[1], box[2], edge_m)


def _blocks(
    coast: Coast, rng: np.random.Generator, sun: Sun, area: tuple[float, float, float, float], clutter: float
) -> None:
    """Fill an area (a0, a1, b0, b1) with blocks in rows along the shore, streets between them."""
    a0, a1, b, b1 = area
    while b1 - b > 20:
        deep = min(rng.uniform(55, 120), b1 - b)
        a = a0
        while a1 - a > 20:
            wide = min(rng.uniform(70, 230), a1 - a)
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
    paving = pick(rng, CONCRETES)
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
            roof, height = pick(rng, ROOFS, 0.12), rng.uniform(6, 16)
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
    white = pick(rng, ROOFS[:2])
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
    gardens = (1 + 0.2 * noise_field(rng, patch.u.shape, 6, 2.0))[..., None].clip(0.4, 1.6).astype(np.float32)
    patch.paint(patch.rectangle(-wide / 2, wide / 2, -deep / 2, deep / 2), patch.light * gardens)
    for u0 in np.arange(-wide / 2 + 3, wide / 2 - 16, rng.uniform(16, 24)):
        for v0 in np.arange(-deep / 2 + 3, deep / 2 - 14, rng.uniform(15, 24)):
            if rng.random() < 0.2:
                continue
            u1, v1 = u0 + rng.uniform(8, 14), v0 + rng.uniform(7, 12)
            patch.shade(patch.box_shadow(sun, 6, u0, u1, v0, v1), 0.5)
            patch.paint(patch.rectangle(u0, u1, v0, v1), pick(rng, ROOFS, 0.12))


def _open(patch: Patch, rng: np.random.Generator, sun: Sun, wide: float, deep: float) -> None:
    """Bare ground, heaps of coal or sand, parked trucks."""
    tone = pick(rng, [*SOILS, *GREENS, (1.5, (64, 62, 60))])
    u1, v1 = rng.uniform(0.2, 0.5) * wide, rng.uniform(0.2, 0.45) * deep
    rough = 1 + 0.15 * noise_field(rng, patch.u.shape, 9, 2.2)
    u0, v0 = rng.uniform(u1 - wide / 2, wide / 2 - u1), rng.uniform(v1 - deep / 2, deep / 2 - v1)
    patch.paint(
        patch.rectangle(u0 - u1, u0 + u1, v0 - v1, v0 + v1), (tone * rough[..., None].clip(0.4, 1.8)).astype(np.float32)
    )
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
    if patch.solid[(patch.v < top + 40) & (np.abs(patch.u) < span)].any():
        return  # a pier or another jetty is in the way
    deck = pick(rng, CONCRETES)
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


def paint_platform(
    canvas: Canvas, rng: np.random.Generator, sun: Sun, centre: tuple[float, float], heading_deg: float
) -> None:
    """A rectangular pontoon, caisson or landing stage afloat, empty or with a shed: no ship."""
    length, width = rng.uniform(25, 130), rng.uniform(10, 30)
    patch = canvas.patch(*centre, heading_deg, length / 2 + 15, width / 2 + 15)
    if patch is None:
        return
    box = (-length / 2, length / 2, -width / 2, width / 2)
    patch.shade(patch.box_shadow(sun, 3, *box), 0.5)
    patch.paint(patch.rectangle(*box), pick(rng, [*CONCRETES, *ROOFS[:3]]), solid=True)
    inside = patch.rectangle(-length / 2 + 1.5, length / 2 - 1.5, -width / 2 + 1.5, width / 2 - 1.5)
    if rng.random() < 0.4:  # stores in rows
        for u0 in np.arange(-length / 2 + 4, length / 2 - 8, rng.uniform(9, 20)):
            patch.paint(patch.rectangle(u0, u0 + rng.uniform(4, 8), -0.35 * width, 0.35 * width), pick(rng, ROOFS))
    for _ in range(int(rng.integers(0, 4))):
        u0, v0 = rng.uniform(-length / 2, length / 2 - 8), rng.uniform(-width / 2, width / 2 - 6)
        shed = (u0, u0 + rng.uniform(5, 20), v0, v0 + rng.uniform(4, 9))
        patch.shade(patch.box_shadow(sun, 6, *shed), 0.6)
        patch.paint(patch.rectangle(*shed) & inside, pick(rng, ROOFS))
    patch.close()
