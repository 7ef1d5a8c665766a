"""Entry point of the stage: one task for each split and arm, one for each random split, the final classifier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...config.checks import model_source
from ...config.run import RunConfig
from ...dataset.arms import CLASSIC, REAL, Arm, parse
from ...dataset.names import FINAL
from ...engine.forecast import Extent
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, UserFile
from ...utils.section import as_json
from .arms import settings

SPLIT = "split-"
EXPERIMENT, RANDOM = f"{SPLIT}fold", f"{SPLIT}random"
PIXEL_S = 1.2e-7
"""Seconds per pixel of a chip in a step on one CPU core."""
LIBRARIES = ("torch", "numpy", "albumentations", "opencv-python-headless", "scipy")


def plan(context: PlanContext) -> Plan:
    """Plan a training for each split of the experiment and each arm, and for each random split the arm shown beside.

    Reads the metadata of the splits.
    """
    config = context.config
    arms = [parse(name) for name in config.classify.arms]
    beside = leaky_arm(config)
    yield [
        _task(context, name.removeprefix(SPLIT), done, arm)
        for name, done in context.done["chips"].items()
        for arm in (arms if name.startswith(EXPERIMENT) else [beside] if beside and name.startswith(RANDOM) else [])
    ]


def leaky_arm(config: RunConfig) -> Arm | None:
    """Return the arm that is trained on random splits too: the baseline, or one near it that needs no generator.

    No generator is trained on a random split, which serves but to show what leakage claims.
    """
    named = [config.report.baseline, *(name for name in (CLASSIC, REAL) if name in config.classify.arms)]
    return next((arm for arm in map(parse, named) if arm.source is None), None)


def plan_final(context: PlanContext) -> Plan:
    """Plan the classifier of all labelled chips, with the arm that the verdict favours.

    An arm with chips of a folder that holds none for all labelled chips gives way to the baseline.
    """
    split, config = context.artifact("chips", f"{SPLIT}{FINAL}"), context.config
    arms = (context.artifact("report", "verdict").metadata["favoured"], config.report.baseline, CLASSIC)
    available = {None, *context.done["synth"]}
    arm = next(arm for arm in map(parse, arms) if arm.synthetic_artifact(FINAL) in available)
    function = "satpipe.stages.classify.stage:make_final"
    yield [replace(_task(context, FINAL, split, arm), name=FINAL, function=function)]


def _task(context: PlanContext, split: str, done: Artifact, arm: Arm) -> Task:
    metadata = done.metadata
    config = context.config
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {
        "index": context.artifact("chips", "index").ref,
        "split": done.ref,
    }
    synthetic = arm.synthetic_artifact(split)
    if synthetic is not None:
        inputs["synth"] = context.artifact("synth", synthetic).ref
    return Task(
        stage="classify",
        name=f"{split}-{arm.name}",
        function="satpipe.stages.classify.stage:make_classifier",
        config={
            "classify": settings(config.classify, arm),
            "scaling": as_json(config.chips.scaling),
            "classes": list(config.ingest.classes),
            "seed": config.seed,
            "arm": arm.name,
            **{name: metadata[name] for name in ("fold", "fraction", "replicate")},
        },
        inputs=inputs,
        files=users_model(context),
        libraries=LIBRARIES,
        training=True,
        cost=expected_seconds(config),
    )


def users_model(context: PlanContext) -> dict[str, UserFile]:
    """Return the source of the user's network, so that an edited one is trained again; its imports are not followed.

    Raises:
        ConfigError: If there is no such module.
    """
    source = model_source(context.config)
    return {} if source is None else {"model": context.fingerprint(source)}


def expected_seconds(config: RunConfig) -> float:
    """Estimate the seconds of one training on one core: its pixels, and the start of a process."""
    return 2.0 + config.classify.steps * config.classify.batch * config.chips.size_px**2 * PIXEL_S


def forecast(config: RunConfig, extent: Extent) -> tuple[int, float]:
    """Forecast how many trainings an experiment of so many splits has, and the seconds of each.

    Those on random splits and the final one count.
    """
    beside = config.split.random_replicates if leaky_arm(config) else 0
    return extent.splits * len(config.classify.arms) + beside + 1, expected_seconds(config)


def make_classifier(context: TaskContext) -> dict[str, Any]:
    """Train one arm of one split; writes predictions.parquet, the classifier and history.jsonl."""
    from .experiment import run_arm

    return run_arm(context)


def make_final(context: TaskContext) -> dict[str, Any]:
    """Train the classifier that `detect` uses, on all labelled chips; writes the classifier and history.jsonl."""
    from .experiment import run_final

    return run_final(context)
