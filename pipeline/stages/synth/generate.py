"""Synthetic chips of one split: make candidates, screen them, write them, and see what the accepted ones train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...composition.compose import Composer, Settings
from ...composition.split_objects import behind, composers, layered_classes, pose_columns
from ...config.run import SynthConfig
from ...dataset import scaling as scalings
from ...dataset.chip_store import subsample, write_masks, write_shard
from ...dataset.contact_sheet import COLUMNS, draw_sheet, to_rgb
from ...dataset.names import FINAL
from ...dataset.scaling import Scaling
from ...dataset.split_chips import RealChips
from ...dataset.tables import write_synthetic
from ...engine.task import METADATA, TaskContext
from ...models import generator as generators
from ...models.device import prepare
from ...models.probe import PER_CLASS, TESTED, Examples, grade, probabilities, train_probe
from ...models.quality import missed_classes
from ...utils.bounded_files import read_json
from . import screening
from .candidates import Candidates, Source, candidates_of, generated_objects, real_objects, whole_chips
from .screening import Screening, no_training_chips
from .seeds import first_seed

PER_SHARD = 2048
LEAST_COMPOSITES = 800
"""Accepted composites of a class where the configuration does not say: fewer would be seen too often in a training."""


def run(context: TaskContext) -> dict[str, Any]:
    """Make the synthetic chips of a split with its generator: shards, masks, index.parquet, sheet.png.

    Classes with layers are composed on the split's own backgrounds, as the labelled chips show them. The final split
    also keeps what its candidates were compared with, so that `satpipe generate` needs no training chips.

    Raises:
        TooLittleDataError: If the split has no training chips.
    """
    prepare(context.profile)
    config = SynthConfig.model_validate(context.config["synth"])
    real = _open(context)
    generator = generators.load(context.folder("generator"), context.profile.device)
    scaling = Scaling.load(context.folder("generator") / generators.SCALING)
    layered = [] if generator.layers is None else list(generator.layers.classes)
    by_class = _composers(context, real, layered, config, scaling)
    sources: dict[int, Source] = {}
    for label in range(len(real.classes)):
        if generator.layers is not None and label in by_class:
            sources[label] = generated_objects(generator.layers, label, by_class[label], scaling, config.truncation)
        else:
            sources[label] = whole_chips(generator, label, scaling, config.truncation)
    missed = missed_classes(_evaluation(context.folder("generator")))
    return _make(context, real, scaling, config, sources, by_class, missed)


def run_cutpaste(context: TaskContext) -> dict[str, Any]:
    """Make the chips of the arm `cutpaste`: real objects of the split, cut out, composed as the generated ones are."""
    prepare(context.profile)
    config = SynthConfig.model_validate(context.config["synth"])
    real = _open(context)
    train, labels = real.of("train")
    why = layered_classes(train, labels, real.classes)
    layered = [label for label, name in enumerate(real.classes) if not why[name]]
    scaling = scalings.fit(train.pixels(), **context.config["scaling"])
    by_class = _composers(context, real, layered, config, scaling)
    sources = {label: real_objects(composer, scaling) for label, composer in by_class.items()}
    return _make(context, real, scaling, config, sources, by_class) | {
        "whole": {name: reason for name, reason in why.items() if reason}
    }


def _evaluation(generator: Path) -> dict[str, Any]:
    """Return what was measured of a generator."""
    return read_json(generator / METADATA) if (generator / METADATA).is_file() else {}


def _open(context: TaskContext) -> RealChips:
    return RealChips.open(context.folder("index"), context.folder("split"), context.store, context.config["classes"])


def _composers(
    context: TaskContext, real: RealChips, layered: list[int], config: SynthConfig, scaling: Scaling
) -> dict[int, Composer]:
    """Return what composes the objects of each class that has layers."""
    if not layered:
        return {}
    train, labels = real.of("train")
    shares = config.in_place, config.in_place_crowded, config.unlabelled_share
    settings = Settings(*shares, value_range=scaling.width)
    return composers(train, labels, layered, context.config["seed"], settings, real.extra, real.unlabelled)


def _make(
    context: TaskContext,
    real: RealChips,
    scaling: Scaling,
    config: SynthConfig,
    sources: dict[int, Source],
    by_class: dict[int, Composer],
    missed: Collection[str] = (),
) -> dict[str, Any]:
    """Make, screen and write the chips of each class that has a source.

    Args:
        context: The task.
        real: Real chips of the split.
        scaling: From chip values to [-1, 1].
        config: Section `synth`.
        sources: What makes the chips of each class index.
        by_class: What composes those that are layers.
        missed: Classes that the generator did not learn.
    """
    classes = real.classes
    training = np.bincount(real.of("train")[1], minlength=len(classes))
    if not training.any():
        raise no_training_chips(context)
    largest = int(training.max())
    wanted = {
        label: config.per_class or max(largest, LEAST_COMPOSITES if label in by_class else 0) for label in sources
    }
    held_against = None
    if config.screen:
        held_against = screening.load(context.folder("screening"), context.profile.device)
    rounds: list[Candidates] = []
    for done, (label, source) in enumerate(sources.items(), start=1):
        rounds += candidates_of(
            label,
            wanted[label],
            source,
            held_against,
            config,
            first_seed(context.config, label),
            classes[label] not in missed,
        )
        context.progress.update(done, len(sources), "classes")
    write(context, rounds, classes)
    if config.screen and context.task.name == FINAL:
        screening.copy(context.folder("screening"), context.out)
    return {
        **metadata(rounds, classes, wanted, held_against),
        "tstr": tstr(context, accepted(rounds, by_class, scaling), scaling, real),
    }


def accepted(rounds: list[Candidates], by_class: Mapping[int, Composer], scaling: Scaling) -> Examples:
    """Return the first accepted chips of each class, as many as a classifier is trained on, as they were made.

    Where there are composites, the background is what lies behind some of them.
    """
    chips: list[npt.NDArray[np.float32]] = []
    labels: list[npt.NDArray[np.int64]] = []
    if by_class:
        chips.append(scaling.apply(behind(by_class, PER_CLASS, 0)))
        labels.append(np.zeros(PER_CLASS, np.int64))
    for label in sorted({int(some.labels[0]) for some in rounds} - ({0} if by_class else set())):
        own = [some.made.values[some.reasons == ""] for some in rounds if some.labels[0] == label]
        chips.append(np.concatenate(own)[:PER_CLASS])
        labels.append(np.full(len(chips[-1]), label))
    if not chips:
        return Examples(np.empty((0, 1, 1, 1), np.float32), np.empty(0, np.int64))
    return Examples(np.concatenate(chips), np.concatenate(labels))


def tstr(context: TaskContext, examples: Examples, scaling: Scaling, real: RealChips) -> dict[str, Any]:
    """Return the grade on validation chips of a classifier that saw the examples alone; empty where a class lacks."""
    (store, labels), classes = real.of("validation"), real.classes
    if any(set(those.tolist()) != set(range(len(classes))) for those in (labels, examples.labels)):
        return {}
    rows = subsample(labels, examples.chips.shape[1:], TESTED)
    # Rounded to the chips' own dtype, as classifiers get them.
    rounded = scaling.apply(scaling.invert(examples.chips))
    network = train_probe(rounded, examples.labels, len(classes), context.config["seed"], context.profile)
    return grade(probabilities(network, scaling.apply(store.read(rows))), labels[rows], classes)


def write(context: TaskContext, rounds: list[Candidates], classes: tuple[str, ...]) -> None:
    """Write shards, masks, index and sheet."""
    if not rounds:
        write_synthetic(_columns(context, [], [], [], classes), context.out / "index.parquet")
        draw_sheet([]).save(context.out / "sheet.png")
        return
    chips = np.concatenate([some.made.chips for some in rounds])
    shards = [
        write_shard(chips[start : start + PER_SHARD], context.out, f"chips-{start // PER_SHARD:03d}")
        for start in range(0, len(chips), PER_SHARD)
    ]
    composed = [some for some in rounds if some.alphas is not None]
    masks = [np.rint(some.alphas * 255).astype(np.uint8) for some in composed if some.alphas is not None]
    mask_shard = [write_masks(np.concatenate(masks), context.out)] if masks else []
    write_synthetic(_columns(context, rounds, shards, mask_shard, classes), context.out / "index.parquet")
    labels = np.concatenate([some.labels for some in rounds])
    why = np.concatenate([some.reasons for some in rounds])
    values = np.concatenate([some.made.values for some in rounds])
    shown = [np.flatnonzero((labels == index) & (why == ""))[: 2 * COLUMNS] for index in range(len(classes))]
    draw_sheet([to_rgb(values[rows]) for rows in shown]).save(context.out / "sheet.png")


def _columns(
    context: TaskContext,
    rounds: list[Candidates],
    shards: list[str],
    mask_shard: list[str],
    classes: tuple[str, ...],
) -> dict[str, Any]:
    """Return the columns of the table of synthetic chips."""
    split = str(context.config["split"])
    labels = np.concatenate([some.labels for some in rounds]) if rounds else np.empty(0, np.int64)
    seeds = np.concatenate([some.seeds for some in rounds]) if rounds else np.empty(0, np.int64)
    why = np.concatenate([some.reasons for some in rounds]) if rounds else np.empty(0, object)
    has_mask = np.repeat([some.alphas is not None for some in rounds], [len(some.labels) for some in rounds]).astype(
        bool
    )
    row, names = np.arange(len(labels)), np.array(classes)[labels]
    origin = f"synthetic/{context.task.name}"
    position = np.cumsum(has_mask) - 1
    return {
        "chip_id": [f"{origin}/{name}/{seed}" for name, seed in zip(names, seeds, strict=True)],
        "scene_id": [origin] * len(labels),
        "class": names,
        "shard": [shards[number] for number in row // PER_SHARD],
        "position": row % PER_SHARD,
        "split": [split] * len(labels),
        "seed": seeds,
        "label_score": _joined(rounds, "label_score"),
        "nearest_distance": _joined(rounds, "distance"),
        "accepted": why == "",
        "reason": [reason or None for reason in why],
        "mask_shard": [mask_shard[0] if has else None for has in has_mask],
        "mask_position": [int(number) if has else None for number, has in zip(position, has_mask, strict=True)],
        "background_id": [name for some in rounds for name in some.background_ids],
        **pose_columns([pose for some in rounds for pose in some.poses]),
    }


def _joined(rounds: list[Candidates], measure: str) -> npt.NDArray[np.float64]:
    """Return one measure of all candidates, NaN without screening."""
    values = [
        np.asarray(getattr(some.measures, measure)) if some.measures else np.full(len(some.labels), np.nan)
        for some in rounds
    ]
    return np.concatenate(values) if values else np.empty(0)


def metadata(
    rounds: list[Candidates], classes: tuple[str, ...], wanted: Mapping[int, int], screening: Screening | None
) -> dict[str, Any]:
    """Return what was accepted and rejected and why."""
    labels = np.concatenate([some.labels for some in rounds]) if rounds else np.empty(0, np.int64)
    why = np.concatenate([some.reasons for some in rounds]) if rounds else np.empty(0, object)
    accepted = {name: int(((labels == number) & (why == "")).sum()) for number, name in enumerate(classes)}
    summary: dict[str, Any] = {
        "wanted": max(wanted.values(), default=0),
        "accepted": accepted,
        "candidates": {name: int((labels == number).sum()) for number, name in enumerate(classes)},
        "composites": sum(len(some.labels) for some in rounds if some.alphas is not None),
        "reasons": dict(sorted(Counter(reason for reason in why if reason).items())),
        "screened": screening is not None,
    }
    short = {classes[label]: count for label, count in wanted.items() if accepted[classes[label]] < count}
    if short:
        lacking = ", ".join(f"{name} ({count} wanted)" for name, count in short.items())
        summary["note"] = f"fewer chips than requested were accepted: {lacking}"
    if screening is not None and screening.ensemble is None:
        summary["note"] = "too few training chips to check labels and distances; only copies were screened out"
    return summary
