"""A seeded simulator of harbour and open-sea scenes with labelled ships, so that the default run needs no download.

What it imitates is the visual product of PlanetScope: RGB, 8 bits, 3 m. A scene follows from the source's
configuration and the scene's number alone. Each aspect (water, land, fleet, sensor ...) has its own stream of random
numbers, so that a changed setting of one leaves the others as they are.
"""

from __future__ import annotations

import json
from enum import IntEnum
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from ....config.sources import SimulatedSource
from ....raster.gdal import new_geotiff
from .canvas import GSD_M, OVERSAMPLING, Canvas, Float, Sun
from .fleet import place_fleet
from .hulls import Ship
from .scenery import SHORES, Setting, paint_afloat, paint_cranes_over, paint_setting, small_boats
from .sensor import add_clouds, add_haze, expose, to_pixels, wedge
from .ships import draw_ship, draw_wake
from .water import paint_water

NODATA = 0
_HIDDEN = 0.4
"""Mean cloud opacity over a hull above which it is not labelled."""
_PLACES_IN_A_ROW = 40
_PLACE_M = 10_000.0
"""Scenes of one source lie this far apart on a grid inside their UTM zone, so that no two overlap."""


class Stream(IntEnum):
    """Streams of random numbers of a scene."""

    PLACE = 0
    WATER = 1
    LAND = 2
    AFLOAT = 3
    FLEET = 4
    SHIPS = 5
    WAKES = 6
    BOATS = 7
    CRANES = 8
    CLOUDS = 9
    HAZE = 10
    SENSOR = 11
    WEDGE = 12


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
    row, col = divmod(number, _PLACES_IN_A_ROW)
    west, north = 300_000.0 + col * _PLACE_M, 5_500_000.0 + row * _PLACE_M
    epsg = 32601 + (30 + config.seed) % 60
    scene, labels = f"{scene_id}.tif", f"{scene_id}.geojson"
    _write_raster(folder / scene, pixels, epsg, west, north)
    collection = _collection(scene_id, ships, epsg, west, north)
    (folder / labels).write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")
    return {"scene_id": scene_id, "scene": scene, "labels": labels, "ships": len(ships)}


def simulate(config: SimulatedSource, number: int) -> tuple[NDArray[np.uint8], list[Ship]]:
    """Pixels (H, W, 3) uint8 of a scene, 0 where it has no data, and the ships that are to be seen in it."""

    def draw(stream: Stream, *more: int) -> np.random.Generator:
        return np.random.default_rng([config.seed, number, int(stream), *more])

    place = draw(Stream.PLACE)
    sun = Sun(float(place.uniform(60, 175)), float(place.uniform(32, 68)))
    side = config.size_px * OVERSAMPLING
    canvas = Canvas(config.size_px * GSD_M, np.zeros((side, side, 3), np.float32))
    paint_water(canvas, draw(Stream.WATER), config.waves, config.glint)
    scenery = paint_setting(canvas, _setting(config, number), draw(Stream.LAND), sun, config.clutter)
    paint_afloat(canvas, draw(Stream.AFLOAT), sun, config.clutter)
    cut = _turn(config, number, 2) < config.nodata_wedge_share
    missing = wedge(draw(Stream.WEDGE), (config.size_px, config.size_px)) if cut else None
    fleet = place_fleet(config, canvas, scenery.berths, missing, draw(Stream.FLEET))
    afloat = fleet + small_boats(canvas, draw(Stream.BOATS), fleet, config.clutter)
    for i, ship in enumerate(afloat):
        if ship.state == "under way":
            draw_wake(canvas, ship, draw(Stream.WAKES, i))
    for i, ship in enumerate(afloat):
        draw_ship(canvas, ship, sun, draw(Stream.SHIPS, i))
    paint_cranes_over(scenery, draw(Stream.CRANES), sun)

    light = to_pixels(canvas)
    cloudy = _turn(config, number, 3) < config.cloud_share
    clouds = draw(Stream.CLOUDS)
    cover = config.cloud_cover * float(clouds.gamma(2.0, 0.5)) if cloudy else 0.0
    opacity = add_clouds(light, clouds, sun, min(cover, 0.9))
    haze = draw(Stream.HAZE)
    add_haze(light, haze, config.haze * float(haze.gamma(1.5, 1 / 1.5)))
    pixels = expose(light, draw(Stream.SENSOR), config.blur_px, config.noise)
    if missing is not None:
        pixels[missing] = NODATA
    return pixels, [ship for ship in fleet if _opacity_over(opacity, ship) < _HIDDEN]


def _turn(config: SimulatedSource, number: int, aspect: int) -> float:
    """A value in [0, 1) for each scene that fills the interval evenly: {start + number sqrt(p)} (Weyl 1916).

    A share of the scenes therefore holds closely in few scenes already, and for every prefix of them.
    """
    start = np.random.default_rng([config.seed, 2**20 + aspect]).random()
    return float((start + number * sqrt((2, 3, 5, 7)[aspect])) % 1.0)


def _setting(config: SimulatedSource, number: int) -> Setting:
    """What kind of place scene ``number`` shows."""
    if _turn(config, number, 0) >= config.land_share:
        return "sea"
    return SHORES[int(_turn(config, number, 1) * len(SHORES))]


def _opacity_over(opacity: Float, ship: Ship) -> float:
    """Mean opacity of the clouds over a ship's hull; ``opacity`` (H, W) in [0, 1]."""
    x, y = ship.points(np.linspace(-0.48, 0.48, 25) * ship.length_m, np.linspace(-0.4, 0.4, 5) * ship.beam_m)
    return float(opacity[(y / GSD_M).astype(int), (x / GSD_M).astype(int)].mean())


def _write_raster(path: Path, pixels: NDArray[np.uint8], epsg: int, west: float, north: float) -> None:
    """Write pixels (H, W, 3) as a tiled, deflated GeoTIFF."""
    transform = rasterio.Affine(GSD_M, 0, west, 0, -GSD_M, north)
    with new_geotiff(
        path, height=pixels.shape[0], width=pixels.shape[1], count=3, dtype="uint8",
        crs=f"EPSG:{epsg}", transform=transform, nodata=NODATA, photometric="RGB",
        tiled=True, blockxsize=256, blockysize=256, compress="deflate", predictor=2,
    ) as file:  # fmt: skip
        file.write(np.moveaxis(pixels, -1, 0))
        file.update_tags(TIFFTAG_IMAGEDESCRIPTION="simulated scene")


def _collection(scene_id: str, ships: list[Ship], epsg: int, west: float, north: float) -> dict[str, Any]:
    """The labels as GeoJSON with the CRS member of its 2008 edition, which GDAL reads."""
    features = [
        {
            "type": "Feature",
            "properties": {
                "class": "ship",
                "kind": ship.kind,
                "state": ship.state,
                "length_m": round(ship.length_m, 1),
                "beam_m": round(ship.beam_m, 1),
                "heading_deg": round(ship.heading_deg, 1),
            },
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[round(west + x, 2), round(north - y, 2)] for x, y in ship.outline()]],
            },
        }
        for ship in ships
    ]
    return {
        "type": "FeatureCollection",
        "name": scene_id,
        "crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}},
        "features": features,
    }
