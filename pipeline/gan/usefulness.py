"""Whether a classifier can be taught by generated chips: train on synthetic, test on real, and the reverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from ..classifier import ShipConvNet
from ..compute import Profile
from ..generator import BLOCK, GeneratorNetwork, latents, sample
from ..symmetries import SYMMETRIES, each_turned
from .batches import drawn_equally
from .inputs import Inputs

Chips = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STEPS = 200
BATCH = 64
BASE_CHANNELS = 12
LEARNING_RATE = 2e-3
SCORED_AT_ONCE = 256
PER_CLASS = 512
"""Generated chips of each class to teach with."""
APART = 1_000_000
"""Added to the seed of their latents, so that they are not those that chose the checkpoint."""


class Examples(NamedTuple):
    """Chips (N, H, W, C) in [-1, 1] and class numbers (N,)."""

    chips: Chips
    labels: Labels


def draw_chips(generator: GeneratorNetwork, label: int, count: int, seed: int) -> Chips:
    """Chips (count, H, W, C) of the class number ``label``, with the latents of ``seed`` and following."""
    z = latents(range(seed, seed + count), generator.architecture.z_dim)
    labels = np.full(count, label, np.int64)
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    return np.concatenate([sample(generator, z[block], labels[block]) for block in blocks])


def draw_examples(generator: GeneratorNetwork, classes: int, seed: int) -> Examples:
    """:data:`PER_CLASS` generated chips of each class."""
    chips = np.concatenate([draw_chips(generator, number, PER_CLASS, seed) for number in range(classes)])
    return Examples(chips, np.repeat(np.arange(classes), PER_CLASS))


@dataclass(frozen=True)
class Task:
    """Held-out real chips that a classifier taught by generated ones is tested on.

    Attributes:
        classes: Class names; the position is the class number.
        held_out: Chips of every class.
        seed: Of the classifier.
        profile: Device and precision.
    """

    classes: tuple[str, ...]
    held_out: Examples
    seed: int
    profile: Profile

    def taught_by(self, generator: GeneratorNetwork, seed: int) -> dict[str, Any]:
        """The grade of a classifier that has seen only what the generator makes of the latents of ``seed``."""
        taught = teach(*draw_examples(generator, len(self.classes), seed), len(self.classes), self.seed, self.profile)
        return grade(probabilities(taught, self.held_out.chips), self.held_out.labels, self.classes)


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
        chosen = drawn_equally(rng, pools, BATCH)
        shown = each_turned(chips[chosen], rng.integers(0, SYMMETRIES, len(chosen)))
        with profile.autocast():
            logits = network(torch.from_numpy(shown).to(device).permute(0, 3, 1, 2))
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
    for start in range(0, len(chips), SCORED_AT_ONCE):
        tensor = (
            torch.from_numpy(np.ascontiguousarray(chips[start : start + SCORED_AT_ONCE])).to(device).permute(0, 3, 1, 2)
        )
        parts.append(network(tensor).cpu().double().softmax(1).numpy())
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
    if set(inputs.validation_labels.tolist()) != set(range(len(inputs.classes))):
        return {}
    synthetic = draw_examples(generator, len(inputs.classes), seed + APART)
    real, held_out = inputs.few()
    return usefulness(real, synthetic, held_out, inputs.classes, seed, profile)
