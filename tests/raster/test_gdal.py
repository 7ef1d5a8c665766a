"""The entry point to scenes: what it refuses, and which pixels it reads as valid."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fixtures import REPOSITORY
from fixtures.ingest_project import CORNER, UTM, pixels, write_image, write_tif
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin
from satpipe.raster import gdal
from satpipe.raster.gdal import SceneFile
from satpipe.raster.grid import pixel_size_m
from satpipe.utils.errors import InputError

VRT = """<VRTDataset rasterXSize="80" rasterYSize="60"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


def scene_of(path: Path, bands: tuple[int, ...] = (1, 2, 3), **known: object) -> SceneFile:
    given = {"item": None, "width": 80, "height": 60, "dtype": "uint8", "nodata": None, "mask": None}
    return SceneFile("s", path, bands=bands, crs=None, transform=None, gsd_m=None, **(given | known))


def refusal(path: Path | str, **options: object) -> str:
    with pytest.raises(InputError) as caught, gdal.open_scene(path, **options) as dataset:
        dataset.read()
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------- refused


def test_a_vrt_named_tif_is_refused(tmp_path: Path) -> None:
    write_tif(tmp_path / "secret.tif")
    (tmp_path / "scene.tif").write_text(VRT.format(tmp_path / "secret.tif"))
    assert "not a TIFF, PNG, JPEG, BMP or JPEG 2000" in refusal(tmp_path / "scene.tif")


@pytest.mark.parametrize(
    "path",
    [
        VRT.format("/etc/hostname"),
        "/vsicurl/http://localhost/scene.tif",
        "/vsizip/scenes.zip/scene.tif",
        "/vsimem/scene.tif",
        "https://localhost/scene.tif",
        "s3://bucket/scene.tif",
        "GTIFF_DIR:1:scene.tif",
        "zip+file://scenes.zip!scene.tif",
    ],
)
def test_a_path_that_is_not_plain_and_local_is_refused(path: str) -> None:
    assert "not a plain path" in refusal(path)


def test_claimed_pixels_are_counted_before_any_is_read(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "huge.tif", "w", driver="GTiff", width=200_000, height=200_000, count=1, dtype="uint8",
        tiled=True, sparse_ok=True, bigtiff="YES",
    ):  # fmt: skip
        pass
    assert (tmp_path / "huge.tif").stat().st_size < 20_000_000
    said = refusal(tmp_path / "huge.tif", max_pixels=2_000_000_000)
    assert "claims 200000 x 200000 pixels" in said
    assert "max_pixels" in said


def test_a_file_in_one_giant_block_is_refused(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "tile.tif", "w", driver="GTiff", width=32_000, height=32_000, count=1, dtype="uint8",
        tiled=True, blockxsize=32_000, blockysize=32_000, sparse_ok=True,
    ):  # fmt: skip
        pass
    assert "TILED=YES" in refusal(tmp_path / "tile.tif", max_pixels=2_000_000_000)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"text"])
def test_a_file_that_is_no_image_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scene.tif").write_bytes(content)
    said = refusal(tmp_path / "scene.tif")
    assert "scene.tif" in said
    assert "\n" not in said


def test_a_folder_named_tif_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").mkdir()
    assert "is a folder" in refusal(tmp_path / "scene.tif")


def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scene.tif")
    assert "not a regular file" in refusal(tmp_path / "scene.tif")


