"""Scenes and labels to ingest, written by hand, and ingest itself without a pool of processes."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.executor import make_part
from pipeline.planning import Walk, Wave
from pipeline.stages import STAGES
from pipeline.store import Record, Store
from pipeline.tables import LABELS, SCENES

UTM = "EPSG:32610"
CORNER = from_origin(550_000, 4_180_000, 3, 3)


@dataclass
class Ingested:
    """What ingest left: tables, facts, and what it made by the way."""

    scenes: pd.DataFrame
    labels: pd.DataFrame
    facts: dict[str, Any]
    made: list[str]
    store: Path

    @property
    def quarantined(self) -> dict[str, str]:
        return dict(self.facts["quarantined"])

    def scene(self, name: str) -> dict[str, Any]:
        """The one scene whose name ends so."""
        found = self.scenes[self.scenes["scene_id"].str.endswith(name)]
        assert len(found) == 1, list(self.scenes["scene_id"])
        return found.iloc[0].to_dict()

    def boxes(self, usable: bool = True) -> list[tuple[float, float, float, float]]:
        rows = self.labels[self.labels["quarantined"].isna() == usable]
        return [tuple(row) for row in rows[["row_min", "col_min", "row_max", "col_max"]].to_numpy().tolist()]


def ingest(root: Path, *sources: dict[str, Any], chips: dict[str, Any] | None = None, **more: Any) -> Ingested:
    """Plan and make the stage in this process; parts of earlier calls with the same root are kept."""
    config = RunConfig.model_validate({"ingest": {"sources": list(sources), **more}, "chips": chips or {}})
    store = Store(root / "data")
    store.create()
    walk = Walk(config, store, Profile)
    made: list[str] = []

    def handle(wave: Wave) -> list[Record]:
        made.extend(wave.orders[position].part.name for position in wave.missing)
        return [record or make_part(order) for order, record in zip(wave.orders, wave.records, strict=True)]

    for _ in walk.stage(STAGES[0], handle):
        pass
    done = walk.done["ingest"]["tables"]
    scenes, labels = SCENES.read(done.path / "scenes.parquet"), LABELS.read(done.path / "labels.parquet")
    return Ingested(scenes, labels, done.facts, made, walk.store.parts)


def pixels(height: int = 60, width: int = 80, bands: int = 3, dtype: str = "uint8", seed: int = 1) -> np.ndarray:
    """Random pixels (H, W, C) that are never 0."""
    return np.random.default_rng(seed).integers(1, 200, (height, width, bands)).astype(dtype)


def write_tif(path: Path, image: np.ndarray | None = None, **profile: Any) -> np.ndarray:
    """Write pixels (H, W, C) as a GeoTIFF in UTM, 3 m, unless said otherwise; returns them."""
    image = pixels() if image is None else image
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "dtype": image.dtype} | profile
    height, width, count = image.shape
    with rasterio.open(path, "w", height=height, width=width, count=count, **given) as file:
        file.write(np.moveaxis(image, -1, 0))
    return image


def write_image(path: Path, image: np.ndarray | None = None, driver: str = "PNG", **options: Any) -> np.ndarray:
    """Write pixels (H, W, C) without georeference."""
    image = pixels() if image is None else image
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = image.shape
    made = path.with_suffix(".made")
    shape = {"height": height, "width": width, "count": count, "dtype": image.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(made, "w", driver=driver, **shape, **options) as file:
            file.write(np.moveaxis(image, -1, 0))
    made.replace(path)
    return image


def square(row: float, col: float, size: float = 10, transform: Any = CORNER) -> list[list[float]]:
    """Ring of a square in map coordinates, from its pixel position."""
    corners = [(col, row), (col + size, row), (col + size, row + size), (col, row + size), (col, row)]
    return [list(transform @ corner) for corner in corners]


def feature(geometry: Any, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    """A GeoJSON feature; a polygon is given by its outer ring."""
    coordinates = [geometry] if kind == "Polygon" else geometry
    shape = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": {"class": "ship"} | properties, "geometry": shape}


def write_geojson(path: Path, *features: dict[str, Any], crs: str | None = UTM) -> Path:
    """Write a feature collection; ``crs`` None leaves the member out, which means longitude and latitude."""
    data: dict[str, Any] = {"type": "FeatureCollection", "features": list(features)}
    if crs is not None:
        data["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{crs.replace(':', '::')}"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")
    return path


def real_data(folder: str) -> Path:
    """A folder of real data, or a visible skip."""
    base = Path(os.environ.get("SATPIPE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not (base / folder).is_dir():
        pytest.skip(f"no real data in {base / folder}; set SATPIPE_DATA")
    return base / folder
