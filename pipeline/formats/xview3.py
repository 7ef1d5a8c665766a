"""Labels of xView3: a CSV of vessels and fixed structures in Sentinel-1 scenes, each scene a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, Recognised, SharedSource
from .inventory import Inventory, columns
from .label import NO_SCENE, NOWHERE, ImageLabels, Label, Labels, PixelObject, box_object, broken_object, point_object
from .recognition import recognise_shared
from .tabular import Row, read_rows

COLUMNS = ("scene_id", "detect_scene_row", "detect_scene_column", "is_vessel", "is_fishing")


class XView3Source(SharedSource):
    """Scenes in folders that are named for them, with labels in a CSV as xView3 has it."""

    type: Literal["xview3"] = "xview3"


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; a scene is known by a folder in its path, or by its file's name."""
    labels = Labels()
    scene_of: dict[str, int] = {}
    for position, scene in enumerate(given.scenes):
        for part in (*str(scene["scene_id"]).split("/"), str(scene["path"]).rpartition("/")[2].rpartition(".")[0]):
            scene_of.setdefault(part, position)
    listed: set[int] = set()
    for name, path in given.files.items():
        try:
            rows = read_rows(path, COLUMNS)
        except InputError as error:
            labels.refuse(given.scenes, error)
            continue
        objects: dict[int, list[PixelObject]] = {}
        for line, row in enumerate(rows, 2):
            item, scene_row = _object(row, str(line)), scene_of.get(row.get("scene_id", ""))
            if scene_row is None:
                origin = f"{name}:{line}"
                labels.labels.append(Label(origin, None, item.class_name, "point", NOWHERE, origin, NO_SCENE))
            else:
                objects.setdefault(scene_row, []).append(item)
        listed |= set(objects)
        for position, items in sorted(objects.items()):
            labels.add(ImageLabels(items), given.scenes[position], name)
    labels.unlabelled = len(given.scenes) - len(listed)
    return labels


def _object(row: Row, key: str) -> PixelObject:
    """Return the object of one row; if it may or may not be a vessel, it is not a label, but keeps its place."""
    vessel, fishing = (row.get(name, "").lower() for name in ("is_vessel", "is_fishing"))
    name = {"true": "fishing" if fishing == "true" else "vessel", "false": "fixed"}.get(vessel, "")
    reason = None if name else "the file does not say whether it is a vessel"
    try:
        edges = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        return box_object(name, *edges, key=key, reason=reason)
    except (KeyError, ValueError):
        pass
    try:
        x, y = float(row["detect_scene_column"]), float(row["detect_scene_row"])
        return point_object(name, x, y, key=key, reason=reason)
    except (KeyError, ValueError):
        return broken_object(name, "its row and column are not numbers", key=key)


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise xView3: of the rasters of a scene the one in VV polarisation is taken."""
    recognised = recognise_shared(folder, FORMAT, holds)
    if recognised is None:
        return None
    bands = sorted(name for name in folder.images if name.rpartition("/")[2] == "VV_dB.tif")
    if bands:
        recognised.source["path"] = str(folder.root / "**" / "VV_dB.tif")
        recognised.why["path"] = "VV polarisation; VH_dB.tif has the other"
    return recognised


def holds(path: Path) -> bool:
    """Return whether a CSV has the columns of xView3."""
    return set(COLUMNS) <= set(columns(path))


FORMAT = LabelFormat(
    title="xView3",
    files="a `.csv` with `scene_id`, `detect_scene_row`, `is_vessel` ...; scenes as folders with `VV_dB.tif`",
    source=XView3Source,
    read=read,
    recognise=recognise,
    suffixes=(".csv",),
    holds=holds,
)
