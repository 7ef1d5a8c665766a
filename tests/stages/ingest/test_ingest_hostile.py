"""Files that are broken or lie: each is left out with its reason, and the run goes on with the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from fixtures.ingest_project import (
    CORNER,
    Ingested,
    feature,
    ingest,
    pixels,
    square,
    write_geojson,
    write_image,
    write_tif,
)
from rasterio.transform import Affine
from satpipe.utils.errors import InputError

VRT = """<VRTDataset rasterXSize="80" rasterYSize="60"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


def vrt(path: Path) -> None:
    secret = write_tif(path.parents[1] / "secret.tif")
    assert secret.any()
    path.write_text(VRT.format(path.parents[1] / "secret.tif"))


def vrt_of_the_network(path: Path) -> None:
    path.write_text(VRT.format("/vsicurl/http://localhost:1/scene.tif"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no image")


def folder(path: Path) -> None:
    path.mkdir()
    write_tif(path / "inner.tif", pixels(seed=9))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def truncated(path: Path) -> None:
    write_tif(path, pixels(300, 300), compress="deflate")
    path.write_bytes(path.read_bytes()[:150_000])


def truncated_in_the_last_byte(path: Path) -> None:
    write_tif(path, pixels(300, 300))
    path.write_bytes(path.read_bytes()[:-1])


def huge(path: Path) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=3, dtype="uint8", tiled=True, sparse_ok=True,
        bigtiff="YES",
    ):  # fmt: skip
        pass


def another_band_count(path: Path) -> None:
    write_tif(path, pixels(bands=1))


def another_type(path: Path) -> None:
    write_tif(path, pixels(dtype="uint16"))


def all_on_a_line(path: Path) -> None:
    write_tif(path, pixels(seed=4), transform=Affine(3, 3, 550_000, 3, 3, 4_180_000))


def nowhere_on_earth(path: Path) -> None:
    write_tif(path, pixels(seed=4), transform=Affine(3, 0, 9e12, 0, -3, 9e12))


def colour_table(path: Path) -> None:
    write_tif(path, pixels(bands=1), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (vrt, "not a TIFF, PNG, JPEG"),
        (vrt_of_the_network, "not a TIFF, PNG, JPEG"),
        (empty, "is empty"),
        (text, "not a TIFF, PNG, JPEG"),
        (folder, "is a folder"),
        (pipe, "not a regular file"),
        (dangling_link, "a broken link"),
        (truncated, "truncated or damaged"),
        (truncated_in_the_last_byte, "truncated or damaged"),
        (huge, "200000 x 200000 pixels"),
        (another_band_count, "has 1 bands"),
        (another_type, "of uint16"),
        (all_on_a_line, "onto a line"),
        (nowhere_on_earth, "not valid in its CRS"),
        (colour_table, "colour table"),
    ],
)
def test_a_bad_scene_is_quarantined_and_the_others_used(
    tmp_path: Path, make: Callable[[Path], Any], reason: str
) -> None:
    write_tif(tmp_path / "in" / "good.tif", pixels(seed=1))
    write_tif(tmp_path / "in" / "also good.tif", pixels(seed=2))
    make(tmp_path / "in" / "bad.tif")
    write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    source = {"type": "geojson", "name": "s", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    found = ingest(tmp_path, source)
    assert reason in found.quarantined["s/bad.tif"]
    assert list(found.quarantined) == ["s/bad.tif"]
    assert [name for name, _ in found.metadata["scenes"]] == ["s/also good.tif", "s/good.tif"]
    assert found.metadata["labels"] == {"ship": 2}
    with pytest.raises(InputError, match=r"s/bad\.tif cannot be used") as caught:
        ingest(tmp_path, source, strict=True)
    assert "\n" not in str(caught.value)
    for good in ("good.tif", "also good.tif"):
        (tmp_path / "in" / good).unlink()
    if make not in (another_band_count, another_type):
        with pytest.raises(InputError, match="none is left"):
            ingest(tmp_path, source)


def test_a_scene_that_lacks_chosen_bands_is_quarantined(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif", pixels(bands=4))
    write_tif(tmp_path / "in" / "b.tif", pixels(bands=3, seed=2))
    write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    found = ingest(tmp_path, source, bands=[4, 3, 2])
    assert found.quarantined == {"geojson/b.tif": "b.tif has 3 bands and ingest.bands asks for band 4"}


@pytest.mark.parametrize("path", ["/vsicurl/http://localhost/x.tif", "https://localhost/x.tif", "s3://bucket/scenes"])
def test_a_source_on_the_network_is_refused_by_name(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match=r"ingest\.sources\.0\.path: .* not a plain local path"):
        ingest(tmp_path, {"type": "yolo", "path": path})


def test_a_folder_without_scenes_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"ingest\.sources\.0\.path: there is no file"):
        ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    with pytest.raises(InputError, match=r"absent does not exist"):
        ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "absent")})


