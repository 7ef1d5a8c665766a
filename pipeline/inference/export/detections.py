"""Detections of `satpipe detect` in the formats of labels for detectors: to be corrected, or compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import shapely
from affine import Affine

from ...engine.runs import Run
from ...formats.scenes import Reading, header
from ...formats.writers.base import LabelledObject, cropped_object
from ...raster.gdal import SceneFile, scene_file
from ...utils.errors import InputError, first_line
from ..detect.scenes import distinct_names
from .labels import LabelSet, write_labelled

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

COLUMNS = ("scene", "class", "score")
ELSEWHERE = "detections in scenes that were not given"


def export_detections(
    run: Run, path: Path, scenes: Sequence[Path], to: Path, kind: str, link: bool = False
) -> LabelSet:
    """Write detections beside copies of the scenes in which they lie; their boxes are the windows that show them.

    Args:
        run: The run whose classifier found them.
        path: The .geojson, .gpkg or .parquet file of `satpipe detect`.
        scenes: The scenes.
        to: Folder to make; it must be empty or not exist.
        kind: One of :data:`~satpipe.formats.writers.table.WRITERS`.
        link: Whether images are links to the scenes.

    Raises:
        InputError: If the file holds no such detections, or a scene cannot be read.
        StoreError: If the folder holds files, or cannot be written.
    """
    layers, names, classes = _read(path), distinct_names(scenes), run.config.ingest.classes
    unknown = sorted({str(name) for layer in layers for name in layer["class"]} - set(classes[1:]))
    if unknown:
        raise InputError(f"{path.name} has detections of {unknown[0]!r}, no class of run {run.name}; name its run")
    left_out = Counter({ELSEWHERE: sum(int((~layer["scene"].isin(names)).sum()) for layer in layers)})
    reading = Reading("detect", None, run.config.ingest.max_pixels, None)
    files = [
        scene_file(header(scene, name, reading) | {"path": str(scene.absolute()), "scene_id": name}, scene.parent)
        for scene, name in zip(scenes, names, strict=True)
    ]

    def objects_of(scene: SceneFile) -> list[LabelledObject]:
        return [item for layer in layers for item in _objects(layer[layer["scene"] == scene.scene_id], scene)]

    objects = write_labelled(run, to, kind, "Detections in satellite scenes", files, objects_of, link)
    return LabelSet(len(scenes), objects, +left_out)


def _read(path: Path) -> list[GeoDataFrame]:
    """Return the detections of a file, layer by layer; a layer without any is left out.

    Raises:
        InputError: If it holds none that have windows.
    """
    import geopandas
    import pyogrio

    try:
        if path.suffix.lower() == ".parquet":
            layers = [geopandas.read_parquet(path)]
        else:
            names = pyogrio.list_layers(path)[:, 0].tolist()
            layers = [geopandas.read_file(path, layer=name, engine="pyogrio") for name in names]
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path.name} cannot be read: {first_line(error, 160)}") from None
    layers = [layer for layer in layers if len(layer)]
    for layer in layers:
        if missing := [name for name in COLUMNS if name not in layer]:
            raise InputError(f"{path.name} has no column {missing[0]}; name a file that `satpipe detect` wrote")
        if (layer.geom_type == "Point").any():
            raise InputError(f"{path.name} holds points; `satpipe detect --geometry box` writes windows")
    return layers


def _objects(detections: GeoDataFrame, scene: SceneFile) -> list[LabelledObject]:
    """Return detections in a scene's pixels, cut off at its edges."""
    to_pixels = Affine.identity()
    if scene.crs is not None and scene.transform is not None:
        to_pixels = ~Affine(*scene.transform[:6])
        detections = detections.to_crs(scene.crs)
    shown = []
    for name, score, window in zip(detections["class"], detections["score"], detections.geometry, strict=True):
        x, y = shapely.get_coordinates(window).T
        cols, rows = to_pixels @ (x, y)
        box = float(rows.min()), float(cols.min()), float(rows.max()), float(cols.max())
        item, _ = cropped_object(LabelledObject(str(name), box, score=float(score)), (scene.height, scene.width))
        shown += [] if item is None else [item]
    return shown
