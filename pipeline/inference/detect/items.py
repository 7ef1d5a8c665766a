"""Items of STAC for scenes in which something was searched for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely

from ...engine.runs import Run
from ...utils.errors import ConfigError
from .. import stac
from ..lonlat import to_lonlat
from .scenes import Scene
from .write import Detection


def write_detections(
    detections: Sequence[Detection], scenes: Sequence[Scene], run: Run, file: str, when: stac.Period, path: Path
) -> None:
    """Write an item for each georeferenced scene, whose asset is the file of detections.

    Args:
        detections: What was found.
        scenes: The scenes.
        run: The run whose classifier found it.
        file: Name of the file of detections, beside ``path``.
        when: When the scenes were acquired.
        path: The file of items.

    Raises:
        ConfigError: If no scene is georeferenced.
    """
    items = []
    for scene in scenes:
        if scene.file.crs is None:
            continue
        height, width = scene.grid.height * scene.grid.scale_row, scene.grid.width * scene.grid.scale_col
        corners = [scene.to_map(row, col) for row, col in ((0, 0), (height, 0), (height, width), (0, width))]
        outline = shapely.Polygon(to_lonlat(corners, scene.file.crs))
        count = sum(detection.scene == scene.name for detection in detections)
        properties = {"satpipe:run": run.name, "satpipe:scene": scene.name, "satpipe:detections": count}
        items.append(stac.item_of(scene.name, outline, when, properties, {"detections": file}))
    if not items:
        raise ConfigError("--stac: no scene is georeferenced, so items would have no location")
    stac.write_items(items, path)
