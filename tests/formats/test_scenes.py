"""Scenes of every kind: what the scene table says of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from fixtures.ingest_project import (
    CORNER,
    UTM,
    Ingested,
    feature,
    ingest,
    pixels,
    square,
    write_geojson,
    write_image,
    write_tif,
)
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin
from satpipe.raster import gdal
from satpipe.utils.errors import InputError


def labelled(folder: Path, transform: Any = CORNER, crs: str = "EPSG:32610") -> dict[str, Any]:
    """A source of the scenes in ``folder`` with one label at row 20, column 30."""
    labels = write_geojson(folder.parent / "labels.geojson", feature(square(20, 30, 10, transform)), crs=crs)
    return {"type": "geojson", "name": "s", "path": str(folder), "labels": str(labels)}


def pictures(folder: Path) -> dict[str, Any]:
    """A source of pictures without georeference, each with one box in the middle."""
    for image in [path for path in folder.rglob("*") if path.suffix != ".txt"]:
        image.with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return {"type": "yolo", "name": "s", "path": str(folder)}


def read(found: Ingested, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and valid mask of a scene, as a later stage reads them."""
    scene = gdal.scene_file(found.scene(name), found.store)
    if scene.item is not None:
        return gdal.read_item(scene)
    with gdal.open_scene(scene.path) as dataset:
        return gdal.read_window(dataset, scene, 0, 0, scene.height, scene.width)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 3, 8])
def test_a_geotiff_of_any_type_and_bands_keeps_its_pixels(tmp_path: Path, dtype: str, bands: int) -> None:
    image = write_tif(tmp_path / "in" / "a.tif", pixels(bands=bands, dtype=dtype))
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    row = result.scene("a.tif")
    assert (row["dtype"], row["height"], row["width"]) == (dtype, 60, 80)
    assert json.loads(row["bands"]) == list(range(1, bands + 1))
    seen, valid = read(result, "a.tif")
    np.testing.assert_array_equal(seen, image)
    assert valid is None


@pytest.mark.parametrize("dtype", ["int32", "uint32", "complex64", "complex_int16"])
def test_another_type_is_quarantined_with_what_to_do(tmp_path: Path, dtype: str) -> None:
    if dtype == "complex_int16":  # a type of GDAL's that NumPy lacks
        profile = {
            "driver": "GTiff",
            "height": 60,
            "width": 80,
            "count": 1,
            "dtype": dtype,
            "crs": UTM,
            "transform": CORNER,
        }
        (tmp_path / "in").mkdir()
        with rasterio.open(tmp_path / "in" / "a.tif", "w", **profile):
            pass
    else:
        write_tif(tmp_path / "in" / "a.tif", pixels(dtype=dtype))
    with pytest.raises(InputError, match=f"{dtype}; convert it"):
        ingest(tmp_path, labelled(tmp_path / "in"))


