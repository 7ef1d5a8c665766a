"""Scenes of a call: opened by their header, on the grid that the model learned at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config.run import RunConfig
from ...formats.scenes import Reading, header
from ...raster import gdal
from ...raster.gdal import SceneFile
from ...raster.grid import Extent, Target, pixel_size_m, targets
from ...utils.errors import ConfigError, InputError
from ...utils.plural import plural

COARSEST = 0.5
"""A scene with fewer of its own pixels than this for a pixel of the chips is said to be too coarse."""


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        name: Its file's name; unique among the scenes of a call.
        row: Its row of the catalogue, which readers of labels need.
        file: What a reader of pixels needs.
        grid: Its grid at the model's GSD.
        kernel: Resampling kernel, where that is another one than its own.
        note: What the user should know of it, or None.
    """

    name: str
    row: dict[str, Any]
    file: SceneFile
    grid: Target
    kernel: str
    note: str | None

    def to_scene(self, row: float, col: float) -> tuple[float, float]:
        """Convert a position on the grid to row and column in the scene's own pixels."""
        return row * self.grid.scale_row, col * self.grid.scale_col

    def to_map(self, row: float, col: float) -> tuple[float, float]:
        """Convert a position in the scene's pixels to x, y in its CRS; to column and row where it has none."""
        if self.file.transform is None:
            return col, row
        a, b, c, d, e, f = self.file.transform[:6]
        return a * col + b * row + c, d * col + e * row + f


@dataclass(frozen=True)
class Wanted:
    """Input that a model takes, and what is known of scenes that do not say.

    Attributes:
        bands: Number of bands.
        dtype: Type of the pixels.
        gsd_m: Metres per pixel at which it learned, or None where that is not known.
        kernel: Kernel of the run, or None.
        reading: How scenes are read.
        model: What it is called in messages.
    """

    bands: int
    dtype: str
    gsd_m: float | None
    kernel: str | None
    reading: Reading
    model: str = "classifier"


def reading_of(config: RunConfig, gsd_m: float | None, nodata: float | None) -> Reading:
    """Return how to read scenes: as the user says, else as the run's own were read where its sources agree."""
    sources = config.ingest.sources
    known_gsd = {source.gsd_m for source in sources}
    known_nodata = {source.nodata for source in sources}
    return Reading(
        "detect",
        config.ingest.bands,
        config.ingest.max_pixels,
        gsd_m if gsd_m is not None else (known_gsd.pop() if len(known_gsd) == 1 else None),
        nodata if nodata is not None else (known_nodata.pop() if len(known_nodata) == 1 else None),
    )


def open_scenes(paths: Sequence[Path], wanted: Wanted) -> list[Scene]:
    """Open the scenes at ``paths``.

    Raises:
        InputError: If a file is not a scene, or the model cannot take it.
    """
    names = distinct_names(paths)
    return [_open(path, name, wanted) for path, name in zip(paths, names, strict=True)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Name each scene by its file, with the folder's name before it where two are the same.

    Raises:
        ConfigError: If a scene is given twice.
    """
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    longer = [f"{path.parent.name}/{path.name}" for path in paths]
    if len(set(longer)) < len(longer):
        again = next(name for number, name in enumerate(longer) if name in longer[:number])
        raise ConfigError(f"scene {again} is given twice; give each scene once")
    return longer


def _open(path: Path, name: str, wanted: Wanted) -> Scene:
    row = header(path, name, wanted.reading) | {"path": str(path.absolute())}
    file = gdal.scene_file(row, path.parent)
    row["path"] = name
    if len(file.bands) != wanted.bands or file.dtype != wanted.dtype:
        raise InputError(
            f"{name} has {plural(len(file.bands), 'band')} of {file.dtype}, and the {wanted.model} was trained on"
            f" {wanted.bands} of {wanted.dtype}; convert the scene, or train on scenes like it"
        )
    grid, kernel, note = _grid(row, file, wanted)
    return Scene(name, row, file, grid, kernel, note)


def _grid(row: dict[str, Any], file: SceneFile, wanted: Wanted) -> tuple[Target, str, str | None]:
    """Return the scene's grid at the model's GSD, the kernel, and what the user should know."""
    if wanted.gsd_m is None:
        return Target(file.height, file.width), "average", None
    if file.gsd_m is None:
        raise InputError(
            f"{row['scene_id'].partition('/')[2]} does not state its GSD, and the {wanted.model} was trained at"
            f" {wanted.gsd_m:g} m; give --gsd in metres per pixel"
        )
    size = (file.gsd_m, file.gsd_m)
    if file.crs is not None and row["transform"] is not None:
        transform = tuple(json.loads(row["transform"]))
        size = pixel_size_m(file.crs, transform, file.width, file.height)[::-1]
    finer = file.gsd_m < wanted.gsd_m
    kernel = wanted.kernel or ("average" if finer else "cubic")
    (grid,) = targets([Extent(file.scene_id, file.height, file.width, size)], wanted.gsd_m, kernel)
    note = None
    if grid.scale_row < COARSEST:
        note = (
            f"its pixels of {file.gsd_m:g} m are coarse for a classifier trained at {wanted.gsd_m:g} m: expect it"
            " to miss small objects"
        )
    return grid, kernel, note
