"""Write Pascal VOC: an XML for each image, its objects' masks as one picture, and the list of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from .base import TRAIN, LabelledImage, LabelledObject, LabelWriter, Marks

UNLABELLED = 255
"""Value of pixels that count for nothing; no object has it."""


class VocWriter(LabelWriter):
    """Writes ``Annotations/NAME.xml``, ``SegmentationObject/NAME.png`` and ``ImageSets/Main/SPLIT.txt``."""

    images = "JPEGImages"

    def __init__(self, folder: Path, classes: Sequence[str], marks: Marks, split: str = TRAIN) -> None:
        """Begin."""
        super().__init__(folder, classes, marks, split)
        self._stems: list[str] = []

    def add(self, image: LabelledImage) -> None:
        """Write the XML of an image, with corners counted from 1 and both inside the box, and its masks."""
        height, width, bands = image.shape
        root = ET.Element("annotation")
        _add(root, folder=self.images, filename=image.file)
        _add(_child(root, "source"), database=self.marks.description, annotation=self.marks.software)
        _add(_child(root, "size"), width=width, height=height, depth=bands)
        _add(root, segmented=int(any(map(_has_shape, image.objects))))
        for item in image.objects:
            element = _child(root, "object")
            _add(element, name=item.class_name, truncated=int(item.truncated), difficult=0)
            top, left, bottom, right = image.whole_pixels(item.box)
            _add(_child(element, "bndbox"), xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
        ET.indent(root)
        text = ET.tostring(root, encoding="unicode")
        (self.folder_of("Annotations") / f"{image.stem}.xml").write_text(text + "\n", "utf-8")
        self._stems.append(image.stem)
        if all(map(_has_shape, image.objects)):
            self._write_masks(image)

    def _write_masks(self, image: LabelledImage) -> None:
        """Write the picture of an image's masks: the n-th object's pixels have the value n.

        Pixels of an outline are those whose centres it contains.
        """
        import numpy as np
        import shapely
        from PIL import Image
        from rasterio.features import rasterize

        numbers = [number for number in range(1, len(image.objects) + 2) if number != UNLABELLED]
        values = np.zeros(image.shape[:2], np.uint8 if len(image.objects) < UNLABELLED else np.uint16)
        for number, item in zip(numbers, image.objects, strict=False):
            if item.mask is None:
                rasterize([shapely.Polygon(ring) for ring in item.outline], out=values, default_value=number)
            else:
                top, left, bottom, right = map(int, item.box)
                values[top:bottom, left:right][item.mask] = number
        Image.fromarray(values).save(self.folder_of("SegmentationObject") / f"{image.stem}.png")

    def close(self) -> None:
        """Write the list of images."""
        sets = self.folder_of("ImageSets") / "Main"
        sets.mkdir(exist_ok=True)
        (sets / f"{self.split}.txt").write_text("".join(f"{stem}\n" for stem in self._stems), "utf-8")


def _has_shape(item: LabelledObject) -> bool:
    """Return whether more than the object's box is known."""
    return item.mask is not None or len(item.rings) > 0


def _child(parent: ET.Element, tag: str) -> ET.Element:
    return ET.SubElement(parent, tag)


def _add(parent: ET.Element, **values: object) -> None:
    for tag, value in values.items():
        _child(parent, tag).text = str(value)
