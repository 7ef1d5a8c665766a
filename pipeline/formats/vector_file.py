"""Vector files: read features or layers of one, and tell whether a file is one by its content."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .inventory import has_tags, head, json_keys

LINES = (".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl")
VECTORS = (".geojson", ".gpkg", ".shp", ".fgb", ".kml", *LINES, ".parquet", ".geoparquet", ".json")
LONLAT = "EPSG:4326"
MAGIC = {
    ".gpkg": lambda start: start.startswith(b"SQLite format 3\0") and start[68:70] == b"GP",
    ".shp": lambda start: start.startswith(b"\0\0\x27\x0a"),
    ".fgb": lambda start: start.startswith(b"fgb"),
    ".parquet": lambda start: start.startswith(b"PAR1"),
    ".geoparquet": lambda start: start.startswith(b"PAR1"),
}
"""Whether the first bytes of a file are what its suffix says."""


def read_frames(path: Path, named: str | Sequence[str] | None, several: bool) -> Iterator[tuple[str | None, Any]]:
    """Yield the layers of a file as GeoDataFrames, named where there are several.

    Args:
        path: The file; only a GeoPackage can have several layers.
        named: Layer or layers to read; None reads all.
        several: Whether all may be read where there are several.

    Raises:
        InputError: If its first bytes are not what its suffix says, or no layer is named where there are several.
    """
    import geopandas

    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(72)
    if suffix not in MAGIC or not MAGIC[suffix](start):
        raise InputError(f"label file {path.name} is not a vector file of a supported kind")
    if suffix in (".parquet", ".geoparquet"):
        yield None, geopandas.read_parquet(path)
    elif suffix != ".gpkg":
        yield None, geopandas.read_file(path)
    else:
        layers = [str(layer) for layer in geopandas.list_layers(path)["name"]]
        wanted = [named] if isinstance(named, str) else list(named or layers)
        if len(wanted) > 1 and named is None and not several:
            raise InputError(f"label file {path.name} has the layers {', '.join(layers)}; set layer to one of them")
        for layer in wanted:
            yield (layer if len(wanted) > 1 else None), geopandas.read_file(path, layer=layer)


def read_rows(path: Path) -> tuple[list[tuple[dict[str, Any], Any]], str | None]:
    """Return properties and geometry of each feature of a GeoJSON or KML file, and the CRS where it says it.

    Raises:
        InputError: If it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in LINES:
        return _read_lines(path), LONLAT
    if suffix == ".kml":
        from .kml import read_kml

        return list(zip(*read_kml(path), strict=True)), LONLAT
    if _is_sequence(path):
        return _read_lines(path), LONLAT
    try:
        # Python's own parser opens nothing else, and a NaN spoils one feature and not the file.
        data = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"label file {path.name} is not valid GeoJSON: {error}"[:200]) from None
    kind = data.get("type") if isinstance(data, dict) else None
    features = data.get("features") if kind == "FeatureCollection" else [data] if kind == "Feature" else None
    if not isinstance(features, list):
        raise InputError(f"label file {path.name} is not a GeoJSON feature collection")
    return [_row(feature) for feature in features], _geojson_crs(data)


def _is_sequence(path: Path) -> bool:
    """Return whether a JSON file has a feature a line: begun by record separators, or a whole feature in the first."""
    start = head(path)
    if start.startswith("\x1e"):
        return True
    first, end, rest = start.lstrip().partition("\n")
    whole = first.rstrip().endswith("}") and rest.lstrip().startswith("{")
    return bool(end) and whole and re.search(r'"type"\s*:\s*"Feature"', first) is not None


def _read_lines(path: Path) -> list[tuple[dict[str, Any], Any]]:
    """Return the features of GeoJSON with one feature a line.

    Raises:
        InputError: If a line is no feature.
    """
    rows = []
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                text = line.strip("\x1e \r\n\t")
                if text:
                    feature = json.loads(text)
                    if not isinstance(feature, dict) or feature.get("type") != "Feature":
                        raise ValueError(f"line {number} is not a feature")
                    rows.append(_row(feature))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"label file {path.name} is not GeoJSON with one feature per line: {error}"[:200]) from None
    return rows


def _row(feature: Any) -> tuple[dict[str, Any], Any]:
    """Return properties and geometry of a feature; a geometry that cannot be read is a text that says why."""
    import shapely

    properties = feature.get("properties") if isinstance(feature, dict) else None
    try:
        given = feature["geometry"]
        geometry = shapely.geometry.shape(given) if given else None
    except Exception as error:
        # shapely raises whatever the nested lists of a broken geometry lead to.
        geometry = f"its geometry cannot be read: {error}"[:120]
    return (properties if isinstance(properties, dict) else {}), geometry


def _geojson_crs(data: Mapping[str, Any]) -> str | None:
    """Return the CRS of GeoJSON: its `crs` member, which only the 2008 format has, else longitude and latitude."""
    if "crs" not in data:
        return LONLAT
    try:
        name = str(data["crs"]["properties"]["name"])
    except (TypeError, KeyError):
        return None  # `"crs": null` says that it is not known
    return LONLAT if "CRS84" in name else name


def class_of(given: Any) -> str:
    """Return a value of a class column as text; empty where it is missing."""
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # pandas turns whole numbers into floats where one is missing
    missing = given is None or (isinstance(given, float) and math.isnan(given)) or str(given) in ("", "<NA>", "NaT")
    return "" if missing else str(given)


def holds(path: Path) -> bool:
    """Return whether a file is a vector file by its content."""
    suffix = path.suffix.lower()
    if suffix in (".geojson", ".json"):
        if re.search(r'"type"\s*:\s*"Feature(Collection)?"', head(path)):
            return True
        keys = json_keys(path)
        return keys[:1] != ("[]",) and ("features" in keys or {"type", "geometry", "properties"} <= set(keys))
    if suffix in LINES:
        return '"Feature"' in head(path)
    if suffix == ".kml":
        return has_tags(path, "kml", "Placemark")
    if suffix in (".parquet", ".geoparquet"):
        return _is_geoparquet(path)
    return suffix in MAGIC


def _is_geoparquet(path: Path) -> bool:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return b"geo" in (parquet.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False