def test_a_scene_in_a_local_crs_is_one_without_georeference(tmp_path: Path) -> None:
    image = write_tif(tmp_path / "in" / "a.tif", crs='LOCAL_CS["site",UNIT["metre",1]]')
    (tmp_path / "in" / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    result = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in"), "gsd_m": 3})
    assert result.quarantined == {}
    assert result.scene("a.tif")["crs"] is None
    np.testing.assert_array_equal(read(result, "a.tif")[0], image)


def test_a_cloud_optimised_geotiff_is_read(tmp_path: Path) -> None:
    write_tif(tmp_path / "made.tif", pixels(600, 600))
    (tmp_path / "in").mkdir()
    with rasterio.open(tmp_path / "made.tif") as source:
        profile = {"driver": "COG", "compress": "deflate", "blocksize": 256}
        with rasterio.open(
            tmp_path / "in" / "a.tif", "w", height=600, width=600, count=3, dtype="uint8", crs=source.crs,
            transform=source.transform, **profile,
        ) as target:  # fmt: skip
            target.write(source.read())
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    np.testing.assert_array_equal(read(result, "a.tif")[0], pixels(600, 600))


def test_chosen_bands_are_read_in_the_chosen_order(tmp_path: Path) -> None:
    image = write_tif(tmp_path / "in" / "a.tif", pixels(bands=8, dtype="uint16"))
    result = ingest(tmp_path, labelled(tmp_path / "in"), bands=[6, 4, 2])
    np.testing.assert_array_equal(read(result, "a.tif")[0], image[..., [5, 3, 1]])


# --------------------------------------------------------------------------------------------------------- nodata


def test_nodata_by_tag(tmp_path: Path) -> None:
    image = pixels()
    image[:, :7] = 0
    write_tif(tmp_path / "in" / "a.tif", image, nodata=0)
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    assert (result.scene("a.tif")["mask"], result.scene("a.tif")["nodata"]) == ("nodata", 0)
    valid = read(result, "a.tif")[1]
    assert valid is not None
    assert not valid[:, :7].any()
    assert valid[:, 7:].all()


def test_nodata_by_tag_as_nan(tmp_path: Path) -> None:
    image = pixels(dtype="float32")
    image[:7] = np.nan
    write_tif(tmp_path / "in" / "a.tif", image, nodata=np.nan)
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    assert result.scene("a.tif")["mask"] == "nodata"
    valid = read(result, "a.tif")[1]
    assert valid is not None
    assert not valid[:7].any()
    assert valid[7:].all()


def test_a_nodata_value_that_the_type_cannot_hold_masks_nothing(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif", pixels(dtype="uint8"))
    result = ingest(tmp_path, labelled(tmp_path / "in") | {"nodata": -9999})
    assert pd.isna(result.scene("a.tif")["mask"])


def test_nodata_by_alpha_band(tmp_path: Path) -> None:
    image = pixels(bands=4)
    image[..., 3] = 255
    image[:5, :, 3] = 0
    write_tif(tmp_path / "in" / "a.tif", image, photometric="RGB", alpha="YES")
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    assert result.scene("a.tif")["mask"] == "alpha"
    seen, valid = read(result, "a.tif")
    np.testing.assert_array_equal(seen, image[..., :3])
    assert valid is not None
    assert not valid[:5].any()
    assert valid[5:].all()


def test_a_fourth_band_that_is_no_alpha_is_data(tmp_path: Path) -> None:
    image = write_tif(tmp_path / "in" / "a.tif", pixels(bands=4, dtype="uint16"))
    with rasterio.open(tmp_path / "in" / "a.tif", "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    np.testing.assert_array_equal(read(result, "a.tif")[0], image)


def test_nodata_by_internal_mask(tmp_path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_tif(tmp_path / "in" / "a.tif")
        with rasterio.open(tmp_path / "in" / "a.tif", "r+") as file:
            mask = np.full((60, 80), True)
            mask[:, 60:] = False
            file.write_mask(mask)
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    assert result.scene("a.tif")["mask"] == "mask"
    valid = read(result, "a.tif")[1]
    np.testing.assert_array_equal(valid, mask)


def test_nodata_that_only_the_configuration_knows(tmp_path: Path) -> None:
    image = pixels()
    image[:, :9] = 0
    write_image(tmp_path / "in" / "a.png", image)
    assert read(ingest(tmp_path, pictures(tmp_path / "in")), "a.png")[1] is None
    valid = read(ingest(tmp_path, pictures(tmp_path / "in") | {"nodata": 0}), "a.png")[1]
    assert valid is not None
    assert not valid[:, :9].any()
    assert valid[:, 9:].all()


def test_a_scene_without_a_valid_pixel_is_quarantined(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    write_tif(tmp_path / "in" / "b.tif", np.zeros((60, 80, 3), "uint8"), nodata=0)
    result = ingest(tmp_path, labelled(tmp_path / "in"))
    assert "no valid pixels" in result.quarantined["s/b.tif"]


# ------------------------------------------------------------------------------------------------- PNG, JPEG, paths


@pytest.mark.parametrize(
    ("name", "driver"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("a.png", "JPEG")]
)
def test_pictures_take_their_gsd_from_the_configuration(tmp_path: Path, name: str, driver: str) -> None:
    image = write_image(tmp_path / "in" / name, driver=driver)
    result = ingest(tmp_path, pictures(tmp_path / "in") | {"gsd_m": 1.5})
    row = result.scene(name)
    assert row["gsd_m"] == 1.5
    assert pd.isna(row["crs"])
    assert pd.isna(row["transform"])
    seen, _ = read(result, name)
    assert seen.shape == image.shape
    if driver == "PNG":
        np.testing.assert_array_equal(seen, image)


def test_a_png_with_alpha_is_three_bands_and_a_mask(tmp_path: Path) -> None:
    image = pixels(bands=4)
    image[..., 3] = 255
    image[0, 0, 3] = 0
    write_image(tmp_path / "in" / "a.png", image)
    result = ingest(tmp_path, pictures(tmp_path / "in"))
    seen, valid = read(result, "a.png")
    np.testing.assert_array_equal(seen, image[..., :3])
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[0, 0]]


def test_scenes_are_found_by_folder_glob_file_and_list(tmp_path: Path) -> None:
    for number, name in enumerate(["x/a.tif", "x/deep/b.TIFF", "y/c.tif", "x/.hidden.tif", "x/note.md"]):
        if name.endswith("md"):
            (tmp_path / "in" / name).write_text("no scene")
        else:
            write_tif(tmp_path / "in" / name, pixels(seed=number))
    source = labelled(tmp_path / "in")
    expected = {
        str(tmp_path / "in"): ["s/x/a.tif", "s/x/deep/b.TIFF", "s/y/c.tif"],
        str(tmp_path / "in" / "x"): ["s/a.tif", "s/deep/b.TIFF"],
        str(tmp_path / "in" / "*" / "*.tif"): ["s/x/a.tif", "s/y/c.tif"],
        str(tmp_path / "in" / "y" / "c.tif"): ["s/c.tif"],
    }
    for path, names in expected.items():
        assert list(ingest(tmp_path, source | {"path": path}).scenes["scene_id"]) == names
    both = [str(tmp_path / "in" / "y" / "c.tif"), str(tmp_path / "in" / "x" / "deep")]
    assert list(ingest(tmp_path, source | {"path": both}).scenes["scene_id"]) == ["s/x/deep/b.TIFF", "s/y/c.tif"]


# ---------------------------------------------------------------------------------------------------- georeference


def test_a_scene_says_where_it_is_how_fine_and_its_file(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    result = ingest(tmp_path, labelled(tmp_path / "in") | {"licence": "CC-BY-4.0"})
    row = result.scene("a.tif")
    assert row["crs"] == "EPSG:32610"
    assert json.loads(row["transform"]) == [3, 0, 550_000, 0, -3, 4_180_000]
    assert row["gsd_m"] == 3
    assert row["sha256"] == hashlib.sha256((tmp_path / "in" / "a.tif").read_bytes()).hexdigest()
    assert (row["licence"], row["source"], bool(row["simulated"])) == ("CC-BY-4.0", "s", False)
    assert result.metadata["scenes"] == [["s/a.tif", row["sha256"]]]
    assert result.metadata["licences"] == ["CC-BY-4.0"]


def test_gsd_is_measured_on_the_ground(tmp_path: Path) -> None:
    transform = from_origin(-13_600_000, 4_540_000, 10, 10)
    write_tif(tmp_path / "in" / "a.tif", crs="EPSG:3857", transform=transform)
    result = ingest(tmp_path, labelled(tmp_path / "in", transform, "EPSG:3857"))
    assert result.scene("a.tif")["gsd_m"] == pytest.approx(10 * np.cos(np.radians(37.7)), rel=0.005)


def test_uneven_pixels_are_quarantined_unless_resampled(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    write_tif(tmp_path / "in" / "b.tif", pixels(seed=2), transform=Affine(3, 0, 550_000, 0, -6, 4_180_000))
    source = labelled(tmp_path / "in")
    result = ingest(tmp_path, source)
    assert "3 m wide and 6 m high" in result.quarantined["s/b.tif"]
    result = ingest(tmp_path, source, chips={"gsd_m": 3, "resampling": "bilinear"})
    assert result.quarantined == {}


@pytest.mark.parametrize(
    "transform",
    [
        Affine(3, 0, 550_000, 0, 3, 4_180_000),
        Affine(-3, 0, 550_000, 0, -3, 4_180_000),
        Affine.translation(550_000, 4_180_000) @ Affine.rotation(30) @ Affine.scale(3, -3),
        Affine.translation(550_000, 4_180_000) @ Affine.rotation(-120) @ Affine.scale(3, 3),
    ],
    ids=["south-up", "mirrored", "rotated", "rotated and south-up"],
)
def test_labels_find_their_pixels_in_a_rotated_scene(tmp_path: Path, transform: Affine) -> None:
    write_tif(tmp_path / "in" / "a.tif", transform=transform)
    result = ingest(tmp_path, labelled(tmp_path / "in", transform))
    assert result.boxes() == [pytest.approx((20, 30, 30, 40), abs=1e-3)]
    assert result.scene("a.tif")["gsd_m"] == 3


def test_crs_without_transform_is_no_georeference(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif", transform=Affine.identity())
    result = ingest(tmp_path, pictures(tmp_path / "in"))
    assert pd.isna(result.scene("a.tif")["crs"])
