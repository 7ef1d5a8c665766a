"""`satpipe init`: what it says of a folder is true, and the configuration that it writes validates and runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures import REAL_DATA
from fixtures.layouts import (
    LAYOUTS,
    SHIPS,
    UTM,
    boxes,
    from_origin,
    scene,
    write_csv,
    write_png,
    write_tif,
    yolo_beside,
    yolo_lines,
)
from satpipe import commands
from satpipe.config import load
from satpipe.config.run import RunConfig
from satpipe.diagnostics.dataset.text import write
from satpipe.engine.plan import Planner, TaskBatch
from satpipe.engine.stages import STAGES
from satpipe.engine.store import Record, Store
from satpipe.engine.worker import run_task
from satpipe.models.device import Profile


def init(folder: Path, *arguments: str) -> Result:
    """`satpipe init` in the current folder, which must succeed."""
    done = call(folder, *arguments)
    assert done.exit_code == 0, done.output
    return done


def call(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(commands.cli, ["init", str(folder), *arguments])


def cut(config: RunConfig, root: Path) -> dict[str, int]:
    """Ingest and cut in this process; chips by class. The ships lie alike in all scenes: leaks are not looked for."""
    duplicates = config.chips.duplicates.model_copy(update={"enabled": False})
    config = config.model_copy(update={"chips": config.chips.model_copy(update={"duplicates": duplicates})})
    store = Store(root / "data")
    store.create()
    walk = Planner(config, store, Profile)

    def handle(batch: TaskBatch) -> list[Record]:
        return [record or run_task(order) for order, record in zip(batch.specs, batch.records, strict=True)]

    for stage in STAGES[:2]:
        for _ in walk.stage(stage, handle):
            pass
    chips: dict[str, int] = walk.done["chips"]["index"].metadata["chips"]
    return chips


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised_and_every_object_cut(layout: str, here: Path) -> None:
    make, kind, objects = LAYOUTS[layout]
    folder = here / layout
    folder.mkdir()
    make(folder)
    said = init(folder)
    config = load.load(here / f"{layout}.yaml")
    assert config.name == layout
    assert [source.type for source in config.ingest.sources] == [kind]
    assert re.search(rf"^  source +{kind}: ", said.stdout, re.MULTILINE)
    counts = cut(config, here)
    background = config.ingest.classes[0]
    assert sum(count for name, count in counts.items() if name != background) == objects
    assert counts[background] >= objects
    head = (here / f"{layout}.yaml").read_text("utf-8").splitlines()
    assert head[0].startswith("# What it is for: ")
    assert re.search(r"^# How long it takes: .* about [\d.]+ (s|min|h) on this machine", head[1])
    assert str(objects) in next(line for line in said.stdout.splitlines() if line.startswith("  labels"))


def test_what_the_files_leave_open_is_found_out(here: Path) -> None:
    for layout in ("geojson-for-all", "geopackage", "shapefile-without-crs", "yolo-folders", "csv-pixels", "folders"):
        (here / layout).mkdir()
        LAYOUTS[layout][0](here / layout)
        init(here / layout)
    source = {path.stem: load.load(path).ingest.sources[0] for path in here.glob("*.yaml")}
    classes = {path.stem: load.load(path).ingest.classes for path in here.glob("*.yaml")}
    assert source["geojson-for-all"].class_column == "kind"
    assert source["geopackage"].layer == "final"
    assert source["shapefile-without-crs"].labels_crs == "EPSG:32610"
    assert source["yolo-folders"].class_names == ("barge", "vessel")
    assert classes["yolo-folders"] == ("non-vessel", "vessel")
    assert source["csv-pixels"].columns["file"] == "image_id"
    assert classes["folders"] == ("no ship", "ship")


def test_a_chip_holds_most_objects_and_is_a_multiple_of_sixteen(here: Path) -> None:
    yolo_beside(made(here / "tiles"))
    init(here / "tiles")
    size = load.load(here / "tiles.yaml").chips.size_px
    longest = sorted(right - left for number in range(8) for left, _, right, _ in boxes(number))
    assert size % 16 == 0
    assert longest[-1] < size <= 3 * longest[-1]


def test_boxes_divided_by_one_side_for_all_are_found_out(here: Path) -> None:
    for number in range(8):
        pixels = scene(number) if number < 5 else scene(number)[:112, :128]
        square = np.pad(pixels, ((0, 64), (0, 0), (0, 0)), mode="wrap") if number < 5 else pixels
        write_png(here / "tiles" / f"port{number}.png", square)
        (here / "tiles" / f"port{number}.txt").write_text(yolo_lines(number, 0, (192, 192)))
    init(here / "tiles")
    assert load.load(here / "tiles.yaml").ingest.sources[0].normalised_by_px == 192


def test_corners_of_zeros_are_told_as_pixels_without_data(here: Path) -> None:
    for number in range(8):
        pixels = scene(number)
        pixels[:40, :50] = 0 if number == 3 else pixels[:40, :50]
        write_png(here / "tiles" / f"port{number}.png", pixels)
        (here / "tiles" / f"port{number}.txt").write_text(yolo_lines(number))
    init(here / "tiles")
    assert load.load(here / "tiles.yaml").ingest.sources[0].nodata == 0
    assert "1 of 8 scenes have a corner of zeros" in (here / "tiles.yaml").read_text()


def test_scenes_of_two_gsds_are_resampled_to_the_coarser(here: Path) -> None:
    for number in range(8):
        gsd = 3.0 if number < 4 else 5.0
        corner = from_origin(550_000 + 1000 * number, 4_180_000, gsd, gsd)
        write_tif(here / "two" / f"port{number}.tif", scene(number), crs=UTM, transform=corner)
        (here / "two" / f"port{number}.txt").write_text(yolo_lines(number))
    init(here / "two")
    config = load.load(here / "two.yaml")
    assert config.chips.gsd_m == 5.0
    assert config.chips.resampling == "average"
    assert cut(config, here)["ship"] == 8 * SHIPS


def test_the_strictest_group_with_enough_objects_splits(here: Path) -> None:
    yolo_beside(made(here / "tiles"))
    rows = [[f"port{number}.png", f"bay{number // 2}", f"day{number}"] for number in range(8)]
    write_csv(here / "tiles" / "where.csv", ["file", "site", "day"], rows)
    said = init(here / "tiles").stdout
    split = load.load(here / "tiles.yaml").split
    assert "site (4), day (8)" in said
    assert split.by == "site"
    assert cut(load.load(here / "tiles.yaml"), here)


def test_tiles_of_one_scene_are_grouped_by_their_names(here: Path) -> None:
    for number in range(8):
        name = f"2019050{number // 2}_visual_{number % 2}"
        write_png(here / "tiles" / f"{name}.png", scene(number))
        (here / "tiles" / f"{name}.txt").write_text(yolo_lines(number))
    init(here / "tiles")
    config = load.load(here / "tiles.yaml")
    assert config.ingest.sources[0].groups_regex
    assert config.split.by == "scene"
    assert cut(config, here)


def test_without_georeference_the_site_of_each_scene_is_asked(here: Path) -> None:
    for number, name in enumerate(("ash", "birch", "cedar", "elm")):
        write_png(here / "sea" / f"{name}.png", scene(number))
        (here / "sea" / f"{name}.txt").write_text(yolo_lines(number))
    said = init(here / "sea").stdout
    assert "4 have no georeference" in said
    assert "name the sites with groups_csv" in said
    (here / "placed").mkdir()
    LAYOUTS["geojson-for-all"][0](here / "placed")
    assert "have no georeference" not in init(here / "placed").stdout


def test_too_little_data_is_said_before_a_run_finds_out(here: Path) -> None:
    write_png(here / "one" / "port.png", scene(0))
    (here / "one" / "port.txt").write_text(yolo_lines(0))
    said = init(here / "one").stdout
    assert "too few for training and testing" in said
    assert "too few" in (here / "one.yaml").read_text()
    assert load.load(here / "one.yaml")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ((), "holds no files"),
        (("archive.zip",), "unpack archive.zip first"),
        (("port.png",), "1 image but no labels for them"),
    ],
)
def test_a_folder_without_scenes_or_labels_ends_in_a_sentence(
    files: tuple[str, ...], sentence: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "empty"
    folder.mkdir()
    for name in files:
        write_png(folder / name, scene(0)) if name.endswith(".png") else (folder / name).write_bytes(b"PK")
    with pytest.raises(SystemExit) as ended:
        commands.main(["init", str(folder)])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not list(here.glob("*.yaml"))


def test_a_configuration_that_is_there_is_kept_unless_forced(here: Path) -> None:
    yolo_beside(made(here / "tiles"))
    (here / "tiles.yaml").write_text("mine")
    assert call(here / "tiles").exit_code != 0
    assert (here / "tiles.yaml").read_text() == "mine"
    init(here / "tiles", "--force")
    assert "yolo" in (here / "tiles.yaml").read_text()


def test_odd_signs_in_paths_are_kept_and_the_name_is_plain(here: Path) -> None:
    folder = here / "Bäume & Schiffe [2019] #1"
    folder.mkdir()
    yolo_beside(folder)
    init(folder)
    (path,) = here.glob("*.yaml")
    assert re.fullmatch(r"[A-Za-z0-9._-]+", path.stem)
    assert cut(load.load(path), here)["ship"] == 8 * SHIPS


def test_paths_stay_right_when_the_configuration_lies_elsewhere(here: Path) -> None:
    yolo_beside(made(here / "tiles"))
    init(here / "tiles", "--to", str(here / "configs" / "sub" / "ours.yaml"))
    config = load.load(here / "configs" / "sub" / "ours.yaml")
    assert Path(str(config.ingest.sources[0].path)).resolve() == here / "tiles"


def test_a_place_that_cannot_be_written_ends_in_a_sentence(here: Path) -> None:
    yolo_beside(made(here / "tiles"))
    (here / "file").write_text("no folder")
    assert "cannot be written" in str(call(here / "tiles", "--to", str(here / "file" / "tiles.yaml")).exception)


def test_nothing_in_the_folder_is_changed(here: Path) -> None:
    for layout, (make, _, _) in LAYOUTS.items():
        (here / layout).mkdir()
        make(here / layout)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    for layout in ("geopackage", "coco", "shipsnet"):
        init(here / layout, "--to", str(here.parent / f"{layout}.yaml"))
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_of_two_formats_the_other_is_named_and_selectable(here: Path) -> None:
    both = here / "both"
    for name in ("yolo-beside", "coco"):
        (both / name).mkdir(parents=True)
        LAYOUTS[name][0](both / name)
    assert "`--type coco` takes these instead" in init(both).stdout
    init(both, "--force", "--type", "coco")
    source = load.load(here / "both.yaml").ingest.sources[0]
    assert source.type == "coco"
    assert cut(load.load(here / "both.yaml"), here)["ship"] == 8 * SHIPS


@pytest.mark.parametrize("value", ["a: b", "# no", "yes", "1e3", "[x]", "null", "ü ß", "a\\b", "it's", '"q"', "", " "])
def test_any_text_is_written_so_that_yaml_reads_it_back(value: str, tmp_path: Path) -> None:
    import yaml

    sections: dict[str, Any] = {"name": value, "ingest": {"classes": [value, "ship"]}}
    text = write(sections, {"name": "why", "ingest.classes": "because " * 30}, ["head"], tmp_path)
    assert yaml.safe_load(text) == sections


REAL = REAL_DATA


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}; set SATPIPE_DATA")
def test_real_folders_are_told_for_what_they_are(here: Path) -> None:
    assert "350 ship" in init(REAL / "planet-tiles").stdout
    planet = load.load(here / "planet-tiles.yaml")
    assert (planet.split.by, planet.split.unit, planet.ingest.sources[0].nodata) == ("aoi", "site", 0)
    assert planet.split.test_groups == ("utc0222-0233", "utc0255-0305", "utc0503-0541")
    assert "4 ship" in init(REAL / "geotiff-ship-scene").stdout

    assert "21 non-ship, 9 ship" in init(REAL / "shipsnet-sample").stdout
    refused = call(REAL / "geotiff-formats")
    assert "6 images but no labels" in str(refused.exception)
    assert "EPSG:3857" in refused.stdout
