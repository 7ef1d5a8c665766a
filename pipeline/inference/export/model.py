"""Write a run's final generator or classifier as a folder of its own.

The weights are files as the store has them, so that what reads the one reads the other; beside them lie the same
networks as ONNX, a card for people (README.md, as the Hugging Face Hub shows it) and ``model.json`` for programs.

Of a generator of layers the two networks are ONNX, the one for whole chips and the one for layers of objects. What
composes them (random poses, the choice among backgrounds, warping) is no graph of tensors and stays satpipe's; whoever
reads the ONNX files composes layers as ``(1 - alpha) * background + bands``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...dataset.names import FINAL
from ...engine.runs import Run
from ...models import classifier as classifiers
from ...models import generator as generators
from ...models import layered
from ...models.generator import SCALING
from ...stages.synth import screening as screenings
from ...utils.atomic_files import new_folder
from ..detect.make import load as load_classifier
from ..generate.loaded import FORMAT, MODEL_JSON, of_run
from . import card, onnx

_WEIGHTS = (generators.WEIGHTS, generators.CARD, SCALING, layered.WEIGHTS, layered.CARD)
_SCREENING = (screenings.WEIGHTS, screenings.CARD)


@dataclass(frozen=True)
class Exported:
    """Summary of what was written.

    Attributes:
        files: Names of the files.
        differences: By ONNX file, how far ONNX Runtime is from torch, as a share of the output's range.
    """

    files: tuple[str, ...]
    differences: Mapping[str, float]


def export_generator(run: Run, to: Path, with_onnx: bool = True) -> Exported:
    """Write a run's final generator into the folder ``to``, with what screens its chips if the run keeps that.

    Raises:
        ConfigError: If the run has no generator, or ONNX is wanted and cannot be written.
        TrainingError: If ONNX Runtime computes something else than torch.
        StoreError: If the folder holds files or cannot be written.
    """
    loaded = of_run(run)
    about = _about(run, "generator") | {
        "truncation": loaded.truncation,
        "screened": loaded.screened,
        "measured": {name: loaded.measured[name] for name in ("quality", "usefulness") if name in loaded.measured},
    }
    models = onnx.of_generator(loaded.generator, loaded.scaling) if with_onnx else {}
    with new_folder(to) as folder:
        for name in _WEIGHTS:
            if (loaded.folder / name).is_file():
                shutil.copyfile(loaded.folder / name, folder / name)
        if loaded.screening_folder is not None:
            for name in _SCREENING:
                shutil.copyfile(loaded.screening_folder / name, folder / name)
        return _finish(folder, models, about, card.of_generator(run, loaded, about))


def export_classifier(run: Run, to: Path, with_onnx: bool = True, model: str | None = None) -> Exported:
    """Write a run's final classifier into the folder ``to``.

    Args:
        run: The run.
        to: Folder to make; it must be empty or not exist.
        with_onnx: Whether to write it as ONNX as well.
        model: Function that builds its network, where that is not a bundled one.

    Raises:
        ConfigError: If the run has no classifier, or ONNX is wanted and cannot be written.
        TrainingError: If ONNX Runtime computes something else than torch.
        StoreError: If the folder holds files or cannot be written.
    """
    classifier, _ = load_classifier(run, model=model)
    about = _about(run, "classifier")
    models = {"classifier": onnx.of_classifier(classifier)} if with_onnx else {}
    with new_folder(to) as folder:
        artifact = run.artifact(f"classify/{FINAL}", "classifier", "all")
        for name in (classifiers.WEIGHTS, classifiers.CARD):
            shutil.copyfile(artifact.path / name, folder / name)
        return _finish(folder, models, about, card.of_classifier(run, classifier, about))


def _about(run: Run, kind: str) -> dict[str, Any]:
    """Return what a program must know of a model's origin."""
    sources = run.config.ingest.sources
    return {
        "format": FORMAT,
        "kind": kind,
        "run": run.name,
        "sources": [source.name or source.type for source in sources],
        "simulated": all(source.type == "simulated" for source in sources),
        "licences": list(run.licences),
        "gsd_m": run.gsd_m,
        "software": {name: version(name) for name in ("satpipe", "torch")},
    }


def _finish(folder: Path, models: Mapping[str, onnx.OnnxModel], about: dict[str, Any], page: card.Page) -> Exported:
    """Write the ONNX files, ``model.json`` and the card."""
    differences = {f"{stem}.onnx": onnx.write_onnx(model, folder / f"{stem}.onnx") for stem, model in models.items()}
    about = about | {"onnx": {name: {"difference": float(f"{value:.1e}")} for name, value in differences.items()}}
    (folder / MODEL_JSON).write_text(json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    files = sorted(path.name for path in folder.iterdir())
    (folder / card.NAME).write_text(page.text(files, differences), "utf-8")
    return Exported((card.NAME, *files), differences)
