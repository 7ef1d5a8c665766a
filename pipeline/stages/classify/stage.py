"""The door of the classify stage: one part for each split and arm, one for each random split, the final classifier."""

from __future__ import annotations

from typing import Any

from ...utils.section import as_json
from ...config.checks import model_source
from ...config.run import RunConfig
from ...dataset.names import CLASSIC, REAL, synth_part
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, UserFile
from .arms import Arm, parse, settings

SPLIT = "split-"
EXPERIMENT, RANDOM = f"{SPLIT}fold", f"{SPLIT}random"
PIXEL_S = 2.0e-7
"""Seconds per pixel of a chip in a step on one CPU core."""
LIBRARIES = ("torch", "numpy", "albumentations", "opencv-python-headless", "scipy")


def plan(context: PlanContext) -> Plan:
    """Plan a training for each split of the experiment and each arm, and for each random split the arm shown beside.

    Reads the facts of the splits.
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
    """The arm that is trained on random splits too: the baseline, or one near it that needs no generator.

    No generator is trained on a random split, which serves but to show what leakage claims.
    """
    named = [config.report.baseline, *(name for name in (CLASSIC, REAL) if name in config.classify.arms)]
    return next((arm for arm in map(parse, named) if not arm.synthetic), None)


def _task(context: PlanContext, split: str, done: Artifact, arm: Arm) -> Task:
    metadata = done.metadata
    config = context.config
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {
        "index": context.one("chips", "index").ref,
        "split": done.ref,
    }
    made = synth_part(arm.name, split)
    if made is not None:
        inputs["synth"] = context.one("synth", made).ref
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
    """The source of the user's network, so that an edited one is trained again; what it imports is not looked at.

    Raises:
        ConfigError: If there is no such module.
    """
    source = model_source(context.config)
    return {} if source is None else {"model": context.fingerprint(source)}


def expected_seconds(config: RunConfig) -> float:
    """Rough seconds of one training on one core: its pixels, and the start of a process."""
    return 2.0 + config.classify.steps * config.classify.batch * config.chips.size_px**2 * PIXEL_S


def forecast(config: RunConfig, splits: int) -> tuple[int, float]:
    """How many trainings an experiment of so many splits has, and the seconds of each.

    Those on random splits and the final one count.
    """
    beside = config.split.random_replicates if leaky_arm(config) else 0
    return splits * len(config.classify.arms) + beside + 1, expected_seconds(config)


def make_classifier(context: TaskContext) -> dict[str, Any]:
    """Train one arm of one split; writes predictions.parquet, the classifier and history.jsonl."""
    from .experiment import run_arm

    return run_arm(context)


def make_final(context: TaskContext) -> dict[str, Any]:
    """Train the classifier that `detect` uses, on all labelled chips; writes the classifier and history.jsonl."""
    from .experiment import run_final

    return run_final(context)
