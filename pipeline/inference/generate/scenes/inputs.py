"""User's scenes, the labels in them, and the areas in which objects may lie."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from ....engine.runs import Run
from ....formats import vector
from ....formats.base import LabelInput
from ....formats.label import Label
from ....formats.registry import identify
from ....models.generator import Generator
from ....utils.errors import ConfigError, InputError
from ...detect.scenes import Scene, Wanted, open_scenes, reading_of

LARGEST_RATIO = 2.0
"""Largest ratio of the GSDs of a scene and of the generator's chips."""


def find_scenes(patterns: Sequence[str]) -> list[Path]:
    """Return the files that paths and glob patterns name, in order, each once.

    Raises:
        ConfigError: If a pattern names none.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        named = [pattern] if Path(pattern).exists() else sorted(glob(pattern, recursive=True))  # noqa: PTH207 - absolute
        if not named:
            raise ConfigError(f"--scenes {pattern}: no such file")
        paths |= dict.fromkeys(map(Path, named))
    return list(paths)


def open_for(
    run: Run, generator: Generator, dtype: str, paths: Sequence[Path], gsd_m: float | None, nodata: float | None
) -> list[Scene]:
    """Open scenes on the grid of a generator's chips.

    Args:
        run: The run.
        generator: Its generator.
        dtype: Type of its chips' pixels.
        paths: The scenes.
        gsd_m: Metres per pixel of scenes that do not say.
        nodata: Value of pixels without data in scenes that do not say.

    Raises:
        InputError: If a scene is not like those that the generator learned from.
    """
    reading = reading_of(run.config, gsd_m, nodata)
    wanted = Wanted(generator.shape[2], dtype, run.gsd_m, run.config.chips.resampling, reading, "generator")
    scenes = open_scenes(paths, wanted)
    for scene in scenes:
        scales = scene.grid.scale_row, scene.grid.scale_col
        if max(scales) > LARGEST_RATIO * 1.001 or min(scales) < 0.999 / LARGEST_RATIO:
            raise InputError(
                f"{scene.name} has pixels of {scene.file.gsd_m:g} m and the generator's are of {run.gsd_m:g} m: objects"
                f" resampled by more than {LARGEST_RATIO:g} times would not look real; use scenes of a similar GSD"
            )
    return scenes


def boxes_on_grid(labels: Sequence[Label], scene: Scene) -> npt.NDArray[np.float64]:
    """Return the boxes (N, 4) of labels on a scene's grid."""
    scales = np.tile([scene.grid.scale_row, scene.grid.scale_col], 2)
    boxes: npt.NDArray[np.float64] = np.array([label.box for label in labels], np.float64).reshape(-1, 4) / scales
    return boxes


def read_areas(path: Path, scenes: Sequence[Scene]) -> dict[str, BaseGeometry]:
    """Return the area of a file's polygons in each scene that they touch, by its name, on the scene's grid.

    Raises:
        InputError: If it is no vector file, or none of its polygons touches a scene.
    """
    if not path.is_file() or identify(path) is not vector.FORMAT:
        raise InputError(
            f"--within {path.name} is not a vector file; use GeoJSON, GeoPackage, Shapefile or KML polygons"
        )
    unplaced = all(scene.file.crs is None for scene in scenes)
    settings = {"class_column": None, "default_class": "area", "labels_crs": vector.PIXEL if unplaced else None}
    areas_read = vector.read(LabelInput([scene.row for scene in scenes], {path.name: path}, settings=settings))
    for reason in areas_read.refused.values():
        raise InputError(f"--within {path.name}: {reason}")
    areas: dict[str, BaseGeometry] = {}
    for scene in scenes:
        own = [item for item in areas_read.labels if item.scene_id == scene.row["scene_id"] and item.kind == "box"]
        whole = shapely.unary_union([shapely.make_valid(_shape(item)) for item in own])
        whole = scale(whole, 1 / scene.grid.scale_col, 1 / scene.grid.scale_row, origin=(0, 0))
        if whole.area > 0:
            areas[scene.name] = whole
    if not areas:
        raise InputError(f"--within {path.name}: none of its polygons touches a scene")
    return areas


def _shape(label: Label) -> BaseGeometry:
    top, left, bottom, right = label.box
    return shapely.box(left, top, right, bottom) if label.outline is None else shapely.from_wkt(label.outline)
