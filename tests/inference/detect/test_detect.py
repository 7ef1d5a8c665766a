"""`satpipe detect` on scenes with bright spots, with a classifier of bright spots."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from fixtures.finished_run import GSD_M, MODEL, SIZE, Finished
from PIL import Image
from rasterio.transform import from_origin
from rasterio.windows import Window
from satpipe.commands import cli
from satpipe.engine.runs import find_run
from satpipe.inference.detect.make import Outcome, Wish, detect
from satpipe.raster import rows as rows_module
from satpipe.utils.errors import ConfigError, SatpipeError

UTM = "EPSG:32610"
CORNER = from_origin(550_000, 4_180_000, GSD_M, GSD_M)
SPOTS = [(40, 50), (40, 90), (128, 70), (97, 150), (64, 64)]
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("détecter ici")).classifier().write()


def sea(height: int, width: int, spots: list[tuple[float, float]], scale: float = 1.0) -> np.ndarray:
    """Dark noise (H, W, 3) with a bright spot of 6 x 6 pixels, times a scale, around each place."""
    image = np.random.default_rng(1).normal(60, 6, (height, width, 3))
    for row, col in spots:
        top, left, side = round((row - 3) * scale), round((col - 3) * scale), round(6 * scale)
        image[max(top, 0) : top + side, max(left, 0) : left + side] += 120
    return image.clip(1, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray, **profile: Any) -> Path:
    given = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "tiled": True, "blockxsize": 64, "blockysize": 64}
    given |= profile
    height, width, count = image.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", height=height, width=width, count=count, dtype=image.dtype, **given) as file:
        file.write(image.transpose(2, 0, 1))
    return path


def find(done: Finished, scene: Path | list[Path], to: Path, **wish: Any) -> Outcome:
    scenes = scene if isinstance(scene, list) else [scene]
    return detect(find_run(done.name, done.root), scenes, to, Wish(**{"model": MODEL} | wish), lambda done, total: None)


def places(path: Path) -> list[tuple[float, float]]:
    """Row and column of each detection in a GeoJSON file, by place."""
    features = json.loads(path.read_text())["features"]
    return sorted((one["properties"]["centre_row"], one["properties"]["centre_col"]) for one in features)


def same_places(found: list[tuple[float, float]], expected: list[tuple[float, float]], most: float = 2) -> None:
    """Each expected place has one of its own that was found, at most so many pixels away, and there are no others."""
    away = np.abs(np.array(found)[:, None] - np.array(expected)[None]).max(axis=2)
    assert len(found) == len(expected)
    assert sorted(away.argmin(axis=1)) == list(range(len(expected)))
    assert away.min(axis=1).max() <= most


def invoke(done: Finished, *words: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["detect", "--root", str(done.root), "--model", MODEL, *map(str, words)])
    if isinstance(result.exception, SatpipeError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_every_spot_is_found_once_and_written_in_the_scenes_crs(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "port à l'est.tif", sea(160, 192, SPOTS))
    code, said = invoke(done, scene, "--to", tmp_path / "out" / "ships.geojson")
    assert code == 0, said
    assert "5 ship with a score above 0.889 in 1 scene" in said
    same_places(places(tmp_path / "out" / "ships.geojson"), SPOTS)
    frame = geopandas.read_file(tmp_path / "out" / "ships.geojson")
    assert frame.crs == UTM
    assert (frame["score"] > 0.5).all()
    for row, col, shape in zip(frame["centre_row"], frame["centre_col"], frame.geometry, strict=True):
        np.testing.assert_allclose((shape.centroid.x, shape.centroid.y), CORNER @ (col, row), atol=0.2)
        assert shape.area == pytest.approx((SIZE * GSD_M) ** 2)
    table = list(csv.DictReader((tmp_path / "out" / "ships.csv").open(encoding="utf-8")))
    assert [float(row["score"]) for row in table] == sorted((float(row["score"]) for row in table), reverse=True)
    assert all(-124 < float(row["lon"]) < -122 and 37 < float(row["lat"]) < 38 for row in table)
    with Image.open(tmp_path / "out" / "ships.png") as image:
        assert image.size == (3 * 192, 3 * 160)  # a small scene is magnified


def test_an_object_is_found_wherever_the_windows_lie(done: Finished, tmp_path: Path) -> None:
    spots = [(30 + 33 * i + i // 3, 30 + 34 * j) for i in range(6) for j in range(6)]
    find(done, write(tmp_path / "scene.tif", sea(256, 256, spots)), tmp_path / "out.geojson", overview=False)
    same_places(places(tmp_path / "out.geojson"), spots)


def test_strips_and_blocks_change_nothing(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sea(160, 192, SPOTS)
    tiled = write(tmp_path / "scene.tif", image)
    found = []
    for number, (in_strip, step) in enumerate([(10_000, 1 << 24), (1, 1)]):
        monkeypatch.setattr("satpipe.inference.detect.scan.IN_STRIP", in_strip)
        monkeypatch.setattr(rows_module, "STEP_BYTES", step)
        find(done, tiled, tmp_path / f"{number}.geojson", overview=False)
        found.append((tmp_path / f"{number}.geojson").read_text())
    assert found[0] == found[1]


def test_a_scene_in_panels_is_the_same_scene(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write(tmp_path / "scene.tif", sea(160, 192, SPOTS))
    find(done, scene, tmp_path / "one.geojson")
    monkeypatch.setattr("satpipe.inference.detect.scan.panel_columns", lambda *_: 70)
    find(done, scene, tmp_path / "three.geojson", overview=False)
    assert places(tmp_path / "one.geojson") == places(tmp_path / "three.geojson")


def test_each_block_is_read_once(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = np.zeros((320, 192), int)
    plain = rows_module._read

    def count(handle: Any, scene: Any, alpha: Any, task: Any, pixels: Any, valid: Any) -> None:
        read[task.row : task.stop, task.col : task.end] += 1
        plain(handle, scene, alpha, task, pixels, valid)

    monkeypatch.setattr(rows_module, "_read", count)
    monkeypatch.setattr(rows_module, "STEP_BYTES", 1)
    monkeypatch.setattr("satpipe.inference.detect.scan.IN_STRIP", 1)
    find(done, write(tmp_path / "scene.tif", sea(320, 192, SPOTS)), tmp_path / "out.geojson")
    assert (read == 1).all()


def test_memory_does_not_grow_with_the_height_of_a_scene(done: Finished, tmp_path: Path) -> None:
    peaks = []
    for height in (1024, 6144):
        path = tmp_path / f"{height}.tif"
        strip = sea(256, 128, [(100, 64)])
        profile = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "compress": "deflate"}
        with rasterio.open(path, "w", height=height, width=128, count=3, dtype="uint8", **profile) as file:
            for top in range(0, height, 256):
                file.write(strip.transpose(2, 0, 1), window=Window(0, top, 128, 256))
        tracemalloc.start()
        outcome = find(done, path, tmp_path / "out.geojson", overview=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(outcome.scenes[0].above(0.5).objects) == height // 256
    assert peaks[1] < peaks[0] + 4_000_000  # 3 MB of pixels are 22 MB in the network's range


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_a_scene_of_another_gsd_is_resampled_to_the_classifiers(done: Finished, tmp_path: Path, scale: float) -> None:
    corner = from_origin(550_000, 4_180_000, GSD_M / scale, GSD_M / scale)
    image = sea(int(160 * scale), int(192 * scale), SPOTS, scale)
    find(done, write(tmp_path / "scene.tif", image, transform=corner), tmp_path / "out.geojson")
    expected = [(row * scale, col * scale) for row, col in SPOTS]
    same_places(places(tmp_path / "out.geojson"), expected, 2 * max(scale, 1))
    frame = geopandas.read_file(tmp_path / "out.geojson")
    assert frame.area.to_numpy() == pytest.approx((SIZE * GSD_M) ** 2)


def test_a_coarse_scene_gets_a_note(done: Finished, tmp_path: Path) -> None:
    corner = from_origin(550_000, 4_180_000, 10, 10)
    scene = write(tmp_path / "scene.tif", sea(64, 64, []), transform=corner)
    assert "coarse" in find(done, scene, tmp_path / "out.geojson").notes[0]


def test_a_scene_without_georeference_needs_its_gsd(done: Finished, tmp_path: Path) -> None:
    Image.fromarray(sea(160, 192, SPOTS)).save(tmp_path / "scene.png")
    code, said = invoke(done, tmp_path / "scene.png", "--to", tmp_path / "out.geojson")
    assert (code, "give --gsd" in said) == (2, True)
    code, said = invoke(done, tmp_path / "scene.png", "--to", tmp_path / "out.geojson", "--gsd", GSD_M)
    assert code == 0, said
    data = json.loads((tmp_path / "out.geojson").read_text())
    assert data["crs"] is None
    for one in data["features"]:
        (left, top), *_ = one["geometry"]["coordinates"][0]
        properties = one["properties"]
        np.testing.assert_allclose(
            (left, top), (properties["centre_col"] - SIZE / 2, properties["centre_row"] - SIZE / 2), atol=0.1
        )


def test_what_has_no_data_shows_no_object(done: Finished, tmp_path: Path) -> None:
    image = sea(160, 192, SPOTS)
    image[:, 110:] = 0  # a wedge without data, whose edge is no object
    find(done, write(tmp_path / "scene.tif", image, nodata=0), tmp_path / "out.geojson")
    same_places(places(tmp_path / "out.geojson"), [place for place in SPOTS if place[1] < 110])


def test_a_scene_smaller_than_a_window_gets_a_note(done: Finished, tmp_path: Path) -> None:
    outcome = find(done, write(tmp_path / "scene.tif", sea(14, 40, [(7, 7)])), tmp_path / "out.geojson")
    assert "smaller than a chip of 16 pixels" in outcome.notes[0]
    assert places(tmp_path / "out.geojson") == []


def test_the_whole_scene_is_looked_at_up_to_its_edges(done: Finished, tmp_path: Path) -> None:
    corners = [(9, 9), (9, 182), (150, 9), (150, 182)]
    find(done, write(tmp_path / "scene.tif", sea(159, 191, corners)), tmp_path / "out.geojson")
    same_places(places(tmp_path / "out.geojson"), corners)


def test_geopackage_and_points(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", sea(160, 192, SPOTS))
    find(done, scene, tmp_path / "out.gpkg", points=True, table=False, overview=False)
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="detections")
    assert (frame.crs, set(frame.geom_type), len(frame)) == (UTM, {"Point"}, 5)
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "out.png").exists()


def test_scenes_of_several_crs_go_into_layers_of_a_geopackage(done: Finished, tmp_path: Path) -> None:
    east = write(tmp_path / "east.tif", sea(96, 96, [(48, 48)]), crs="EPSG:32611")
    west = write(tmp_path / "west.tif", sea(96, 96, [(48, 48), (30, 70)]))
    code, said = invoke(done, east, west, "--to", tmp_path / "out.geojson")
    assert (code, "several CRS" in said) == (2, True)
    code, said = invoke(done, east, west, "--to", tmp_path / "out.gpkg")
    assert code == 0, said
    layers = geopandas.list_layers(tmp_path / "out.gpkg")["name"].tolist()
    frames = [geopandas.read_file(tmp_path / "out.gpkg", layer=layer) for layer in layers]
    assert [(str(frame.crs), len(frame)) for frame in frames] == [("EPSG:32611", 1), (UTM, 2)]
    assert {path.name for path in (tmp_path / "out-overview").iterdir()} == {"east.tif.png", "west.tif.png"}


def test_lonlat_is_geojson_as_rfc_7946_has_it(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", sea(160, 192, SPOTS))
    find(done, scene, tmp_path / "utm.geojson")
    find(done, scene, tmp_path / "lonlat.geojson", lonlat=True)
    data = json.loads((tmp_path / "lonlat.geojson").read_text())
    assert "crs" not in data
    for feature in data["features"]:
        assert shapely.geometry.shape(feature["geometry"]).exterior.is_ccw
    expected = geopandas.read_file(tmp_path / "utm.geojson").to_crs("EPSG:4326")
    assert (geopandas.read_file(tmp_path / "lonlat.geojson").distance(expected, align=False) < 1e-7).all()


def test_a_window_across_the_antimeridian_has_two_parts(done: Finished, tmp_path: Path) -> None:
    # The antimeridian is 500 km east of the central meridian of zone 1, less 167 km: near x = 166,000 on the equator.
    east = from_origin(166_021.44 - 64 * GSD_M, 128 * GSD_M, GSD_M, GSD_M)
    scene = write(tmp_path / "a.tif", sea(128, 128, [(64, 64)]), crs="EPSG:32601", transform=east)
    find(done, scene, tmp_path / "out.geojson", lonlat=True)
    (feature,) = json.loads((tmp_path / "out.geojson").read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    parts = shapely.geometry.shape(feature["geometry"]).geoms
    assert [part.bounds[end] for part, end in zip(parts, (2, 0), strict=True)] == [180, -180]


def test_geoparquet_names_its_crs(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", sea(160, 192, SPOTS))
    for name, lonlat, crs in (("utm", False, UTM), ("lonlat", True, "EPSG:4326")):
        find(done, scene, tmp_path / f"{name}.parquet", lonlat=lonlat)
        frame = geopandas.read_parquet(tmp_path / f"{name}.parquet")
        assert frame.crs == crs
        same_places(sorted(zip(frame["centre_row"], frame["centre_col"], strict=True)), SPOTS)


def test_each_scene_has_an_item_of_stac(done: Finished, tmp_path: Path) -> None:
    pystac = pytest.importorskip("pystac", reason="STAC is an extra: interop")
    scene = write(tmp_path / "a.tif", sea(160, 192, SPOTS))
    find(done, scene, tmp_path / "found.gpkg", acquired="2019-04-13T02:59:00Z", lonlat=True)
    (item,) = pystac.ItemCollection.from_file(str(tmp_path / "found.stac.json"))
    assert item.datetime.isoformat() == "2019-04-13T02:59:00+00:00"
    assert item.properties["satpipe:detections"] == 5
    assert item.assets["detections"].href.endswith("found.gpkg")
    outline = geopandas.GeoSeries([shapely.box(*rasterio.open(scene).bounds)], crs=UTM).to_crs("EPSG:4326")[0]
    assert shapely.geometry.shape(item.geometry).symmetric_difference(outline).area < 1e-4 * outline.area
    for when, says in (("yesterday", "write 2019"), ("2019-04-13", "a time needs a time zone")):
        with pytest.raises(ConfigError, match=says):
            find(done, scene, tmp_path / "more.gpkg", acquired=when)


def test_nothing_found_is_an_empty_file(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", sea(64, 64, []))
    for suffix in ("geojson", "gpkg"):
        assert len(find(done, scene, tmp_path / f"out.{suffix}").scenes[0].above(0.5).objects) == 0
        assert len(geopandas.read_file(tmp_path / f"out.{suffix}")) == 0


def test_a_name_that_is_a_formula_is_harmless_in_the_csv(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "=HYPERLINK(1).tif", sea(96, 96, [(48, 48)]))
    find(done, scene, tmp_path / "out.geojson")
    (row,) = csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8"))
    assert row["scene"] == "'=HYPERLINK(1).tif"


def labels(path: Path, boxes: list[tuple[float, float]]) -> Path:
    """GeoJSON of boxes of 8 x 8 pixels around rows and columns."""
    features = []
    for row, col in boxes:
        corners = [(col - 4, row - 4), (col + 4, row - 4), (col + 4, row + 4), (col - 4, row + 4), (col - 4, row - 4)]
        ring = [list(CORNER @ corner) for corner in corners]
        shape = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"class": "ship"}, "geometry": shape})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def test_precision_and_recall_are_printed(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", sea(160, 192, SPOTS))
    truth = labels(tmp_path / "truth.geojson", [*SPOTS[:4], (20, 170), (140, 20), (140, 170), (10, 10)])
    code, said = invoke(done, scene, "--to", tmp_path / "out.geojson", "--truth", truth)
    assert code == 0, said
    assert "precision 0.800 (4 of 5), recall 0.500 (4 of 8), F1 0.615" in said
    features = json.loads((tmp_path / "out.geojson").read_text())["features"]
    assert sorted(one["properties"]["right"] for one in features) == [False, True, True, True, True]


def test_yolo_labels_in_a_folder_are_found_by_the_scenes_names(done: Finished, tmp_path: Path) -> None:
    scenes = []
    for name, spots in (("one", SPOTS), ("two", SPOTS[:2])):
        image = sea(160, 192, spots)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        lines = [f"0 {col / 192} {row / 160} {8 / 192} {8 / 160}" for row, col in spots]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        scenes.append(tmp_path / f"{name}.png")
    words = ["--to", tmp_path / "out" / "all.geojson", "--truth", tmp_path, "--gsd", GSD_M]
    code, said = invoke(done, *scenes, *words)
    assert code == 0, said
    assert "against the labels: precision 1.000 (7 of 7), recall 1.000 (7 of 7)" in said
    assert "two.png: 2 found: precision 1.000 (2 of 2)" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "out.txt"], ".geojson, .gpkg or .parquet"),
        (["--to", "out.geojson", "--run", "harbor"], "did you mean harbour"),
        (["--to", "out.geojson", "--stride", "17"], "gaps"),
        (["--to", "out.geojson", "--truth", "nowhere"], "no labels at nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    write(tmp_path / "scene.tif", sea(64, 64, []))
    monkeypatch.chdir(tmp_path)
    code, said = invoke(done, "scene.tif", *words)
    assert (code, says in said) == (2, True), said
    assert len(said.splitlines()) == 1


def test_a_scene_of_another_type_or_number_of_bands_is_refused(done: Finished, tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.tif", sea(64, 64, [])[..., :1])
    deep = write(tmp_path / "deep.tif", sea(64, 64, []).astype("uint16"))
    for scene, says in ((grey, "1 band of uint8"), (deep, "3 bands of uint16")):
        code, said = invoke(done, scene, "--to", tmp_path / "out.geojson")
        assert (code, says in said) == (2, True)
    code, said = invoke(done, tmp_path / "none.tif", "--to", tmp_path / "out.geojson")
    assert (code, "does not exist" in said) == (2, True)
    assert not list(tmp_path.glob(".out-*"))


def test_a_truncated_scene_is_one_sentence_and_leaves_nothing(done: Finished, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", sea(320, 192, SPOTS), compress="deflate")
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size // 2])
    code, said = invoke(done, scene, "--to", tmp_path / "out.geojson")
    assert code == 2, said
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_a_run_without_classifier_names_the_command_for_it(tmp_path: Path) -> None:
    done = Finished(tmp_path, "demo").write()
    scene = write(tmp_path / "scene.tif", sea(64, 64, []))
    code, said = invoke(done, scene, "--to", tmp_path / "out.geojson")
    assert (code, "satpipe run all" in said) == (2, True)
