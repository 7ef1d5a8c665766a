"""Vector labels in any CRS: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, GeoParquet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.errors import InputError
from .base import ImageSource, LabelFormat, LabelInput, Paths, Recognised, SourceBase
from .inventory import Inventory, has_tags, head, json_keys
from .label import Labels

if TYPE_CHECKING:
    from .georeference import Layer

MAX_BYTES = 4 << 30
LINES = (".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl")
VECTORS = (".geojson", ".gpkg", ".shp", ".fgb", ".kml", *LINES, ".parquet", ".geoparquet", ".json")
SIDECARS = (".dbf", ".shx", ".prj", ".cpg")
"""Files that belong to a Shapefile."""
USUAL_COLUMN = "class"
LONLAT = "EPSG:4326"
PIXEL = "pixel"
MAGIC = {
    ".gpkg": lambda start: start.startswith(b"SQLite format 3\0") and start[68:70] == b"GP",
    ".shp": lambda start: start.startswith(b"\0\0\x27\x0a"),
    ".fgb": lambda start: start.startswith(b"fgb"),
    ".parquet": lambda start: start.startswith(b"PAR1"),
    ".geoparquet": lambda start: start.startswith(b"PAR1"),
}
"""Whether the first bytes of a file are what its suffix says."""


class GeojsonSource(ImageSource):
    """Scenes with vector labels in any CRS: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, GeoParquet."""

    type: Literal["geojson"] = "geojson"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths | None = None
    """Vector file, folder, glob or list; null looks beside the scenes. A file named like a scene is for that one."""
    labels_crs: str | None = None
    """CRS of label files that do not say theirs; `pixel` where coordinates are columns and rows of the scene."""
    swap_axes: bool = False
    """Whether the label files have latitude (or northing) first."""
    layer: str | tuple[str, ...] | None = None
    """Layer of a GeoPackage with several, or a list of layers."""
    class_from: Literal["column", "layer", "file"] = "column"
    """Whether a column, the layer or the name of the file names the class."""
    class_column: str | None = "class"
    """Column with the class name, in whatever case; null takes `default_class` for every label."""
    default_class: str = "ship"
    """Class of labels without one."""


# ---------------------------------------------------------------------------------------------------------- reading


def read(given: LabelInput) -> Labels:
    """Read vector files and place their features in scenes.

    A feature gets one label in each scene that it touches. A file that cannot be read, or not placed, takes with it
    every scene that it could have labels for: without them a scene must not pass for one without objects.
    """
    from .georeference import place_in

    source, labels = given.source(GeojsonSource), Labels()
    usable, alone = given.usable, set(given.own.values())
    owners: dict[str | None, list[Mapping[str, Any]]] = {}
    for scene in usable:
        owners.setdefault(given.own.get(str(scene["path"])), []).append(scene)
    for name, path in given.files.items():
        scenes = owners.get(name, []) if name in alone else usable
        try:
            for layer in read_file(path, name, source):
                if layer.crs == PIXEL and name not in alone:
                    # It cannot be for a scene that has a file of its own.
                    scenes = owners.get(None, [])
                place_in(layer, scenes, labels)
        except InputError as error:
            labels.refuse(scenes, error)
    if alone.issuperset(given.files):
        labels.unlabelled = sum(str(scene["path"]) not in given.own for scene in usable)
    return labels


def read_file(path: Path, name: str, source: GeojsonSource) -> list[Layer]:
    """Read one vector file. Its content must be what its suffix says: no file that stands for others is opened.

    Args:
        path: The file.
        name: What its features are named after.
        source: How it is read.

    Returns:
        Its layers; only a GeoPackage has several.

    Raises:
        InputError: If it cannot be read as a whole. A single broken feature only gets a reason.
    """
    from ..raster.gdal import local_file

    path = local_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"label file {path.name} is larger than {MAX_BYTES >> 30} GiB; split it")
    suffix = path.suffix.lower()
    if suffix in (".geojson", ".json", ".kml", *LINES):
        rows, crs = read_rows(path)
        return [_layer(path, name, source, rows, crs)]
    layers = []
    try:
        for layer, frame in read_frames(path, suffix, source):
            rows = frame.drop(columns=frame.geometry.name).to_dict("records")
            crs = None if frame.crs is None else frame.crs.to_wkt()
            named = name if layer is None else f"{name}:{layer}"
            layers.append(_layer(path, named, source, list(zip(rows, frame.geometry, strict=True)), crs, layer))
    except InputError:
        raise
    except Exception as error:
        # pyogrio, pyarrow and GDAL raise errors of many families for a damaged file.
        said = str(error).replace(str(path), path.name).split("\n")[0][:160]
        raise InputError(f"label file {path.name} cannot be read: {said}") from None
    return layers


def read_frames(path: Path, suffix: str, source: GeojsonSource) -> Iterator[tuple[str | None, Any]]:
    """Yield the layers of a file as GeoDataFrames, named where there are several.

    Raises:
        InputError: If its first bytes are not what its suffix says, or no layer is named where there are several.
    """
    import geopandas

    with path.open("rb") as file:
        start = file.read(72)
    if suffix not in MAGIC or not MAGIC[suffix](start):
        raise InputError(f"label file {path.name} is no vector file of a kind that is read by its first bytes")
    if suffix in (".parquet", ".geoparquet"):
        yield None, geopandas.read_parquet(path)
    elif suffix != ".gpkg":
        yield None, geopandas.read_file(path)
    else:
        layers = [str(layer) for layer in geopandas.list_layers(path)["name"]]
        wanted = [source.layer] if isinstance(source.layer, str) else list(source.layer or layers)
        if len(wanted) > 1 and source.layer is None and source.class_from != "layer":
            raise InputError(f"label file {path.name} has the layers {', '.join(layers)}; set layer to one of them")
        for layer in wanted:
            yield (layer if len(wanted) > 1 else None), geopandas.read_file(path, layer=layer)


def _layer(
    path: Path,
    name: str,
    source: GeojsonSource,
    rows: Sequence[tuple[Mapping[str, Any], Any]],
    crs: str | None,
    layer: str | None = None,
) -> Layer:
    """Return the features of one layer, given as properties and geometries."""
    from .georeference import Feature, Layer, explode

    fixed = {"layer": layer, "file": path.stem}.get(source.class_from)
    if source.class_from == "layer" and layer is None:
        fixed = source.layer if isinstance(source.layer, str) else path.stem
    columns = list(dict.fromkeys(str(key) for properties, _ in rows for key in properties))
    column = None if fixed or not rows else _class_column(columns, path.name, source)
    features: list[Feature] = []
    for number, (properties, geometry) in enumerate(rows):
        class_name = fixed or class_of(properties.get(column) if column else None) or source.default_class
        features += explode(f"{name}:{number}", class_name, geometry)
    if source.swap_axes:
        features = [Feature(*_swapped(feature)) for feature in features]
    return Layer(path.name, source.labels_crs or crs, tuple(features))


def _swapped(feature: Any) -> tuple[Any, ...]:
    points = feature.points[:, ::-1]
    return feature.origin, feature.class_name, points, feature.is_point, feature.reason, feature.is_polygon


def _class_column(columns: Sequence[str], name: str, source: GeojsonSource) -> str | None:
    """Return the column of the class; None where every feature has the default one.

    Raises:
        InputError: If the user named a column that the file lacks. Without the usual one all are of one class.
    """
    wanted = source.class_column
    if wanted is None or wanted in columns:
        return wanted
    same = [column for column in columns if column.lower() == wanted.lower()]
    if same or wanted == USUAL_COLUMN:
        return same[0] if same else None
    known = ", ".join(columns) or "none"
    raise InputError(f"label file {name} has no column {wanted!r}; it has: {known}")


def class_of(given: Any) -> str:
    """Return a value of a class column as text; empty where it is missing."""
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # pandas turns whole numbers into floats where one is missing
    missing = given is None or (isinstance(given, float) and math.isnan(given)) or str(given) in ("", "<NA>", "NaT")
    return "" if missing else str(given)


# ------------------------------------------------------------------------------------------------------ text formats


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
        raise InputError(f"label file {path.name} is no GeoJSON: {error}"[:200]) from None
    kind = data.get("type") if isinstance(data, dict) else None
    features = data.get("features") if kind == "FeatureCollection" else [data] if kind == "Feature" else None
    if not isinstance(features, list):
        raise InputError(f"label file {path.name} is no GeoJSON feature collection")
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
                        raise ValueError(f"line {number} is no feature")
                    rows.append(_row(feature))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"label file {path.name} is no GeoJSON with a feature a line: {error}"[:200]) from None
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


# ------------------------------------------------------------------------------------------------------ recognition


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


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise vector files beside rasters."""
    from .vector_layout import recognise_vectors

    return recognise_vectors(folder)


def companions(source: SourceBase, files: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files that belong to Shapefiles: they decide what those say too."""
    paths = {
        f"{name}{suffix}": path.with_suffix(suffix)
        for name, path in files.items()
        if name.lower().endswith(".shp")
        for suffix in SIDECARS
    }
    return {name: path for name, path in paths.items() if path.is_file()}


FORMAT = LabelFormat(
    title="Vector files",
    files="GeoJSON, GeoJSON with a feature a line (`.geojsonl`), GeoPackage, Shapefile, FlatGeobuf, KML or GeoParquet,"
    " one for all scenes or one each",
    source=GeojsonSource,
    read=read,
    recognise=recognise,
    suffixes=VECTORS,
    holds=holds,
    companions=companions,
)
