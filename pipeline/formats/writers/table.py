"""Table of formats in which labels are written: `generate --format` and `export` read it."""

from __future__ import annotations

from .base import LabelWriter
from .coco import CocoWriter
from .dota import DotaWriter
from .geojson import GeojsonWriter
from .voc import VocWriter
from .yolo import YoloSegmentationWriter, YoloWriter

WRITERS: dict[str, type[LabelWriter]] = {
    "coco": CocoWriter,
    "yolo": YoloWriter,
    "yolo-seg": YoloSegmentationWriter,
    "voc": VocWriter,
    "dota": DotaWriter,
    "geojson": GeojsonWriter,
}
"""Every writer by its format's name: the `type` of the reader, and where it has several, what sets the writer apart."""
