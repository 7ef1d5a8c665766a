"""Vector labels in any CRS: GeoJSON, GeoPackage, Shapefile, GeoParquet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ..raster import gdal
from ..utils.errors import InputError
from .georeference import LONLAT, PIXEL, Feature, Layer, place_in
from .label import Labels

MAX_BYTES = 4 << 30
USUAL_COLUMN = "class"


@dataclass(frozen=True)
class Reading:
    """How vector files are read; see the configuration of the source."""

    class_column: str | None = "class"
    default_class: str = "ship"
    labels_crs: str | None = None
    swap_axes: bool = False
    layer: str | None = None


# ---------------------------------------------------------------------------------------------------------- reading


def read_file(path: Path, name: str, reading: Reading) -> Layer:
    """Read one vector file. Its content must be what its suffix says: no file that stands for others is opened.

    Args:
        path: The file.
        name: What its features are named after.
        reading: How it is read.

    Raises:
        InputError: If it cannot be read as a whole. A single broken feature only gets a reason.
    """
    path = gdal.local_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"label file {path.name} is larger than {MAX_BYTES >> 30} GiB; split it")
    suffix = path.suffix.lower()
    try:
        if suffix in (".geojson", ".json"):
            return _read_geojson(path, name, reading)
        frame = _read_frame(path, suffix, reading.layer)
        geometry = frame.geometry
    except InputError:
        raise
    except Exception as error:
        # pyogrio, pyarrow and GDAL raise errors of many families for a damaged file.
        raise InputError(f"label file {path.name} cannot be read: {_said(error, path)}") from None
    columns = [str(column) for column in frame.columns if column != geometry.name]
    column = _class_column(columns, path.name, reading)
    classes = frame[column] if column is not None else [None] * len(frame)
    features = tuple(
        _feature(f"{name}:{number}", shape, given, reading)
        for number, (shape, given) in enumerate(zip(geometry, classes, strict=True))
    )
    said = None if frame.crs is None else frame.crs.to_wkt()
    return Layer(path.name, reading.labels_crs or said, features)


def _class_column(columns: Sequence[str], name: str, reading: Reading) -> str | None:
    """The column of the class; None where every feature has the default one.

    Raises:
        InputError: If the user named a column that the file lacks. Without the usual one all are of one class.
    """
    if reading.class_column is None or reading.class_column in columns:
        return reading.class_column
    if reading.class_column == USUAL_COLUMN:
        return None
    known = ", ".join(columns) or "none"
    raise InputError(f"label file {name} has no column {reading.class_column!r}; it has: {known}")


def _said(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), path.name).split("\n")[0][:160]


def _read_frame(path: Path, suffix: str, layer: str | None) -> Any:
    import geopandas

    with path.open("rb") as file:
        start = file.read(72)
    good = {
        ".gpkg": start.startswith(b"SQLite format 3\0") and start[68:70] == b"GP",
        ".shp": start.startswith(b"\0\0\x27\x0a"),
        ".parquet": start.startswith(b"PAR1"),
        ".geoparquet": start.startswith(b"PAR1"),
    }
    if not good.get(suffix, False):
        raise InputError(
            f"label file {path.name} is no GeoJSON, GeoPackage, Shapefile or GeoParquet by its first bytes"
        )
    if suffix in (".parquet", ".geoparquet"):
        return geopandas.read_parquet(path)
    if suffix == ".gpkg":
        layers = list(geopandas.list_layers(path)["name"])
        if layer is None and len(layers) != 1:
            raise InputError(f"label file {path.name} has the layers {', '.join(layers)}; set layer to one of them")
        return geopandas.read_file(path, layer=layer or layers[0])
    return geopandas.read_file(path)


def _read_geojson(path: Path, name: str, reading: Reading) -> Layer:
    """Read GeoJSON with Python's own parser: it opens nothing else, and a NaN spoils one feature and not the file."""
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"label file {path.name} is no GeoJSON: {error}"[:200]) from None
    kind = data.get("type") if isinstance(data, dict) else None
    found = data.get("features") if kind == "FeatureCollection" else [data] if kind == "Feature" else None
    if not isinstance(found, list):
        raise InputError(f"label file {path.name} is no GeoJSON feature collection")
    said = [one.get("properties") if isinstance(one, dict) else None for one in found]
    properties = [one if isinstance(one, dict) else {} for one in said]
    names = list(dict.fromkeys(key for one in properties for key in one))
    column = _class_column(names, path.name, reading) if found else None  # no feature has a class to lack
    features = []
    for number, feature in enumerate(found):
        origin = f"{name}:{number}"
        given = properties[number].get(column) if column else None
        try:
            geometry = shapely.geometry.shape(feature["geometry"]) if feature["geometry"] else None
        except Exception as error:
            # shapely raises whatever the nested lists of a broken geometry lead to.
            reason = f"its geometry cannot be read: {error}"[:120]
            features.append(Feature(origin, _class(given, reading), np.empty((0, 2)), False, reason))
            continue
        features.append(_feature(origin, geometry, given, reading))
    return Layer(path.name, reading.labels_crs or _geojson_crs(data), tuple(features))


def _geojson_crs(data: Mapping[str, Any]) -> str | None:
    """The CRS of GeoJSON: its `crs` member, which only the 2008 format has, else longitude and latitude."""
    if "crs" not in data:
        return LONLAT
    try:
        name = str(data["crs"]["properties"]["name"])
    except (TypeError, KeyError):
        return None  # `"crs": null` says that it is not known
    return LONLAT if "CRS84" in name else name


def _class(given: Any, reading: Reading) -> str:
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # pandas turns whole numbers into floats where one is missing
    missing = given is None or (isinstance(given, float) and math.isnan(given)) or str(given) in ("", "<NA>")
    return reading.default_class if missing else str(given)


def _feature(origin: str, geometry: Any, given: Any, reading: Reading) -> Feature:
    name = _class(given, reading)
    kind = "empty" if geometry is None or geometry.is_empty else geometry.geom_type
    if kind not in ("Point", "Polygon", "MultiPolygon"):
        return Feature(origin, name, np.empty((0, 2)), False, f"its geometry is {kind}, not a polygon or point")
    points = shapely.get_coordinates(geometry)
    return Feature(origin, name, points[:, ::-1] if reading.swap_axes else points, kind == "Point")


def read(
    scenes: Sequence[Mapping[str, Any]], files: Mapping[str, Path], own: Mapping[str, str], reading: Reading
) -> Labels:
    """Read vector files and place their features in scenes.

    A feature gets one label in each scene that it touches. A file that cannot be read, or not placed, takes with it
    every scene that it could have labels for: without them a scene must not pass for one without objects.

    Args:
        scenes: Rows of the catalogue.
        files: Label files by name.
        own: The name of the label file that is for one scene alone, by the scene's path below its source.
        reading: How files are read.
    """
    found = Labels()
    usable = [scene for scene in scenes if scene["quarantined"] is None]
    alone = set(own.values())
    for name, path in files.items():
        mine = [scene for scene in usable if name not in alone or own.get(str(scene["path"])) == name]
        try:
            layer = read_file(path, name, reading)
            if layer.crs == PIXEL and name not in alone:
                # It cannot be for a scene that has a file of its own.
                mine = [scene for scene in usable if str(scene["path"]) not in own]
            place_in(layer, mine, found)
        except InputError as error:
            found.refused |= {str(scene["scene_id"]): f"its labels are not known: {error}" for scene in mine}
    if alone.issuperset(files):
        found.unlabelled = sum(str(scene["path"]) not in own for scene in usable)
    return found
