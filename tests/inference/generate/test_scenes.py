"""`satpipe generate --scenes`: objects in the user's own GeoTIFFs, and nothing else changed in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from fixtures import layered_generator
from fixtures.finished_run import Finished, read_json, tree
from fixtures.ingest_project import UTM, init_and_ingest
from fixtures.layered_generator import LENGTH, SIDE, WIDTH, ground
from pycocotools.coco import COCO
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from satpipe.commands import cli
from satpipe.engine.runs import find_run
from satpipe.inference.generate.scenes import make as scenes
from satpipe.inference.generate.scenes.make import Outcome, Wish
from satpipe.utils.errors import ConfigError, InputError, SatpipeError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
EDGE = 3
"""Pixels beyond an object's mask that its soft edge may change."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return layered_generator.finished(tmp_path_factory.mktemp("layers"))


def write_scene(path: Path, pixels: np.ndarray, gsd_m: float = 3.0, **profile: Any) -> Path:
    """Write pixels (H, W, C) as a GeoTIFF in UTM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels.shape
    place = {"crs": UTM, "transform": from_origin(400_000, 90_000, gsd_m, gsd_m)}
    shape = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", **(place | shape | profile)) as file:
        file.write(pixels.transpose(2, 0, 1))
    return path


def put(done: Finished, to: Path, *paths: object, workers: int = 1, **wish: Any) -> Outcome:
    given = {"count": 12, "screen": False} | wish
    run = find_run(done.name, done.root)
    return scenes.make(run, Wish(tuple(map(str, paths)), **given), to, lambda done, total: None, workers)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


def polygon(path: Path, points: list[tuple[int, int]], gsd_m: float = 3.0) -> Path:
    """Write a polygon of class ship with corners (column, row) of a scene."""
    ring = [(400_000 + gsd_m * col, 90_000 - gsd_m * row) for col, row in [*points, points[0]]]
    feature = {"type": "Feature", "properties": {"class": "ship"}}
    feature |= {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{UTM.replace(':', '::')}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    return path


def shown(folder: Path, number: int = 1) -> np.ndarray:
    """Which pixels (H, W) of an image are synthetic objects by the COCO masks, with their soft edges."""
    coco = COCO(str(folder / "annotations.json"))
    [image] = coco.loadImgs(number)
    mask = np.zeros((image["height"], image["width"]), bool)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=number)):
        mask |= coco.annToMask(annotation).astype(bool)
    return np.lib.stride_tricks.sliding_window_view(np.pad(mask, EDGE), (2 * EDGE + 1,) * 2).any(axis=(2, 3))


@pytest.mark.parametrize(
    ("dtype", "bands", "profile"),
    [
        ("uint8", 3, {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "lzw"}),
        ("uint16", 5, {"interleave": "band"}),
        ("float32", 1, {"nodata": -9999.0}),
    ],
)
def test_pixels_outside_the_objects_stay(dtype: str, bands: int, profile: dict[str, Any], tmp_path: Path) -> None:
    done = layered_generator.finished(tmp_path, bands, dtype)
    source = write_scene(tmp_path / "in" / "bay.tif", ground((400, 500, bands), 9, dtype), **profile)
    assert put(done, tmp_path / "out", source).placed == {"ship": 12}
    before, after = read(source), read(tmp_path / "out" / "images" / "bay.tif")
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    objects = shown(tmp_path / "out")
    np.testing.assert_array_equal(after[:, ~objects], before[:, ~objects])
    changed = (after != before).any(axis=0)
    assert 12 * LENGTH * WIDTH * 0.7 < changed.sum() <= objects.sum()


def test_the_file_is_the_scene_tiled_with_overviews(done: Finished, tmp_path: Path) -> None:
    pixels = np.concatenate([ground((700, 900, 3), 1), np.full((700, 900, 1), 255, np.uint8)], axis=2)
    source = write_scene(tmp_path / "bay.tif", pixels, photometric="RGB", alpha="YES")
    with rasterio.open(source, "r+") as file:
        file.update_tags(ACQUIRED="2018-10-30")
        file.set_band_description(1, "red edge")
    put(done, tmp_path / "out", source)
    with rasterio.open(source) as given, rasterio.open(tmp_path / "out" / "images" / "bay.tif") as file:
        assert (file.crs, file.transform, file.colorinterp) == (given.crs, given.transform, given.colorinterp)
        assert file.colorinterp[3] == ColorInterp.alpha
        assert file.profile["tiled"]
        assert file.overviews(1) == [2, 4]
        assert file.descriptions[0] == "red edge"
        tags = file.tags()
        assert (tags["SYNTHETIC"], tags["SYNTHETIC_OBJECTS"], tags["ACQUIRED"]) == ("YES", "12", "2018-10-30")
        assert "synthetic objects" in tags["TIFFTAG_IMAGEDESCRIPTION"]
        np.testing.assert_array_equal(file.read(4), given.read(4))


def test_labels_lie_on_the_objects(done: Finished, tmp_path: Path) -> None:
    source = write_scene(tmp_path / "bay.tif", ground((400, 500, 3), 2))
    put(done, tmp_path / "out", source)
    after = read(tmp_path / "out" / "images" / "bay.tif").mean(axis=0)
    result, kind, _ = init_and_ingest(tmp_path / "out", tmp_path)
    assert kind in ("coco", "geojson")
    assert len(result.labels) == 12
    data = json.loads((tmp_path / "out" / "labels" / "bay.geojson").read_text())
    assert all(item["properties"]["synthetic"] for item in data["features"])
    with rasterio.open(source) as file:
        for item in data["features"]:
            outline = shapely.geometry.shape(item["geometry"])
            row, col = file.index(*outline.centroid.coords[0])
            assert after[row - 1 : row + 2, col - 1 : col + 2].min() > 120
            assert outline.area / 9 == pytest.approx(LENGTH * WIDTH, rel=0.3)


@pytest.mark.parametrize("gsd_m", [1.6, 5.9])
def test_objects_have_their_size_on_the_ground(gsd_m: float, done: Finished, tmp_path: Path) -> None:
    source = write_scene(tmp_path / "bay.tif", ground((260, 260, 3), 3), gsd_m)
    area = polygon(tmp_path / "area.geojson", [(0, 0), (0, 260), (260, 260), (260, 0)], gsd_m)
    put(done, tmp_path / "out", source, count=4, within=area)
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    areas = [item["area"] * gsd_m**2 for item in coco.dataset["annotations"]]
    assert np.mean(areas) == pytest.approx(LENGTH * WIDTH * 9, rel=0.25)


def test_objects_keep_clear_of_labels_and_of_each_other(done: Finished, tmp_path: Path) -> None:
    source = write_scene(tmp_path / "bay.tif", ground((300, 300, 3), 4))
    labels = polygon(tmp_path / "ships.geojson", [(100, 100), (200, 100), (200, 200), (100, 200)])
    outcome = put(done, tmp_path / "out", source, truth=labels, count=8)
    assert outcome.notes == ()
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    boxes = [shapely.box(x, y, x + w, y + h) for x, y, w, h in (item["bbox"] for item in coco.dataset["annotations"])]
    assert shapely.box(100, 100, 200, 200).equals(boxes[-1]), "the labelled one comes last"
    assert len(boxes) == 1 + outcome.placed["ship"]
    assert all(not boxes[i].intersects(boxes[j]) for i in range(len(boxes)) for j in range(i))
    facts = json.loads((tmp_path / "out" / "labels" / "bay.geojson").read_text())["features"][-1]["properties"]
    assert facts == {"class": "ship", "synthetic": False}


def test_objects_lie_on_ground_like_that_of_labels(done: Finished, tmp_path: Path) -> None:
    pixels = ground((400, 400, 3), 5)
    pixels[:, :200] = np.random.default_rng(0).normal(150, 30, (400, 200, 3)).clip(1, 255)
    put(done, tmp_path / "out", write_scene(tmp_path / "bay.tif", pixels), count=10)
    objects = shown(tmp_path / "out")
    assert not objects[:, :200].any()
    assert objects[:, 200:].any()


def test_objects_lie_inside_valid_pixels(done: Finished, tmp_path: Path) -> None:
    pixels = ground((300, 400, 3), 6)
    pixels[:, :180] = 0
    put(done, tmp_path / "out", write_scene(tmp_path / "bay.tif", pixels, nodata=0), count=8)
    assert not shown(tmp_path / "out")[:, :180].any()
    assert (read(tmp_path / "out" / "images" / "bay.tif")[:, :, :180] == 0).all()


def test_a_polygon_says_where_on_any_ground(done: Finished, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(150, 30, (300, 300, 3)).clip(1, 255).astype(np.uint8)
    source = write_scene(tmp_path / "town.tif", pixels)
    with pytest.raises(
        ConfigError, match="none of 12 objects could be placed in a scene: 12 with no surroundings like"
    ):
        put(done, tmp_path / "none", source)
    assert not (tmp_path / "none").exists()
    area = polygon(tmp_path / "area.geojson", [(60, 60), (240, 60), (240, 240), (60, 240)])
    put(done, tmp_path / "out", source, within=area, count=5)
    objects = np.argwhere(shown(tmp_path / "out"))
    assert objects.min() > 60 - LENGTH
    assert objects.max() < 240 + LENGTH


def test_the_same_seed_gives_the_same_bytes(done: Finished, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.tif", ground((200, 300, 3), 7))
    pattern = tmp_path / "?.tif"
    item = put(done, tmp_path / "1", pattern, count=5)
    assert item.scenes == 2
    first = tree(tmp_path / "1")
    put(done, tmp_path / "3", pattern, count=5, workers=3)
    assert first == tree(tmp_path / "3")
    put(done, tmp_path / "other", pattern, count=5, seed=2)
    assert first["images/a.tif"] != tree(tmp_path / "other")["images/a.tif"]


def test_card_says_what_was_made_and_what_is_not_known(done: Finished, tmp_path: Path) -> None:
    source = write_scene(tmp_path / "bay.tif", ground((300, 300, 3), 8))
    outcome = put(done, tmp_path / "out", source, count=3)
    assert "synthetic ones may cover them" in outcome.notes[0]
    card = read_json(tmp_path / "out" / "card.json")
    assert card["synthetic"] is True
    assert card["scenes"] == [
        {"scene": "bay.tif", "file": "bay.tif", "synthetic_objects": 3, "labelled_objects": 0, "gsd_m": 3.0}
    ]
    assert card["licences"] == ["CC-BY-4.0 (the test)"]
    page = (tmp_path / "out" / "README.md").read_text()
    assert "must not be taken for observations" in page
    assert "are not among the labels" in page
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 0


def test_scenes_of_another_kind_are_refused(done: Finished, tmp_path: Path) -> None:
    coarse = write_scene(tmp_path / "coarse.tif", ground((200, 200, 3), 1), gsd_m=6.2)
    with pytest.raises(InputError, match=r"pixels of 6.2 m and the generator's are of 3 m.*use scenes"):
        put(done, tmp_path / "out", coarse)
    grey = write_scene(tmp_path / "grey.tif", ground((200, 200, 1), 1))
    with pytest.raises(InputError, match=r"1 band of uint8, and the generator was trained on 3"):
        put(done, tmp_path / "out", grey)
    with pytest.raises(ConfigError, match=r"--scenes .*nothing-\*.tif: no such file"):
        put(done, tmp_path / "out", tmp_path / "nothing-*.tif")
    small = write_scene(tmp_path / "small.tif", ground((SIDE - 8, SIDE - 8, 3), 1))
    with pytest.raises(ConfigError, match="12 for which a scene is too small"):
        put(done, tmp_path / "out", small)
    with pytest.raises(ConfigError, match="non-ship is the background"):
        put(done, tmp_path / "out", small, labels=("non-ship",))


def test_the_command_says_what_it_made(done: Finished, tmp_path: Path) -> None:
    write_scene(tmp_path / "bay.tif", ground((300, 300, 3), 8))
    words = ["generate", "--root", str(done.root), "--scenes", str(tmp_path / "*.tif"), "--count", "4", "--no-screen"]
    result = CliRunner().invoke(cli, [*words, "--to", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "1 scene in" in result.output
    assert "4 ship" in result.output
    result = CliRunner().invoke(cli, [*words, "--format", "png", "--to", str(tmp_path / "png")])
    assert isinstance(result.exception, SatpipeError)
    assert "--format applies to chips" in str(result.exception)
    result = CliRunner().invoke(cli, [*words[:3], "--gsd", "3", "--to", str(tmp_path / "gsd")])
    assert "--gsd needs --scenes" in str(result.exception)


def test_a_disk_that_is_full_is_said(done: Finished, tmp_path: Path) -> None:
    import resource

    source = write_scene(tmp_path / "bay.tif", ground((600, 600, 3), 8))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(SatpipeError, match=r"(cannot|could not) be written"):
            put(done, tmp_path / "out", source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()
