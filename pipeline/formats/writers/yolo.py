"""Write YOLO: a text file of boxes for each image, and ``data.yaml`` with the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from .base import LabelledImage, LabelWriter

FILE = "data.yaml"
KEYS = {"train": "train", "validation": "val", "test": "test"}
"""Key of each split in the file."""


class YoloWriter(LabelWriter):
    """Writes ``labels/NAME.txt`` beside ``images/``, and ``data.yaml``."""

    def add(self, image: LabelledImage) -> None:
        """Write a line for each object: class, centre, width and height, as shares of the image's sides."""
        height, width, _ = image.shape
        lines = []
        for item in image.objects:
            top, left, bottom, right = image.clipped(item.box)
            place = (left + right) / 2 / width, (top + bottom) / 2 / height
            sides = (right - left) / width, (bottom - top) / height
            # Eight decimals: a thousandth of a pixel in a scene of 100,000.
            numbers = " ".join(f"{value:.8f}" for value in (*place, *sides))
            lines.append(f"{self.classes.index(item.class_name)} {numbers}\n")
        (self.folder_of("labels") / f"{image.stem}.txt").write_text("".join(lines), "utf-8")

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
