"""Write generated chips as PNG, GeoTIFF, one array or one Parquet file, with labels for detectors, and their table."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...dataset import png
from ...dataset.chip_store import ShardWriter
from ...dataset.image_parquet import ImageParquet
from ...dataset.scaling import Scaling
from ...formats.writers import DETECTORS
from ...formats.writers.base import LabelledImage, Marks, masked_object
from ...formats.writers.table import WRITERS
from ...utils.csv_safety import csv_escaped
from ...utils.errors import ConfigError
from ...utils.file_names import distinct_file_names
from ...utils.plural import plural
from .sample import Block

LABELS = "labels.csv"
COLUMNS = ("file", "position", "class", "class_number", "seed", "label_score", "nearest_distance", "synthetic")
METADATA = "metadata.csv"
"""The table of labels as `datasets` looks for it in a folder of images."""
ARRAY, TABLE = "chips.npy", "chips.parquet"
SYNTHETIC = {"synthetic": True}
"""What formats with room for it say of each image and object."""


@dataclass(frozen=True)
class Layout:
    """Properties that the chips of a set have in common.

    Attributes:
        folder: Where they go.
        classes: Class names by number.
        scaling: From the generator's range to chip values.
        shape: (H, W, C) of a chip.
        places: Chips that there may be.
        marks: What is written into the files.
        split: Folder of the split that holds the folders of classes; empty for none.
    """

    folder: Path
    classes: tuple[str, ...]
    scaling: Scaling
    shape: tuple[int, int, int]
    places: int
    marks: Marks
    split: str = ""


class Files(ABC):
    """Writes blocks of chips.

    Attributes:
        alone: Whether each chip is a file of its own, so that several threads may write at the same time; otherwise
            blocks must be written in their order.
    """

    alone = False

    def __init__(self, layout: Layout) -> None:
        """Begin the set."""
        self.layout = layout

    @abstractmethod
    def write(self, block: Block, first: int) -> None:
        """Write a block's chips as numbers ``first`` and up."""

    @abstractmethod
    def name(self, label: int, number: int) -> str:
        """Return the file that holds a chip, relative to the folder."""

    @abstractmethod
    def finish(self) -> None:
        """End the set."""


class _Single(Files):
    """A file for each chip, in a folder for each class or in one for all."""

    alone = True
    suffix = ""

    def __init__(self, layout: Layout, folder: str | None = None) -> None:
        """Make the folders; ``folder`` is that for all chips."""
        super().__init__(layout)
        names = distinct_file_names(layout.classes, "class") if folder is None else [folder] * len(layout.classes)
        self.folders = [f"{layout.split}/{name}" if layout.split else name for name in names]
        for name in self.folders:
            (layout.folder / name).mkdir(parents=True, exist_ok=True)

    def name(self, label: int, number: int) -> str:
        """Return a name such as ``ship/000012.png``."""
        return f"{self.folders[label]}/{number:06d}.{self.suffix}"

    def finish(self) -> None:
        """Take away the folders of classes without a chip."""
        for name in set(self.folders):
            folder = self.layout.folder / name
            if not any(folder.iterdir()):
                folder.rmdir()


class Png(_Single):
    """PNG files of uint8 or uint16 chips with one or three bands."""

    suffix = "png"

    def __init__(self, layout: Layout, folder: str | None = None) -> None:
        """Check that PNG can hold the chips.

        Raises:
            ConfigError: If it cannot.
        """
        dtype, bands = layout.scaling.dtype, layout.shape[2]
        if not png.can_hold(dtype, bands):
            raise ConfigError(
                f"chips of {dtype} with {plural(bands, 'band')} cannot be written as PNG; use --format tif, npy"
                " or parquet"
            )
        super().__init__(layout, folder)

    def write(self, block: Block, first: int) -> None:
        """Encode and write each chip."""
        marks = self.layout.marks
        texts = {"Description": marks.description, "Software": marks.software, "Copyright": marks.licence}
        contents = png.encode(self.layout.scaling.invert(block.values), texts)
        for number, content in enumerate(contents, first):
            (self.layout.folder / self.name(block.label, number)).write_bytes(content)


class Tif(_Single):
    """GeoTIFF files of chips of any type, without a position: a synthetic chip has none."""

    suffix = "tif"

    def write(self, block: Block, first: int) -> None:
        """Write each chip with tags that say what it is."""
        from ...raster.gdal import new_geotiff

        layout = self.layout
        marks, (height, width, bands) = layout.marks, layout.shape
        chips = layout.scaling.invert(block.values).transpose(0, 3, 1, 2)
        profile = {"height": height, "width": width, "count": bands, "dtype": layout.scaling.dtype}
        if bands == 3:
            profile |= {"photometric": "RGB"}
        for number, (chip, seed) in enumerate(zip(chips, block.seeds.tolist(), strict=True), first):
            path = layout.folder / self.name(block.label, number)
            with new_geotiff(path, compress="deflate", **profile) as file:
                file.write(np.ascontiguousarray(chip))
                file.update_tags(
                    TIFFTAG_IMAGEDESCRIPTION=marks.description,
                    TIFFTAG_SOFTWARE=marks.software,
                    TIFFTAG_COPYRIGHT=marks.licence,
                    SYNTHETIC="YES",
                    CLASS=layout.classes[block.label],
                    SEED=str(seed),
                )


