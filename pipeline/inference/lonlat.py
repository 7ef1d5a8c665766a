"""Geometries in longitude and latitude as RFC 7946 wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyproj
import shapely


def to_lonlat(points: Sequence[tuple[float, float]], crs: str) -> list[tuple[float, float]]:
    """Return points of a small figure in longitude and latitude; across the antimeridian longitudes go beyond 180."""
    x, y = np.array(points, np.float64).T
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    if np.ptp(lon) > 180:
        lon = np.where(lon < 0, lon + 360, lon)
    return [(float(east), float(north)) for east, north in zip(lon, lat, strict=True)]


def rfc7946(polygon: Any) -> Any:
    """Return a polygon counterclockwise, and in two parts where it crosses the antimeridian (sections 3.1.6, 3.1.9).

    Args:
        polygon: In longitude and latitude; across the antimeridian its longitudes go on beyond 180.
    """
    if polygon.bounds[2] > 180:
        west = shapely.intersection(polygon, shapely.box(-180, -90, 180, 90))
        east = shapely.intersection(polygon, shapely.box(180, -90, 540, 90))
        polygon = shapely.MultiPolygon([west, shapely.transform(east, lambda xy: xy - [360, 0])])
    return shapely.orient_polygons(polygon)


def bounding_box(polygon: Any) -> list[float]:
    """Return west, south, east and north of such a polygon; west is greater where it crosses the antimeridian (5.2)."""
    west, south, east, north = polygon.bounds
    return [west, south, east - 360 if east > 180 else east, north]
