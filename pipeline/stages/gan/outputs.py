"""What a training leaves: weights and card, scaling, the log, sample sheets, and the facts of the part."""

from __future__ import annotations

import shutil
from typing import Any

from ...dataset.names import METRICS, SHEETS
from ...engine.task import TaskContext
from ...models.generator import SCALING, GeneratorNetwork, save
from .inputs import Inputs
from .log import Log


def write_outputs(
    context: TaskContext, inputs: Inputs, generator: GeneratorNetwork, log: Log, found: dict[str, Any]
) -> dict[str, Any]:
    """Write the part's files and return its facts.

    Args:
        context: The part's job.
        inputs: What was trained on.
        generator: The best one.
        log: Of the training.
        found: What judging the generator gave, by name.
    """
    assert log.best is not None
    metadata = {
        "preset": context.config["preset"],
        "images": log.lines[-1]["images"],
        "best_images": log.best["images"],
        "train": inputs.counts(inputs.train_labels),
        "validation": inputs.counts(inputs.validation_labels),
        "stopped": log.stopped,
        "restarts": log.restarts,
        **found,
    }
    if log.ranks:
        metadata["ranks"] = log.ranks
    card = {
        **metadata,
        "training": context.config["training"],
        "seed": context.config["seed"],
        "profile": context.profile.as_json(),
        "licences": context.config["licences"],
        "data": {name: getattr(context.task.inputs[name], "digest", None) for name in ("index", "split")},
    }
    save(generator, inputs.classes, card, context.out)
    inputs.scaling.save(context.out / SCALING)
    (context.out / METRICS).write_text(log.as_text(), "utf-8")
    shutil.copytree(context.scratch / SHEETS, context.out / SHEETS)
    return metadata
