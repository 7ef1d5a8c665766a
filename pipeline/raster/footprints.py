"""Footprints of chips on the ground: their outlines as polygons in longitude and latitude (WGS 84)."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely

_CHUNK = 1 << 14
"""Outlines that are built at a time: as polygons they take far more memory than as text."""
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.float64)
"""Upper left, lower left, lower right, upper right, in (row, col): counter-clockwise where north is up."""


def footprints(chips: pd.DataFrame, scenes: pd.DataFrame, size: int) -> pd.Series[str]:
    """Return the outline of each chip as WKT, missing where its scene has no georeference.

    Args:
        chips: Chips with scene_id, row and col on the target grid.
        scenes: Scenes with crs, transform, and the scales of the target grid.
        size: Side of a chip in target pixels.
    """
    outlines = np.full(len(chips), None, dtype=object)
    placed = scenes[scenes["crs"].notna() & scenes["transform"].notna()]
    by_scene = chips.groupby("scene_id", sort=False).indices
    corners = chips[["row", "col"]].to_numpy(np.float64)
    for row in placed.to_dict("records"):
        where = by_scene.get(row["scene_id"], np.zeros(0, np.int64))
        for start in range(0, len(where), _CHUNK):
            part = where[start : start + _CHUNK]
            corner = corners[part][:, None, :] + _CORNERS * size
            corner *= (row["scale_row"], row["scale_col"])
            outlines[part] = _wkt(_lonlat(corner, row["crs"], row["transform"]))
    return pd.Series(outlines, index=chips.index, dtype="string")


def _lonlat(corners: npt.NDArray[np.float64], crs: str, transform: str) -> npt.NDArray[np.float64]:
    """Convert scene pixels (N, 5, 2), as row, col, to longitude and latitude (N, 5, 2)."""
    a, b, c, d, e, f = json.loads(transform)[:6]
    row, col = corners[..., 0], corners[..., 1]
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return np.stack(to_lonlat.transform(a * col + b * row + c, d * col + e * row + f), axis=-1)


def _wkt(rings: npt.NDArray[np.float64]) -> list[str | None]:
    """Return rings (N, 5, 2) as WKT; None where a corner has no position."""
    finite = np.isfinite(rings).all(axis=(1, 2))
    lon = rings[..., 0]
    # Across the antimeridian longitudes go on beyond 180, so that the outline stays one small polygon.
    across = np.ptp(lon, axis=1) > 180
    lon = np.where(across[:, None] & (lon < 0), lon + 360, lon)
    shapes = np.full(len(rings), None, dtype=object)
    shapes[finite] = shapely.polygons(np.stack([lon, rings[..., 1]], axis=-1)[finite])
    texts: list[str | None] = shapely.to_wkt(shapes, rounding_precision=7).tolist()
    return texts
