"""Chips with labels of the objects that they show, in the formats of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...dataset import png
from ...formats.writers.base import TRAIN, LabelledImage, LabelWriter, Marks
from ...formats.writers.table import WRITERS
from ...utils.atomic_files import new_folder
from ...utils.errors import ConfigError
from ...utils.file_names import distinct_file_names
from .export import CHUNK, SPLITS, TABLE, chip_names, place_of, table_of, write_csv, write_tif
from .object_labels import ChipObjects


def export_labelled(
    objects: ChipObjects,
    to: Path,
    kind: str,
    classes: Sequence[str],
    marks: Marks,
    scenes: pd.DataFrame,
    roles: dict[str, str] | None = None,
    by_split: bool = False,
) -> pd.DataFrame:
    """Write chips as images with labels in a format of detectors, and ``to/labels.csv``.

    Chips are PNG, or TIFF where PNG does not hold them. One that shows an object whose box is not known is left out.

    Args:
        objects: The chips and their objects; counts what is left out.
        to: Folder to make; it must be empty or not exist.
        kind: One of :data:`~satpipe.formats.writers.table.WRITERS`.
        classes: Classes of objects, in the order of their numbers.
        marks: What is written into files that have room for it.
        scenes: Rows of the scene table, with the columns of the target grid.
        roles: Role of each chip in a split by chip_id, as a column of the table; None leaves the column out.
        by_split: Whether each of :data:`SPLITS` is a set of its own in ``to/<role>``; other chips are left out.

    Returns:
        The table of the chips that were written, as :func:`~.export.export_chips` has it.

    Raises:
        ConfigError: If there are no roles to divide the chips by.
        StoreError: If the folder holds files, or cannot be written.
    """
    if by_split and roles is None:
        raise ConfigError("--layout split/class needs --split NAME, whose roles name the folders")
    store = objects.store
    first = store.read([0])
    suffix = "png" if png.can_hold(str(first.dtype), first.shape[3]) else "tif"
    frame = table_of(store.index, suffix, roles, scenes)
    names = [f"{name}.{suffix}" for name in distinct_file_names(chip_names(store.index), "chip")]
    places = scenes.set_index("scene_id").to_dict("index")
    frame["file"] = pd.NA
    with new_folder(to) as folder:
        splits = [role for role in SPLITS if (frame["role"] == role).any()] if by_split else [""]
        for split in splits:
            rows = np.flatnonzero(frame["role"] == split) if split else np.arange(len(store))
            (folder / split).mkdir(exist_ok=True)
            writer = WRITERS[kind](folder / split, classes, marks, split or TRAIN)
            for row in _write(objects, rows, writer, names, places):
                frame.loc[row, "file"] = "/".join(filter(None, (split, writer.images, names[row])))
            writer.close()
        if by_split:
            WRITERS[kind].join(folder, splits, classes)
        written = frame[frame["file"].notna()].reset_index(drop=True)
        write_csv(written, folder / TABLE)
    return written


def _write(
    objects: ChipObjects,
    rows: npt.NDArray[np.int64],
    writer: LabelWriter,
    names: Sequence[str],
    places: Mapping[Any, Mapping[Any, Any]],
) -> list[int]:
    """Write chips and their labels; return the rows of those that have labels."""
    store, written = objects.store, []
    texts = {"Description": writer.marks.description, "Software": writer.marks.software}
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK].tolist()
        chips = store.read(some)
        shape = chips.shape[1:]
        for row, chip, shown in zip(some, chips, objects.of(some, shape[:2]), strict=True):
            if shown is None:
                continue
            place = place_of(store.index.iloc[row], places)
            path = writer.folder / writer.images / names[row]
            if path.suffix == ".png":
                path.write_bytes(png.encode(chip[None], texts)[0])
            else:
                write_tif(chip, path, place)
            transform = tuple(place["transform"])[:6] if place else None
            writer.add(LabelledImage(path.name, shape, shown, place.get("crs"), transform))
            written.append(row)
    return written
