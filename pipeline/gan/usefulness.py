"""Whether a classifier can be taught by generated chips: train on synthetic, test on real, and the reverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from ..classifier import ShipConvNet
from ..compute import Profile
from ..generator import GeneratorNetwork
from .batches import symmetry
from .inputs import Inputs
from .judge import draw_chips

Chips = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STEPS = 200
BATCH = 64
BASE_CHANNELS = 12
LEARNING_RATE = 2e-3
BLOCK = 256
PER_CLASS = 512
"""Generated chips of each class to teach with."""
APART = 1_000_000
"""Added to the seed of their latents, so that they are not those that chose the checkpoint."""


def teach(chips: Chips, labels: Labels, classes: int, seed: int, profile: Profile) -> ShipConvNet:
    """Train the ship ConvNet for a fixed number of steps on chips (N, H, W, C) in [-1, 1], classes drawn equally."""
    device = torch.device(profile.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ShipConvNet(chips.shape[-1], classes, chips.shape[1], BASE_CHANNELS)
    network.to(device, memory_format=profile.torch_format())  # type: ignore[call-overload]
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2, fused=True)
    pools = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    for step in range(STEPS):
        rng = np.random.default_rng([seed, step])
        chosen = np.concatenate([rng.choice(pool, -(-BATCH // len(pools))) for pool in pools])
        turns = rng.integers(0, 8, len(chosen)).tolist()
        turned = np.stack([symmetry(chips[at], turn) for at, turn in zip(chosen, turns, strict=True)])
        with profile.autocast():
            logits = network(torch.from_numpy(turned).to(device).permute(0, 3, 1, 2))
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(logits.float(), torch.from_numpy(labels[chosen]).to(device)))
        adam.step()
    network.eval()
    return network


@torch.no_grad()
def probabilities(network: ShipConvNet, chips: Chips) -> npt.NDArray[np.float64]:
    """Probability of each class, (N, classes)."""
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(chips), BLOCK):
        tensor = torch.from_numpy(np.ascontiguousarray(chips[start : start + BLOCK])).to(device).permute(0, 3, 1, 2)
        parts.append(network(tensor).double().softmax(1).cpu().numpy())
    return np.concatenate(parts)


def grade(scores: npt.NDArray[np.float64], labels: Labels, classes: tuple[str, ...]) -> dict[str, Any]:
    """Average precision of each class against the others, and balanced accuracy, of probabilities (N, classes)."""
    precision = {
        name: float(f"{average_precision_score(labels == number, scores[:, number]):.4g}")
        for number, name in enumerate(classes)
        if (labels == number).any()
    }
    accuracy = balanced_accuracy_score(labels, scores.argmax(1))
    return {"average_precision": precision, "balanced_accuracy": float(f"{accuracy:.4g}")}


def usefulness(
    real: tuple[Chips, Labels],
    synthetic: tuple[Chips, Labels],
    held_out: tuple[Chips, Labels],
    classes: tuple[str, ...],
    seed: int,
    profile: Profile,
) -> dict[str, Any]:
    """The same classifier taught by real and by synthetic chips, each tested on held-out real chips, and the reverse.

    Args:
        real: Real training chips (N, H, W, C) in [-1, 1] and class numbers (N,).
        synthetic: Generated ones.
        held_out: Real ones that neither the generator nor the classifiers were trained on.
        classes: Class names; the position is the class number.
        seed: Of the classifiers.
        profile: Device and precision.
    """
    by_real = teach(*real, len(classes), seed, profile)
    by_synthetic = teach(*synthetic, len(classes), seed, profile)
    return {
        "real_to_real": grade(probabilities(by_real, held_out[0]), held_out[1], classes),
        "synthetic_to_real": grade(probabilities(by_synthetic, held_out[0]), held_out[1], classes),
        "real_to_synthetic": grade(probabilities(by_real, synthetic[0]), synthetic[1], classes),
    }


def of_generator(generator: GeneratorNetwork, inputs: Inputs, seed: int, profile: Profile) -> dict[str, Any]:
    """Usefulness of a trained generator; empty where a class has no validation chips."""
    numbers = range(len(inputs.classes))
    if set(inputs.validation_labels.tolist()) != set(numbers):
        return {}
    chips = np.concatenate([draw_chips(generator, number, PER_CLASS, seed + APART) for number in numbers])
    labels = np.repeat(np.arange(len(inputs.classes)), PER_CLASS)
    real, held_out = inputs.few()
    return usefulness(real, (chips, labels), held_out, inputs.classes, seed, profile)
