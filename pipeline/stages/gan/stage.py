"""Gan stage: plans one generator per split, and makes them. Importable without torch."""

from __future__ import annotations

from typing import Any

from ...config.gan_presets import as_json as preset_json
from ...config.gan_presets import resolve
from ...config.run import RunConfig
from ...dataset.names import FINAL, FINAL_REPLICATE
from ...engine.forecast import Extent
from ...engine.task import Artifact, Plan, PlanContext, Task, TaskContext
from ...utils.section import as_json

STAGE = "gan"
MAKE = "satpipe.stages.gan.stage:make_generator"
STEP_S = 1.0e-3
"""Seconds per image on one CPU core, whatever its size."""
PIXEL_S = 2.5e-8
"""Seconds on top per image, pixel and channel at half resolution; a third of it in bf16 on CPUs that are made for it,
and three times as much in fp32 on slow ones."""
EVALUATION_S, EVALUATION_PIXEL_S = 14.0, 5.3e-3
"""Seconds to start a process and to evaluate a generator, and on top per pixel of a chip."""


def plan(context: PlanContext) -> Plan:
    """Plan one generator for every split of the experiment, and one for the final split of all labelled chips."""
    index = context.artifact("chips", "index")
    splits = {name.removeprefix("split-"): done for name, done in context.done["chips"].items()}
    wanted = [name for name in splits if name == FINAL or name.startswith("fold")]
    yield [_task(context, name, index, splits[name]) for name in wanted]


def _task(context: PlanContext, name: str, index: Artifact, split: Artifact) -> Task:
    config = context.config
    preset = resolve(as_json(config.gan))
    replicate = FINAL_REPLICATE if name == FINAL else int(split.metadata["replicate"])
    return Task(
        stage=STAGE,
        name=name,
        function=MAKE,
        config={
            "preset": config.gan.preset,
            "training": preset_json(preset),
            "checkpoint_images": config.gan.checkpoint_images,
            "patience_images": config.gan.patience_images,
            "restarts": config.gan.restarts,
            "scaling": as_json(config.chips.scaling),
            "classes": list(config.ingest.classes),
            "seed": [config.seed, replicate],
            "licences": list(context.artifact("ingest", "tables").metadata["licences"]),
        },
        inputs={"index": index.ref, "split": split.ref},
        libraries=("torch", "numpy", "safetensors", "opencv-python-headless"),
        training=True,
        ranks=True,
        cost=expected_seconds(config),
    )


def expected_seconds(config: RunConfig) -> float:
    """Estimate the seconds of one training on one core, evaluations included."""
    preset, pixels = resolve(as_json(config.gan)), config.chips.size_px**2
    evaluation_s, image_s = EVALUATION_S + EVALUATION_PIXEL_S * pixels, PIXEL_S * pixels * preset.base_channels
    if not (preset.layers and config.chips.masks == "auto"):
        return evaluation_s + preset.images * (STEP_S + image_s)
    # A canvas has about half the pixels of a chip.
    layers_s = preset.layer_images * (STEP_S + image_s / 2)
    return evaluation_s + layers_s + preset.whole_images * (STEP_S + image_s)


def forecast(config: RunConfig, extent: Extent) -> tuple[int, float]:
    """Forecast how many trainings an experiment of so many splits has, and the seconds of each, with the final one."""
    return extent.splits + 1, expected_seconds(config)


def make_generator(context: TaskContext) -> dict[str, Any]:
    """Train a split's generator; write weights, card, scaling, metrics and sample sheets."""
    from .make import make

    return make(context)
