"""Write DOTA: a text file for each image with four corners, class and difficulty in a line."""

from __future__ import annotations

from .base import LabelledImage, LabelWriter


class DotaWriter(LabelWriter):
    """Writes ``labelTxt/NAME.txt``; a truncated object is a difficult one. Names of classes have no spaces there."""

    def add(self, image: LabelledImage) -> None:
        """Write the corners of the smallest turned rectangle around each object, in pixels."""
        lines = [f"imagesource:{self.marks.description}\n", "gsd:null\n"]
        for item in image.objects:
            numbers = " ".join(f"{value:.2f}" for corner in item.corners for value in corner)
            lines.append(f"{numbers} {'-'.join(item.class_name.split())} {int(item.truncated)}\n")
        (self.folder_of("labelTxt") / f"{image.stem}.txt").write_text("".join(lines), "utf-8")
