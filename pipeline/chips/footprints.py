"""Where chips lie on the ground: their outlines as polygons in longitude and latitude (WGS 84)."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj

_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.float64)
"""Upper left, lower left, lower right, upper right, in (row, col): counter-clockwise where north is up."""


def footprints(chips: pd.DataFrame, scenes: pd.DataFrame, size: int) -> pd.Series[str]:
    """Outline of each chip as WKT, missing where its scene has no georeference.

    Args:
        chips: Chips with scene_id, row and col on the target grid.
        scenes: Scenes with crs, transform, and the scales of the target grid.
        size: Side of a chip in target pixels.
    """
    outlines = pd.Series(pd.NA, index=chips.index, dtype="string")
    placed = scenes[scenes["crs"].notna() & scenes["transform"].notna()]
    by_scene = chips.groupby("scene_id", sort=False).groups
    for row in placed.to_dict("records"):
        if row["scene_id"] not in by_scene:
            continue
        chosen = chips.loc[by_scene[row["scene_id"]]]
        corner = chosen[["row", "col"]].to_numpy(np.float64)[:, None, :] + _CORNERS * size
        corner *= (row["scale_row"], row["scale_col"])
        outlines.loc[chosen.index] = [_wkt(ring) for ring in _lonlat(corner, row["crs"], row["transform"])]
    return outlines


def _lonlat(corners: npt.NDArray[np.float64], crs: str, transform: str) -> npt.NDArray[np.float64]:
    """Scene pixels (N, 5, 2) as row, col to longitude and latitude (N, 5, 2)."""
    a, b, c, d, e, f = json.loads(transform)[:6]
    row, col = corners[..., 0], corners[..., 1]
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return np.stack(to_lonlat.transform(a * col + b * row + c, d * col + e * row + f), axis=-1)


def _wkt(ring: npt.NDArray[np.float64]) -> str | None:
    if not np.isfinite(ring).all():
        return None
    lon = ring[:, 0]
    # Across the antimeridian longitudes go on beyond 180, so that the outline stays one small polygon.
    lon = np.where(lon < 0, lon + 360, lon) if np.ptp(lon) > 180 else lon
    return "POLYGON ((" + ", ".join(f"{x:.7f} {y:.7f}" for x, y in zip(lon, ring[:, 1], strict=True)) + "))"