class Npy(Files):
    """One array (N, H, W, C), read by memory map."""

    def __init__(self, layout: Layout) -> None:
        """Open the array."""
        super().__init__(layout)
        self.shard = ShardWriter(layout.folder, layout.places, layout.shape, layout.scaling.dtype, Path(ARRAY).stem)

    def name(self, label: int, number: int) -> str:
        """Return the array's file."""
        return ARRAY

    def write(self, block: Block, first: int) -> None:
        """Write the block to its places."""
        self.shard.write(first, self.layout.scaling.invert(block.values))

    def finish(self) -> None:
        """Close the array, with no more places than chips."""
        self.shard.finish()


class Parquet(Files):
    """One Parquet file with a row for each chip: its picture or its values, class, seed and scores."""

    def __init__(self, layout: Layout) -> None:
        """Open the file."""
        super().__init__(layout)
        marks = layout.marks
        about = {"description": marks.description, "software": marks.software, "copyright": marks.licence}
        columns = {"seed": "int64", "label_score": "float64", "nearest_distance": "float64"}
        dtype, path = layout.scaling.dtype, layout.folder / TABLE
        self.file = ImageParquet(path, layout.shape, dtype, layout.classes, columns, {"synthetic": "yes", **about})

    def name(self, label: int, number: int) -> str:
        """Return the table's file."""
        return TABLE

    def write(self, block: Block, first: int) -> None:
        """Add the block."""
        columns = {"seed": block.seeds, "label_score": block.label_score, "nearest_distance": block.distance}
        names = [f"{number:06d}.png" for number in range(first, first + len(block))]
        self.file.add(self.layout.scaling.invert(block.values), np.full(len(block), block.label), columns, names)

    def finish(self) -> None:
        """End the file."""
        self.file.close()


class Labelled(Files):
    """A PNG file for each chip, a GeoTIFF where PNG does not hold it, with labels of its objects for detectors."""

    def __init__(self, layout: Layout, kind: str) -> None:
        """Begin; ``kind`` is a format of labels."""
        super().__init__(layout)
        self.writer = WRITERS[kind](layout.folder, layout.classes[1:], layout.marks)
        chips: type[_Single] = Png if png.can_hold(layout.scaling.dtype, layout.shape[2]) else Tif
        self.chips = chips(layout, self.writer.images)

    def name(self, label: int, number: int) -> str:
        """Return the file's name, such as ``images/000012.png``."""
        return self.chips.name(label, number)

    def write(self, block: Block, first: int) -> None:
        """Write each chip and its objects."""
        self.chips.write(block, first)
        size = self.layout.shape[:2]
        name = self.layout.classes[block.label]
        for number, (masks, seed) in enumerate(zip(block.objects, block.seeds.tolist(), strict=True), first):
            objects = [masked_object(name, mask, size, properties=SYNTHETIC) for mask in masks]
            shown = [item for item in objects if item is not None]
            file = Path(self.name(block.label, number)).name
            properties = {**SYNTHETIC, "seed": seed}
            self.writer.add(LabelledImage(file, self.layout.shape, shown, properties=properties))

    def finish(self) -> None:
        """End the labels."""
        self.writer.close()


CLASS_FOLDERS = ("png", "tif")
"""Formats with a file for each chip in a folder for its class."""
FORMATS: dict[str, Callable[[Layout], Files]] = {
    "png": Png,
    "tif": Tif,
    "npy": Npy,
    "parquet": Parquet,
    **{kind: partial(Labelled, kind=kind) for kind in DETECTORS},
}


class LabelTable:
    """Table of labels: a row for each chip, written one by one."""

    def __init__(self, folder: Path, within: str | None = None) -> None:
        """Begin ``labels.csv``; or, for chips below ``within``, ``metadata.csv`` there with paths from there."""
        self.within = within
        path = folder / LABELS if within is None else folder / within / METADATA
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.writer.writerow(COLUMNS if within is None else ("file_name", *COLUMNS[1:]))

    def add(self, block: Block, first: int, files: Files, classes: Sequence[str]) -> None:
        """Add a block's chips."""
        for place, number in enumerate(range(first, first + len(block))):
            name = files.name(block.label, number)
            row = (
                csv_escaped(name if not self.within else name.removeprefix(f"{self.within}/")),
                number,
                csv_escaped(classes[block.label]),
                block.label,
                int(block.seeds[place]),
                _number(block.label_score[place]),
                _number(block.distance[place]),
                "yes",
            )
            self.writer.writerow(row)

    def close(self) -> None:
        """End the table."""
        self.file.close()


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"
