"""Write YOLO: a text file of boxes or polygons for each image, and ``data.yaml`` with the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from .base import LabelledImage, LabelledObject, LabelWriter

FILE = "data.yaml"
KEYS = {"train": "train", "validation": "val", "test": "test"}
"""Key of each split in the file."""


class YoloWriter(LabelWriter):
    """Writes ``labels/NAME.txt`` beside ``images/``, and ``data.yaml``."""

    def add(self, image: LabelledImage) -> None:
        """Write a line for each object: its class, and where it is as shares of the image's sides."""
        lines = []
        for item in image.objects:
            # Eight decimals: a thousandth of a pixel in a scene of 100,000.
            numbers = " ".join(f"{value:.8f}" for value in self.place(item, image))
            lines.append(f"{self.classes.index(item.class_name)} {numbers}\n")
        (self.folder_of("labels") / f"{image.stem}.txt").write_text("".join(lines), "utf-8")

    def place(self, item: LabelledObject, image: LabelledImage) -> Sequence[float]:
        """Return x and y of the centre of an object's box, and its width and height."""
        height, width, _ = image.shape
        top, left, bottom, right = image.clipped(item.box)
        return (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height

    def close(self) -> None:
        """Write the data set's file."""
        names = dict(enumerate(self.classes))
        text = yaml.safe_dump({"train": self.images, "val": self.images, "names": names}, sort_keys=False)
        note = f"# {self.marks.description} Licence: {self.marks.licence}\n# val: name images to validate with.\n"
        (self.folder / FILE).write_text(note + text, "utf-8")

    @classmethod
    def join(cls, folder: Path, splits: Sequence[str], classes: Sequence[str]) -> None:
        """Write a data set's file that names the images of each split."""
        places = {KEYS[split]: f"{split}/{cls.images}" for split in splits}
        text = yaml.safe_dump({**places, "names": dict(enumerate(classes))}, sort_keys=False)
        (folder / FILE).write_text(text, "utf-8")


class YoloSegmentationWriter(YoloWriter):
    """Writes polygons in place of boxes, as the segmentation task of ultralytics reads them."""

    def place(self, item: LabelledObject, image: LabelledImage) -> Sequence[float]:
        """Return x and y of the vertices of an object's outline, or of its box where that is all that is known.

        A line holds one polygon: further rings begin and end at its first vertex, joined by edges without width.
        """
        height, width, _ = image.shape
        first, *others = item.outline
        vertices = [*first[:-1], *(vertex for ring in others for vertex in (first[0], *ring))]
        edges = [(min(max(x / width, 0.0), 1.0), min(max(y / height, 0.0), 1.0)) for x, y in vertices]
        return [value for vertex in edges for value in vertex]
