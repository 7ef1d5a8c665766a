"""Train the generator of a split: of layers where its objects have masks, and of whole chips for all other classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...composition.compose import Composer, Settings
from ...composition.layers import to_range
from ...composition.split_objects import behind, composers, layered_classes
from ...config.gan_presets import Preset
from ...engine.task import TaskContext
from ...models.device import prepare
from ...models.layered import LayerGenerator
from ...models.networks import GeneratorNetwork
from ...models.probe import Chips
from ...models.ranks import Ranks, training_ranks
from ...utils.atomic_files import make_folder
from .batches import Batches
from .evaluate import Evaluator, prepare_evaluator
from .inputs import Inputs, read_inputs
from .log import Log
from .outputs import Trained, write_outputs
from .train import train
from .training_config import TrainingConfig
from .utility import Sampler, of_generator, whole_sampler

LAYERS, WHOLE = "layers", "whole"
"""Folders of the two trainings of a split that has layers."""


def make(context: TaskContext) -> dict[str, Any]:
    """Train a split's generator; write weights, cards, scaling, logs and sample sheets."""
    prepare(context.profile)
    preset = Preset(**context.config["training"])
    seed, _ = context.config["seed"]
    with training_ranks(context.profile.device) as ranks:
        inputs = read_inputs(context)
        why = layered_classes(inputs.store, inputs.train_labels, inputs.classes) if preset.layers else {}
        layered = [label for label, name in enumerate(inputs.classes) if why.get(name) == ""]
        evaluator = prepare_evaluator(inputs, seed, context.profile) if ranks.first else None
        if layered:
            trained, sampler, with_backgrounds = _train_both(context, preset, inputs, layered, evaluator, ranks)
        else:
            network, log = _train_whole(context, preset, inputs, None, evaluator, ranks, context.scratch)
            trained, sampler = Trained(network, log, context.scratch), whole_sampler(network)
            with_backgrounds = sampler
        if evaluator is None:
            return {}
    quality = evaluator.thorough(sampler)
    utility = of_generator(with_backgrounds, inputs, seed, context.profile)
    whole = {name: reason for name, reason in why.items() if reason}
    measured = {"quality": quality, "usefulness": utility, "layers": [inputs.classes[label] for label in layered]}
    return write_outputs(context, inputs, trained, measured | {"whole": whole})


def _train_whole(
    context: TaskContext,
    preset: Preset,
    inputs: Inputs,
    classes: list[int] | None,
    evaluator: Evaluator | None,
    ranks: Ranks,
    folder: Path,
) -> tuple[GeneratorNetwork, Log]:
    """Train on whole chips of some classes, or of all."""
    rows = slice(None) if classes is None else np.flatnonzero(np.isin(inputs.train_labels, classes))
    labels = inputs.train_labels[rows]
    own = labels if classes is None else np.searchsorted(classes, labels)
    seed, replicate = context.config["seed"]
    batches = Batches(
        inputs.train[rows], own, inputs.scaling, preset.batch, (seed, replicate), preset.balanced, preset.symmetries
    )
    config = _training_config(context, preset, batches, inputs.shape, len(set(own.tolist())), folder, ranks)

    def measure(network: GeneratorNetwork) -> dict[str, Any]:
        return {} if evaluator is None else evaluator.evaluate(whole_sampler(network, classes), classes)

    return train(config, measure, context.progress)


def _train_both(
    context: TaskContext,
    preset: Preset,
    inputs: Inputs,
    layered: list[int],
    evaluator: Evaluator | None,
    ranks: Ranks,
) -> tuple[Trained, Sampler, Sampler]:
    """Train on layers of the objects of some classes, and on whole chips of the others.

    Returns:
        The trained networks; what draws chips of every class; and the same with what lies behind composites for the
        background. A classifier of the first would tell generated backgrounds from real ones, not objects from none.
    """
    seed, replicate = context.config["seed"]
    scaling = inputs.scaling
    by_class = composers(inputs.store, inputs.train_labels, layered, seed, Settings(value_range=scaling.width))
    layers = np.concatenate([to_range(by_class[label].layers, scaling.low, scaling.high) for label in layered])
    labels = np.repeat(np.arange(len(layered)), [len(by_class[label].layers) for label in layered])
    # Another seed than that of the whole chips, whose network would begin alike.
    batches = Batches(
        np.clip(layers, -1, 1),
        labels,
        None,
        preset.batch,
        (seed, replicate + (1 << 40)),
        preset.balanced,
        symmetries=True,
    )
    folder = context.scratch / LAYERS
    make_folder(folder)
    own = replace(preset, images=preset.layer_images)
    config = _training_config(context, own, batches, layers.shape[1:], len(layered), folder, ranks, layer=True)

    def generator_of(network: GeneratorNetwork) -> LayerGenerator:
        laws = {label: composer.law for label, composer in by_class.items()}
        return LayerGenerator(network, tuple(layered), scaling, laws)

    def measure(network: GeneratorNetwork) -> dict[str, Any]:
        sampler = layer_sampler(generator_of(network), by_class)
        return {} if evaluator is None else evaluator.evaluate(sampler, layered)

    network, log = train(config, measure, context.progress)
    layer_generator = generator_of(network)

    rest = [label for label in range(len(inputs.classes)) if label not in layered]
    folder = context.scratch / WHOLE
    make_folder(folder)
    own = replace(preset, images=preset.whole_images)
    whole, whole_log = _train_whole(context, own, inputs, rest, evaluator, ranks, folder)
    draw_layers, draw_whole = layer_sampler(layer_generator, by_class), whole_sampler(whole, rest)

    def sampler(label: int, count: int, seed: int) -> Chips:
        return (draw_layers if label in layered else draw_whole)(label, count, seed)

    def with_backgrounds(label: int, count: int, seed: int) -> Chips:
        return sampler(label, count, seed) if label else scaling.apply(behind(by_class, count, seed))

    trained = Trained(whole, whole_log, folder, layer_generator, log, context.scratch / LAYERS)
    return trained, sampler, with_backgrounds


def layer_sampler(generator: LayerGenerator, by_class: Mapping[int, Composer]) -> Sampler:
    """Return what draws composites of generated layers on a split's own backgrounds."""

    def draw(label: int, count: int, seed: int) -> Chips:
        seeds = np.arange(seed, seed + count)
        return generator.scaling.apply(by_class[label].compose(seeds, generator.draw(label, seeds)).chips)

    return draw


def _training_config(
    context: TaskContext,
    preset: Preset,
    batches: Batches,
    shape: tuple[int, ...],
    classes: int,
    folder: Path,
    ranks: Ranks,
    layer: bool = False,
) -> TrainingConfig:
    height, width, channels = shape
    return TrainingConfig(
        preset,
        batches,
        (height, width, channels),
        classes,
        context.profile,
        context.config["checkpoint_images"],
        context.config["patience_images"],
        context.config["restarts"],
        folder,
        context.task.title,
        ranks,
        layer,
    )
