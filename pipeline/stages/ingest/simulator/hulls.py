"""Ships of a simulated scene as forms: kind, length, beam, and the outline that is drawn and labelled."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from .canvas import Float, direction

Kind = str
State = str

_SMALL: dict[Kind, float] = {"general": 4, "supply": 2, "fishing": 2, "barge": 1.5, "ferry": 1.5, "tanker": 1.5}
_MIDDLE: dict[Kind, float] = {
    "bulk": 3, "general": 3, "tanker": 3, "container": 2, "roro": 1, "barge": 1, "ferry": 1, "supply": 0.5,
}  # fmt: skip
_LARGE: dict[Kind, float] = {"bulk": 5, "tanker": 3, "container": 4, "roro": 1, "gas": 0.7, "ferry": 0.4}


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

    def points(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(x, y), each (U, V), of all pairs of ``u`` (U,) metres ahead and ``v`` (V,) metres to starboard."""
        ux, uy = direction(self.heading_deg)
        return self.x + u[:, None] * ux - v * uy, self.y + u[:, None] * uy + v * ux

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
