"""Chips that arrived cut, in folders that are named for their class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..utils.errors import InputError
from ..utils.plural import plural
from .base import ChipSource, LabelFormat, LabelInput, Recognised, Row, SourceBase
from .inventory import Inventory, some, spread
from .label import Label, Labels

MAX_CHIP_PX = 512
"""Images in class folders count as chips up to this side; larger ones are scenes that were sorted into folders."""
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "trainval", "holdout"}
PICTURES = {
    *("images", "image", "imgs", "img", "jpegimages", "allimages", "pictures", "photos", "rgb", "scenes", "tiles"),
    *("patches", "chips", "data", "dataset", "raw", "input", "inputs"),
}
MASKS = {
    *("labels", "label", "masks", "mask", "gt", "groundtruth", "ground_truth", "ground-truth", "annotations"),
    *("annos", "annotation", "targets", "target", "segmentation", "segmentationclass", "seg", "semantic"),
    *("labelmasks", "segmentations", "landmask", "landmasks"),
}
MASK_FOLDER = re.compile(r"(.*[_-])?(labels?|masks?|gt|annotations?)([_-].*)?", re.IGNORECASE)
NUMBERED_CLASS = re.compile(r"(class|cls|label|category|cat|type|level|grade|kind)?[ _-]?\d{1,3}", re.IGNORECASE)


class FoldersSource(SourceBase):
    """Chips in folders that are named for their class."""

    type: Literal["folders"] = "folders"
    path: str
    """Folder with one folder per class, named as in `ingest.classes`, at any depth; other folders on the way (train,
    val, a site) name no class. The class is the deepest folder that is one, else the one that holds the picture."""


def read(given: LabelInput) -> Labels:
    """Return labels from the names of the folders that the chips lie in."""
    classes = set(given.classes)
    labels = []
    for label in covering(given.scenes):
        folders = label.class_name.split("/") if label.class_name else []
        name = next((folder for folder in reversed(folders) if folder in classes), folders[-1] if folders else "")
        labels.append(replace(label, class_name=name))
    return Labels(labels)


def covering(scenes: Sequence[Mapping[str, Any]]) -> Iterator[Label]:
    """Yield a label for each scene that can be used, covering it, with what came with the chip as its class."""
    for scene in scenes:
        if scene["quarantined"] is None:
            name, given = str(scene["scene_id"]), scene["given"]
            box = (0.0, 0.0, float(scene["height"]), float(scene["width"]))
            yield Label(name, name, "" if given is None else str(given), "scene", box, name)


def scene_columns(name: str, _: Row) -> Row:
    """Return the folders that an image lies in as what came with it."""
    return {"given": name.rpartition("/")[0] or None}


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise images in folders that are named for their class.

    The level whose folders are the classes is the deepest one with two or more names that are neither splits (train),
    nor kinds of pictures (images, masks), nor scenes (numbered, or with one picture each).
    """
    paths = [name.split("/")[:-1] for name in folder.images]
    counts: Counter[str] = Counter()
    for depth in range(max(map(len, paths), default=0)):
        level = Counter(path[-1 - depth] for path in paths if len(path) > depth)
        level = Counter({name: count for name, count in level.items() if name.lower() not in SPLITS | PICTURES})
        if is_class_level(level, len(folder.images)):
            counts = level
            break
    if not counts or any(is_mask_folder(part) for part in {part for path in paths for part in path}):
        return None
    sides = [side for name in spread(folder.images, 20) for side in size_of(folder.path(name))]
    if not sides or max(sides) > MAX_CHIP_PX:
        return None
    names = [f"{name} {count:,}" for name, count in sorted(counts.items())]
    says = f"chips in {plural(len(counts), 'folder')}: {some(names, 8)}"
    source = {"type": "folders", "path": str(folder.root)}
    return Recognised(source, says, {}, tuple(sorted(counts)), sum(counts.values()), folder.images)


def is_mask_folder(name: str) -> bool:
    """Return whether a folder is named for masks: `masks`, `train_labels`, `gt` ..."""
    return name.lower() in MASKS or MASK_FOLDER.fullmatch(name) is not None


def is_class_level(counts: Mapping[str, int], images: int) -> bool:
    """Return whether folders with these numbers of pictures can be classes."""
    names = [name.lower() for name in counts]
    if len(names) < 2 or sum(counts.values()) * 2 <= images or any(map(is_mask_folder, names)):
        return False
    if sum(counts.values()) < 2 * len(names):
        return False  # a folder for each picture
    numbered = [name for name in names if re.search(r"\d", name)]
    scenes = len(numbered) == len(names) and not all(NUMBERED_CLASS.fullmatch(name) for name in names)
    return not scenes


def size_of(path: Path) -> tuple[int, ...]:
    """Return height and width of an image; nothing where it cannot be opened."""
    from ..raster import gdal

    try:
        with gdal.open_scene(path) as dataset:
            return dataset.height, dataset.width
    except InputError:
        return ()


FORMAT = LabelFormat(
    title="Class folders",
    files="chips in one folder per class, also below `train/` and `val/` or deeper",
    source=FoldersSource,
    read=read,
    recognise=recognise,
    chips=ChipSource(scene_columns),
)
