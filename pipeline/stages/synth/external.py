"""External chips, such as those of another generator, as one more set of synthetic chips."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...dataset.chip_store import write_shard
from ...dataset.contact_sheet import COLUMNS, draw_sheet, viewable
from ...dataset.tables import write_synthetic
from ...engine.task import TaskContext, read_metadata
from ...raster.gdal import alpha_band, open_scene
from ...utils.errors import InputError


def run(context: TaskContext) -> dict[str, Any]:
    """Read the images into the chip store: chips.npy, index.parquet, sheet.png.

    The task's files are named ``class/image``.

    Raises:
        InputError: If an image cannot be read or differs from the run's chips in shape or dtype.
    """
    classes = list(context.config["classes"])
    index = read_metadata(context.folder("index"))
    expected, dtype = tuple(index["shape"]), str(index["dtype"])
    names = sorted(context.task.files)
    chips = np.empty((len(names), *expected), dtype)
    for number, name in enumerate(names):
        chips[number] = read_image(context, name, expected, dtype)
        context.progress.update(number + 1, len(names), "chips")
    labels = np.array([classes.index(name.partition("/")[0]) for name in names])
    origin = str(context.config["name"])
    columns = {
        "chip_id": [f"{origin}/{name}" for name in names],
        "scene_id": [origin] * len(names),
        "class": [classes[label] for label in labels],
        "shard": [write_shard(chips, context.out)] * len(names),
        "position": np.arange(len(names)),
        "split": [str(context.config["split"])] * len(names),
        "seed": [None] * len(names),
        "label_score": np.nan,
        "nearest_distance": np.nan,
        "accepted": True,
        "reason": [None] * len(names),
    }
    write_synthetic(columns, context.out / "index.parquet")
    shown = [np.flatnonzero(labels == index)[: 2 * COLUMNS] for index in range(len(classes))]
    pictures = viewable(chips[np.concatenate(shown)])
    draw_sheet(np.split(pictures, np.cumsum([len(rows) for rows in shown])[:-1])).save(context.out / "sheet.png")
    counts = {name: int((labels == number).sum()) for number, name in enumerate(classes)}
    return {"accepted": counts, "candidates": counts, "reasons": {}, "screened": False, "external": origin}


def read_image(context: TaskContext, name: str, expected: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Read one image as a chip (H, W, C), without its alpha band."""
    with open_scene(context.file(name)) as dataset:
        alpha = alpha_band(dataset)
        bands = [band for band in range(1, dataset.count + 1) if band != alpha]
        shape, found_dtype = (dataset.height, dataset.width, len(bands)), str(dataset.dtypes[0])
        if shape != expected or found_dtype != dtype:
            raise InputError(
                f"{name} of the external folder {context.config['name']} is {found_dtype} {shape}, but the run's chips"
                f" are {dtype} {expected}; use chips of that size, or set chips.size_px"
            )
        return np.asarray(dataset.read(bands).transpose(1, 2, 0))
