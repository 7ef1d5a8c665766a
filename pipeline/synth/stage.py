"""The door of the synth stage: one part of labelled synthetic chips for each split that has a generator."""

from __future__ import annotations

from typing import Any

from ..config import as_json
from ..parts import Job, Part, Plan, PlanContext

SPLIT = "split-"


def plan(context: PlanContext) -> Plan:
    """Plan the synthetic chips of each split, the final one too; reads the facts of the splits."""
    config = context.config
    parts = []
    for name, generator in context.done["gan"].items():
        split = context.one("chips", f"{SPLIT}{name}")
        facts = split.facts
        parts.append(
            Part(
                stage="synth",
                name=name,
                make="pipeline.synth.stage:make_synthetic",
                config={
                    "synth": as_json(config.synth),
                    "classes": list(config.ingest.classes),
                    "seed": config.seed,
                    **{key: facts.get(key) or 0 for key in ("fold", "fraction", "replicate")},
                },
                inputs={
                    "index": context.one("chips", "index").ref,
                    "split": split.ref,
                    "generator": generator.ref,
                },
                libraries=("torch", "numpy"),
                training=True,
                cost=4.0 + config.chips.size_px**2 * 2e-3,
            )
        )
    yield parts


def make_synthetic(job: Job) -> dict[str, Any]:
    """Generate and screen the candidates of one split; writes chips-*.npy, index.parquet and sheet.png."""
    from .make import run

    return run(job)