def test_messages_hold_no_folder_names_so_that_they_may_be_kept(tmp_path: Path) -> None:
    write_tif(tmp_path / "scene.tif", pixels(400, 400))
    content = (tmp_path / "scene.tif").read_bytes()
    (tmp_path / "scene.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as caught, gdal.open_scene(tmp_path / "scene.tif") as dataset:
        gdal.read_window(dataset, scene_of(tmp_path / "scene.tif"), 0, 0, 400, 400)
    assert "truncated" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_a_truncated_png_or_jpeg_is_an_error_and_not_grey(tmp_path: Path, driver: str) -> None:
    write_image(tmp_path / "scene.png", pixels(300, 300), driver)
    content = (tmp_path / "scene.png").read_bytes()
    (tmp_path / "scene.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError), gdal.open_scene(tmp_path / "scene.png") as dataset:
        gdal.read_window(dataset, scene_of(tmp_path / "scene.png"), 0, 0, 300, 300)


def test_side_car_files_are_not_read(tmp_path: Path) -> None:
    # A mask beside the file is opened by GDAL with any driver it has: it may be a VRT of anything.
    write_tif(tmp_path / "scene.tif")
    write_tif(tmp_path / "dark.tif", np.zeros((60, 80, 1), "uint8"))
    (tmp_path / "scene.tif.msk").write_text(VRT.format(tmp_path / "dark.tif"))
    (tmp_path / "scene.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:4326</SRS></PAMDataset>")
    with gdal.open_scene(tmp_path / "scene.tif") as dataset:
        assert dataset.crs.to_string() == UTM
        assert dataset.read_masks(1).all()
        assert dataset.files == [str(tmp_path / "scene.tif")]


def test_drivers_that_read_other_files_are_off_in_each_process(tmp_path: Path) -> None:
    code = (
        "from satpipe import raster; import rasterio, geopandas, pyogrio\n"
        "with rasterio.Env() as env: raster_drivers = set(env.drivers())\n"
        "vector_drivers = set(pyogrio.list_drivers())\n"
        "bad = {'VRT', 'WMS', 'HTTP', 'GTI', 'STACTA', 'OGR_VRT', 'WFS', 'OAPIF', 'Zarr'}\n"
        "print(bad & raster_drivers, bad & vector_drivers, {'GTiff', 'PNG', 'JPEG'} <= raster_drivers)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ran.stdout.split() == ["set()", "set()", "True"]


# ---------------------------------------------------------------------------------------------------------- pixels


def test_a_jpeg_named_png_is_read_as_what_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "scene.png", driver="JPEG")
    with gdal.open_scene(tmp_path / "scene.png") as dataset:
        assert dataset.driver == "JPEG"


def test_pixels_come_channels_last_in_their_own_type(tmp_path: Path) -> None:
    image = write_tif(tmp_path / "scene.tif", pixels(dtype="uint16", bands=4))
    with gdal.open_scene(tmp_path / "scene.tif") as dataset:
        result, valid = gdal.read_window(dataset, scene_of(tmp_path / "scene.tif", (4, 2)), 10, 20, 7, 9)
    assert valid is None
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, image[10:17, 20:29, [3, 1]])


def test_zero_in_one_band_is_a_value_and_zero_in_all_is_nodata(tmp_path: Path) -> None:
    image = pixels()
    image[0, 0], image[1, 1] = (0, 0, 0), (0, 90, 0)
    valid = gdal.valid_mask(image, scene_of(tmp_path, nodata=0.0, mask="nodata"))
    assert valid is not None
    assert not valid[0, 0]
    assert valid[1, 1]
    assert (~valid).sum() == 1
    assert gdal.valid_mask(image, scene_of(tmp_path)) is None


def test_a_float_that_is_not_finite_is_never_valid(tmp_path: Path) -> None:
    image = pixels(dtype="float32")
    image[2, 3, 1], image[4, 5, 0] = np.nan, np.inf
    valid = gdal.valid_mask(image, scene_of(tmp_path, dtype="float32"))
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[2, 3], [4, 5]]


def test_an_alpha_band_and_nothing_else_says_what_is_valid(tmp_path: Path) -> None:
    alpha = np.full((60, 80), 255, "uint8")
    alpha[:, :5], alpha[:, 5] = 0, 1
    valid = gdal.valid_mask(np.zeros((60, 80, 3), "uint8"), scene_of(tmp_path, mask="alpha"), alpha)
    assert valid is not None
    assert not valid[:, :5].any()
    assert valid[:, 5:].all()


