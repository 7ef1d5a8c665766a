"""Write COCO: one JSON with images, categories and annotations; masks as compressed runs, outlines as polygons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import rle
from .base import TRAIN, LabelledImage, LabelledObject, LabelWriter, Marks

FILE = "annotations.json"


class CocoWriter(LabelWriter):
    """Writes ``annotations.json``; file names in it are relative to ``images/``. Categories count from 1.

    Properties of images stand among their keys, those of objects under `attributes`, as CVAT has them; the score of a
    detection is `score`, as in COCO's results.
    """

    def __init__(self, folder: Path, classes: Sequence[str], marks: Marks, split: str = TRAIN) -> None:
        """Begin."""
        super().__init__(folder, classes, marks, split)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image: LabelledImage) -> None:
        """Add an image and its annotations."""
        height, width, _ = image.shape
        number = len(self._images) + 1
        entry = {"id": number, "file_name": image.file, "height": height, "width": width, "license": 1}
        self._images.append(entry | dict(image.properties))
        for item in image.objects:
            top, left, bottom, right = item.box
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": number,
                    "category_id": self.classes.index(item.class_name) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": item.area,
                    "segmentation": _segmentation(item, (height, width)),
                    "iscrowd": 0,
                    **({"attributes": dict(item.properties)} if item.properties else {}),
                    **({} if item.score is None else {"score": item.score}),
                }
            )

    def close(self) -> None:
        """Write the file."""
        data = {
            "info": {"description": self.marks.description, "contributor": self.marks.software},
            "licenses": [{"id": 1, "name": self.marks.licence, "url": ""}],
            "categories": [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)],
            "images": self._images,
            "annotations": self._annotations,
        }
        (self.folder / FILE).write_text(json.dumps(data, ensure_ascii=False) + "\n", "utf-8")


def _segmentation(item: LabelledObject, size: tuple[int, int]) -> dict[str, Any] | list[list[float]]:
    """Return a mask as runs, an outline as polygons; an empty list where the box is all that is known."""
    if item.mask is not None:
        counts = rle.to_compressed(item.mask, int(item.box[0]), int(item.box[1]), *size)
        return {"size": list(size), "counts": counts}
    return [[value for point in ring for value in point] for ring in item.outline] if item.rings else []
