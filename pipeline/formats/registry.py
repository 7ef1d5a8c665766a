"""Table of label formats: configuration, `satpipe init`, ingest, `detect --truth` and the docs read it."""

from __future__ import annotations

from pathlib import Path

from . import (
    airbus,
    class_folders,
    coco,
    csv,
    custom,
    cvat,
    dota,
    fair1m,
    hrsc,
    label_studio,
    labelme,
    masks,
    shipsnet,
    unlabelled,
    vector,
    via,
    voc,
    xview3,
    yolo,
)
from .base import LabelFormat, LabelInput
from .label import Labels

FORMATS: dict[str, LabelFormat] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        shipsnet,
        yolo,
        dota,
        voc,
        fair1m,
        hrsc,
        coco,
        cvat,
        labelme,
        label_studio,
        via,
        vector,
        airbus,
        xview3,
        csv,
        masks,
        class_folders,
        unlabelled,
        custom,
    )
}
"""Every format by the `type` of its sources, the more telling ones first: `init` prefers them."""


def read(name: str, given: LabelInput) -> Labels:
    """Read the labels of a source of one format."""
    return FORMATS[name].read(given)


def identify(path: Path) -> LabelFormat | None:
    """Return the format of a label file by its suffix and content, or None."""
    suffix = path.suffix.lower()
    matching = (item for item in FORMATS.values() if suffix in item.suffixes and item.holds is not None)
    return next((item for item in matching if item.holds is not None and item.holds(path)), None)
