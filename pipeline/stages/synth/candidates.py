"""Candidates of a class: whole chips of a generator, or composites of generated or of real objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...composition.compose import Composer, Composites
from ...composition.masks import Pose
from ...config.run import SynthConfig
from ...dataset.scaling import Scaling
from ...dataset.split_chips import Labels
from ...models import generator as generators
from ...models.generator import Generator
from ...models.layered import LayerGenerator
from .filters import UNLEARNED, Chips, Measures
from .screening import Screening


@dataclass(frozen=True)
class Made:
    """Chips of one class as they were made.

    Attributes:
        values: (N, S, S, C) float32 in [-1, 1].
        chips: The same in the chips' own dtype.
        composites: What they show, where they are composites.
        background_ids: Real chip that each composite lies on, perhaps turned; None where it took an object's place.
        unusual: How unusual the object of each composite is (N,), see
            :meth:`~satpipe.composition.compose.Law.unusual`; None for whole chips.
    """

    values: npt.NDArray[np.float32]
    chips: Chips
    composites: Composites | None = None
    background_ids: Sequence[str | None] = ()
    unusual: npt.NDArray[np.float64] | None = None


Source = Callable[[Labels], Made]
"""Makes chips of the seeds (N,)."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of one round, with what was found out about them.

    Attributes:
        made: Their chips.
        labels: Class indices (N,).
        seeds: Seed of each one (N,).
        measures: What screening measured, or None without screening.
        reasons: Why each is not accepted (N,); empty for the accepted ones.
    """

    made: Made
    labels: Labels
    seeds: Labels
    measures: Measures | None
    reasons: npt.NDArray[np.object_]

    @property
    def alphas(self) -> npt.NDArray[np.float32] | None:
        """Return the alpha of the object of each (N, S, S), where they are composites."""
        return None if self.made.composites is None else self.made.composites.alphas

    @property
    def background_ids(self) -> Sequence[str | None]:
        """Return the real chip that each lies on; None where it is a whole chip or took an object's place."""
        return self.made.background_ids or [None] * len(self.labels)

    @property
    def poses(self) -> Sequence[Pose | None]:
        """Return the pose of the object of each; None where they are whole chips."""
        return [None] * len(self.labels) if self.made.composites is None else self.made.composites.poses


def _composed(composer: Composer, composites: Composites, scaling: Scaling, unusual: npt.NDArray[np.float64]) -> Made:
    names = composer.backgrounds.chip_ids
    ids = [names[ground] if names and ground >= 0 else None for ground in composites.grounds]
    return Made(scaling.apply(composites.chips), composites.chips, composites, ids, unusual)


def whole_chips(generator: Generator, label: int, scaling: Scaling, truncation: float) -> Source:
    """Return what makes whole chips of a class."""

    def make(seeds: Labels) -> Made:
        values = generators.generate(generator, np.full(len(seeds), label), seeds, truncation)
        return Made(values, scaling.invert(values))

    return make


def generated_objects(
    generator: LayerGenerator, label: int, composer: Composer, scaling: Scaling, truncation: float
) -> Source:
    """Return what composes generated layers of a class on the split's own backgrounds."""

    def make(seeds: Labels) -> Made:
        layers = generator.draw(label, seeds, truncation)
        return _composed(composer, composer.compose(seeds, layers), scaling, composer.law.unusual(layers))

    return make


def real_objects(composer: Composer, scaling: Scaling) -> Source:
    """Return what composes the real objects of a class, cut out, in the same way."""

    def make(seeds: Labels) -> Made:
        return _composed(composer, composer.compose(seeds), scaling, np.zeros(len(seeds)))

    return make


def candidates_of(
    label: int,
    wanted: int,
    source: Source,
    screening: Screening | None,
    config: SynthConfig,
    seed: int,
    learned: bool = True,
) -> list[Candidates]:
    """Make rounds of candidates of one class, until as many as wanted are accepted or the limit is reached.

    Of a class that the generator did not learn there is one round, and none of it is accepted if there is screening.
    """
    limit = int(np.ceil(wanted * config.oversample))
    tried = accepted = 0
    rounds = []
    while accepted < wanted and tried < limit:
        count = min(wanted - accepted, limit - tried)
        labels, seeds = np.full(count, label), seed + tried + np.arange(count)
        drawn = source(seeds)
        unusual = np.full(count, np.nan) if drawn.unusual is None else drawn.unusual
        measures, why = None, np.full(count, "", object)
        if screening:
            measures, why = screening.screen(drawn.values, labels, unusual, real_backgrounds=True)
        if screening and not learned:
            return [Candidates(drawn, labels, seeds, measures, np.full(count, UNLEARNED, object))]
        rounds.append(Candidates(drawn, labels, seeds, measures, why))
        tried, accepted = tried + count, accepted + int((why == "").sum())
    return rounds
