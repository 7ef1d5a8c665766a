"""`satpipe chips` and `satpipe export chips`, on scenes and labels as a user has them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from fixtures import REPOSITORY
from PIL import Image
from rasterio.transform import from_origin
from satpipe.commands import main

SHIP = (250, 40, 40)
CONFIG = """
name: bay
ingest:
  sources:
    - type: geojson
      path: scenes
      labels: ships.geojson
      licence: CC-BY-4.0 (test)
      groups_regex: (?P<site>[a-z]+)\\d
chips:
  size_px: 16
split:
  scheme: folds
  folds: 3
  replicates: 1
  random_replicates: 1
"""


def corner(number: int) -> rasterio.Affine:
    """Scenes lie apart, but for the last one, half of which lies on the first."""
    return from_origin(550_000 + (number * 2000 if number < 6 else 240), 4_180_000, 3, 3)


@pytest.fixture(scope="module")
def bay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven scenes of 160 x 160 pixels with six ships each, an empty file, and a label outside; cut into chips."""
    folder = tmp_path_factory.mktemp("bay")
    (folder / "scenes").mkdir()
    features = []
    random = np.random.default_rng(3)
    first = np.zeros((160, 160, 3), np.uint8)
    for number in range(7):
        pixels = random.integers(60, 90, (160, 160, 3)).astype(np.uint8)
        for row, col in [(20 + 40 * row, 20 + 80 * col) for row in range(3) for col in range(2 if number < 6 else 0)]:
            pixels[row : row + 4, col : col + 8] = SHIP
            corners = [(col, row), (col + 8, row), (col + 8, row + 4), (col, row + 4), (col, row)]
            ring = [list(corner(number) @ one) for one in corners]
            outline = {"type": "Polygon", "coordinates": [ring]}
            features.append({"type": "Feature", "properties": {}, "geometry": outline})
        first = pixels if number == 0 else first
        if number == 6:
            pixels[:, :80] = first[:, 80:]
        shape = {"driver": "GTiff", "width": 160, "height": 160, "count": 3, "dtype": "uint8", "crs": "EPSG:32610"}
        with rasterio.open(folder / "scenes" / f"pier{number}.tif", "w", transform=corner(number), **shape) as file:
            file.write(pixels.transpose(2, 0, 1))
    (folder / "scenes" / "empty0.tif").write_bytes(b"")
    features.append({"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [0, 0]}})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
    (folder / "ships.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    (folder / "bay.yaml").write_text(CONFIG)
    (folder / "said.txt").write_text(alone("chips", *words(folder)))
    return folder


def alone(*arguments: str) -> str:
    """What the program prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "satpipe", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def words(folder: Path, *more: str) -> list[str]:
    return ["--config", str(folder / "bay.yaml"), "--root", str(folder / "root"), *more]


def satpipe(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_chips_are_counted_by_class_group_and_split(bay):
    said = (bay / "said.txt").read_text()
    assert re.search(r"bay: \d+ chips of 16 x 16 x 3 uint8 from 7 scenes", said)
    # The ships of the first scene's right half lie in the last scene too.
    assert re.search(r"^ship +39$", said, re.MULTILINE)
    assert re.search(r"^geojson/pier3\.tif +\d+ +6$", said, re.MULTILINE)
    assert re.search(r"^fold1-f100-r0 +ship +\d+ +\d+ +\d+ +0 +\d+$", said, re.MULTILINE)
    assert re.search(r"^fold 0 tests .*pier\d\.tif", said, re.MULTILINE)
    assert "scenes left out: empty0.tif is empty (1)" in said
    assert "labels left out: outside every scene (1)" in said
    assert re.search(r"^windows dropped: \S", said, re.MULTILINE)
    assert re.search(
        r"^leaks found: [1-9]\d* pairs? of chips from two scenes with overlapping ground", said, re.MULTILINE
    )
    assert "leaks joined: 2 groups of scene_id into 1 (geojson/pier0.tif + geojson/pier6.tif)" in said
    assert re.search(r"^scenes compared by their pixels: \d+, at any rotation", said, re.MULTILINE)
    assert re.search(r"^not found this way: ground without texture", said, re.MULTILINE)
    assert re.search(
        r"^leaks dropped: \d+ training chips? over 5 splits; none of those found remains$", said, re.MULTILINE
    )


def test_the_contact_sheet_is_a_picture_beside_the_reports(bay, tmp_path, capsys):
    with Image.open(bay / "root" / "reports" / "bay-chips.png") as sheet:
        assert (np.asarray(sheet.convert("RGB")) == SHIP).all(axis=-1).sum() > 39 * 32
    code, said, _ = satpipe(capsys, "chips", *words(bay, "--sheet", str(tmp_path / "new" / "own.png")))
    assert code == 0
    assert f"contact sheet: {tmp_path / 'new' / 'own.png'}" in said
    with Image.open(tmp_path / "new" / "own.png") as sheet:
        assert sheet.format == "PNG"


def test_json_says_the_same_and_nothing_else(bay, capsys):
    code, said, _ = satpipe(capsys, "chips", *words(bay, "--json"))
    found = json.loads(said)
    assert code == 0
    assert found["run"] == "bay"
    assert found["chips"]["ship"] == sum(counts.get("ship", 0) for counts in found["groups"].values()) == 39
    for split in found["splits"].values():
        assert sum(sum(counts.values()) for counts in split["counts"].values()) == sum(found["chips"].values())
    outlines = geopandas.read_parquet(found["index"])
    assert outlines.crs == "OGC:CRS84"
    assert outlines.geometry.notna().all()
    assert outlines.to_crs("EPSG:32610").area.to_numpy() == pytest.approx((16 * 3) ** 2, rel=1e-3)
    assert found["leaks"]["joined_groups"] == [["geojson/pier0.tif", "geojson/pier6.tif"]]


def test_exported_class_folders_can_be_ingested_again(bay, tmp_path, capsys):
    out = tmp_path / "out"
    code, said, _ = satpipe(capsys, "export", "chips", *words(bay, "--to", str(out), "--split", "fold0-f100-r0"))
    assert code == 0
    assert "labels.csv describes them" in said
    with (out / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == {row["file"] for row in rows}
    assert {row["licence"] for row in rows} == {"CC-BY-4.0 (test)"}
    assert {row["site"] for row in rows} == {"pier"}
    assert {"train", "validation", "test"} <= {row["role"] for row in rows}
    ships = [row for row in rows if row["class"] == "ship"]
    assert len(ships) == 39
    for row in ships:
        assert row["file"].startswith("ship/")
        assert (np.asarray(Image.open(out / row["file"]))[6:10, 4:12] == SHIP).all()
    # What was written is a source of the type `folders`, and its table one of groups.
    again = tmp_path / "again.yaml"
    again.write_text(
        f"name: again\ningest:\n  sources:\n    - {{type: folders, path: {out}, groups_csv: {out / 'labels.csv'}}}\n"
        "chips: {size_px: 16}\nsplit: {by: source_scene, scheme: holdout, replicates: 1, random_replicates: 0}\n"
    )
    found = json.loads(alone("chips", "--config", str(again), "--root", str(tmp_path), "--json"))
    # Three ships were cut twice, from two scenes that show the same ground: the same picture is used once.
    assert found["chips"] == {"non-ship": len(rows) - 39, "ship": 36}
    assert set(found["groups"]) == {f"geojson/pier{number}.tif" for number in range(7)}


def test_chips_are_exported_by_the_name_of_a_run_alone(bay, tmp_path, capsys):
    satpipe(capsys, "chips", *words(bay))
    root = ["--root", str(bay / "root")]
    code, said, _ = satpipe(capsys, "export", "chips", "--name", "bay", *root, "--to", str(tmp_path / "bay"))
    assert code == 0
    assert "labels.csv describes them" in said
    code, _, error = satpipe(capsys, "export", "chips", "--name", "bey", *root, "--to", str(tmp_path / "bey"))
    assert code == 2
    assert "there is no run bey" in error
    assert "did you mean bay?" in error
    assert not (tmp_path / "bey").exists()


def test_exported_chips_have_items_of_stac(bay, tmp_path, capsys):
    pystac = pytest.importorskip("pystac", reason="STAC is an extra: interop")
    when = "2019-04-01T00:00:00Z/2019-05-01T00:00:00Z"
    more = ("--to", str(tmp_path / "out"), "--format", "tif", "--stac", when)
    code, said, _ = satpipe(capsys, "export", "chips", *words(bay, *more))
    assert code == 0
    items = pystac.ItemCollection.from_file(str(tmp_path / "out" / "items.json"))
    assert f"{len(items):,} STAC items" in said
    table = pd.read_csv(tmp_path / "out" / "labels.csv", index_col="chip_id")
    assert {item.id for item in items} == set(table.index)
    for item in list(items)[:3]:
        assert item.datetime is None
        assert item.common_metadata.end_datetime.month == 5
        assert item.assets["chip"].href.endswith(table["file"][item.id])
        with rasterio.open(tmp_path / "out" / table["file"][item.id]) as chip:
            outline = geopandas.GeoSeries([shapely.geometry.shape(item.geometry)], crs="EPSG:4326").to_crs(chip.crs)
            np.testing.assert_allclose(outline[0].bounds, chip.bounds, atol=0.1)


def test_tiffs_lie_where_their_scene_does(bay, tmp_path, capsys):
    code, *_ = satpipe(capsys, "export", "chips", *words(bay, "--to", str(tmp_path / "out"), "--format", "tif"))
    assert code == 0
    with (tmp_path / "out" / "labels.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["source_scene"] == "geojson/pier4.tif")
    with rasterio.open(tmp_path / "out" / row["file"]) as chip, rasterio.open(bay / "scenes" / "pier4.tif") as scene:
        assert chip.crs == scene.crs
        assert chip.res == (3, 3)
        window = scene.window(*chip.bounds).round_offsets().round_lengths()
        assert (chip.read() == scene.read(window=window)).all()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--to", "OUT", "--split", "fold0-f100-r1"), "there is no split fold0-f100-r1; did you mean fold0-f100-r0?"),
        (("--to", "FULL"), "is not an empty folder"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(bay, tmp_path, capsys, more, sentence):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    places = {"OUT": str(tmp_path / "out"), "FULL": str(tmp_path / "full")}
    code, _, error = satpipe(capsys, "export", "chips", *words(bay, *(places.get(word, word) for word in more)))
    assert code == 2
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_chips_are_exported_also_where_splits_lack_data(bay, tmp_path, capsys):
    too_many = ("--set", "split.folds=9")
    code, said, error = satpipe(capsys, "chips", *words(bay, *too_many))
    assert code == 2
    assert re.search(r"^ship +39$", said, re.MULTILINE)
    assert "too little data" in error
    assert "training chips dropped: not known, since not all splits could be made" in said
    code, *_ = satpipe(capsys, "export", "chips", *words(bay, *too_many, "--to", str(tmp_path / "out")))
    assert code == 0
    assert len(list((tmp_path / "out" / "ship").iterdir())) == 39


def test_labels_come_out_for_detectors(bay, tmp_path, capsys):
    code, said, _ = satpipe(
        capsys, "export", "labels", "--root", str(bay / "root"), "--format", "coco", "--to", str(tmp_path / "out")
    )
    assert code == 0
    # The ships of the first scene's right half lie in the last scene too.
    assert said.startswith("7 scenes in")
    assert "with 39 ship" in said
    assert "left out: 1 labels: outside every scene" in said
    data = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert {tuple(item["bbox"][2:]) for item in data["annotations"]} == {(8, 4)}


def test_chips_come_out_for_detectors(bay, tmp_path, capsys):
    split = ["--split", "fold0-f100-r0", "--layout", "split/class"]
    code, said, _ = satpipe(
        capsys, "export", "chips", *words(bay), "--format", "yolo", "--to", str(tmp_path / "out"), *split
    )
    assert code == 0
    written = len(list((tmp_path / "out").glob("*/images/*.png")))
    assert f"{written:,} chips in" in said
    labels = [path.read_text() for path in (tmp_path / "out").glob("*/labels/*.txt")]
    assert len(labels) == written
    assert sum(bool(text) for text in labels) == sum(
        row["class"] == "ship" for row in csv.DictReader((tmp_path / "out" / "labels.csv").open(encoding="utf-8"))
    )
