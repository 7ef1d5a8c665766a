"""Chips as files for other programs: class-named folders of pictures, and a table beside them."""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from affine import Affine
from PIL import Image

from ...dataset.chip_store import ChipStore
from ...dataset.image_parquet import ImageParquet
from ...dataset.tables import GROUP_PREFIX, SPLIT
from ...utils.atomic_files import new_folder
from ...utils.csv_safety import csv_escaped_table
from ...utils.errors import ConfigError
from ...utils.file_names import distinct_file_names
from ...utils.plural import plural

FORMATS = ("png", "tif", "npy", "parquet")
TABLE = "labels.csv"
METADATA = "metadata.csv"
"""The table as `datasets` of Hugging Face looks for it in a folder of images."""
PARQUET = "chips.parquet"
SPLITS = ("train", "validation", "test")
"""Roles that have a folder where chips lie in one for their split."""
SCENE = "source_scene"
"""Column of the table with the scene that a chip was cut from; the exported chip is a scene of its own to ingest."""
_RESERVED = ("file", "file_name", "image", "chip", "label", "class", "licence", "role", "split")
"""Names of columns that some table of chips has; a group column of such a name is written as `group_<name>`."""
_COLUMNS = ("chip_id", "class", "scene_id", "kind", "row", "col", "valid_fraction", "footprint")
CHUNK = 512
_SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|npy)$", re.IGNORECASE)


def export_chips(
    store: ChipStore,
    to: Path,
    file_format: str = "png",
    roles: dict[str, str] | None = None,
    scenes: pd.DataFrame | None = None,
    by_split: bool = False,
) -> pd.DataFrame:
    """Write chips to ``to/<class>/<name>.<format>``, with ``to/labels.csv``; or all of them to ``to/chips.parquet``.

    PNG takes uint8 with one, three or four bands; TIFF (with its place on the ground, where that is known), NumPy
    arrays and Parquet take every chip. With pictures lies a ``metadata.csv``, by which `datasets` knows their labels.

    Args:
        store: The chips.
        to: Folder to write to; it must be empty or not exist.
        file_format: One of :data:`FORMATS`.
        roles: Role of each chip in a split by chip_id, as a column of the table; None leaves the column out.
        scenes: Rows of the scene table, with the columns of the target grid: licence of the chips, and their place.
        by_split: Write to ``to/<role>/<class>/``; chips whose role is none of :data:`SPLITS` are left out.

    Returns:
        The table: file, chip_id, class, source_scene, kind, row, col, valid_fraction, footprint, licence, role, groups;
        a group column with the name of another column is called ``group_<name>``.

    Raises:
        ConfigError: If the format is not known, or does not take such chips, or there are no roles to lay them out by.
        StoreError: If the folder holds files, or cannot be written.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"chips cannot be exported as {file_format!r}; use one of {', '.join(FORMATS)}")
    if by_split and (roles is None or file_format == "parquet"):
        raise ConfigError("--layout split/class needs --split NAME and a format with one file per chip")
    if file_format == "png":
        _check_png(store)
    if by_split and roles is not None:
        store = store.where(np.array([roles.get(str(name)) in SPLITS for name in store.index["chip_id"]]))
    frame = table_of(store.index, file_format, roles, scenes)
    if by_split:
        frame["file"] = frame["role"] + "/" + frame["file"]
    with new_folder(to) as folder:
        if file_format == "parquet":
            _write_parquet(store, frame, folder / PARQUET)
        else:
            places = {} if scenes is None else scenes.set_index("scene_id").to_dict("index")
            _write_files(store, frame, folder, file_format, places)
            for split in sorted(set(frame["role"])) if by_split else [""]:
                _write_metadata(frame, folder / split, split)
        write_csv(frame, folder / TABLE)
    return frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; text that a spreadsheet would run as a formula is escaped."""
    csv_escaped_table(frame).to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def _write_metadata(frame: pd.DataFrame, folder: Path, split: str) -> None:
    """Write the rows of a folder, with paths from there."""
    rows = frame[frame["role"] == split] if split else frame
    names = rows["file"].str.removeprefix(f"{split}/" if split else "")
    write_csv(rows.assign(file=names).rename(columns={"file": "file_name"}), folder / METADATA)


def _write_files(
    store: ChipStore, frame: pd.DataFrame, to: Path, file_format: str, places: Mapping[Any, Mapping[Any, Any]]
) -> None:
    """Write a file for each chip."""
    for name in frame["file"].str.rpartition("/")[0].unique():
        (to / name).mkdir(parents=True, exist_ok=True)
    for start in range(0, len(store), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(store)))
        for row, chip in zip(rows, store.read(rows), strict=True):
            path = to / frame["file"].iloc[row]
            if file_format == "npy":
                np.save(path, chip, allow_pickle=False)
            elif file_format == "png":
                Image.fromarray(chip[..., 0] if chip.shape[2] == 1 else chip).save(path, format="PNG")
            else:
                write_tif(chip, path, place_of(store.index.iloc[row], places))