# ---------------------------------------------------------------------------------------------------------- labels


def one_scene(
    tmp_path: Path, *features: dict[str, Any], crs: str | None = "EPSG:32610", strict: bool = False, **source: Any
) -> Ingested:
    write_tif(tmp_path / "in" / "a.tif")
    write_geojson(tmp_path / "l.geojson", feature(square(1, 1)), *features, crs=crs)
    base = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    return ingest(tmp_path, base | source, strict=strict)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (feature(square(500, 10)), "outside every scene"),
        (feature([float("nan"), 4_180_000], "Point"), "a coordinate is not a finite number"),
        (feature([float("inf"), 4_180_000], "Point"), "a coordinate is not a finite number"),
        (feature([[1, float("nan")], [5, 5], [2, 3], [1, float("nan")]]), "its geometry cannot be read"),
        (feature(square(10, 10, 0)), "the box has no area"),
        ({"type": "Feature", "properties": {}, "geometry": None}, "its geometry is empty, not a polygon or point"),
        ({"type": "Feature", "properties": None, "geometry": {"type": "Blob"}}, "its geometry cannot be read"),
        ("no feature", "its geometry cannot be read"),
        (feature(square(30, 30), **{"class": "whale"}), "class 'whale' is not in ingest.classes"),
    ],
)
def test_a_bad_label_is_quarantined_and_the_others_used(tmp_path: Path, odd: Any, reason: str) -> None:
    found = one_scene(tmp_path, odd)
    assert found.metadata["labels"] == {"ship": 1}
    ((name, said),) = found.metadata["labels_quarantined"]
    assert name == "geojson/l.geojson:1"
    assert said.startswith(reason)
    if reason != "outside every scene":
        with pytest.raises(InputError, match=r"label geojson/l\.geojson:1 cannot be used: .* \(1 such label\)"):
            one_scene(tmp_path, odd, strict=True)
    else:
        assert one_scene(tmp_path, odd, strict=True).metadata["labels"] == {"ship": 1}


