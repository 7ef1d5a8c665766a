"""Labels of scenes, and detections, in the formats of detectors: read by satpipe's own readers and by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.ingest_project import (
    CORNER,
    UTM,
    feature,
    init_and_ingest,
    made_run,
    pixels,
    square,
    write_geojson,
    write_image,
    write_tif,
)
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from satpipe.engine.runs import Run
from satpipe.inference.detect import write
from satpipe.inference.export.detections import export_detections
from satpipe.inference.export.labels import export_labels
from satpipe.utils.errors import ConfigError, InputError, StoreError

KINDS = ("coco", "yolo", "yolo-seg", "voc", "dota", "geojson")
CLASSES = ("background", "ship", "tug")
EDGES = ["row_min", "col_min", "row_max", "col_max"]
TURNED = [(40, 20), (50, 30), (45, 35), (35, 25)]
"""Corners (row, col) of a rectangle that lies at 45 degrees."""


def turned() -> list[list[float]]:
    ring = [list(CORNER @ (col, row)) for row, col in TURNED]
    return [*ring, ring[0]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three scenes: two objects and one cut by the edge; none; an object whose extent is not known."""
    write_tif(tmp_path / "in" / "a.tif")
    write_tif(tmp_path / "in" / "b.tif", transform=CORNER @ CORNER.translation(100, 0))
    write_tif(tmp_path / "in" / "c.tif", transform=CORNER @ CORNER.translation(200, 0))
    objects = [feature(square(10, 12)), feature(square(-4, 60)), feature(turned(), **{"class": "tug"})]
    point = feature(list(CORNER @ (230, 30)), "Point")
    write_geojson(tmp_path / "ships.geojson", *objects, point, feature(square(20, 60), **{"class": "whale"}))
    source = {
        "type": "geojson",
        "path": str(tmp_path / "in"),
        "labels": str(tmp_path / "ships.geojson"),
        "licence": "CC0",
    }
    return made_run(tmp_path / "run", source, classes=CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_come_back_as_they_went_in(kind: str, run: Run, tmp_path: Path) -> None:
    made = export_labels(run, tmp_path / "out", kind)
    assert (made.images, dict(made.objects)) == (2, {"ship": 2, "tug": 1})
    assert made.left_out["scenes with an object whose box is not known"] == 1
    assert made.left_out["labels: class 'whale' is not in ingest.classes"] == 1
    result, source, said = init_and_ingest(tmp_path / "out", tmp_path / "again")
    assert source == kind.partition("-")[0], said
    assert sorted(result.scenes["scene_id"].str.rpartition("/")[2]) == ["a.tif", "b.tif"]
    objects = result.labels[result.labels["class"].isin(CLASSES[1:])].sort_values("row_min")
    assert objects["quarantined"].isna().all()
    assert list(objects["class"]) == ["ship", "ship", "tug"]
    wanted = [(0, 60, 6, 70), (10, 12, 20, 22), (35, 20, 50, 35)]
    assert [tuple(row) for row in objects[EDGES].to_numpy()] == [pytest.approx(box, abs=0.02) for box in wanted]
    copied = (tmp_path / "out" / ("JPEGImages" if kind == "voc" else "images") / "a.tif").read_bytes()
    assert copied == (tmp_path / "in" / "a.tif").read_bytes()


def test_coco_has_outlines_and_names_of_scenes(run: Run, tmp_path: Path) -> None:
    export_labels(run, tmp_path / "out", "coco")
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert [image["satpipe_scene"] for image in coco.loadImgs([1, 2])] == ["geojson/a.tif", "geojson/b.tif"]
    [tug] = coco.loadAnns(coco.getAnnIds(catIds=2))
    assert tug["area"] == pytest.approx(14.142 * 7.071, rel=0.01)
    assert coco.annToMask(tug).sum() == pytest.approx(100, abs=12)
    assert coco.dataset["licenses"][0]["name"] == "CC0"


def test_images_can_be_links(run: Run, tmp_path: Path) -> None:
    export_labels(run, tmp_path / "out", "yolo", link=True)
    path = tmp_path / "out" / "images" / "a.tif"
    assert path.is_symlink()
    assert path.resolve() == (tmp_path / "in" / "a.tif").resolve()


def test_scenes_of_one_name_stay_apart(tmp_path: Path) -> None:
    for number, place in enumerate(("x", "y")):
        write_image(tmp_path / place / "s.png", pixels(seed=number + 7))
        (tmp_path / place / "s.txt").write_text("0 0.5 0.5 0.25 0.2\n")
    source = {"type": "yolo", "path": [str(tmp_path / place) for place in ("x", "y")], "class_names": ["ship"]}
    run = made_run(tmp_path / "run", source, classes=CLASSES)
    export_labels(run, tmp_path / "out", "yolo")
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["s.png", "s~2.png"]
    line = (tmp_path / "out" / "labels" / "s~2.txt").read_text()
    assert line == "0 0.50000000 0.50000000 0.25000000 0.20000000\n"


def test_scenes_that_are_gone_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.tif").unlink()
    with pytest.raises(InputError, match=r"scene b\.tif is not where it was read from"):
        export_labels(run, tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


def test_folders_with_files_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not an empty folder"):
        export_labels(run, tmp_path / "in", "coco")


def test_a_run_without_any_box_says_what_to_do(tmp_path: Path) -> None:
    for number, name in enumerate(("ship", "background")):
        write_image(tmp_path / "in" / name / "1.png", pixels(seed=number))
    source = {"type": "folders", "path": str(tmp_path / "in")}
    run = made_run(tmp_path / "run", source, classes=CLASSES[:2])
    export = export_labels(run, tmp_path / "out", "coco")
    assert (export.images, export.objects.total()) == (1, 0), "a background chip shows no object"
    (tmp_path / "in" / "background" / "1.png").unlink()
    run = made_run(tmp_path / "run2", source, classes=CLASSES[:2])
    with pytest.raises(ConfigError, match="no scene whose objects all have boxes"):
        export_labels(run, tmp_path / "more", "coco")


# ------------------------------------------------------------------------------------------------------- detections


def detection(row: float, col: float, name: str = "ship", score: float = 0.9, crs: str | None = UTM) -> write.Detection:
    """A window of 10 x 10 pixels around a position in scene a."""

    def place(y: float, x: float) -> tuple[float, float]:
        return (x, y) if crs is None else tuple(CORNER @ (x, y))

    corners = ((-5, -5), (5, -5), (5, 5), (-5, 5), (-5, -5))
    ring = tuple(place(row + down, col + right) for down, right in corners)
    return write.Detection("a.tif", name, score, row, col, place(row, col), ring, crs, None)


FOUND = [(15.0, 17.0, "ship", 0.9), (2.0, 65.0, "ship", 0.8), (43.0, 27.0, "tug", 0.7)]
WINDOWS = [(0, 60, 7, 70), (10, 12, 20, 22), (38, 22, 48, 32)]


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet", "lonlat"])
def test_detections_lie_where_they_were_found(suffix: str, run: Run, tmp_path: Path) -> None:
    result = [detection(*values) for values in FOUND]
    path = tmp_path / f"found{'.geojson' if suffix == 'lonlat' else suffix}"
    if suffix == ".gpkg":
        write.write_geopackage(result, [UTM], False, path)
    elif suffix == ".parquet":
        write.write_geoparquet(result, UTM, False, path)
    else:
        lonlat = suffix == "lonlat"
        write.write_geojson(write.in_lonlat(result) if lonlat else result, write.LONLAT if lonlat else UTM, False, path)
    made = export_detections(run, path, [tmp_path / "in" / "a.tif"], tmp_path / "out", "coco")
    assert dict(made.objects) == {"ship": 2, "tug": 1}
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    boxes = {(a["bbox"][1], a["bbox"][0], a["bbox"][1] + a["bbox"][3], a["bbox"][0] + a["bbox"][2]): a["score"]
             for a in coco.loadAnns(coco.getAnnIds())}  # fmt: skip
    assert sorted(boxes) == [pytest.approx(window, abs=0.05) for window in WINDOWS]
    assert [boxes[box] for box in sorted(boxes)] == pytest.approx([0.8, 0.9, 0.7])


def test_pycocotools_holds_detections_against_labels(run: Run, tmp_path: Path) -> None:
    write.write_geojson([detection(*values) for values in FOUND], UTM, False, tmp_path / "found.geojson")
    scenes = [tmp_path / "in" / name for name in ("a.tif", "b.tif")]
    export_labels(run, tmp_path / "labels", "coco")
    export_detections(run, tmp_path / "found.geojson", scenes, tmp_path / "found", "coco")
    truth = COCO(str(tmp_path / "labels" / "annotations.json"))
    results = json.loads((tmp_path / "found" / "annotations.json").read_text())["annotations"]
    evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # Windows of 10 pixels fit the two ships of 10 pixels, and hold the tug of 15 x 15 by 100 of 225.
    assert evaluation.eval["precision"][0, :, 0, 0, 2].min() == pytest.approx(1)
    assert evaluation.eval["precision"][0, :, 1, 0, 2].max() == pytest.approx(0)


def test_detections_in_plain_images_are_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.2\n")
    run = made_run(tmp_path / "run", {"type": "yolo", "path": str(tmp_path), "class_names": ["ship"]}, classes=CLASSES)
    item = detection(15, 17, crs=None)
    result = [write.Detection("a.png", *(getattr(item, name) for name in list(item.__dict__)[1:]))]
    write.write_geojson(result, None, False, tmp_path / "found.geojson")
    export_detections(run, tmp_path / "found.geojson", [tmp_path / "a.png"], tmp_path / "out", "yolo")
    line = (tmp_path / "out" / "labels" / "a.txt").read_text().split()
    assert np.array(line, float) == pytest.approx([0, 17 / 80, 15 / 60, 10 / 80, 10 / 60])


def test_detections_elsewhere_are_counted(run: Run, tmp_path: Path) -> None:
    write.write_geojson([detection(15, 17)], UTM, False, tmp_path / "found.geojson")
    made = export_detections(run, tmp_path / "found.geojson", [tmp_path / "in" / "b.tif"], tmp_path / "out", "coco")
    assert dict(made.left_out) == {"detections in scenes that were not given": 1}


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_scenes_without_detections_have_no_labels(suffix: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    if suffix == ".geojson":
        write.write_geojson([], UTM, False, path)
    elif suffix == ".gpkg":
        write.write_geopackage([], [UTM], False, path)
    else:
        write.write_geoparquet([], UTM, False, path)
    made = export_detections(run, path, [tmp_path / "in" / "a.tif"], tmp_path / "out", "coco")
    assert (made.images, made.objects.total()) == (1, 0)


def test_files_that_hold_no_windows_are_refused(run: Run, tmp_path: Path) -> None:
    scenes = [tmp_path / "in" / "a.tif"]
    write.write_geojson([detection(15, 17)], UTM, True, tmp_path / "points.geojson")
    with pytest.raises(InputError, match="holds points"):
        export_detections(run, tmp_path / "points.geojson", scenes, tmp_path / "out", "coco")
    with pytest.raises(InputError, match="has no column scene"):
        export_detections(run, tmp_path / "ships.geojson", scenes, tmp_path / "out", "coco")
    with pytest.raises(InputError, match=r"gone\.geojson cannot be read"):
        export_detections(run, tmp_path / "gone.geojson", scenes, tmp_path / "out", "coco")
    write.write_geojson([detection(15, 17, "whale")], UTM, False, tmp_path / "whales.geojson")
    with pytest.raises(InputError, match="no class of run bay"):
        export_detections(run, tmp_path / "whales.geojson", scenes, tmp_path / "out", "coco")
