"""Write YOLO: a text file of boxes for each image, and ``data.yaml`` with the names of the classes."""

from __future__ import annotations

import yaml

from .base import LabelledImage, LabelWriter


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
        note = f"# {self.marks.description} Licence: {self.marks.licence}\n# val: name a folder of real images.\n"
        (self.folder / "data.yaml").write_text(note + text, "utf-8")
