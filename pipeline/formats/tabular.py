"""Read CSV files as spreadsheets write them: any separator, byte-order marks, decimal commas, other column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..utils.errors import InputError
from .inventory import delimiter_of

MAX_BYTES = 2 << 30
Row = dict[str, str]

SYNONYMS: dict[str, tuple[str, ...]] = {
    "file": (
        *("file", "filename", "file_name", "image", "image_id", "image_name", "imageid", "img", "path", "scene"),
        *("image_path", "img_path", "filepath", "file_path", "imagepath", "image_file", "img_name", "img_id"),
        *("imagename", "picture", "tile", "chip", "raster", "scene_name", "datei", "bild"),
    ),
    "class": (
        *("class", "label", "category", "class_name", "label_name", "type", "object_class", "classname", "labelname"),
        *("category_name", "object_type", "object_category", "cls", "species", "class_label", "classes", "klasse"),
        *("class_id", "type_id", "category_id", "label_id", "classid", "typeid", "cat_id", "kind"),
    ),
    "x_min": ("x_min", "xmin", "left", "x1", "minx", "bbox_xmin", "col_min", "xtl", "min_x"),
    "y_min": ("y_min", "ymin", "top", "y1", "miny", "bbox_ymin", "row_min", "ytl", "min_y"),
    "x_max": ("x_max", "xmax", "right", "x2", "maxx", "bbox_xmax", "col_max", "xbr", "max_x"),
    "y_max": ("y_max", "ymax", "bottom", "y2", "maxy", "bbox_ymax", "row_max", "ybr", "max_y"),
    "lon_min": ("lon_min", "lonmin", "west", "min_lon"),
    "lat_min": ("lat_min", "latmin", "south", "min_lat"),
    "lon_max": ("lon_max", "lonmax", "east", "max_lon"),
    "lat_max": ("lat_max", "latmax", "north", "max_lat"),
    "x": ("x", "px_x", "x_px", "col", "column", "bbox_x", "easting"),
    "y": ("y", "px_y", "y_px", "row", "bbox_y", "northing"),
    "x_centre": ("x_centre", "x_center", "xcenter", "cx", "center_x", "xc", "x_c", "centre_x"),
    "y_centre": ("y_centre", "y_center", "ycenter", "cy", "center_y", "yc", "y_c", "centre_y"),
    "width": ("width", "w", "bbox_width", "box_width", "bbox_w"),
    "height": ("height", "h", "bbox_height", "box_height", "bbox_h"),
    "lon": ("lon", "long", "longitude", "lng"),
    "lat": ("lat", "latitude"),
    "wkt": ("wkt", "geometry", "geom", "wkt_geom", "the_geom", "polygonwkt_pix", "polygon", "outline"),
}
"""What people call the columns of a table of labels, in small letters."""


def known_columns(names: Sequence[str]) -> dict[str, str]:
    """Return what a table calls the columns that we know, by our names."""
    theirs = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in reversed(names)}
    return {
        ours: next(theirs[name] for name in candidates if name in theirs)
        for ours, candidates in SYNONYMS.items()
        if any(name in theirs for name in candidates)
    }


def read_table(path: Path, columns: Mapping[str, str], what: str = "label file") -> tuple[list[str], list[Row]]:
    """Return the columns and rows of a CSV.

    Args:
        path: The file.
        columns: What the file calls a column, by the name that it gets.
        what: What the file is, for messages.

    Returns:
        Names of the columns, and rows; an empty cell is not in its row.

    Raises:
        InputError: If it cannot be read.
    """
    ours = {theirs: name for name, theirs in columns.items()}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        text = _decoded(path.read_bytes())
        first = next((line for line in text[:65536].splitlines() if line.strip()), "")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter_of(first))
        names = [ours.get((name or "").strip(), (name or "").strip()) for name in reader.fieldnames or []]
        reader.fieldnames = names
        rows: list[Row] = [{key: value.strip() for key, value in _cells(row) if value.strip()} for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{what} {path.name} cannot be read: {error}"[:200]) from None
    return names, rows


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a CSV that has these columns.

    Raises:
        InputError: If it cannot be read, or lacks one of them.
    """
    names, rows = read_table(path, {})
    if not set(columns) <= set(names):
        raise InputError(f"label file {path.name} needs the columns {', '.join(columns)}; it has {', '.join(names)}")
    return rows


def _decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 with a byte-order mark, or else what Windows writes in the west."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _cells(row: Mapping[str | None, str | list[str] | None]) -> list[tuple[str, str]]:
    """Return the cells of a row that have a column and a value."""
    return [(key, value) for key, value in row.items() if key and isinstance(value, str)]


def number(text: str) -> float:
    """Return a number that may have a decimal comma.

    Raises:
        ValueError: If it is none.
    """
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
