"""Measure of what a classifier learns from chips: the ship ConvNet, trained for a fixed number of steps, and graded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from ..dataset.orientations import ORIENTATIONS, orient_each
from .classifier import ShipConvNet, place, to_tensor
from .device import Profile

Chips = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STEPS = 100
BATCH = 64
BASE_CHANNELS = 12
LEARNING_RATE = 2e-3
SCORED_AT_ONCE = 256
PER_CLASS = 512
"""Synthetic chips of each class to train on."""
TESTED = 2048
"""Real chips to test with, where there are more; a generator's chips are also compared with no more than these, since
distances are taken between all of them."""


class Examples(NamedTuple):
    """Chips (N, H, W, C) in [-1, 1] and class numbers (N,)."""

    chips: Chips
    labels: Labels


def drawn_equally(
    rng: np.random.Generator, pools: Sequence[npt.NDArray[np.int64]], count: int
) -> npt.NDArray[np.int64]:
    """Draw the positions of ``count`` chips, as many of each class's pool; a few more where they do not divide."""
    return np.concatenate([rng.choice(pool, -(-count // len(pools))) for pool in pools])


def train_probe(chips: Chips, labels: Labels, classes: int, seed: int, profile: Profile) -> ShipConvNet:
    """Train the ship ConvNet for a fixed number of steps on chips (N, H, W, C) in [-1, 1], classes drawn equally."""
    device = torch.device(profile.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ShipConvNet(chips.shape[-1], classes, chips.shape[1], BASE_CHANNELS)
    place(network, device, profile)
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2, fused=True)
    pools = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    for step in range(STEPS):
        rng = np.random.default_rng([seed, step])
        chosen = drawn_equally(rng, pools, BATCH)
        shown = orient_each(chips[chosen], rng.integers(0, ORIENTATIONS, len(chosen)))
        with profile.autocast():
            logits = network(to_tensor(shown).to(device))
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(logits.float(), torch.from_numpy(labels[chosen]).to(device)))
        adam.step()
    network.eval()
    return network


@torch.no_grad()
def probabilities(network: ShipConvNet, chips: Chips) -> npt.NDArray[np.float64]:
    """Return the probability of each class, (N, classes)."""
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(chips), SCORED_AT_ONCE):
        tensor = to_tensor(np.ascontiguousarray(chips[start : start + SCORED_AT_ONCE]))
        parts.append(network(tensor.to(device)).cpu().double().softmax(1).numpy())
    return np.concatenate(parts)


def grade(scores: npt.NDArray[np.float64], labels: Labels, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return average precision of each class against the others, and balanced accuracy, of probabilities (N, K)."""
    precision = {
        name: float(f"{average_precision_score(labels == number, scores[:, number]):.4g}")
        for number, name in enumerate(classes)
        if (labels == number).any()
    }
    accuracy = balanced_accuracy_score(labels, scores.argmax(1))
    return {"average_precision": precision, "balanced_accuracy": float(f"{accuracy:.4g}")}
