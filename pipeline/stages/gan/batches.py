"""Chips and latents of each step: a function of (seed, step), so that a resumed training sees the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...dataset.orientations import ORIENTATIONS, orient_each
from ...dataset.scaling import Scaling

ORDER, TURNS, LATENTS, CHANGES = range(4)
"""What random numbers are for; the third word of their seed."""


@dataclass(frozen=True)
class Batches:
    """Draws the batches of a training.

    Attributes:
        chips: Training chips (N, H, W, C) in their own dtype.
        labels: Class numbers (N,).
        scaling: To [-1, 1]; None where ``chips`` are layers in that range already.
        size: Chips in a batch.
        seed: Two non-negative integers that name this training.
        balanced: Equal class shares; otherwise those of the training chips.
        symmetries: Whether chips are flipped and turned.
    """

    chips: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64]
    scaling: Scaling | None
    size: int
    seed: tuple[int, int]
    balanced: bool
    symmetries: bool

    def rng(self, purpose: int, step: int) -> np.random.Generator:
        """Return the random generator of one purpose in one step."""
        return np.random.default_rng([*self.seed, purpose, step])

    def choose(self, step: int) -> npt.NDArray[np.int64]:
        """Choose the positions (B,) of the step's chips, ordered by class.

        The slots of all steps are numbered through and assigned to the classes in turn; each class goes through its
        chips in a new order every time, so that each is shown once before any is shown again.
        """
        slots = np.arange(step * self.size, (step + 1) * self.size)
        pools = [np.arange(len(self.labels))]
        if self.balanced:
            pools = [np.flatnonzero(self.labels == number) for number in np.unique(self.labels)]
        chosen = np.empty(self.size, np.int64)
        for turn, pool in enumerate(pools):
            of_pool = slots % len(pools) == turn
            rounds, places = np.divmod(slots[of_pool] // len(pools), len(pool))
            specs = {int(number): _order(len(pool), (*self.seed, turn), int(number)) for number in np.unique(rounds)}
            chosen[of_pool] = [
                pool[specs[number][place]] for number, place in zip(rounds.tolist(), places, strict=True)
            ]
        return chosen[np.argsort(self.labels[chosen], kind="stable")]

    def real(self, step: int, rows: slice = slice(None)) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the real chips (B, H, W, C) float32 in [-1, 1] and labels (B,), or those rows of them."""
        chosen = self.choose(step)[rows]
        chips = self.chips[chosen]
        if self.scaling is None:
            # A layer lies along its canvas; which of its ends is ahead is unknown.
            flips = self.rng(TURNS, step).integers(0, 4, self.size)[rows]
            return mirrored(np.asarray(chips, np.float32), flips), self.labels[chosen]
        if self.symmetries:
            chips = orient_each(chips, self.rng(TURNS, step).integers(0, ORIENTATIONS, self.size)[rows])
        return self.scaling.apply(chips), self.labels[chosen]

    def latents(self, step: int, z_dim: int) -> npt.NDArray[np.float32]:
        """Draw latents (B, z_dim) from N(0, 1)."""
        return self.rng(LATENTS, step).standard_normal((self.size, z_dim), dtype=np.float32)


def mirrored(layers: npt.NDArray[np.float32], flips: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return layers (N, rows, cols, C) with rows (bit 0 of ``flips``) and columns (bit 1) in the other order."""
    turned = [
        layer[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1] for layer, flip in zip(layers, flips, strict=True)
    ]
    return np.ascontiguousarray(turned)


@lru_cache(maxsize=64)
def _order(count: int, seed: tuple[int, ...], number: int) -> npt.NDArray[np.int64]:
    """Return the order in which a class's chips are shown the ``number``-th time."""
    rng = np.random.default_rng([*seed, ORDER, number])
    return rng.permutation(count)
