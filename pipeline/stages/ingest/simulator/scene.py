"""A seeded simulator of harbour and open-sea scenes with labelled ships, so that the default run needs no download.

What it imitates is the visual product of PlanetScope: RGB, 8 bits, 3 m. A scene follows from the source's
configuration and the scene's number alone. Each aspect (water, land, fleet, sensor ...) has its own stream of random
numbers, so that a changed setting of one leaves the others as they are.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from shapely import Polygon

from ....config.sources import SimulatedSource
from ....raster.gdal import new_geotiff
from .drawing import GSD_M, Float, RasterBuffer, Sun
from .fleet import Ship, place_fleet
from .sensor import add_clouds, add_haze, expose, swath_edge
from .ships import draw_ship, draw_wake
from .shore import SHORES, Setting, draw_cranes, paint_afloat, paint_setting, small_boats
from .water import paint_water

NODATA = 0
_HIDDEN = 0.4
"""Mean cloud opacity over a hull above which it is not labelled."""
_SCENES_IN_A_ROW = 40
_SPACING_M = 10_000.0
"""Scenes of one source lie this far apart on a grid inside their UTM zone, so that no two overlap."""


_STREAMS = (
    "sun", "water", "land", "afloat", "fleet", "ships", "wakes", "boats", "cranes", "clouds", "haze", "sensor", "swath",
)  # fmt: skip
"""Streams of random numbers of a scene; the position is part of the seed."""


def write_scene(config: SimulatedSource, number: int, folder: Path) -> dict[str, Any]:
    """Simulate a scene and write ``<scene_id>.tif`` and ``<scene_id>.geojson``.

    The GeoTIFF is RGB uint8 at 3 m in a UTM zone, with nodata 0 beyond the edge of the swath and 1 to 255 elsewhere.
    The GeoJSON holds the outline of each ship's hull in the same CRS with the properties class, kind, state,
    length_m, beam_m and heading_deg.

    Args:
        config: The source.
        number: Number of the scene, from 0.
        folder: Where the two files go.

    Returns:
        ``scene_id``, file names ``scene`` and ``labels``, and the number of labelled ``ships``.
    """
    scene_id = f"sim-{config.seed}-{number:04d}"
    pixels, ships = simulate(config, number)
    row, col = divmod(number, _SCENES_IN_A_ROW)
    west, north = 300_000.0 + col * _SPACING_M, 5_500_000.0 + row * _SPACING_M
    epsg = 32601 + (30 + config.seed) % 60
    scene, labels = f"{scene_id}.tif", f"{scene_id}.geojson"
    with new_geotiff(
        folder / scene, height=pixels.shape[0], width=pixels.shape[1], count=3, dtype="uint8",
        crs=f"EPSG:{epsg}", transform=rasterio.Affine(GSD_M, 0, west, 0, -GSD_M, north), nodata=NODATA,
        photometric="RGB", tiled=True, blockxsize=256, blockysize=256, compress="deflate", predictor=2,
    ) as file:  # fmt: skip
        file.write(np.moveaxis(pixels, -1, 0))
        file.update_tags(TIFFTAG_IMAGEDESCRIPTION="simulated scene")
    (folder / labels).write_text(_labels(ships, epsg, west, north).to_json(drop_id=True, indent=1), "utf-8")
    return {"scene_id": scene_id, "scene": scene, "labels": labels, "ships": len(ships)}


def simulate(config: SimulatedSource, number: int) -> tuple[NDArray[np.uint8], list[Ship]]:
    """Return the pixels (H, W, 3) uint8 of a scene, 0 where it has no data, and the ships that are visible in it."""

    def draw(stream: str, *more: int) -> np.random.Generator:
        return np.random.default_rng([config.seed, number, _STREAMS.index(stream), *more])

    light_source = draw("sun")
    sun = Sun(float(light_source.uniform(60, 175)), float(light_source.uniform(32, 68)))
    buffer = RasterBuffer(config.size_px, sun)
    paint_water(buffer, draw("water"), config.waves, config.glint)
    shore = paint_setting(buffer, _setting(config, number), draw("land"), config.clutter)
    paint_afloat(buffer, draw("afloat"), config.clutter)
    cut = _spread(config, number, 2) < config.nodata_wedge_share
    missing = swath_edge(draw("swath"), (config.size_px, config.size_px)) if cut else None
    fleet = place_fleet(config, buffer, shore.berths, missing, draw("fleet"))
    afloat = fleet + small_boats(buffer, draw("boats"), fleet, config.clutter)
    for index, ship in enumerate(afloat):
        if ship.state == "under way":
            draw_wake(buffer, ship, draw("wakes", index))
    for index, ship in enumerate(afloat):
        draw_ship(buffer, ship, draw("ships", index))
    draw_cranes(shore, draw("cranes"))

    light = buffer.pixels()
    clouds, haze = draw("clouds"), draw("haze")
    cloudy = _spread(config, number, 3) < config.cloud_share
    cover = config.cloud_cover * float(clouds.gamma(2.0, 0.5)) if cloudy else 0.0
    opacity = add_clouds(light, clouds, sun, min(cover, 0.9))
    add_haze(light, haze, config.haze * float(haze.gamma(1.5, 1 / 1.5)))
    pixels = expose(light, draw("sensor"), config.blur_px, config.noise)
    if missing is not None:
        pixels[missing] = NODATA
    return pixels, [ship for ship in fleet if _opacity_over(opacity, buffer, ship) < _HIDDEN]


def _spread(config: SimulatedSource, number: int, aspect: int) -> float:
    """Return a value in [0, 1) for each scene that fills the interval evenly: {start + number sqrt(p)} (Weyl 1916).

    A share of the scenes therefore holds closely in few scenes already, and for every prefix of them.
    """
    start = np.random.default_rng([config.seed, 2**20 + aspect]).random()
    return float((start + number * sqrt((2, 3, 5, 7)[aspect])) % 1.0)


def _setting(config: SimulatedSource, number: int) -> Setting:
    """Return what kind of place scene ``number`` shows."""
    if _spread(config, number, 0) >= config.land_share:
        return "sea"
    return SHORES[int(_spread(config, number, 1) * len(SHORES))]


def _opacity_over(opacity: Float, buffer: RasterBuffer, ship: Ship) -> float:
    """Return the mean opacity of the clouds over a ship's hull; ``opacity`` (H, W) in [0, 1]."""
    u, v = np.meshgrid(np.linspace(-0.48, 0.48, 25) * ship.length_m, np.linspace(-0.4, 0.4, 5) * ship.beam_m)
    cols, rows = (ship.frame(buffer).place(np.stack([u.ravel(), v.ravel()], axis=1)) / GSD_M).astype(int).T
    return float(opacity[rows, cols].mean())


def _labels(ships: list[Ship], epsg: int, west: float, north: float) -> geopandas.GeoDataFrame:
    """Return the outline and the properties of each ship."""
    columns = {name: [getattr(ship, name) for ship in ships] for name in ("kind", "state")}
    columns |= {
        name: [round(getattr(ship, name), 1) for ship in ships] for name in ("length_m", "beam_m", "heading_deg")
    }
    outlines = [Polygon(np.round((west, north) + ship.outline() * (1, -1), 2)) for ship in ships]
    return geopandas.GeoDataFrame({"class": "ship"} | columns, geometry=outlines, crs=epsg)