def _write_parquet(store: ChipStore, frame: pd.DataFrame, path: Path) -> None:
    """Write all chips and their rows as one file."""
    rest = frame.drop(columns=["file", "class"])
    kinds = {str(name): _KINDS.get(column.dtype.kind, "string") for name, column in rest.items()}
    rest = rest.astype({name: "string" for name, kind in kinds.items() if kind == "string"})
    classes = sorted(set(map(str, frame["class"])))
    labels = np.array([classes.index(str(name)) for name in frame["class"]], np.int64)
    first = store.read([0])
    about = {"description": "Satellite image chips", "software": f"satpipe {version('satpipe')}"}
    file = ImageParquet(path, first.shape[1:], str(first.dtype), classes, kinds, about)
    for start in range(0, len(store), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(store)))
        columns = {name: rest[name].iloc[rows] for name in kinds}
        names = [f"{Path(name).name}.png" for name in frame["file"].iloc[rows]]
        file.add(store.read(rows), labels[rows], columns, names)
    file.close()


_KINDS = {"i": "int64", "u": "int64", "f": "float64"}


def table_of(
    index: pd.DataFrame, file_format: str, roles: dict[str, str] | None, scenes: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the rows of ``labels.csv``."""
    names = distinct_file_names(chip_names(index), "chip")
    classes = dict(zip(*_folders(index["class"]), strict=True))
    ending = "" if file_format == "parquet" else f".{file_format}"
    files = [f"{classes[label]}/{name}{ending}" for label, name in zip(index["class"], names, strict=True)]
    present = [name for name in _COLUMNS if name in index.columns]
    frame = index[present].rename(columns={"scene_id": SCENE})
    frame.insert(0, "file", files)
    if scenes is not None:
        licences = scenes.drop_duplicates("scene_id").set_index("scene_id")["licence"]
        frame["licence"] = index["scene_id"].map(licences)
    if roles is not None:
        frame["role"] = [roles.get(str(name), "") for name in index["chip_id"]]
    taken = {name.casefold() for name in (*_RESERVED, *frame.columns)}
    for column in (str(name) for name in index.columns if name.startswith(GROUP_PREFIX)):
        name = column.removeprefix(GROUP_PREFIX)
        while name.casefold() in taken:
            name = GROUP_PREFIX + name
        taken.add(name.casefold())
        frame[name] = index[column]
    return frame


def chip_names(index: pd.DataFrame) -> list[str]:
    """Return chip names without the ending of the picture that a ready-cut chip was: none ends in .png.png."""
    return [_SUFFIX.sub("", str(name)) for name in index["chip_id"]]


def _folders(labels: pd.Series[str]) -> tuple[list[str], list[str]]:
    """Return the names of the classes, and of their folders."""
    names = sorted(set(map(str, labels)))
    return names, distinct_file_names(names, "class")


def roles_of(splits: Mapping[str, Path], name: str) -> dict[str, str]:
    """Return the role of each chip in a split.

    Args:
        splits: Folder of each committed split by its name.
        name: Name of the split.

    Raises:
        ConfigError: If there is no such split.
    """
    if name not in splits:
        near = difflib.get_close_matches(name, splits, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(splits)) or 'none'}"
        raise ConfigError(f"there is no split {name}; {hint}")
    frame = SPLIT.read(splits[name] / "split.parquet")
    return dict(zip(map(str, frame["chip_id"]), map(str, frame["role"]), strict=True))


def _check_png(store: ChipStore) -> None:
    first = store.read([0])
    if first.dtype != np.uint8 or first.shape[3] not in (1, 3, 4):
        raise ConfigError(
            f"chips of {first.dtype} with {plural(first.shape[3], 'band')} cannot be written as PNG; use"
            " --format tif, npy or parquet"
        )


def place_of(chip: pd.Series[Any], scenes: Mapping[Any, Mapping[Any, Any]]) -> dict[str, Any]:
    """Return the CRS and transform of a chip: its scene's, moved to the chip's corner and scaled to its pixels."""
    scene = scenes.get(chip["scene_id"])
    if scene is None or pd.isna(scene["crs"]) or pd.isna(scene["transform"]):
        return {}
    a, b, c, d, e, f = json.loads(scene["transform"])[:6]
    along, down = float(scene["scale_col"]), float(scene["scale_row"])
    x, y = int(chip["col"]) * along, int(chip["row"]) * down
    transform = Affine(a * along, b * down, a * x + b * y + c, d * along, e * down, d * x + e * y + f)
    return {"crs": scene["crs"], "transform": transform}


def write_tif(chip: npt.NDArray[Any], path: Path, place: dict[str, Any]) -> None:
    """Write a chip (H, W, C) as a GeoTIFF with a CRS and a transform, or without a place."""
    from rasterio.errors import NotGeoreferencedWarning

    from ...raster.gdal import new_geotiff

    bands = np.ascontiguousarray(chip.transpose(2, 0, 1))
    shape = {"count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with new_geotiff(path, compress="deflate", **shape, **place) as file:
            file.write(bands)
