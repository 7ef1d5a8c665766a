"""Outputs of a training: weights and card, scaling, logs, sample sheets, and the metadata of the artifact."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...dataset.names import LOSSES, METRICS, SHEETS
from ...engine.task import TaskContext
from ...models.generator import SCALING, save
from ...models.layered import LayerGenerator
from ...models.networks import GeneratorNetwork
from .inputs import Inputs
from .log import Log, as_text

WHOLE_METRICS = "metrics-whole.jsonl"
"""Log of the classes that are generated whole beside layers."""


@dataclass(frozen=True)
class Trained:
    """Results of a split's trainings.

    Attributes:
        network: Makes whole chips.
        log: Of its training.
        folder: Where its checkpoints and sheets are.
        layers: Makes layers; None where there are none.
        layers_log: Of that training.
        layers_folder: Where its checkpoints and sheets are.
    """

    network: GeneratorNetwork
    log: Log
    folder: Path
    layers: LayerGenerator | None = None
    layers_log: Log | None = None
    layers_folder: Path | None = None


def write_outputs(context: TaskContext, inputs: Inputs, trained: Trained, measured: dict[str, Any]) -> dict[str, Any]:
    """Write the files of an artifact and return its metadata.

    The log, the sheets and the lengths are those of the layers where there are any.

    Args:
        context: What the task was handed.
        inputs: What was trained on.
        trained: What came out.
        measured: What evaluating the generator gave, by name.
    """
    log, folder = trained.layers_log or trained.log, trained.layers_folder or trained.folder
    assert log.best is not None
    metadata = {
        "preset": context.config["preset"],
        "images": log.lines[-1]["images"],
        "best_images": log.best["images"],
        "train": inputs.counts(inputs.train_labels),
        "validation": inputs.counts(inputs.validation_labels),
        "stopped": log.stopped,
        "restarts": log.restarts,
        **measured,
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
    save(trained.network, inputs.classes, card, context.out, trained.layers)
    inputs.scaling.save(context.out / SCALING)
    (context.out / METRICS).write_text(as_text(log.lines), "utf-8")
    (context.out / LOSSES).write_text(as_text(log.losses), "utf-8")
    if log is not trained.log:
        (context.out / WHOLE_METRICS).write_text(as_text(trained.log.lines), "utf-8")
    shutil.copytree(folder / SHEETS, context.out / SHEETS)
    return metadata
