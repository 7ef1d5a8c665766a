"""Chips as files for other programs: class-named folders of pictures, and a table beside them."""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from ..chipstore import ChipStore
from ..errors import ConfigError, StoreError
from ..tables import GROUP_PREFIX

FORMATS = ("png", "tif", "npy")
_CHUNK = 512


def export_chips(store: ChipStore, to: Path, file_format: str = "png", roles: dict[str, str] | None = None) -> Path:
    """Write chips to ``to/<class>/<name>.<format>``, with ``to/labels.csv``.

    PNG takes uint8 with one, three or four bands; TIFF (with its place on the ground, where that is known) and NumPy
    arrays take every chip.

    Args:
        store: The chips.
        to: Folder to write to; it must be empty or not exist.
        file_format: ``png``, ``tif`` or ``npy``.
        roles: Role of each chip in a split by chip_id, as a column of the table; None leaves the column out.

    Returns:
        Path of the table: file, chip_id, class, scene_id, kind, row, col, valid_fraction, footprint, groups.

    Raises:
        ConfigError: If the format is not known, or does not take such chips.
        StoreError: If the folder holds files, or cannot be written.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"chips cannot be exported as {file_format!r}; use one of {', '.join(FORMATS)}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise StoreError(f"{to} is not an empty folder; name one that is, or a new one")
    index = store.index
    names = file_names([str(name) for name in index["chip_id"]])
    columns = ["chip_id", "class", "scene_id", "kind", "row", "col", "valid_fraction", "footprint"]
    columns = [name for name in columns if name in index.columns]
    groups = [name for name in index.columns if name.startswith(GROUP_PREFIX)]
    table = to / "labels.csv"
    try:
        to.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            role = [] if roles is None else ["role"]
            writer.writerow(["file", *columns, *role, *(name.removeprefix(GROUP_PREFIX) for name in groups)])
            for start in range(0, len(store), _CHUNK):
                rows = np.arange(start, min(start + _CHUNK, len(store)))
                for row, chip in zip(rows, store.read(rows), strict=True):
                    values = index.iloc[int(row)]
                    path = Path(_safe(str(values["class"]))) / f"{names[row]}.{file_format}"
                    (to / path.parent).mkdir(exist_ok=True)
                    _write(chip, to / path, file_format, values.get("footprint"))
                    own = [] if roles is None else [roles.get(str(values["chip_id"]), "")]
                    shown = ["" if _missing(values[name]) else values[name] for name in columns]
                    writer.writerow([path.as_posix(), *shown, *own, *(values[name] for name in groups)])
    except OSError as error:
        raise StoreError(f"{to} cannot be written: {error.strerror or error}") from None
    return table


def file_names(chip_ids: list[str]) -> list[str]:
    """A file name for each chip: its own name with safe characters, numbered where two would be one."""
    seen: dict[str, int] = {}
    names = []
    for chip_id in chip_ids:
        name = _safe(chip_id)
        # File systems may take A and a for one letter.
        count = seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if count == 1 else f"{name}~{count}")
    return names


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", text).strip("._")[-150:] or "chip"


def _missing(value: Any) -> bool:
    return bool(pd.isna(value))


def _write(chip: npt.NDArray[Any], path: Path, file_format: str, footprint: Any) -> None:
    if file_format == "npy":
        np.save(path, chip, allow_pickle=False)
    elif file_format == "tif":
        _write_tif(chip, path, None if _missing(footprint) else str(footprint))
    elif chip.dtype == np.uint8 and chip.shape[2] in (1, 3, 4):
        Image.fromarray(chip[..., 0] if chip.shape[2] == 1 else chip).save(path, format="PNG")
    else:
        raise ConfigError(f"chips of {chip.dtype} with {chip.shape[2]} band(s) are no PNG; export them as tif or npy")


def _write_tif(chip: npt.NDArray[Any], path: Path, footprint: str | None) -> None:
    import rasterio
    import shapely
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import from_gcps

    place: dict[str, Any] = {}
    if footprint is not None:
        height, width = chip.shape[:2]
        ring = shapely.get_coordinates(shapely.from_wkt(footprint))[:4]
        corners = [(0, 0), (height, 0), (height, width), (0, width)]
        points = [
            rasterio.control.GroundControlPoint(row, col, lon, lat)
            for (row, col), (lon, lat) in zip(corners, ring, strict=True)
        ]
        # In degrees the outline is a parallelogram up to a fraction of a pixel.
        place = {"crs": "EPSG:4326", "transform": from_gcps(points)}
    bands = np.ascontiguousarray(chip.transpose(2, 0, 1))
    shape = {"count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", compress="deflate", **shape, **place) as file:
            file.write(bands)
