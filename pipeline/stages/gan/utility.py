"""Usefulness of generated chips to a classifier: train on synthetic, test on real, and the reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...models.device import Profile
from ...models.networks import BLOCK, GeneratorNetwork, latents, sample
from ...models.probe import PER_CLASS, Chips, Examples, Labels, grade, probabilities, train_probe
from .inputs import Inputs

APART = 1_000_000
"""Added to the seed of their latents, so that they are not those that chose the checkpoint."""


def draw_chips(generator: GeneratorNetwork, label: int, count: int, seed: int) -> Chips:
    """Generate chips (count, H, W, C) of the class index ``label``, with the latents of ``seed`` and following."""
    z = latents(range(seed, seed + count), generator.architecture.z_dim)
    labels = np.full(count, label, np.int64)
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    return np.concatenate([sample(generator, z[block], labels[block]) for block in blocks])


Sampler = Callable[[int, int, int], Chips]
"""Draws chips (count, H, W, C) in [-1, 1] of (class index, count, seed)."""


def whole_sampler(generator: GeneratorNetwork, classes: Sequence[int] | None = None) -> Sampler:
    """Return what draws whole chips; class k of the network is ``classes[k]``, or k."""

    def draw(label: int, count: int, seed: int) -> Chips:
        return draw_chips(generator, label if classes is None else list(classes).index(label), count, seed)

    return draw


def draw_examples(sampler: Sampler, classes: int, seed: int) -> Examples:
    """Return :data:`PER_CLASS` generated chips of each class."""
    chips = np.concatenate([sampler(label, PER_CLASS, seed) for label in range(classes)])
    return Examples(chips, np.repeat(np.arange(classes), PER_CLASS))


@dataclass(frozen=True)
class Tstr:
    """Held-out real chips that a classifier trained on generated ones is tested on.

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

    def grade(self, sampler: Sampler, seed: int) -> dict[str, Any]:
        """Return the grade of a classifier that has seen only generated chips of ``seed``."""
        trained = train_probe(
            *draw_examples(sampler, len(self.classes), seed), len(self.classes), self.seed, self.profile
        )
        return grade(probabilities(trained, self.held_out.chips), self.held_out.labels, self.classes)


def usefulness(
    real: tuple[Chips, Labels],
    synthetic: tuple[Chips, Labels],
    held_out: tuple[Chips, Labels],
    classes: tuple[str, ...],
    seed: int,
    profile: Profile,
) -> dict[str, Any]:
    """Train the same classifier on real and on synthetic chips; test each on held-out real chips, and the reverse.

    Args:
        real: Real training chips (N, H, W, C) in [-1, 1] and class numbers (N,).
        synthetic: Generated ones.
        held_out: Real ones that neither the generator nor the classifiers were trained on.
        classes: Class names; the position is the class number.
        seed: Of the classifiers.
        profile: Device and precision.
    """
    by_real = train_probe(*real, len(classes), seed, profile)
    by_synthetic = train_probe(*synthetic, len(classes), seed, profile)
    return {
        "real_to_real": grade(probabilities(by_real, held_out[0]), held_out[1], classes),
        "synthetic_to_real": grade(probabilities(by_synthetic, held_out[0]), held_out[1], classes),
        "real_to_synthetic": grade(probabilities(by_real, synthetic[0]), synthetic[1], classes),
    }


def of_generator(sampler: Sampler, inputs: Inputs, seed: int, profile: Profile) -> dict[str, Any]:
    """Measure the usefulness of a trained generator; empty where a class has no validation chips."""
    if set(inputs.validation_labels.tolist()) != set(range(len(inputs.classes))):
        return {}
    synthetic = draw_examples(sampler, len(inputs.classes), seed + APART)
    real, held_out = inputs.few()
    return usefulness(real, synthetic, held_out, inputs.classes, seed, profile)
