"""Write scenes with objects in them, their labels, and what is said of the set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from ....composition.surroundings import CELL
from ....dataset.contact_sheet import COLUMNS, draw_sheet, enlarged, viewable
from ....engine.runs import Run
from ....formats.label import Label
from ....formats.writers.base import LabelledImage, LabelledObject, cropped_object, masked_object, outlined_object
from ....formats.writers.table import WRITERS
from ....raster.gdal import open_scene
from ....utils.file_names import file_name
from ...detect.scenes import Scene
from ..loaded import LoadedGenerator
from . import card
from .geotiff import copy_scene
from .inputs import boxes_on_grid
from .objects import SceneObject
from .placement import Ground, Surroundings, place
from .render import Patch, blend, render

FORMATS = ("coco", "geojson")
"""Formats of the labels."""
SHEET = "sheet.png"
SHOWN = 8 * COLUMNS
"""Objects on the contact sheet at most."""
OUTSIDE = "for which a scene is too small"


@dataclass(frozen=True)
class SceneInput:
    """A scene, and what goes into it.

    Attributes:
        scene: The scene.
        number: Its number, which its draws follow from.
        labels: Its labelled objects.
        area: Where objects have to lie, on its grid; None for anywhere.
        count: Objects that are wanted.
    """

    scene: Scene
    number: int
    labels: Sequence[Label]
    area: BaseGeometry | None
    count: int


class SceneWriter:
    """Writes a set of scenes.

    Attributes:
        placed: Objects that were put into scenes, by class name.
        reasons: Objects that were not, by reason.
    """

    def __init__(
        self, run: Run, loaded: LoadedGenerator, folder: Path, seed: int, anywhere: bool, workers: int
    ) -> None:
        """Begin.

        Args:
            run: The run.
            loaded: Its final generator, which makes layers.
            folder: Where to.
            seed: What all draws follow from.
            anywhere: Whether any ground will do, where areas are given.
            workers: Threads.
        """
        self.run, self.loaded, self.folder, self.seed, self.workers = run, loaded, folder, seed, workers
        self.placed: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._marks = card.marks_of(run)
        self._labels = [WRITERS[kind](folder, loaded.generator.classes[1:], self._marks) for kind in FORMATS]
        self._images = folder / self._labels[0].images
        laws = {} if loaded.generator.layers is None else loaded.generator.layers.laws
        width = loaded.scaling.width
        self._surroundings = {label: Surroundings.of(law, width, anywhere) for label, law in laws.items()}
        self._entries: list[dict[str, Any]] = []
        self._shown: list[tuple[Path, tuple[int, ...], tuple[float, float]]] = []
        self._names: Counter[str] = Counter()

    def add(self, given: SceneInput, items: Sequence[SceneObject], tick: Callable[[float], None]) -> None:
        """Put objects into a scene and write it; a scene without objects is written too.

        Args:
            given: The scene.
            items: Objects for it.
            tick: Told which share of the scene is done.

        Raises:
            InputError: If the scene is damaged.
            StoreError: If it cannot be written.
        """
        scene = given.scene
        centres = self._place(given, items)
        patches = [render(item, centre, scene.grid) for item, centre in zip(items, centres, strict=True) if centre]
        placed = [item for item, centre in zip(items, centres, strict=True) if centre]
        path = self._images / self._file(scene.name)
        objects = self._objects(scene, placed, patches)
        tags = {
            "SYNTHETIC": "YES",
            "SYNTHETIC_OBJECTS": str(len(placed)),
            "TIFFTAG_IMAGEDESCRIPTION": self._marks.description,
            "TIFFTAG_SOFTWARE": self._marks.software,
        }
        copy_scene(scene.file, path, _blending(patches, scene), tags, tick, self.workers)
        classes = self.loaded.generator.classes
        self.placed.update(classes[item.label] for item in placed)
        shape = scene.file.height, scene.file.width, len(scene.file.bands)
        own = [outlined_object(item.class_name, item.box, item.outline, properties={"synthetic": False})
               for item in given.labels if item.kind == "box"]  # fmt: skip
        shown = [item for whole in own if (item := cropped_object(whole, shape[:2])[0]) is not None]
        properties = {"synthetic_objects": len(placed)}
        for writer in self._labels:
            image = LabelledImage(
                path.name, shape, [*objects, *shown], scene.file.crs, scene.file.transform, properties
            )
            writer.add(image)
        entry = {"scene": scene.name, "file": path.name, "synthetic_objects": len(placed)}
        self._entries.append(entry | {"labelled_objects": len(own), "gsd_m": scene.file.gsd_m})
        self._shown += [(path, scene.file.bands, _middle(patch)) for patch in patches[: SHOWN - len(self._shown)]]

    def close(self, settings: Mapping[str, Any]) -> None:
        """Write labels, card and contact sheet of the set."""
        for writer in self._labels:
            writer.close()
        card.write_card(self.run, self.loaded, self._entries, settings, self.reasons, self.folder)
        side = self.loaded.generator.shape[0]
        crops = [_crop(*shown, side) for shown in self._shown]
        draw_sheet([enlarged(viewable(np.stack(crops)))], titles=["synthetic objects in scenes"]).save(
            self.folder / SHEET, format="PNG", compress_level=1
        )

    def _place(self, given: SceneInput, items: Sequence[SceneObject]) -> list[tuple[float, float] | None]:
        """Return row and column of each object on the scene's grid, or None; what has no place is counted."""
        scene = given.scene
        reach = max((2 * item.radius for item in items), default=0.0)
        size = max(self.loaded.generator.shape[0], int(-(-reach // (2 * CELL)) * 2 * CELL))
        if not items:
            return []
        if min(scene.grid.height, scene.grid.width) < size:
            self.reasons[OUTSIDE] += len(items)
            return [None] * len(items)
        ground = Ground(scene, size, boxes_on_grid(given.labels, scene), given.area, self.seed, given.number)
        placement = place(ground, items, self._surroundings, self.workers)
        self.reasons.update(placement.reasons)
        return [None if np.isnan(row) else (float(row), float(col)) for row, col in placement.centres]

    def _objects(self, scene: Scene, items: Sequence[SceneObject], patches: Sequence[Patch]) -> list[LabelledObject]:
        """Return the labels of objects, in the scene's own pixels."""
        size = scene.file.height, scene.file.width
        objects = []
        for item, patch in zip(items, patches, strict=True):
            name = self.loaded.generator.classes[item.label]
            properties = {"synthetic": True, "seed": item.seed}
            objects.append(masked_object(name, patch.alpha > 0.5, size, patch.row, patch.col, properties=properties))
        return [item for item in objects if item is not None]

    def _file(self, name: str) -> str:
        """Return the name of a scene's file, which no other one of the set has."""
        stem = file_name(Path(name).stem, "scene")
        self._names[stem.lower()] += 1
        number = self._names[stem.lower()]
        return f"{stem}.tif" if number == 1 else f"{stem}~{number}.tif"


def _blending(patches: Sequence[Patch], scene: Scene) -> Callable[[npt.NDArray[np.generic], int, int], None]:
    """Return what blends objects into windows of a scene."""
    tops = np.array([patch.row for patch in patches], np.int64)
    bottoms = np.array([patch.stop[0] for patch in patches], np.int64)
    nodata = scene.file.nodata if scene.file.mask == "nodata" else None

    def change(pixels: npt.NDArray[np.generic], row: int, col: int) -> None:
        for number in np.flatnonzero((tops < row + pixels.shape[1]) & (bottoms > row)).tolist():
            blend(pixels, row, col, patches[number], scene.file.bands, nodata)

    return change


def _middle(patch: Patch) -> tuple[float, float]:
    return (patch.row + patch.stop[0]) / 2, (patch.col + patch.stop[1]) / 2


def _crop(path: Path, bands: tuple[int, ...], middle: tuple[float, float], side: int) -> npt.NDArray[np.generic]:
    """Return the pixels (side, side, C) around a position, or beside it at the scene's edge; 0 where it has none."""
    with open_scene(path) as file:
        crop = np.zeros((len(bands), side, side), file.dtypes[0])
        top, left = (max(int(edge - side / 2), 0) for edge in middle)
        height, width = min(side, file.height - top), min(side, file.width - left)
        crop[:, :height, :width] = file.read(list(bands), window=Window(left, top, width, height))
    return crop.transpose(1, 2, 0)