def test_an_axis_swapped_file_is_recognised_and_can_be_read(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    swapped = [[y, x] for x, y in square(20, 30)]
    write_geojson(tmp_path / "l.geojson", feature(swapped))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    with pytest.raises(InputError, match=r"inside with its axes swapped; set swap_axes"):
        ingest(tmp_path, source)
    assert ingest(tmp_path, source | {"swap_axes": True}).boxes() == [(20, 30, 30, 40)]


def test_labels_with_a_crs_refuse_a_scene_without_one(tmp_path: Path) -> None:
    # The scene must not pass for one without ships, from which background would be cut.
    write_tif(tmp_path / "in" / "a.tif")
    write_image(tmp_path / "in" / "b.png")
    write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    found = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    assert "the scene has none" in found.quarantined["geojson/b.png"]
    assert found.metadata["labels"] == {"ship": 1}


def test_labels_without_a_crs_for_a_scene_with_one_ask_for_it(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    path = write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crs": None}))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(path)}
    with pytest.raises(InputError, match="does not state its CRS and the scene has one; set labels_crs"):
        ingest(tmp_path, source)
    assert ingest(tmp_path, source | {"labels_crs": "EPSG:32610"}).boxes() == [(20, 30, 30, 40)]
    with pytest.raises(InputError, match="EPSG:99, cannot be used"):
        ingest(tmp_path, source | {"labels_crs": "EPSG:99"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.geojson", b"{"),
        ("l.geojson", b"[" * 200_000),
        ("l.geojson", b'{"type": "Topology"}'),
        ("l.geojson", b"<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/x</SrcDataSource></OGRVRTLayer>"),
        ("l.gpkg", b"<OGRVRTDataSource></OGRVRTDataSource>"),
        ("l.gpkg", b"SQLite format 3\0" + b"\0" * 400),
        ("l.shp", b"\0\0\x27\x0a"),
        ("l.parquet", b"PAR1 and no more"),
        ("l.csv", b"a,b\n1,2\n"),
        ("l.json", b'{"images": 3}'),
        ("l.json", b""),
    ],
)
def test_an_unreadable_label_file_takes_its_scenes_out(tmp_path: Path, name: str, content: bytes) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    (tmp_path / name).write_bytes(content)
    kind = {".csv": "csv", ".json": "coco"}.get(Path(name).suffix, "geojson")
    with pytest.raises(InputError, match=f"its labels are not known: (label file )?{name}") as caught:
        ingest(tmp_path, {"type": kind, "path": str(tmp_path / "in"), "labels": str(tmp_path / name)})
    assert "\n" not in str(caught.value)


BOMB = """<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<annotation><object><name>&a;</name></object></annotation>"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB, "declares a document type"),
        (OUTSIDE, "declares a document type"),
        (BOMB.encode("utf-16"), "declares a document type"),
        ("<annotation><object>", "cannot be read"),
        ("<html></html>", "not a Pascal VOC annotation"),
        ("<annotation>" + "<a>" * 5000, "not a Pascal VOC annotation"),
        ("<annotation><size><width>81</width><height>60</height></size></annotation>", "60 rows and 81 columns"),
    ],
)
def test_a_voc_file_that_is_broken_or_a_trap_refuses_its_scene(tmp_path: Path, content: Any, reason: str) -> None:
    write_image(tmp_path / "in" / "a.png", pixels(seed=1))
    write_image(tmp_path / "in" / "b.png", pixels(seed=2))
    (tmp_path / "in" / "a.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
    (tmp_path / "in" / "b.xml").write_text(f"<annotation><object><name>ship</name>{box}</object></annotation>")
    found = ingest(tmp_path, {"type": "voc", "path": str(tmp_path / "in")})
    assert reason in found.quarantined["voc/a.png"]
    assert found.boxes() == [(10, 10, 20, 20)]


def test_a_yolo_file_that_is_no_text_refuses_its_scene(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", pixels(seed=1))
    write_image(tmp_path / "in" / "b.png", pixels(seed=2))
    (tmp_path / "in" / "a.txt").write_bytes(b"\xff\xfe\x00\xd8" * 10)
    (tmp_path / "in" / "b.txt").write_text("0 0.5 0.5 0.1 0.1")
    found = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    assert "a.txt cannot be read" in found.quarantined["yolo/a.png"]
    assert found.metadata["labels"] == {"ship": 1}


def test_a_scene_unlike_its_coco_entry_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        write_image(tmp_path / "in" / f"{name}.png", pixels(seed=number))
    data = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png", "width": 640, "height": 480},
        ],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": at, "image_id": at, "category_id": 1, "bbox": [1, 1, 9, 9]} for at in (1, 2)],
    }
    (tmp_path / "l.json").write_text(json.dumps(data))
    found = ingest(tmp_path, {"type": "coco", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.json")})
    assert "480 rows and 640 columns" in found.quarantined["coco/b.png"]
    assert "no COCO file lists it" in found.quarantined["coco/c.png"]
    assert found.metadata["labels"] == {"ship": 1}


# ----------------------------------------------------------------------------------------------------------- names


def test_two_scenes_of_one_name_stay_two_scenes(tmp_path: Path) -> None:
    for number, place in enumerate(["x", "y"]):
        write_image(tmp_path / "in" / place / "a.png", pixels(seed=number))
        (tmp_path / "in" / place / "a.txt").write_text(f"0 0.5 0.{number + 2} 0.1 0.1")
        write_image(tmp_path / "more" / "a.png", pixels(seed=7))
        (tmp_path / "more" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    sources = [{"type": "yolo", "path": str(tmp_path / folder)} for folder in ("in", "more")]
    found = ingest(tmp_path, *sources)
    assert list(found.scenes["scene_id"]) == ["yolo/x/a.png", "yolo/y/a.png", "yolo-2/a.png"]
    assert found.labels["label_id"].is_unique
    assert found.boxes()[0] != found.boxes()[1]


def test_the_same_picture_under_two_names_is_used_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.png", pixels(seed=1))
        (tmp_path / "in" / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1")
    found = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")}, strict=True)
    assert found.metadata["copies"] == 1
    assert found.scene("b.png")["quarantined"] == "it is the same image as yolo/a.png"
    assert found.metadata["labels"] == {"ship": 1}
    assert found.metadata["labels_quarantined_by_reason"] == {"its scene is quarantined": 1}


def test_a_labelled_picture_wins_over_an_unlabelled_copy(tmp_path: Path) -> None:
    for folder, name in (("scenes", "a"), ("scenes", "b"), ("labelled", "c")):
        write_image(tmp_path / folder / f"{name}.png", pixels(seed=ord(name) % 2))
    (tmp_path / "labelled" / "c.txt").write_text("0 0.5 0.5 0.1 0.1")
    unlabelled = {"type": "unlabelled", "path": str(tmp_path / "scenes")}
    found = ingest(tmp_path, unlabelled, {"type": "yolo", "path": str(tmp_path / "labelled")})
    assert found.scene("a.png")["quarantined"] == "it is the same image as yolo/c.png"
    assert [name for name, _ in found.metadata["scenes"]] == ["unlabelled/b.png", "yolo/c.png"]
    assert found.metadata["labels"] == {"ship": 1}


def test_names_with_spaces_and_letters_of_any_script_are_names(tmp_path: Path) -> None:
    name = "Hafen Süd 東京 #1%.png"
    write_image(tmp_path / "in" / name)
    (tmp_path / "in" / name.replace(".png", ".txt")).write_text("0 0.5 0.5 0.1 0.1")
    found = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    assert found.scene(name)["path"] == str(tmp_path / "in" / name)


def test_results_do_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    def catalogue(place: Path) -> list[bytes]:
        write_tif(place / "in" / "a.tif", pixels(300, 300))
        content = (place / "in" / "a.tif").read_bytes()
        (place / "in" / "b.tif").write_bytes(content[: len(content) // 2])
        write_geojson(place / "l.geojson", feature(square(20, 30)))
        source = {"type": "geojson", "path": str(place / "in"), "labels": str(place / "l.geojson")}
        store = ingest(place, source).store
        return sorted(path.read_bytes() for path in store.rglob("catalogue.parquet"))

    assert catalogue(tmp_path / "here") == catalogue(tmp_path / "a longer way" / "there")


def test_labels_of_a_placed_float_scene_keep_their_place(tmp_path: Path) -> None:
    image = pixels(dtype="float32")
    image[0] = np.nan
    write_tif(tmp_path / "in" / "a.tif", image)
    write_geojson(tmp_path / "l.geojson", feature(list(CORNER @ (79.5, 59.5)), "Point"))
    found = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    assert found.boxes() == [(59.5, 79.5, 59.5, 79.5)]
