"""The scenes that the benchmark of chips cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

SIZE = 80
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled raw": {"tiled": True, "blockxsize": 512, "blockysize": 512},
    "tiled deflate": {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"},
    "striped deflate": {"compress": "deflate"},
}


def make_scene(path: Path, side: int, profile: dict[str, Any]) -> None:
    """Make a scene of smooth water with sensor noise, which deflate shrinks by about a third, unless it is there.

    One strip is drawn and comes again and again, shifted along: no two blocks of the scene hold the same pixels.
    """
    if path.exists():
        return
    rng = np.random.default_rng(0)
    level = rng.normal(0, 25, side // 160 + 1).astype(np.float32).repeat(160)[:side]
    noise = rng.normal(0, 3, (3, 512, side)).astype(np.float32)
    strip = np.clip(90 + level + noise + np.float32([0, 10, 20])[:, None, None], 1, 255).astype(np.uint8)
    size = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB", "interleave": "pixel"}
    place = {"crs": "EPSG:32610", "transform": rasterio.Affine(3, 0, 500_000, 0, -3, 4_000_000)}
    unfinished = path.with_suffix(".part")
    with rasterio.open(unfinished, "w", driver="GTiff", bigtiff="if_safer", **size, **place, **profile) as file:
        for row in range(0, side, 512):
            rows = min(512, side - row)
            shifted = np.roll(strip, row // 512 * 77, axis=2)[:, :rows]
            file.write(shifted, window=Window(0, row, side, rows))
    unfinished.replace(path)


def scene_path(folder: Path, layout: str, side: int) -> Path:
    """Return the path of a scene."""
    return folder / f"{layout.replace(' ', '_')}_{side}.tif"
