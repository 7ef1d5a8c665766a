"""Chips of each training step: classes in equal shares, synthetic chips in a share fixed beforehand.

The whole schedule is drawn before the training starts. It depends on nothing but labels, origin and seed, so arms of
one split see the same real chips in the same order as far as their shares allow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...config.run import SyntheticUse

Rows = npt.NDArray[np.int64]


def synthetic_shares(use: SyntheticUse, share: float, steps: int) -> npt.NDArray[np.float64]:
    """Return the share of synthetic chips in each step's batch (steps,).

    Args:
        use: ``mixed`` keeps the share; ``falling`` goes from the share in a straight line to none at the last step;
            ``pretraining`` shows nothing else for that share of the steps and only real chips afterwards.
        share: In [0, 1).
        steps: Steps of the training.
    """
    if use == "mixed":
        return np.full(steps, share)
    if use == "falling":
        return np.linspace(share, 0.0, steps)
    shares = np.zeros(steps)
    shares[: round(share * steps)] = 1.0
    return shares


def class_slots(classes: int, steps: int, batch: int) -> Rows:
    """Return the places of each class in each step's batch (steps, classes); a remainder rotates with the step."""
    step, number = np.indices((steps, classes))
    return np.asarray(batch // classes + ((number + step) % classes < batch % classes), np.int64)


def stream(members: Rows, length: int, seed: list[int]) -> Rows:
    """Yield ``length`` of the given rows: one random order after the other, so that all are seen equally often."""
    rng = np.random.default_rng(seed)
    rounds = -(-length // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(rounds)] or [members[:0]])[:length]


def schedule(
    labels: Rows, synthetic: npt.NDArray[np.bool_], shares: npt.NDArray[np.float64], batch: int, seed: int
) -> Rows:
    """Return the rows of training chips in each step's batch (steps, batch), by class and real before synthetic.

    A class without synthetic chips takes real ones in their place.

    Args:
        labels: Class number of each training chip (N,); every class from 0 to the largest has a real chip.
        synthetic: Whether each is synthetic (N,).
        shares: Share of synthetic chips in each step (steps,).
        batch: Chips in a step.
        seed: Seed of the order.
    """
    steps, classes = len(shares), int(labels.max()) + 1
    slots = class_slots(classes, steps, batch)
    places: list[list[Rows]] = [[] for _ in range(steps)]
    for number in range(classes):
        real = np.flatnonzero((labels == number) & ~synthetic)
        fake = np.flatnonzero((labels == number) & synthetic)
        # Cumulative rounding: the share holds over the training although places are whole.
        wanted = np.cumsum(slots[:, number] * shares) if len(fake) else np.zeros(steps)
        from_fake = np.diff(np.round(wanted + 1e-9), prepend=0).astype(np.int64).clip(0, slots[:, number])
        from_real = slots[:, number] - from_fake
        real_rows = np.split(stream(real, int(from_real.sum()), [seed, number, 0]), np.cumsum(from_real)[:-1])
        fake_rows = np.split(
            stream(fake, int(from_fake.sum()), [seed, number, 1]) if len(fake) else fake, np.cumsum(from_fake)[:-1]
        )
        for step in range(steps):
            places[step] += [real_rows[step], fake_rows[step]]
    return np.stack([np.concatenate(place) for place in places])
