"""Artifacts ``features-<batch>``: pictures and keypoints of a batch of scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ....raster.cut import cut
from ....raster.gdal import SceneFile, scene_file
from ....raster.grid import Target
from ..cut import records
from .features import (
    ALIGNED,
    DENSITY,
    REDUCTION,
    Features,
    Picture,
    concatenated,
    contrast_picture,
    find_features,
    picture_shape,
)

SCENES, PICTURES, KEYPOINTS, DESCRIPTORS = "scenes.parquet", "pictures.npy", "keypoints.npy", "descriptors.npy"
_BLOCK = 1024
"""Side of the blocks, in chip pixels, that a scene is searched in."""
_MARGIN = 32
"""Pixels around a block that its keypoints may reach into."""


def extract_batch(
    scenes: pd.DataFrame,
    resampling: str | None,
    store: Path,
    out: Path,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Write the pictures and the keypoints of scenes, on the chips' grid.

    Args:
        scenes: Rows of the scene table with the columns of the target grid.
        resampling: Kernel for scenes of another GSD.
        store: Root of the committed artifacts, for scenes that lie in it.
        out: Folder of the artifact.
        workers: Threads that read a scene.
        progress: Told how many scenes are done, of how many.

    Returns:
        Metadata: scenes and keypoints.

    Raises:
        InputError: If a scene is damaged.
    """
    rows, batches, start, first = [], [], 0, 0
    shapes = [picture_shape(row["target_height"], row["target_width"]) for row in records(scenes)]
    pixels = sum(height * width for height, width in shapes)
    pictures = np.lib.format.open_memmap(out / PICTURES, "w+", np.uint8, (pixels,))
    for done, (row, (height, width)) in enumerate(zip(records(scenes), shapes, strict=True)):
        progress(done, len(scenes))
        target = Target(row["target_height"], row["target_width"], row["scale_row"], row["scale_col"])
        picture = pictures[start : start + height * width].reshape(height, width)
        # Ready-cut chips may be too small, and many: they are not even read.
        scene = scene_file(row, store)
        features = _scene_features(scene, target, resampling, workers, picture) if picture.size else concatenated([])
        rows.append((row["scene_id"], target.height, target.width, start, first, len(features)))
        start, first = start + height * width, first + len(features)
        batches.append(features)
    pictures.flush()
    every = concatenated(batches)
    np.save(out / KEYPOINTS, np.column_stack([every.places, every.sizes, every.angles]))
    np.save(out / DESCRIPTORS, every.descriptors)
    names = ["scene_id", "height", "width", "picture", "first", "count"]
    table = pa.Table.from_pandas(pd.DataFrame(rows, columns=names), preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), out / SCENES, compression="zstd")
    progress(len(scenes), len(scenes))
    return {"scenes": len(scenes), "keypoints": len(every)}


def _scene_features(
    scene: SceneFile, target: Target, resampling: str | None, workers: int, picture: Picture
) -> Features:
    """Fill the picture of a scene block by block, and return its keypoints."""
    parts, ranks = [], []
    for (row, col), pixels in _blocks(scene, target, resampling, workers):
        top, left = max(row - _MARGIN, 0), max(col - _MARGIN, 0)
        block = contrast_picture(pixels)
        corner = [round(place * REDUCTION) for place in (row, col, top, left)]
        inner = block[corner[0] - corner[2] :, corner[1] - corner[3] :]
        core = round(_BLOCK * REDUCTION)
        inner = inner[: min(core, picture.shape[0] - corner[0]), : min(core, picture.shape[1] - corner[1])]
        picture[corner[0] : corner[0] + inner.shape[0], corner[1] : corner[1] + inner.shape[1]] = inner
        features = find_features(block, round(pixels.shape[0] * pixels.shape[1] * DENSITY))
        places = features.places + np.array([left, top], np.float32)
        inside = np.all((places >= (col, row)) & (places < (col + _BLOCK, row + _BLOCK)), axis=1)
        parts.append(
            Features(places, features.sizes, features.angles, features.descriptors).take(np.flatnonzero(inside))
        )
        ranks.append(np.arange(len(parts[-1])))
    every = concatenated(parts)
    # The strongest of all blocks first: where keypoints have to be left out, no block loses all of its own.
    return every.take(np.argsort(np.concatenate(ranks), kind="stable")) if ranks else every


def _blocks(
    scene: SceneFile, target: Target, resampling: str | None, workers: int
) -> Iterator[tuple[tuple[int, int], npt.NDArray[Any]]]:
    """Yield the corners of blocks and their pixels with the margin around them that lies in the scene."""
    single = max(target.height, target.width) <= _BLOCK
    size = max(target.height, target.width) if single else _BLOCK + 2 * _MARGIN
    rows, cols = (range(0, side, _BLOCK) for side in (target.height, target.width))
    corners = np.array([(row, col) for row in rows for col in cols], np.int64)
    for piece in cut(scene, corners - (0 if single else _MARGIN), size, target, resampling, workers):
        for number, pixels, share in zip(piece.windows, piece.chips, piece.valid, strict=True):
            if share == 0:
                continue
            row, col = (int(place) for place in corners[number])
            inside = pixels if single else pixels[max(_MARGIN - row, 0) :, max(_MARGIN - col, 0) :]
            top, left = max(row - _MARGIN, 0), max(col - _MARGIN, 0)
            inside = inside[: target.height - top, : target.width - left]
            beyond = [(0, -side % ALIGNED) for side in inside.shape[:2]]
            yield (row, col), np.pad(inside, [*beyond, (0, 0)], mode="edge")
