"""The synthetic chips of one split: generate, screen, write, and see what the accepted ones teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config.run import SynthConfig
from ...dataset.chip_store import enough, write_shard
from ...dataset.names import FINAL
from ...dataset.scaling import Scaling
from ...dataset.split_chips import Labels, RealChips
from ...engine.task import TaskContext
from ...models import generator as generators
from ...models.device import prepare
from ...models.generator import Generator
from ...models.probe import PER_CLASS, TESTED, Examples, grade, probabilities, teach
from ...utils.errors import TooLittleDataError
from . import screening
from .filters import Limits, Measures, copy_correlation, reasons
from .rows import write_rows
from .scorer import Ensemble, train_ensemble
from .sheet import write_sheet

Chips = npt.NDArray[Any]

PER_SHARD = 2048
SHEET_COLUMNS = 16
MIN_TEXTURE = 0.02
"""Chips flatter than this share of the value range are never called copies: flat water resembles all water."""
SEEDS_PER_CLASS = 2**24
"""Distance between the first seeds of two classes; more candidates of a class than this are never made."""


@dataclass(frozen=True)
class ScreeningModel:
    """What the split's training chips teach about candidates.

    Attributes:
        chips: Training chips (N, S, S, C) in their own dtype.
        labels: Class numbers (N,).
        scaling: The generator's scaling, fitted on the same chips.
        panel: Networks trained on them, or None where they are too few to teach anything.
        limits: What a candidate must keep to.
    """

    chips: Chips
    labels: Labels
    scaling: Scaling
    panel: Ensemble | None
    limits: Limits

    def measure(self, values: npt.NDArray[np.float32], labels: Labels) -> Measures:
        """Measures of candidates (N, S, S, C) in [-1, 1]."""
        nothing = np.full(len(labels), np.nan)
        score, distance = self.panel.measure(values, labels) if self.panel else (nothing, nothing)
        correlation = copy_correlation(values, self.scaling.apply(self.chips), MIN_TEXTURE, value_range=2.0)
        return Measures(score, distance, correlation)


@dataclass(frozen=True)
class Candidates:
    """Candidates of one round, with what was found out about them.

    Attributes:
        values: (N, S, S, C) float32 in [-1, 1].
        labels: Class numbers (N,).
        seeds: Seed of each one's z (N,).
        measures: What screening measured, or None without screening.
        reasons: Why each is not kept (N,); empty for the kept ones.
    """

    values: npt.NDArray[np.float32]
    labels: Labels
    seeds: Labels
    measures: Measures | None
    reasons: npt.NDArray[np.object_]


def run(context: TaskContext) -> dict[str, Any]:
    """Make the synthetic chips of the job's split: chips-*.npy, index.parquet, sheet.png.

    The final split also keeps what screening learned, so that `satpipe generate` needs no training chips.

    Raises:
        TooLittleDataError: If the split has no training chips.
    """
    prepare(context.profile)
    config = SynthConfig.model_validate(context.config["synth"])
    real = RealChips.open(context.folder("index"), context.folder("split"), context.store, context.config["classes"])
    classes = real.classes
    chips, labels, largest = training_chips(context, real)
    generator = generators.load(context.folder("generator"), context.profile.device)
    scaling = Scaling.load(context.folder("generator") / generators.SCALING)
    wanted = config.per_class or largest
    teacher = train_screening_model(chips, labels, classes, scaling, config, context) if config.screen else None

    rounds: list[Candidates] = []
    for number in range(len(classes)):
        rounds += candidates_of(number, wanted, generator, teacher, config, first_seed(context.config, number))
        context.progress.update(number + 1, len(classes), "classes")
    write(context, rounds, scaling, classes)
    if teacher is not None and context.task.name == FINAL:
        screening.save(teacher, MIN_TEXTURE, context.out)
    return {**metadata(rounds, classes, wanted, teacher), "taught": taught(context, accepted(rounds), scaling, real)}


def training_chips(context: TaskContext, real: RealChips) -> tuple[Chips, Labels, int]:
    """Chips (N, S, S, C) and class numbers (N,) of training chips to learn from, and how many the largest class has."""
    train, labels = real.of("train")
    if not len(train):
        raise TooLittleDataError(f"split {context.task.name} has no training chips; use more labels or fewer folds")
    rows = enough(labels, train.read([0]).shape[1:])
    return train.read(rows), labels[rows], int(np.bincount(labels).max())


def train_screening_model(
    chips: Chips, labels: Labels, classes: tuple[str, ...], scaling: Scaling, config: SynthConfig, context: TaskContext
) -> ScreeningModel:
    """Learn from the training chips what real chips of each class look like to a network that has not seen them."""
    panel = train_ensemble(chips, labels, classes, scaling, context.profile, first_seed(context.config, len(classes)))
    farthest = [np.inf] * len(classes)
    if panel is not None:
        away = panel.real_distance
        farthest = [float(np.quantile(away[labels == one], config.distance_quantile)) for one in range(len(classes))]
    return ScreeningModel(
        chips, labels, scaling, panel, Limits(config.min_label_score, farthest, config.copy_correlation)
    )


def first_seed(config: Mapping[str, Any], number: int) -> int:
    """Seed of the first candidate of a class; the others count up from it."""
    words = [config["seed"], config["replicate"], config["fold"], round(1000 * config["fraction"]), 4]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) * 2**30 + number * SEEDS_PER_CLASS


def candidates_of(
    number: int, wanted: int, generator: Generator, teacher: ScreeningModel | None, config: SynthConfig, seed: int
) -> list[Candidates]:
    """Rounds of candidates of one class, until as many as wanted are kept or the limit is reached."""
    limit = int(np.ceil(wanted * config.oversample))
    made = kept = 0
    rounds = []
    while kept < wanted and made < limit:
        count = min(wanted - kept, limit - made)
        labels, seeds = np.full(count, number), seed + made + np.arange(count)
        values = generators.generate(generator, labels, seeds, config.truncation)
        measures = teacher.measure(values, labels) if teacher else None
        why = reasons(measures, labels, teacher.limits) if teacher and measures else np.full(count, "", object)
        rounds.append(Candidates(values, labels, seeds, measures, why))
        made, kept = made + count, kept + int((why == "").sum())
    return rounds


def accepted(rounds: list[Candidates]) -> Examples:
    """The first accepted chips of each class, as many as a classifier is taught by, as they were generated."""
    chips, labels = [], []
    for number in sorted({int(some.labels[0]) for some in rounds}):
        mine = [some.values[some.reasons == ""] for some in rounds if some.labels[0] == number]
        chips.append(np.concatenate(mine)[:PER_CLASS])
        labels.append(np.full(len(chips[-1]), number))
    return Examples(np.concatenate(chips), np.concatenate(labels))


def taught(context: TaskContext, examples: Examples, scaling: Scaling, real: RealChips) -> dict[str, Any]:
    """Grade on validation chips of a classifier that saw the examples alone; empty where a class is missing."""
    (store, labels), classes = real.of("validation"), real.classes
    if any(set(those.tolist()) != set(range(len(classes))) for those in (labels, examples.labels)):
        return {}
    rows = enough(labels, examples.chips.shape[1:], TESTED)
    # Rounded to the chips' own dtype, as classifiers get them.
    handed_on = scaling.apply(scaling.invert(examples.chips))
    network = teach(handed_on, examples.labels, len(classes), context.config["seed"], context.profile)
    return grade(probabilities(network, scaling.apply(store.read(rows))), labels[rows], classes)


def write(context: TaskContext, rounds: list[Candidates], scaling: Scaling, classes: tuple[str, ...]) -> None:
    """Write shards, index and sheet."""
    values = np.concatenate([some.values for some in rounds])
    labels = np.concatenate([some.labels for some in rounds])
    why = np.concatenate([some.reasons for some in rounds])
    chips = scaling.invert(values)
    shards = [
        write_shard(chips[start : start + PER_SHARD], context.out, f"chips-{start // PER_SHARD:03d}")
        for start in range(0, len(chips), PER_SHARD)
    ]
    row = np.arange(len(chips))
    seeds = np.concatenate([some.seeds for some in rounds])
    names = np.array(classes)[labels]
    split = context.task.name
    columns = {
        "chip_id": [f"synthetic/{split}/{name}/{seed}" for name, seed in zip(names, seeds, strict=True)],
        "scene_id": [f"synthetic/{split}"] * len(chips),
        "class": names,
        "shard": [shards[number] for number in row // PER_SHARD],
        "position": row % PER_SHARD,
        "split": [split] * len(chips),
        "seed": seeds,
        "label_score": _joined(rounds, "label_score"),
        "nearest_distance": _joined(rounds, "distance"),
        "accepted": why == "",
        "reason": [reason or None for reason in why],
    }
    write_rows(columns, context.out / "index.parquet")
    sheet_rows = [
        values[np.flatnonzero((labels == one) & (why == ""))[: 2 * SHEET_COLUMNS]] for one in range(len(classes))
    ]
    write_sheet(sheet_rows, SHEET_COLUMNS, context.out / "sheet.png")


def _joined(rounds: list[Candidates], measure: str) -> npt.NDArray[np.float64]:
    """One measure of all candidates, NaN without screening."""
    tasks = [
        np.asarray(getattr(some.measures, measure)) if some.measures else np.full(len(some.labels), np.nan)
        for some in rounds
    ]
    return np.concatenate(tasks)


def metadata(
    rounds: list[Candidates], classes: tuple[str, ...], wanted: int, teacher: ScreeningModel | None
) -> dict[str, Any]:
    """Kept, dropped, why; and which share of unseen real chips the same screening would keep."""
    labels = np.concatenate([some.labels for some in rounds])
    why = np.concatenate([some.reasons for some in rounds])
    accepted = {name: int(((labels == number) & (why == "")).sum()) for number, name in enumerate(classes)}
    found: dict[str, Any] = {
        "wanted": wanted,
        "accepted": accepted,
        "candidates": {name: int((labels == number).sum()) for number, name in enumerate(classes)},
        "reasons": dict(sorted(Counter(reason for reason in why if reason).items())),
        "screened": teacher is not None,
    }
    short = [name for name, number in accepted.items() if number < wanted]
    if short:
        found["note"] = f"fewer chips than the {wanted} wanted were accepted of: {', '.join(short)}"
    if teacher is not None and teacher.panel is None:
        found["note"] = "too few training chips to judge labels and distances; only copies were screened out"
    if teacher is not None and teacher.panel is not None:
        panel, farthest = teacher.panel, np.asarray(teacher.limits.max_distance)
        kept = (panel.real_score >= teacher.limits.min_label_score) & (panel.real_distance <= farthest[panel.labels])
        found["unseen_real_kept"] = {
            name: round(float(kept[panel.labels == number].mean()), 4) for number, name in enumerate(classes)
        }
    return found
