"""Objects to put into scenes: generated layers, each with the pose and size that the generator's law gives it."""

from __future__ import annotations

import math
from collections.abc import Generator as Yields
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ....composition.compose import RESIZE, Composer, recoloured
from ....composition.layers import Floats, length_of
from ....models.generator import Generator
from ....models.networks import latents
from ....stages.synth.screening import Screening
from ..sample import Tally, kept, precision_of


@dataclass(frozen=True)
class SceneObject:
    """An object, before it has a place.

    Attributes:
        label: Its class index.
        seed: Seed of its latent vector.
        layer: (rows, cols, C + 1), in chip values.
        source: Which labelled object it lies like.
        scale: Pixels of the chips' grid to a pixel of the layer.
        angle: Of the long axis in radians, from the columns towards the rows.
        mirrored: Whether it is mirrored about its long axis.
        length: Pixels of the chips' grid along the axis.
        width: Across it.
    """

    label: int
    seed: int
    layer: Floats
    source: int
    scale: float
    angle: float
    mirrored: bool
    length: float
    width: float

    @property
    def radius(self) -> float:
        """Return how many pixels of the chips' grid it reaches from its centre."""
        return math.hypot(self.length, self.width) / 2 + 1


@dataclass(frozen=True)
class Sampling:
    """Settings with which layers are sampled.

    Attributes:
        generator: The generator.
        screening: What candidates are compared with, as chips; None to take all.
        truncation: Standard deviation of z.
        seed: What every object follows from.
        pool: Where blocks are computed.
        workers: How many of them at a time.
    """

    generator: Generator
    screening: Screening | None
    truncation: float
    seed: int
    pool: ThreadPoolExecutor
    workers: int


def sampled(sampling: Sampling, label: int, count: int, tally: Tally) -> Yields[SceneObject]:
    """Yield up to ``count`` objects of a class, fewer where too few pass screening; ``tally`` counts them."""
    generator = sampling.generator
    assert generator.layers is not None
    settings = (sampling.seed, sampling.truncation, sampling.screening, sampling.pool, sampling.workers)
    own = Tally({label: count})
    try:
        for block in kept(generator, own.wanted, *settings, own):
            z = latents(block.seeds, generator.z_dim, sampling.truncation)
            with precision_of(generator).autocast():
                layers = generator.layers.layers(z, np.full(len(block), label))
            for seed, layer in zip(block.seeds.tolist(), layers, strict=True):
                yield posed(generator.composers[label], label, layer, seed, sampling.seed)
    finally:
        tally.add(own)


def posed(composer: Composer, label: int, layer: Floats, seed: int, scenes_seed: int) -> SceneObject:
    """Return an object of a layer with size, angle and colours drawn as :class:`Composer` draws them."""
    rng = np.random.Generator(np.random.Philox(key=[scenes_seed, seed]))
    draw = rng.random(14)
    settings = composer.settings
    layer = recoloured(layer, settings.colour, settings.value_range, draw[7:])
    length = max(length_of(layer), 1.0)
    source = composer.labelled_like(length, draw[0])
    pose = composer.law.poses[source]
    scale = float(np.clip(pose.length / length, *RESIZE)) * (1 + settings.scale * (2 * draw[3] - 1))
    angle = 2 * math.pi * draw[6] if pose.has_axis else math.pi / 2 * int(draw[6] * 4)
    width = pose.width * length * scale / pose.length
    return SceneObject(label, seed, layer, source, scale, angle, bool(draw[4] < 0.5), length * scale, width)
