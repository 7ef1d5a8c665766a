"""Ingest on real imagery, against what is known of it; skipped where it is absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fixtures.ingest_project import feature, ingest, real_data, write_geojson
from satpipe.raster import gdal


def test_planet_tiles_by_their_own_table(tmp_path: Path) -> None:
    folder = real_data("planet-tiles")
    found = ingest(
        tmp_path,
        {"type": "yolo", "path": str(folder / "tiles"), "normalised_by_px": 512, "gsd_m": 3, "nodata": 0}
        | {"groups_csv": str(folder / "tiles.csv")},
        strict=True,
    )
    assert len(found.scenes) == 159
    lines = [
        text for path in (folder / "tiles").glob("*.txt") for text in path.read_text().splitlines() if text.strip()
    ]
    assert found.metadata["labels"] == {"ship": len(lines)}
    assert found.metadata["labels_quarantined"] == []
    assert found.scenes["group_scene"].nunique() == 20
    ships = found.labels.merge(found.scenes, on="scene_id").groupby("group_aoi").size()
    assert len(ships) == 4
    assert ships["utc0207"] == 3
    long_side = np.maximum(
        found.labels["row_max"] - found.labels["row_min"], found.labels["col_max"] - found.labels["col_min"]
    )
    assert long_side.median() == pytest.approx(63, abs=1)
    assert (long_side < 34).mean() == pytest.approx(0.05, abs=0.015)
    assert (long_side > 109).mean() == pytest.approx(0.05, abs=0.015)
    # The labels of the lower tiles only fit into them once multiplied by 512.
    low = found.labels.merge(found.scenes[found.scenes["height"] < 512], on="scene_id")
    assert (low["row_max"] <= low["height"] + 1).all()


def test_the_ships_of_the_bay_in_pixels(tmp_path: Path) -> None:
    folder = real_data("geotiff-ship-scene")
    found = ingest(tmp_path, {"type": "geojson", "path": str(folder), "labels": str(folder / "ships.geojson")})
    features = json.loads((folder / "ships.geojson").read_text())["features"]
    expected = [one["properties"]["px"] for one in features]
    assert [(left, top, right, bottom) for top, left, bottom, right in found.boxes()] == [tuple(px) for px in expected]
    scene = gdal.scene_file(found.scenes.iloc[0].to_dict(), found.store)
    assert (scene.mask, scene.bands, scene.gsd_m) == ("alpha", (1, 2, 3), 5)


def test_the_shipsnet_sample(tmp_path: Path) -> None:
    folder = real_data("shipsnet-sample")
    found = ingest(tmp_path, {"type": "shipsnet", "path": str(folder)})
    assert len(found.metadata["scenes"]) == 30
    kinds = found.labels.merge(found.scenes, on="scene_id")
    assert set(kinds.loc[kinds["item"].isna(), "class"]) == {"non-ship"}
    data = json.loads((folder / "shipsnet_20.json").read_text())
    assert found.metadata["labels"] == {"non-ship": 10 + data["labels"].count(0), "ship": data["labels"].count(1)}
    for position in (0, 7, 19):
        scene = gdal.scene_file(found.scene(f"#{position}"), found.store)
        red = np.array(data["data"][position][:6400]).reshape(80, 80)
        np.testing.assert_array_equal(gdal.read_item(scene)[0][..., 0], red)


def test_geotiffs_of_six_kinds(tmp_path: Path) -> None:
    folder = real_data("geotiff-formats")
    known = {
        "rasterio_RGB.byte.tif": ("uint8", 3, "nodata", "EPSG:32618"),
        "rasterio_RGBA.byte.tif": ("uint8", 3, "alpha", "EPSG:32618"),
        "rasterio_cogeo.tif": ("uint8", 3, "mask", "EPSG:3857"),
        "rasterio_shade.tif": ("uint8", 1, "nodata", "EPSG:3857"),
        "rasterio_world.rgb.tif": ("uint8", 3, None, "EPSG:4326"),
        "solaris_sample_geotiff.tif": ("uint16", 1, "nodata", "EPSG:32616"),
    }
    for name, (dtype, bands, mask, crs) in known.items():
        with rasterio.open(folder / name) as dataset:
            middle = dataset.xy(dataset.height // 2, dataset.width // 2)
            plain = dataset.read()
            theirs = dataset.dataset_mask() != 0
        write_geojson(tmp_path / name / "l.geojson", feature(list(middle), "Point"), crs=crs)
        found = ingest(
            tmp_path,
            {"type": "geojson", "path": str(folder / name), "labels": str(tmp_path / name / "l.geojson")},
        )
        scene = gdal.scene_file(found.scenes.iloc[0].to_dict(), found.store)
        assert (scene.dtype, len(scene.bands), scene.mask, scene.crs) == (dtype, bands, mask, crs), name
        ((row, col, _, _),) = found.boxes()
        assert (int(row), int(col)) == (scene.height // 2, scene.width // 2)
        with gdal.open_scene(scene.path) as dataset:
            seen, valid = gdal.read_window(dataset, scene, 0, 0, scene.height, scene.width)
        np.testing.assert_array_equal(seen, plain[:bands].transpose(1, 2, 0))
        # rasterio's own mask, by another way through GDAL.
        np.testing.assert_array_equal(theirs if valid is None else valid, theirs)
