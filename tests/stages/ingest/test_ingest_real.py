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
    result = ingest(
        tmp_path,
        {"type": "yolo", "path": str(folder / "tiles"), "normalised_by_px": 512, "gsd_m": 3, "nodata": 0}
        | {"groups_csv": str(folder / "tiles.csv")},
        strict=True,
    )
    assert len(result.scenes) == 159
    lines = [
        text for path in (folder / "tiles").glob("*.txt") for text in path.read_text().splitlines() if text.strip()
    ]
    assert result.metadata["labels"] == {"ship": len(lines)}
    assert result.metadata["labels_quarantined"] == []
    assert result.scenes["group_scene"].nunique() == 20
    ships = result.labels.merge(result.scenes, on="scene_id").groupby("group_aoi").size()
    assert len(ships) == 4
    assert ships["utc0207"] == 3
    long_side = np.maximum(
        result.labels["row_max"] - result.labels["row_min"], result.labels["col_max"] - result.labels["col_min"]
    )
    assert long_side.median() == pytest.approx(63, abs=1)
    assert (long_side < 34).mean() == pytest.approx(0.05, abs=0.015)
    assert (long_side > 109).mean() == pytest.approx(0.05, abs=0.015)
    # The labels of the lower tiles only fit into them once multiplied by 512.
    low = result.labels.merge(result.scenes[result.scenes["height"] < 512], on="scene_id")
    assert (low["row_max"] <= low["height"] + 1).all()


def test_the_ships_of_the_bay_in_pixels(tmp_path: Path) -> None:
    folder = real_data("geotiff-ship-scene")
    result = ingest(tmp_path, {"type": "geojson", "path": str(folder), "labels": str(folder / "ships.geojson")})
    features = json.loads((folder / "ships.geojson").read_text())["features"]
    expected = [item["properties"]["px"] for item in features]
    assert [(left, top, right, bottom) for top, left, bottom, right in result.boxes()] == [tuple(px) for px in expected]
    scene = gdal.scene_file(result.scenes.iloc[0].to_dict(), result.store)
    assert (scene.mask, scene.bands, scene.gsd_m) == ("alpha", (1, 2, 3), 5)


def test_the_shipsnet_sample(tmp_path: Path) -> None:
    folder = real_data("shipsnet-sample")
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(folder)})
    assert len(result.metadata["scenes"]) == 30
    kinds = result.labels.merge(result.scenes, on="scene_id")
    assert set(kinds.loc[kinds["item"].isna(), "class"]) == {"non-ship"}
    data = json.loads((folder / "shipsnet_20.json").read_text())
    assert result.metadata["labels"] == {"non-ship": 10 + data["labels"].count(0), "ship": data["labels"].count(1)}
    for position in (0, 7, 19):
        scene = gdal.scene_file(result.scene(f"#{position}"), result.store)
        red = np.array(data["data"][position][:6400]).reshape(80, 80)
        np.testing.assert_array_equal(gdal.read_item(scene)[0][..., 0], red)


def test_geotiffs_of_six_kinds(tmp_path: Path) -> None:
    folder = real_data("geotiff-formats")
    reference = {
        "rasterio_RGB.byte.tif": ("uint8", 3, "nodata", "EPSG:32618"),
        "rasterio_RGBA.byte.tif": ("uint8", 3, "alpha", "EPSG:32618"),
        "rasterio_cogeo.tif": ("uint8", 3, "mask", "EPSG:3857"),
        "rasterio_shade.tif": ("uint8", 1, "nodata", "EPSG:3857"),
        "rasterio_world.rgb.tif": ("uint8", 3, None, "EPSG:4326"),
        "solaris_sample_geotiff.tif": ("uint16", 1, "nodata", "EPSG:32616"),
    }
    for name, (dtype, bands, mask, crs) in reference.items():
        with rasterio.open(folder / name) as dataset:
            middle = dataset.xy(dataset.height // 2, dataset.width // 2)
            plain = dataset.read()
            theirs = dataset.dataset_mask() != 0
        write_geojson(tmp_path / name / "l.geojson", feature(list(middle), "Point"), crs=crs)
        result = ingest(
            tmp_path,
            {"type": "geojson", "path": str(folder / name), "labels": str(tmp_path / name / "l.geojson")},
        )
        scene = gdal.scene_file(result.scenes.iloc[0].to_dict(), result.store)
        assert (scene.dtype, len(scene.bands), scene.mask, scene.crs) == (dtype, bands, mask, crs), name
        ((row, col, _, _),) = result.boxes()
        assert (int(row), int(col)) == (scene.height // 2, scene.width // 2)
        with gdal.open_scene(scene.path) as dataset:
            seen, valid = gdal.read_window(dataset, scene, 0, 0, scene.height, scene.width)
        np.testing.assert_array_equal(seen, plain[:bands].transpose(1, 2, 0))
        # rasterio's own mask, by another way through GDAL.
        np.testing.assert_array_equal(theirs if valid is None else valid, theirs)
