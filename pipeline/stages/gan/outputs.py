"""What a training leaves: weights and card, scaling, the log, sample sheets, and the facts of the part."""

from __future__ import annotations

import shutil
from typing import Any

from ...dataset.names import METRICS, SHEETS
from ...engine.task import Job
from ...models.generator import SCALING, GeneratorNetwork, save
from .inputs import Inputs
from .log import Log


def write_outputs(
    job: Job, inputs: Inputs, generator: GeneratorNetwork, log: Log, found: dict[str, Any]
) -> dict[str, Any]:
    """Write the part's files and return its facts.

    Args:
        job: The part's job.
        inputs: What was trained on.
        generator: The best one.
        log: Of the training.
        found: What judging the generator gave, by name.
    """
    assert log.best is not None
    facts = {
        "preset": job.config["preset"],
        "images": log.lines[-1]["images"],
        "best_images": log.best["images"],
        "train": inputs.counts(inputs.train_labels),
        "validation": inputs.counts(inputs.validation_labels),
        "stopped": log.stopped,
        "restarts": log.restarts,
        **found,
    }
    if log.ranks:
        facts["ranks"] = log.ranks
    card = {
        **facts,
        "training": job.config["training"],
        "seed": job.config["seed"],
        "profile": job.profile.as_json(),
        "licences": job.config["licences"],
        "data": {name: getattr(job.part.inputs[name], "digest", None) for name in ("index", "split")},
    }
    save(generator, inputs.classes, card, job.out)
    inputs.scaling.save(job.out / SCALING)
    (job.out / METRICS).write_text(log.as_text(), "utf-8")
    shutil.copytree(job.scratch / SHEETS, job.out / SHEETS)
    return facts
