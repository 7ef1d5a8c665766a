"""Labels that detections are compared with: any format that ingest reads, placed in the scenes that were examined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...config.run import RunConfig
from ...formats.base import LabelFormat, LabelInput
from ...formats.label import Label, check
from ...formats.listing import named_like
from ...formats.registry import FORMATS, identify
from ...utils.errors import InputError
from .scenes import Scene


@dataclass(frozen=True)
class Truth:
    """Labelled objects of one scene.

    Attributes:
        ids: Name of each (N,).
        boxes: (N, 4) row_min, col_min, row_max, col_max in the scene's own pixels; a point has min == max.
    """

    ids: tuple[str, ...]
    boxes: npt.NDArray[np.float64]


def read_truth(path: Path, scenes: Sequence[Scene], config: RunConfig) -> tuple[dict[str, Truth], list[str]]:
    """Read the boxes of labelled objects as :func:`read_labels` does."""
    labels, notes = read_labels(path, scenes, config)
    return {name: _of(objects) for name, objects in labels.items()}, notes


def read_labels(path: Path, scenes: Sequence[Scene], config: RunConfig) -> tuple[dict[str, list[Label]], list[str]]:
    """Read the labelled objects of each scene by its name, and what could not be used, in sentences.

    Settings such as the class column are those of the run's source of the same kind, if it has one.

    Args:
        path: A label file, or a folder of label files that are named like the scenes.
        scenes: The scenes.
        config: The run's configuration.

    Raises:
        InputError: If there are no such labels, or those of a scene cannot be read.
    """
    label_format, files, own = _files(path, scenes)
    source = next((source for source in config.ingest.sources if source.type == label_format.name), None)
    settings = {} if source is None else source.settings
    rows = [scene.row for scene in scenes]
    labels_read = label_format.read(LabelInput(rows, files, own, settings, config.ingest.classes))
    for scene_id, reason in labels_read.refused.items():
        raise InputError(f"{path.name}: the labels of {scene_id.partition('/')[2]} cannot be used: {reason}")
    names = {} if source is None else source.class_map
    sizes = {str(row["scene_id"]): (int(row["height"]), int(row["width"])) for row in rows}
    labels, notes = [], []
    for label in labels_read.labels:
        label = replace(label, class_name=names.get(label.class_name, label.class_name))
        label = check(label, sizes.get(label.scene_id or ""), config.ingest.classes)
        if label.reason is None:
            labels.append(label)
        elif label.scene_id is not None:
            notes.append(f"label {label.label_id.partition('/')[2]} is not used: {label.reason}")
    background = config.ingest.classes[0]
    objects = [label for label in labels if label.class_name != background]
    return {
        scene.name: [label for label in objects if label.scene_id == str(scene.row["scene_id"])] for scene in scenes
    }, notes


def _of(labels: Sequence[Label]) -> Truth:
    return Truth(tuple(label.label_id for label in labels), np.array([label.box for label in labels]).reshape(-1, 4))


def _files(path: Path, scenes: Sequence[Scene]) -> tuple[LabelFormat, dict[str, Path], dict[str, str]]:
    """Return the format of the labels, label files by name, and the name of the file that is for one scene alone.

    Raises:
        InputError: If there is no label file, or the folder has several formats.
    """
    if path.is_file():
        label_format = identify(path)
        if label_format is None:
            known_suffixes = sorted({suffix for item in FORMATS.values() if item.holds for suffix in item.suffixes})
            raise InputError(
                f"{path.name} is not a label file; use one of {', '.join(known_suffixes)}, or a folder of them"
            )
        alone = {scenes[0].name: path.name} if label_format.per_image and len(scenes) == 1 else {}
        return label_format, {path.name: path}, alone or named_like([scene.name for scene in scenes], [path.name])
    if not path.is_dir():
        raise InputError(f"there are no labels at {path}; name a label file, or a folder of them")
    suffixes = {suffix for item in FORMATS.values() if item.holds for suffix in item.suffixes}
    files = {item.name: item for item in sorted(path.iterdir()) if item.suffix.lower() in suffixes and item.is_file()}
    own = named_like([scene.name.rpartition("/")[2] for scene in scenes], list(files))
    by_scene = {scene.name: own[short] for scene in scenes if (short := scene.name.rpartition("/")[2]) in own}
    formats = {name: identify(files[name]) for name in dict.fromkeys(by_scene.values())}
    names = sorted({item.name for item in formats.values() if item is not None})
    if len(names) != 1:
        what = f"label files of several formats ({', '.join(names)})" if names else "no label file named after a scene"
        raise InputError(
            f"{path} has {what}; name one label file, or a folder with <scene>.txt, .xml, .csv or .geojson"
        )
    used = {name: files[name] for name, item in formats.items() if item is not None}
    return FORMATS[names[0]], used, {scene: name for scene, name in by_scene.items() if name in used}
