"""Evaluate a generator against validation chips: at each checkpoint, and thoroughly at the end.

Two measures decide which checkpoint is kept: how far its chips are from real ones (the kernel distance of each class,
:mod:`.metrics`), and how well a classifier trained on them does (TSTR, :mod:`.utility`). The distance sees texture more
than shape, and TSTR is noisy where few chips validate, so neither decides alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.device import Profile
from ...models.probe import Examples
from . import metrics
from .augment import slightly_changed
from .features import Embedding, learn
from .inputs import Inputs
from .metrics import Features
from .utility import Sampler, Tstr

LEAST_VALIDATION = 4
"""Fewer validation chips of a class than this say nothing about it."""
GENERATED = 256
"""Generated chips of each class that are evaluated, and training chips for the floor where there are as many."""
CHANGED_SHARE = 0.95
HELD_OUT_SHARE = 0.01
"""A generated chip is a copy where it is as near to a training chip as :data:`CHANGED_SHARE` of slightly changed
training chips are to their originals, and nearer than all but :data:`HELD_OUT_SHARE` of the validation chips are."""
LEAST_TEXTURE = 0.04
"""Standard deviation over the data range below which a chip is flat; flat water resembles all water and is no copy."""
USE_WEIGHT = 2.0
"""Weight in the score of the average precision that is missing, beside the kernel distance: both are as noisy then."""
EVALUATION_SEEDS = 2_000_000
"""Added to the seed of the latents trained on during training, so that the final figures are of other chips."""
COLLAPSED = 0.3
"""Diversity below this is an alarm: the generated chips of the class differ far less than real ones do."""


@dataclass(frozen=True)
class ClassFloor:
    """Scores of the real chips of one class against each other, and what is needed to evaluate generated ones.

    Attributes:
        number: Class number.
        name: Class name.
        validation: Features of the validation chips.
        values: Quality of the training chips, were they generated.
        thumbnails: Thumbnails (N, D) of the training chips that are not flat.
        copy_distance: A chip nearer to one of those is a copy.
    """

    number: int
    name: str
    validation: Features
    values: dict[str, float]
    thumbnails: Features
    copy_distance: float


@dataclass(frozen=True)
class Evaluator:
    """Judges the generators of one training; made by :func:`prepare_evaluator`."""

    embedding: Embedding
    floors: tuple[ClassFloor, ...]
    seed: int
    tstr: Tstr | None = None

    def evaluate(self, sampler: Sampler, labels: Collection[int] | None = None) -> dict[str, Any]:
        """Return quality per class, what the chips train, and the `score` that chooses the checkpoint; lower is better.

        The score is the mean kernel distance over classes, plus :data:`USE_WEIGHT` times what a classifier trained on
        generated chips lacks to an average precision of 1 on validation chips, where each class has some.

        Args:
            sampler: Draws generated chips.
            labels: Class indices that it can draw; None for all of them.
        """
        floors = [floor for floor in self.floors if labels is None or floor.number in labels]
        if not floors:
            return {}
        classes = {
            floor.name: compare(floor.validation, self.embedding(sampler(floor.number, GENERATED, self.seed)))
            for floor in floors
        }
        score = float(np.mean([values["kid"] for values in classes.values()]))
        collapsed = [name for name, values in classes.items() if values["diversity"] < COLLAPSED]
        line: dict[str, Any] = {"quality": classes, "collapsed": collapsed}
        if self.tstr is not None and labels is None:
            line["tstr"] = self.tstr.grade(sampler, self.seed + EVALUATION_SEEDS)["average_precision"]
            score += USE_WEIGHT * (1 - float(np.mean(list(line["tstr"].values()))))
        return {"score": rounded(score), **line}

    def thorough(self, sampler: Sampler) -> dict[str, dict[str, float]]:
        """Return quality per class with floors and the share of copies."""
        report = {}
        for floor in self.floors:
            chips = sampler(floor.number, GENERATED, self.seed)
            values: dict[str, float] = {}
            for name, value in compare(floor.validation, self.embedding(chips)).items():
                values[name] = value
                values[f"{name}_floor"] = floor.values[name]
            values["copies"] = rounded(copies(chips, floor.thumbnails, floor.copy_distance))
            values["copies_floor"] = floor.values["copies"]
            report[floor.name] = values
        return report


def copies(chips: npt.NDArray[np.float32], training: Features, distance: float) -> float:
    """Return the share of chips (N, H, W, C) with texture that lie within ``distance`` of a thumbnail (M, D)."""
    textured = chips[metrics.texture(chips) >= LEAST_TEXTURE]
    if not len(textured) or not len(training):
        return 0.0
    return float((metrics.nearest_thumbnail(textured, training) <= distance).sum() / len(chips))


def prepare_evaluator(inputs: Inputs, seed: int, profile: Profile) -> Evaluator:
    """Train the feature network on the training chips, and take the floors from the validation chips."""
    (train, train_labels), held_out = inputs.few()
    validation, validation_labels = held_out
    embedding = learn(train, train_labels, seed, profile)
    floors = []
    for number, name in enumerate(inputs.classes):
        of_training, of_validation = train_labels == number, validation_labels == number
        if of_validation.sum() >= LEAST_VALIDATION:
            floors.append(_floor(embedding, number, name, train[of_training], validation[of_validation]))
    complete = len(floors) == len(inputs.classes)
    tstr = Tstr(inputs.classes, Examples(*held_out), seed, profile) if complete else None
    return Evaluator(embedding, tuple(floors), seed, tstr)


def _floor(
    embedding: Embedding,
    number: int,
    name: str,
    train: npt.NDArray[np.float32],
    validation: npt.NDArray[np.float32],
) -> ClassFloor:
    rng = np.random.default_rng([number, len(train)])
    # As many as are generated, since coverage grows with the number of chips.
    alike = train if len(train) <= GENERATED else train[rng.choice(len(train), GENERATED, replace=False)]
    real = embedding(validation)
    values = compare(real, embedding(alike))
    textured = train[metrics.texture(train) >= LEAST_TEXTURE]
    distance = copy_distance(textured, validation[metrics.texture(validation) >= LEAST_TEXTURE])
    references = metrics.thumbnails(textured)
    values["copies"] = rounded(copies(validation, references, distance))
    return ClassFloor(number, name, real, values, references, distance)


def copy_distance(train: npt.NDArray[np.float32], held_out: npt.NDArray[np.float32]) -> float:
    """Return the distance within which a chip is a copy: slight changes stay inside, few held-out chips do.

    Args:
        train: Textured training chips (N, H, W, C) in [-1, 1].
        held_out: Textured real chips that were not trained on (M, H, W, C).
    """
    if not len(train):
        return 0.0
    originals = metrics.thumbnails(train)
    moved = np.linalg.norm(metrics.thumbnails(slightly_changed(train, len(train))) - originals, axis=1)
    limit = float(np.quantile(moved, CHANGED_SHARE))
    if len(held_out):
        limit = min(limit, float(np.quantile(metrics.nearest(held_out, train), HELD_OUT_SHARE)))
    return limit


def compare(real: Features, fake: Features) -> dict[str, float]:
    """Measure the quality of one class, every figure rounded to four digits."""
    near = metrics.neighbourhood(real, fake)
    return {
        "kid": rounded(metrics.kernel_distance(real, fake)),
        "frechet": rounded(metrics.frechet_distance(real, fake)),
        "precision": rounded(near.precision),
        "recall": rounded(near.recall),
        "density": rounded(near.density),
        "coverage": rounded(near.coverage),
        "diversity": rounded(metrics.diversity(real, fake)),
    }


def rounded(value: float) -> float:
    """Round to four significant digits: what logs, cards and reports show."""
    return float(f"{value:.4g}")
