"""Labels that detections are held against: any format that ingest reads, placed in the scenes that were looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...utils.section import as_json
from ...config.run import RunConfig
from ...formats.label import Label, check
from ...formats.listing import VECTORS, named_like
from ...formats.registry import Given, read
from ...utils.errors import InputError
from .scenes import Scene

KINDS = {".txt": "yolo", ".xml": "voc", ".csv": "csv"} | dict.fromkeys(VECTORS, "geojson")
_SETTINGS = {
    "geojson": ("class_column", "default_class", "labels_crs", "swap_axes", "layer"),
    "yolo": ("class_names", "normalised_by_px"),
    "csv": ("columns", "default_class"),
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "geojson": {},
    "yolo": {"class_names": ("ship",), "normalised_by_px": None},
    "csv": {"columns": {}, "default_class": "ship"},
}


@dataclass(frozen=True)
class Truth:
    """The labelled objects of one scene.

    Attributes:
        ids: Name of each (N,).
        boxes: (N, 4) row_min, col_min, row_max, col_max in the scene's own pixels; a point has min == max.
    """

    ids: tuple[str, ...]
    boxes: npt.NDArray[np.float64]


def read_truth(path: Path, scenes: Sequence[Scene], config: RunConfig) -> tuple[dict[str, Truth], list[str]]:
    """The labelled objects of each scene by its name, and what could not be used, in sentences.

    Settings such as the class column are those of the run's source of the same kind, if it has one.

    Args:
        path: A label file, or a folder of label files that are named like the scenes.
        scenes: The scenes.
        config: The run's configuration.

    Raises:
        InputError: If there are no such labels, or those of a scene cannot be read.
    """
    kind, files, own = _files(path, scenes)
    source = next((one for one in config.ingest.sources if one.type == kind), None)
    settings = dict(_DEFAULTS.get(kind, {}))
    if source is not None:
        given = as_json(source)
        settings |= {name: given[name] for name in _SETTINGS.get(kind, ())}
    rows = [scene.row for scene in scenes]
    found = read(kind, Given(rows, files, own, settings, config.ingest.classes))
    for scene_id, reason in found.refused.items():
        raise InputError(f"{path.name}: {scene_id.partition('/')[2]} cannot be scored: {reason}")
    names = {} if source is None else source.class_map
    sizes = {str(row["scene_id"]): (int(row["height"]), int(row["width"])) for row in rows}
    labels, notes = [], []
    for label in found.labels:
        label = replace(label, class_name=names.get(label.class_name, label.class_name))
        label = check(label, sizes.get(label.scene_id or ""), config.ingest.classes)
        if label.reason is None:
            labels.append(label)
        elif label.scene_id is not None:
            notes.append(f"label {label.label_id.partition('/')[2]} is not used: {label.reason}")
    background = config.ingest.classes[0]
    objects = [label for label in labels if label.class_name != background]
    return {scene.name: _of(str(scene.row["scene_id"]), objects) for scene in scenes}, notes


def _of(scene_id: str, labels: Sequence[Label]) -> Truth:
    mine = [label for label in labels if label.scene_id == scene_id]
    return Truth(tuple(label.label_id for label in mine), np.array([label.box for label in mine]).reshape(-1, 4))


def _files(path: Path, scenes: Sequence[Scene]) -> tuple[str, dict[str, Path], dict[str, str]]:
    """Kind of the labels, label files by name, and the name of the file that is for one scene alone.

    Raises:
        InputError: If there is no label file, or the folder has several kinds.
    """
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix not in KINDS:
            raise InputError(
                f"{path.name} is no label file; use one of {', '.join(sorted(KINDS))}, or a folder of them"
            )
        kind = "coco" if suffix == ".json" and _is_coco(path) else KINDS[suffix]
        alone = {scenes[0].name: path.name} if kind in ("yolo", "voc") and len(scenes) == 1 else {}
        return kind, {path.name: path}, alone or named_like([scene.name for scene in scenes], [path.name])
    if not path.is_dir():
        raise InputError(f"there are no labels at {path}; name a label file, or a folder of them")
    found = {one.name: one for one in sorted(path.iterdir()) if one.suffix.lower() in KINDS and not one.is_dir()}
    own = named_like([scene.name.rpartition("/")[2] for scene in scenes], list(found))
    by_scene = {scene.name: own[short] for scene in scenes if (short := scene.name.rpartition("/")[2]) in own}
    kinds = sorted({KINDS[Path(name).suffix.lower()] for name in by_scene.values()})
    if len(kinds) != 1:
        what = f"label files of several kinds ({', '.join(kinds)})" if kinds else "no label file named like a scene"
        raise InputError(
            f"{path} has {what}; name one label file, or a folder with <scene>.txt, .xml, .csv or .geojson"
        )
    used = {name: found[name] for name in dict.fromkeys(by_scene.values())}
    return kinds[0], used, by_scene


def _is_coco(path: Path) -> bool:
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, OSError):
        return False
    return isinstance(data, dict) and "annotations" in data
