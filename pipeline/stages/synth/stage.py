"""Entry point of the synth stage: labelled synthetic chips for each split, generated here or external."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...config.checks import SPLIT_PLACEHOLDER, no_folder
from ...config.run import ExternalFolder, RunConfig
from ...dataset.arms import cutpaste_artifact, external_artifact, parse
from ...dataset.names import FINAL
from ...engine.forecast import Extent
from ...engine.task import Artifact, Plan, PlanContext, Task, TaskContext, UserFile
from ...utils.errors import ConfigError
from ...utils.section import as_json

SPLIT, SCREENING = "split-", "screening-"
LIMITS = frozenset({"min_label_score", "distance_quantile", "copy_correlation"})
"""Keys of the section `synth` that decide what candidates are compared with."""
IMAGES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg"})


def plan(context: PlanContext) -> Plan:
    """Plan the synthetic chips of each split, the final one too; reads the metadata of the splits."""
    splits = list(context.done["gan"])
    screenings: dict[str, Artifact] = {}
    if context.config.synth.screen:
        tasks = [_screening(context, split) for split in splits]
        screenings = dict(zip(splits, (yield tasks), strict=True))
    generated = [_generated(context, split, screenings.get(split)) for split in splits]
    external = [
        _external(context, folder, split)
        for folder in context.config.classify.folders
        for split in splits
        if split != FINAL or _folder(folder, split).is_dir()
    ]
    pasted = [_cutpaste(context, split, screenings.get(split)) for split in splits if _wants_cutpaste(context.config)]
    yield generated + pasted + external


def _screening(context: PlanContext, split: str) -> Task:
    """Plan what the candidates of a split are compared with."""
    config = context.config
    assigned = context.artifact("chips", f"{SPLIT}{split}")
    return Task(
        stage="synth",
        name=f"{SCREENING}{split}",
        function="satpipe.stages.synth.stage:learn_screening",
        config={
            "synth": {key: value for key, value in as_json(config.synth).items() if key in LIMITS},
            "scaling": as_json(config.chips.scaling),
            "split": split,
            "classes": list(config.ingest.classes),
            "seed": config.seed,
            **{key: assigned.metadata.get(key) or 0 for key in ("fold", "fraction", "replicate")},
        },
        inputs={"index": context.artifact("chips", "index").ref, "split": assigned.ref},
        libraries=("torch", "numpy"),
        training=True,
        cost=screening_seconds(config),
    )


def _chips(context: PlanContext, split: str, screening: Artifact | None) -> Task:
    """Plan synthetic chips of a split: what those of the generator and pasted ones have in common."""
    screened = {"screening": screening.ref} if screening else {}
    common = _screening(context, split)
    return replace(
        common,
        config={**common.config, "synth": as_json(context.config.synth)},
        inputs={**common.inputs, **screened},
        libraries=("torch", "numpy", "opencv-python-headless"),
        cost=expected_seconds(context.config),
    )


def _generated(context: PlanContext, split: str, screening: Artifact | None) -> Task:
    """Plan the chips of the split's own generator."""
    common = _chips(context, split, screening)
    return replace(
        common,
        name=split,
        function="satpipe.stages.synth.stage:make_synthetic",
        inputs={**common.inputs, "generator": context.done["gan"][split].ref},
    )


def _wants_cutpaste(config: RunConfig) -> bool:
    return any(parse(name).source == "cutpaste" for name in config.classify.arms)


def _cutpaste(context: PlanContext, split: str, screening: Artifact | None) -> Task:
    """Plan the real objects of a split, cut out and composed; needs no generator."""
    return replace(
        _chips(context, split, screening),
        name=cutpaste_artifact(split),
        function="satpipe.stages.synth.stage:make_cutpaste",
    )


def expected_seconds(config: RunConfig) -> float:
    """Estimate the seconds to make the chips of a split from one source on one core."""
    return 3.0 + config.chips.size_px**2 * 0.8e-3


def screening_seconds(config: RunConfig) -> float:
    """Estimate the seconds to learn what the candidates of a split are compared with, on one core."""
    return 3.0 + config.chips.size_px**2 * 2.4e-3


def forecast(config: RunConfig, extent: Extent) -> tuple[int, float]:
    """Forecast how many tasks an experiment has, and the seconds of each on average, with those of the final split."""
    sources = 1 + len(config.classify.folders) + _wants_cutpaste(config)
    tasks = sources + config.synth.screen
    seconds = sources * expected_seconds(config) + config.synth.screen * screening_seconds(config)
    return (extent.splits + 1) * tasks, seconds / tasks


def _external(context: PlanContext, folder: ExternalFolder, split: str) -> Task:
    """Plan the chips of a user's folder for one split."""
    classes = context.config.ingest.classes
    return Task(
        stage="synth",
        name=external_artifact(folder.name, split),
        function="satpipe.stages.synth.stage:import_external",
        config={"name": folder.name, "classes": list(classes), "split": split},
        inputs={"index": context.artifact("chips", "index").ref},
        files=images(_folder(folder, split), classes, context),
        libraries=("rasterio", "numpy"),
    )


def _folder(folder: ExternalFolder, split: str) -> Path:
    return Path(folder.path.replace(SPLIT_PLACEHOLDER, split))


def images(folder: Path, classes: tuple[str, ...], context: PlanContext) -> dict[str, UserFile]:
    """List the image files below the class folders of ``folder``, by ``class/image``.

    Raises:
        ConfigError: If there is no such folder, it has a folder that is no class, or no image at all.
    """
    if not folder.is_dir():
        raise no_folder(folder)
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    unknown = [name for name in inside if name not in classes]
    if unknown:
        raise ConfigError(f"classify.folders: {folder / unknown[0]} is not a class; classes are {', '.join(classes)}")
    files = {
        f"{name}/{path.name}": context.fingerprint(path)
        for name in inside
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in IMAGES
    }
    if not files:
        raise ConfigError(
            f"classify.folders: {folder} has no PNG, TIFF or JPEG image in a folder named {', '.join(classes)}"
        )
    return files


def learn_screening(context: TaskContext) -> dict[str, Any]:
    """Learn what the candidates of a split are compared with; writes screening.safetensors and screening.json."""
    from .screening import run

    return run(context)


def make_synthetic(context: TaskContext) -> dict[str, Any]:
    """Generate and screen the candidates of one split; writes chips-*.npy, index.parquet and sheet.png."""
    from .generate import run

    return run(context)


def make_cutpaste(context: TaskContext) -> dict[str, Any]:
    """Compose the real objects of one split; writes the same files."""
    from .generate import run_cutpaste

    return run_cutpaste(context)


def import_external(context: TaskContext) -> dict[str, Any]:
    """Read a folder of the user's; writes chips.npy, index.parquet and sheet.png."""
    from .external import run

    return run(context)
