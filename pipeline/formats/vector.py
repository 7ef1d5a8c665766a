"""Vector labels in any CRS: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, GeoParquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.errors import InputError
from .base import ImageSource, LabelFormat, LabelInput, Paths, SourceBase
from .label import Labels
from .vector_file import LINES, VECTORS, class_of, holds, read_frames, read_rows
from .vector_layout import USUAL_COLUMN, recognise_vectors

if TYPE_CHECKING:
    from .georeference import Layer

MAX_BYTES = 4 << 30
SIDECARS = (".dbf", ".shx", ".prj", ".cpg")
"""Files that belong to a Shapefile."""
PIXEL = "pixel"


class GeojsonSource(ImageSource):
    """Scenes with vector labels in any CRS: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, GeoParquet."""

    type: Literal["geojson"] = "geojson"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths | None = None
    """Vector file, folder, glob or list; null looks beside the scenes. A file named like a scene is for that one."""
    labels_crs: str | None = None
    """CRS of label files that do not state it; `pixel` if coordinates are columns and rows of the scene."""
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
        for layer, frame in read_frames(path, source.layer, source.class_from == "layer"):
            rows = frame.drop(columns=frame.geometry.name).to_dict("records")
            crs = None if frame.crs is None else frame.crs.to_wkt()
            named = name if layer is None else f"{name}:{layer}"
            layers.append(_layer(path, named, source, list(zip(rows, frame.geometry, strict=True)), crs, layer))
    except InputError:
        raise
    except Exception as error:
        # pyogrio, pyarrow and GDAL raise errors of many families for a damaged file.
        reason = str(error).replace(str(path), path.name).split("\n")[0][:160]
        raise InputError(f"label file {path.name} cannot be read: {reason}") from None
    return layers


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
    available = ", ".join(columns) or "none"
    raise InputError(f"label file {name} has no column {wanted!r}; it has: {available}")


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
    files="GeoJSON, GeoJSON with one feature per line (`.geojsonl`), GeoPackage, Shapefile, FlatGeobuf, KML or"
    " GeoParquet, one for all scenes or one each",
    source=GeojsonSource,
    read=read,
    recognise=recognise_vectors,
    suffixes=VECTORS,
    holds=holds,
    companions=companions,
)
