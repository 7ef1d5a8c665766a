"""Which reader is for the labels of which kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import class_folders, coco, csv, custom, vector, voc, yolo
from .label import Labels


@dataclass(frozen=True)
class Given:
    """What a reader of labels is given.

    Attributes:
        scenes: Rows of the catalogue of the source, quarantined ones too.
        files: Label files by name.
        own: The name of the label file that is for one scene alone, by the scene's path below its source.
        settings: What the configuration of the source says of its labels.
        classes: Names of the classes; the position is the class number.
    """

    scenes: Sequence[Mapping[str, Any]]
    files: Mapping[str, Path]
    own: Mapping[str, str]
    settings: Mapping[str, Any]
    classes: Sequence[str]

    @property
    def by_scene(self) -> dict[str, Path]:
        """The label file of each scene that has one of its own."""
        return {scene: self.files[name] for scene, name in self.own.items()}


READERS: dict[str, Callable[[Given], Labels]] = {
    "simulated": lambda given: vector.read(given.scenes, given.files, given.own, vector.Reading()),
    "geojson": lambda given: vector.read(given.scenes, given.files, given.own, vector.Reading(**given.settings)),
    "yolo": lambda given: yolo.read(given.scenes, given.by_scene, **given.settings),
    "voc": lambda given: voc.read(given.scenes, given.by_scene),
    "coco": lambda given: coco.read(given.scenes, given.files),
    "csv": lambda given: csv.read(given.scenes, given.files, **given.settings),
    "custom": lambda given: custom.read(given.scenes, given.files, **given.settings),
    "shipsnet": lambda given: class_folders.numbered(given.scenes, given.classes),
    "folders": lambda given: class_folders.named(given.scenes),
}


def read(kind: str, given: Given) -> Labels:
    """The labels of a source of one kind."""
    return READERS[kind](given)
