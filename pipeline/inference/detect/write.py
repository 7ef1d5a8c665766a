"""Write detections as GeoJSON, GeoPackage or GeoParquet, in the scenes' CRS or in longitude and latitude, and CSV.

``centre_row`` and ``centre_col`` are in pixels of the scene as it is. ``row`` and ``col`` of chips, in other tables,
are the upper left pixel on the grid of the chips.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.csv_safety import csv_escaped
from ...utils.errors import ConfigError
from ..lonlat import rfc7946, to_lonlat

GEOPACKAGE, GEOPARQUET = ".gpkg", ".parquet"
LONLAT = "EPSG:4326"
DEGREES = 8
"""Decimals of degrees: a millimetre on the ground."""
METRES = 3
CSV_COLUMNS = ("scene", "class", "score", "centre_row", "centre_col", "x", "y", "lon", "lat")


@dataclass(frozen=True)
class Detection:
    """An object that was found.

    Attributes:
        scene: Name of its scene.
        class_name: Its class.
        score: Calibrated probability of not being background.
        centre_row: Row of its centre in the scene's own pixels, from the upper edge.
        centre_col: Column of its centre, from the left edge.
        centre: x and y of its centre in the scene's CRS; column and row where it has none.
        ring: x and y of the corners of the window that shows it, the first one again at the end.
        crs: CRS of the scene, as WKT or EPSG code; None without georeference.
        label: Name of the labelled object that it is; empty for none, None where there are no labels.
    """

    scene: str
    class_name: str
    score: float
    centre_row: float
    centre_col: float
    centre: tuple[float, float]
    ring: tuple[tuple[float, float], ...]
    crs: str | None
    label: str | None


def check_crs(crs: Sequence[str | None], path: Path, lonlat: bool = False) -> None:
    """Stop before a long computation whose result the file could not hold.

    Args:
        crs: CRS of each scene.
        path: The file.
        lonlat: Whether it is to be in longitude and latitude.

    Raises:
        ConfigError: If it cannot be in longitude and latitude; or if scenes have several CRS and the file is no
            GeoPackage, or one that GeoJSON cannot name and the file is GeoJSON.
    """
    if lonlat and None in crs:
        raise ConfigError("--lonlat: a scene without georeference has no longitude and latitude; leave the option out")
    if lonlat or path.suffix.lower() == GEOPACKAGE:
        return
    different = list(dict.fromkeys(crs))
    if len(different) > 1:
        named = ", ".join(_short(system) for system in different)
        raise ConfigError(f"the scenes have several CRS ({named}); use --to with .gpkg, or --lonlat")
    if path.suffix.lower() == GEOPARQUET:
        return
    if different[0] is not None and not re.fullmatch(r"EPSG:\d+", different[0]):
        raise ConfigError("the scene's CRS has no EPSG code, which GeoJSON needs; use --to with .gpkg, or --lonlat")


def write_geojson(detections: Sequence[Detection], crs: str | None, points: bool, path: Path) -> None:
    """Write a feature collection in the CRS of the scenes, which it names as GeoJSON of 2008 does.

    Without georeference coordinates are columns and rows, and `crs` is null. In longitude and latitude it is GeoJSON as
    RFC 7946 has it.

    Args:
        detections: What was found.
        crs: The scenes' CRS as EPSG code, or None.
        points: Whether geometries are the centres instead of the windows.
        path: Where to.
    """
    import shapely

    decimals = DEGREES if crs is not None and _is_degrees(crs) else METRES
    features = []
    for detection in detections:
        geometry = shapely.geometry.mapping(
            shapely.transform(_shape(detection, points), lambda xy: np.round(xy, decimals))
        )
        features.append({"type": "Feature", "properties": _properties(detection), "geometry": geometry})
    data: dict[str, Any] = {"type": "FeatureCollection"}
    if crs is None:
        data["crs"] = None
    elif crs != LONLAT:
        data["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{crs.replace(':', '::')}"}}
    head = json.dumps(data, ensure_ascii=False)[:-1]
    lines = ",\n".join(json.dumps(feature, ensure_ascii=False) for feature in features)
    path.write_text(f'{head}, "features": [\n{lines}\n]}}\n', "utf-8")


def in_lonlat(detections: Sequence[Detection]) -> list[Detection]:
    """Return detections of georeferenced scenes in longitude and latitude (WGS 84).

    Longitudes of a window across the antimeridian go on beyond 180; it is cut there when it is written.
    """
    moved = []
    for detection in detections:
        if detection.crs is None:
            raise ValueError(f"{detection.scene} is not georeferenced")
        (lon, lat), *ring = to_lonlat([detection.centre, *detection.ring], detection.crs)
        moved.append(replace(detection, centre=(lon - 360 if lon > 180 else lon, lat), ring=tuple(ring), crs=LONLAT))
    return moved


def _shape(detection: Detection, points: bool) -> Any:
    """Return the geometry of a detection."""
    import shapely

    if points:
        return shapely.Point(detection.centre)
    window = shapely.Polygon(detection.ring)
    return rfc7946(window) if detection.crs == LONLAT else window


def _rounder(decimals: int) -> Callable[[tuple[float, float]], list[float]]:
    return lambda point: [round(point[0], decimals), round(point[1], decimals)]


def _properties(detection: Detection) -> dict[str, Any]:
    properties = {
        "scene": detection.scene,
        "class": detection.class_name,
        "score": round(detection.score, 4),
        "centre_row": round(detection.centre_row, 1),
        "centre_col": round(detection.centre_col, 1),
    }
    return (
        properties
        if detection.label is None
        else properties | {"label": detection.label or None, "right": bool(detection.label)}
    )


def write_geopackage(detections: Sequence[Detection], crs: Sequence[str | None], points: bool, path: Path) -> None:
    """Write a GeoPackage with a layer ``detections``; with a layer for each CRS where the scenes have several.

    Args:
        detections: What was found.
        crs: CRS of each scene, also of those in which nothing was found.
        points: Whether geometries are the centres instead of the windows.
        path: Where to.
    """
    different = list(dict.fromkeys(crs))
    columns = _columns(detections)
    for number, system in enumerate(different):
        in_system = [detection for detection in detections if detection.crs == system]
        frame = _frame(in_system, columns, system, points)
        layer = "detections" if len(different) < 2 else f"detections {number + 1}: {_short(system)}"
        kind = "Point" if points else "Polygon"
        frame.to_file(path, layer=layer, driver="GPKG", engine="pyogrio", geometry_type=kind)


def write_geoparquet(detections: Sequence[Detection], crs: str | None, points: bool, path: Path) -> None:
    """Write GeoParquet, whose coordinates are in the CRS that it names.

    Args:
        detections: What was found.
        crs: The scenes' CRS; None where coordinates are columns and rows.
        points: Whether geometries are the centres instead of the windows.
        path: Where to.
    """
    _frame(detections, _columns(detections), crs, points).to_parquet(path, index=False)


def _columns(detections: Sequence[Detection]) -> list[str]:
    """Return the names of the properties that detections have."""
    columns = [*_properties(Detection("", "", 0, 0, 0, (0, 0), (), None, None))]
    return columns + (["label", "right"] if any(detection.label is not None for detection in detections) else [])


def _frame(detections: Sequence[Detection], columns: Sequence[str], crs: str | None, points: bool) -> Any:
    """Return detections of one CRS as a GeoDataFrame."""
    import geopandas

    rows = [_properties(detection) for detection in detections]
    table = {name: [row[name] for row in rows] for name in columns}
    frame = geopandas.GeoDataFrame(table, geometry=[_shape(detection, points) for detection in detections], crs=crs)
    kinds = {"scene": str, "class": str, "score": float, "centre_row": float, "centre_col": float}
    return frame if detections else frame.astype(kinds)


def write_csv(detections: Sequence[Detection], path: Path) -> None:
    """Write a row for each detection; text that a spreadsheet would run as a formula is escaped."""
    labelled = any(detection.label is not None for detection in detections)
    places = _lonlat(detections)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*CSV_COLUMNS, *(("label", "right") if labelled else ())])
        for detection, place in zip(detections, places, strict=True):
            degrees = detection.crs is not None and _is_degrees(detection.crs)
            x, y = _rounder(DEGREES if degrees else METRES)(detection.centre) if detection.crs else ("", "")
            row: list[Any] = [csv_escaped(detection.scene), csv_escaped(detection.class_name), f"{detection.score:.4f}"]
            row += [f"{detection.centre_row:.1f}", f"{detection.centre_col:.1f}", x, y]
            row += ["", ""] if place is None else [f"{place[0]:.7f}", f"{place[1]:.7f}"]
            writer.writerow(
                [*row, *((csv_escaped(detection.label or ""), "yes" if detection.label else "no") if labelled else ())]
            )


def _lonlat(detections: Sequence[Detection]) -> list[tuple[float, float] | None]:
    """Return the longitude and latitude of each centre; None without georeference."""
    import pyproj

    positions: list[tuple[float, float] | None] = [None] * len(detections)
    for system in {detection.crs for detection in detections if detection.crs is not None}:
        rows = [number for number, detection in enumerate(detections) if detection.crs == system]
        transform = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True).transform
        points = np.array([detections[number].centre for number in rows])
        lon, lat = transform(points[:, 0], points[:, 1])
        for number, *place in zip(rows, lon, lat, strict=True):
            positions[number] = (float(place[0]), float(place[1]))
    return positions


def _is_degrees(crs: str) -> bool:
    import pyproj

    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


def _short(crs: str | None) -> str:
    import pyproj

    if crs is None:
        return "none"
    return crs if len(crs) < 20 else str(pyproj.CRS.from_user_input(crs).name)
