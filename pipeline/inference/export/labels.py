"""Labels of a run's scenes in the formats of detectors, beside the scenes themselves."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ...dataset.tables import LABELS, SCENES
from ...engine.runs import Run
from ...formats.writers.base import LabelledImage, LabelledObject, Marks, cropped_object, outlined_object
from ...formats.writers.table import WRITERS
from ...raster.gdal import SceneFile, scene_file
from ...utils.atomic_files import new_folder
from ...utils.errors import ConfigError, InputError
from ...utils.file_names import distinct_file_names

BOX = "box"


@dataclass(frozen=True)
class LabelSet:
    """Summary of what was written.

    Attributes:
        images: Images.
        objects: Objects in them by class name.
        left_out: What was left out, by reason.
    """

    images: int
    objects: Counter[str]
    left_out: Counter[str]


def marks_of(run: str, licences: Sequence[str], what: str) -> Marks:
    """Return what is written into files with room for it: ``what`` of a run, the licences, and the software."""
    return Marks(f"{what} (satpipe run {run}).", "; ".join(licences), f"satpipe {version('satpipe')}")


def write_labelled(
    run: Run,
    to: Path,
    kind: str,
    what: str,
    scenes: Sequence[SceneFile],
    objects_of: Callable[[SceneFile], Sequence[LabelledObject]],
    link: bool,
) -> Counter[str]:
    """Write scenes with their objects into a new folder, and return how many objects of each class those are.

    Args:
        run: The run that the objects are of.
        to: Folder to make; it must be empty or not exist.
        kind: One of :data:`~satpipe.formats.writers.table.WRITERS`.
        what: What the scenes and objects are, for the files' descriptions.
        scenes: The scenes.
        objects_of: What gives the objects of a scene, in its pixels.
        link: Whether images are links to the scenes.

    Raises:
        InputError: If a scene is gone.
        StoreError: If the folder holds files, or cannot be written.
    """
    counts: Counter[str] = Counter()
    with new_folder(to) as folder:
        writer = WRITERS[kind](folder, run.config.ingest.classes[1:], marks_of(run.name, run.licences, what))
        names = place_images([scene.path for scene in scenes], folder / writer.images, link)
        for scene, name in zip(scenes, names, strict=True):
            objects = objects_of(scene)
            counts.update(item.class_name for item in objects)
            shape = scene.height, scene.width, len(scene.bands)
            properties = {"satpipe_scene": scene.scene_id}
            writer.add(LabelledImage(name, shape, objects, scene.crs, scene.transform, properties))
        writer.close()
    return counts


def place_images(paths: Sequence[Path], folder: Path, link: bool) -> list[str]:
    """Copy images into a folder, or link to them, and return their names there, which differ in more than the suffix.

    Raises:
        InputError: If one is gone.
    """
    stems = distinct_file_names([path.stem for path in paths], "scene")
    names = [f"{stem}{path.suffix.lower()}" for stem, path in zip(stems, paths, strict=True)]
    for path, name in zip(paths, names, strict=True):
        if not path.is_file():
            raise InputError(f"scene {path.name} is not where it was read from ({path.parent}); put it back there")
        if link:
            (folder / name).symlink_to(path.absolute())
        else:
            shutil.copyfile(path, folder / name)
    return names


def export_labels(run: Run, to: Path, kind: str, link: bool = False) -> LabelSet:
    """Write the labels of a run's scenes, as ingest read and checked them, beside copies of the scenes.

    A scene with an object whose box is not known (a point, or a chip's class alone) is left out: a detector would learn
    that object as background.

    Args:
        run: The run.
        to: Folder to make; it must be empty or not exist.
        kind: One of :data:`~satpipe.formats.writers.table.WRITERS`.
        link: Whether images are links to the scenes.

    Raises:
        ConfigError: If the run has no scenes yet, or no scene can be written.
        InputError: If a scene is gone.
        StoreError: If the folder holds files, or cannot be written.
    """
    tables = run.artifact("ingest/tables", "scenes", "ingest").path
    scenes, labels = SCENES.read(tables / "scenes.parquet"), LABELS.read(tables / "labels.parquet")
    classes, left_out = run.config.ingest.classes, Counter[str]()
    usable = _usable_labels(labels, classes[0], left_out)
    chosen = _with_boxes(scenes, usable, left_out)
    if not chosen:
        why = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise ConfigError(
            f"run {run.name} has no scene whose objects all have boxes ({why}); `satpipe export chips` writes chips"
        )
    by_scene = {str(name): frame for name, frame in usable.groupby("scene_id", sort=False)}
    files = [scene_file(row, run.store.artifacts) for row in chosen]

    def objects_of(scene: SceneFile) -> list[LabelledObject]:
        return _objects(by_scene.get(scene.scene_id), scene)

    objects = write_labelled(run, to, kind, "Satellite scenes with labels", files, objects_of, link)
    return LabelSet(len(chosen), objects, left_out)


def _usable_labels(labels: pd.DataFrame, background: str, left_out: Counter[str]) -> pd.DataFrame:
    """Return the labels of objects; those that ingest could not use are counted by its reasons."""
    reasons = labels["quarantined"].dropna()
    left_out.update({f"labels: {reason}": int(count) for reason, count in reasons.value_counts(sort=False).items()})
    usable = labels[labels["quarantined"].isna()]
    plain = (usable["class"] == background) & (usable["kind"] != "scene")
    if plain.any():
        left_out[f"labels of the background ({background})"] = int(plain.sum())
    return usable[usable["class"] != background]


def _with_boxes(scenes: pd.DataFrame, labels: pd.DataFrame, left_out: Counter[str]) -> list[dict[Any, Any]]:
    """Return the rows of the scenes that can be written; others are counted."""
    boxless = set(labels.loc[labels["kind"] != BOX, "scene_id"])
    chosen = []
    for row in scenes.to_dict("records"):
        if not pd.isna(row["quarantined"]):
            left_out[f"scenes: {row['quarantined']}"] += 1
        elif not pd.isna(row["item"]):
            left_out["scenes that lie in one file with others"] += 1
        elif row["scene_id"] in boxless:
            left_out["scenes with an object whose box is not known"] += 1
        else:
            chosen.append(row)
    return chosen


def _objects(labels: pd.DataFrame | None, scene: SceneFile) -> list[LabelledObject]:
    """Return the objects of a scene in its pixels, cut off at its edges."""
    shown = []
    for row in () if labels is None else labels.to_dict("records"):
        box = float(row["row_min"]), float(row["col_min"]), float(row["row_max"]), float(row["col_max"])
        outline = None if pd.isna(row["outline"]) else str(row["outline"])
        item, _ = cropped_object(outlined_object(str(row["class"]), box, outline), (scene.height, scene.width))
        if item is not None:
            shown.append(item)
    return shown
