"""Public data sets and exports of tools, in the folders that they come in: `init` knows each, and boxes are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from fixtures.ingest_project import init_and_ingest
from fixtures.layouts import (
    SCENES,
    SHIPS,
    boxes,
    dota,
    labelme,
    scene,
    tifs,
    vectors,
    write_csv,
    write_png,
    yolo_folders,
)
from fixtures.public_layouts import PUBLIC, airbus
from fixtures.tool_layouts import via_first, via_third_csv
from rasterio.control import GroundControlPoint
from satpipe import commands
from satpipe.formats.via_files import images_of
from satpipe.formats.voc import parse
from satpipe.utils.errors import InputError


@pytest.mark.parametrize("layout", PUBLIC)
def test_a_public_layout_gives_the_same_boxes(layout: str, tmp_path: Path) -> None:
    make, kind = PUBLIC[layout]
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    found, source, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert source == kind, said
    assert sum(found.metadata["labels"].values()) == SCENES * SHIPS, (said, found.metadata)
    good = found.labels[found.labels["quarantined"].isna()]
    for number in range(SCENES):
        scenes = found.scenes["scene_id"][found.scenes["scene_id"].str.contains(f"(?:port|scene){number}[.v]")]
        own = good[good["scene_id"].isin(scenes)][["col_min", "row_min", "col_max", "row_max"]]
        assert len(own) == SHIPS
        for row, box in zip(sorted(own.to_numpy().tolist()), sorted(boxes(number)), strict=True):
            assert row == pytest.approx(box, abs=0.02)
    assert set(found.labels[found.labels["quarantined"].isna()]["class"]) <= {"ship", "vessel", "Dry Cargo Ship"}


def test_a_split_folder_without_label_files_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    yolo_folders(folder)
    write_png(folder / "test" / "images" / "port90.png", scene(90))
    found, _, said = init_and_ingest(folder, tmp_path)
    assert not found.scenes["scene_id"].str.contains("port90").any()
    assert "1 image in folders without label files are left out (test/images)" in said


@pytest.mark.parametrize("labels", ["labelTxt", "their labels"])
def test_equal_names_in_two_parts_have_their_own_labels(labels: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for part in ("a", "b"):
        (folder / part).mkdir(parents=True)
        dota(folder / part)
        (folder / part / "labelTxt").rename(folder / part / labels)
    for number in range(SCENES):  # no copies of those of the other part
        write_png(folder / "b" / "images" / f"port{number}.png", scene(50 + number))
    only = folder / "b" / labels / "port3.txt"
    only.write_text("0 0 9 0 9 9 0 9 plane 0\n")
    found, kind, _ = init_and_ingest(folder, tmp_path)
    assert kind == "dota"
    assert found.metadata["labels"] == {"ship": (2 * SCENES - 1) * SHIPS, "plane": 1}
    own = found.labels[found.labels["class"] == "plane"]
    assert own["scene_id"].tolist() == ["dota/b/images/port3.png"]


def test_airbus_images_without_a_row_are_not_background(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    airbus(tmp_path / "set")
    found, _, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert list(found.quarantined) == ["airbus/test_v2/unknown.png"]
    assert "sample_submission_v2.csv has the same columns and is a submission" in said


def test_airbus_tables_of_ships_alone_leave_the_others_empty(tmp_path: Path) -> None:
    for number in range(2):
        write_png(tmp_path / "set" / f"port{number}.png", scene(number))
    write_csv(tmp_path / "set" / "ships.csv", ["ImageId", "EncodedPixels"], [["port0.png", "1 9 129 9"]])
    found, _, _ = init_and_ingest(tmp_path / "set", tmp_path)
    assert found.quarantined == {}
    assert found.metadata["labels"] == {"ship": 1}


def test_masks_of_a_set_are_no_classes_of_chips(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    PUBLIC["HRSC2016"][0](tmp_path / "set")
    found, _, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert found.scenes["scene_id"].str.endswith(".bmp").all()
    assert "12 images in folders without label files are left out" in said


def test_segments_are_not_offered_as_corners(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    PUBLIC["YOLO-seg"][0](tmp_path / "set")
    _, _, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert "dota" not in said


@pytest.mark.parametrize("make", [via_first, via_third_csv])
def test_via_files_of_videos_and_without_images_are_refused(make, tmp_path: Path) -> None:
    make(tmp_path)
    path = next(path for path in tmp_path.iterdir() if path.is_file())
    path.write_text(path.read_text().replace('"[]","[2', '"[1.5]","[2').replace('"filename"', '"other"'))
    with pytest.raises(InputError, match=r"annotates a video|is not a VIA file"):
        images_of(path)


def test_labelme_in_a_list_of_folders(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    labelme(folder)
    for number in range(SCENES):
        moved = folder / f"by-{'ann' if number % 2 else 'bob'}" / f"port{number}.json"
        moved.parent.mkdir(exist_ok=True)
        (folder / f"port{number}.json").rename(moved)
    found, kind, _ = init_and_ingest(folder, tmp_path)
    assert kind == "labelme"
    assert found.metadata["labels"] == {"ship": SCENES * SHIPS}


def test_measurements_of_a_radar_product_need_warping(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    product = folder / "S1A_IW_GRDH_scene0.SAFE"
    write_png(product / "preview" / "quick-look.png", scene(0))
    path = product / "measurement" / "s1a-iw-grd-vv.tiff"
    path.parent.mkdir()
    places = [(0, 0, 10.0, 50.0), (0, 60, 10.1, 50.0), (60, 0, 10.0, 49.9), (60, 60, 10.1, 49.9)]
    points = [GroundControlPoint(*place) for place in places]
    profile = {"driver": "GTiff", "height": 60, "width": 60, "count": 1, "dtype": "uint16", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **profile, gcps=points) as file:
        file.write(np.full((60, 60), 7, np.uint16), 1)
    vectors(label="ship").to_crs("EPSG:4326").to_file(folder / "ships.geojson", driver="GeoJSON")
    done = CliRunner().invoke(commands.cli, ["init", str(folder), "--to", str(tmp_path / "c.yaml")])
    assert done.exit_code == 0
    assert "scenes      1; tiff" in done.output
    assert "gdalwarp s1a-iw-grd-vv.tiff" in done.output


def test_points_drawn_on_a_globe_are_not_named_for_their_file(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    tifs(folder)
    marks = "".join(
        f"<Placemark><name>s{number}</name><Point><coordinates>{point.x},{point.y},0</coordinates></Point></Placemark>"
        for number, point in enumerate(vectors().to_crs("EPSG:4326").geometry.centroid)
    )
    (folder / "doc.kml").write_text(f"<kml xmlns='http://www.opengis.net/kml/2.2'><Document>{marks}</Document></kml>")
    found, _, _ = init_and_ingest(folder, tmp_path)
    assert found.metadata["labels"] == {"ship": SCENES * SHIPS}


def test_polygons_of_voc_files_are_outlines(tmp_path: Path) -> None:
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>"
    ring = [(10, 10), (30, 12), (30, 20), (10, 18)]
    corners = "".join(f"<x{at}>{x}</x{at}><y{at}>{y}</y{at}>" for at, (x, y) in enumerate(ring, 1))
    text = f"<annotation><object><name>ship</name>{box}<polygon>{corners}</polygon></object></annotation>"
    (tmp_path / "a.xml").write_text(text)
    [item] = parse(tmp_path / "a.xml").objects
    assert item.box == (10, 10, 20, 30)
    assert item.outline == "POLYGON ((10 10, 30 12, 30 20, 10 18, 10 10))"