def test_a_scene_row_becomes_a_file_below_the_store(tmp_path: Path) -> None:
    row = {
        "scene_id": "s/a", "path": "ingest/abc/a.npy", "item": 3, "width": 4, "height": 2, "crs": None,
        "transform": json.dumps([1, 0, 0, 0, -1, 0]), "gsd_m": math.nan, "bands": "[1, 3]", "dtype": "uint8",
        "nodata": None, "mask": None,
    }  # fmt: skip
    (tmp_path / "ingest" / "abc").mkdir(parents=True)
    items = np.random.default_rng(1).integers(0, 255, (5, 2, 4, 3)).astype("uint8")
    np.save(tmp_path / "ingest" / "abc" / "a.npy", items)
    scene = gdal.scene_file(row, tmp_path)
    assert scene.gsd_m is None
    assert scene.transform == (1, 0, 0, 0, -1, 0)
    np.testing.assert_array_equal(gdal.read_item(scene)[0], items[3][..., [0, 2]])
    with pytest.raises(InputError, match="item 9"):
        gdal.read_item(gdal.scene_file(row | {"item": 9}, tmp_path))
    assert gdal.scene_file(row | {"path": str(tmp_path / "x.tif")}, Path("/store")).path == tmp_path / "x.tif"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.sampled_from([None, 16, 32]),
    most=st.integers(1, 20_000),
)
def test_windows_cover_each_pixel_once_and_begin_at_blocks(
    tmp_path: Path, height: int, width: int, tile: int | None, most: int
) -> None:
    layout = {} if tile is None else {"tiled": True, "blockxsize": tile, "blockysize": tile}
    write_tif(tmp_path / "scene.tif", pixels(height, width), **layout)
    seen = np.zeros((height, width), int)
    with gdal.open_scene(tmp_path / "scene.tif") as dataset:
        block_height, block_width = dataset.block_shapes[0]
        for row, col, rows, cols in gdal.aligned_windows(dataset, most):
            assert row % block_height == 0
            assert col % block_width == 0
            assert rows * cols * 3 <= max(most, block_height * block_width * 3)
            seen[row : row + rows, col : col + cols] += 1
    assert (seen == 1).all()


# -------------------------------------------------------------------------------------------------------- geometry


def size_at(crs: str, x: float, y: float, step: float) -> tuple[float, float]:
    transform = tuple(from_origin(x - 50 * step, y + 50 * step, step, step))[:6]
    return pixel_size_m(crs, transform, 100, 100)


def test_metres_in_utm_are_what_the_file_says() -> None:
    assert pixel_size_m(UTM, tuple(CORNER)[:6], 100, 100) == (3.0, 3.0)


@pytest.mark.parametrize("lat", [0.0, 37.7, 60.0, -45.0])
def test_web_mercator_metres_shrink_with_latitude(lat: float) -> None:
    y = 6_378_137 * math.log(math.tan(math.pi / 4 + math.radians(lat) / 2))
    across, down = size_at("EPSG:3857", 1e6, y, 10)
    # Snyder, Map Projections (1987), p. 44: the sphere's scale is 1 / cos(lat); the ellipsoid adds up to 0.7 %.
    assert across == pytest.approx(10 * math.cos(math.radians(lat)), rel=0.007)
    assert down == pytest.approx(10 * math.cos(math.radians(lat)), rel=0.007)


def test_degrees_are_as_long_as_the_ellipsoid_says() -> None:
    # Length of a degree on WGS 84 at 45 degrees: 78,847 m of longitude and 111,132 m of latitude.
    across, down = size_at("EPSG:4326", 10, 45, 0.0001)
    assert across == pytest.approx(7.8847, abs=1e-3)
    assert down == pytest.approx(11.1132, abs=1e-3)


def test_survey_feet_are_not_metres() -> None:
    across, _ = size_at("EPSG:2227", 6_000_000, 2_100_000, 1)
    assert across == pytest.approx(0.3048006, abs=1e-6)


def test_a_centre_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(InputError, match="not valid in its CRS"):
        size_at("EPSG:32610", 9e9, 9e9, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_geotiff_on_a_full_disk_is_an_error_not_a_damaged_file() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 64, 64), dtype=np.uint8)
    with (
        pytest.raises(OSError, match="No space left"),
        gdal.new_geotiff(Path("/dev/full"), height=64, width=64, count=1, dtype="uint8", crs="EPSG:32610") as file,
    ):
        file.write(pixels)


def test_a_new_geotiff_holds_what_was_written(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    place = rasterio.Affine(3, 0, 500_000, 0, -3, 4_000_000)
    shape = {"height": 64, "width": 64, "count": 3, "dtype": "uint8"}
    with gdal.new_geotiff(tmp_path / "a.tif", crs="EPSG:32610", transform=place, **shape) as file:
        file.write(pixels)
        file.update_tags(CLASS="ship")
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), pixels)
        assert file.transform == place
        assert file.tags()["CLASS"] == "ship"
