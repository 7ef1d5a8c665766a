"""Labels that are written, read by satpipe's own readers and by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
import yaml
from fixtures.ingest_project import init_and_ingest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO
from rasterio.features import rasterize
from rasterio.transform import from_origin
from satpipe.formats import rle
from satpipe.formats.registry import FORMATS
from satpipe.formats.writers.base import LabelledImage, LabelledObject, Marks, masked_object, outlined_object
from satpipe.formats.writers.table import WRITERS

SIZE = (60, 80)
MARKS = Marks("Two synthetic images <made up> & marked.", "CC0", "satpipe 1")
CLASSES = ("ship", "tug boat")
PER_IMAGE = {"yolo": "txt", "voc": "xml", "dota": "txt"}


def bar(angle_deg: float, row: float, col: float, length: float, width: float) -> npt.NDArray[np.bool_]:
    """The pixels of an image whose middles lie in a turned rectangle."""
    down, right = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    angle = np.deg2rad(angle_deg)
    along = np.cos(angle) * (right - col) + np.sin(angle) * (down - row)
    across = np.cos(angle) * (down - row) - np.sin(angle) * (right - col)
    return (np.abs(along) < length / 2) & (np.abs(across) < width / 2)


MASKS = [bar(30, 20, 30, 30, 6), bar(0, 45, 20, 20, 8), bar(90, 8, 70, 24, 5)]
NAMES = ["ship", "tug boat", "ship"]


def objects() -> list[LabelledObject]:
    made = [masked_object(name, mask, SIZE) for name, mask in zip(NAMES, MASKS, strict=True)]
    return [item for item in made if item is not None]


def boxes() -> list[tuple[float, ...]]:
    return sorted(tuple(map(float, item.box)) for item in objects())


def write(kind: str, folder: Path, masks: bool = True) -> Path:
    """Write a set of three images, the last of them without objects."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = WRITERS[kind](folder, CLASSES, MARKS)
    plain = [LabelledObject(item.class_name, item.box, rings=item.outline) for item in objects()]
    for number, shown in enumerate((objects() if masks else plain, objects() if masks else plain, [])):
        name = f"{number:06d}.png"
        noise = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(noise).save(folder / writer.images / name)
        writer.add(LabelledImage(name, (*SIZE, 3), shown))
    writer.close()
    return folder


@pytest.mark.parametrize("kind", sorted(set(WRITERS) - {"geojson"}))
@pytest.mark.parametrize("masks", [True, False])
def test_init_and_ingest_read_the_same_boxes(kind: str, masks: bool, tmp_path: Path) -> None:
    result, source, said = init_and_ingest(write(kind, tmp_path / "set", masks), tmp_path)
    assert source == kind.partition("-")[0], said
    labels = result.labels[result.labels["class"].isin(["ship", "tug boat", "tug-boat"])]
    assert len(labels) == 6
    for number in range(2):
        own = labels[labels["scene_id"].str.contains(f"00000{number}")]
        read = sorted(map(tuple, own[["row_min", "col_min", "row_max", "col_max"]].to_numpy().tolist()))
        # DOTA's turned rectangles reach a little farther than the pixels of a turned object.
        assert read == [pytest.approx(box, abs=3.0 if kind == "dota" else 0.001) for box in boxes()]


def test_writers_are_named_like_readers() -> None:
    assert {kind.partition("-")[0] for kind in WRITERS} <= set(FORMATS)


def test_coco_masks_are_those_of_pycocotools(tmp_path: Path) -> None:
    coco = COCO(str(write("coco", tmp_path) / "annotations.json"))
    assert [item["name"] for item in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=1))
    assert len(annotations) == 3
    for annotation, mask in zip(annotations, MASKS, strict=True):
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
    assert coco.getAnnIds(imgIds=3) == []
    assert coco.dataset["info"]["description"] == MARKS.description


def test_coco_polygons_are_those_of_pycocotools(tmp_path: Path) -> None:
    coco = COCO(str(write("coco", tmp_path, masks=False) / "annotations.json"))
    for annotation, mask in zip(coco.loadAnns(coco.getAnnIds(imgIds=1)), MASKS, strict=True):
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == pytest.approx(mask.sum())


@settings(deadline=None, max_examples=60)
@given(
    arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any),
    st.integers(0, 5),
    st.integers(0, 40),
    st.integers(0, 5),
    st.integers(0, 4),
)
def test_runs_are_those_of_pycocotools(mask: npt.NDArray[np.bool_], row: int, col: int, below: int, right: int) -> None:
    from pycocotools import mask as reference

    height, width = row + mask.shape[0] + below, col + mask.shape[1] + right
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
    text = rle.to_compressed(mask, row, col, height, width)
    assert text == reference.encode(whole)["counts"].decode()
    np.testing.assert_array_equal(rle.from_compressed(text, height, width), whole)


def test_yolo_names_its_classes_and_files(tmp_path: Path) -> None:
    write("yolo", tmp_path)
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert data == {"train": "images", "val": "images", "names": {0: "ship", 1: "tug boat"}}
    assert (tmp_path / "labels" / "000002.txt").read_text() == ""
    values = (tmp_path / "labels" / "000000.txt").read_text().splitlines()[1].split()
    assert values == ["1", "0.25000000", "0.75000000", "0.25000000", "0.13333333"]


@pytest.mark.parametrize("masks", [True, False])
def test_yolo_polygons_cover_the_masks(masks: bool, tmp_path: Path) -> None:
    write("yolo-seg", tmp_path, masks)
    lines = (tmp_path / "labels" / "000000.txt").read_text().splitlines()
    for line, mask, name in zip(lines, MASKS, NAMES, strict=True):
        number, *values = line.split()
        assert CLASSES[int(number)] == name
        polygon = shapely.Polygon(np.array(values, float).reshape(-1, 2) * SIZE[::-1])
        drawn = rasterize([polygon], out_shape=SIZE)
        np.testing.assert_array_equal(drawn, mask)


def test_yolo_joins_the_pieces_of_an_object(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[10:20, 10:30] = mask[40:50, 50:60] = True
    whole = masked_object("ship", mask, SIZE)
    assert whole is not None
    writer = WRITERS["yolo-seg"](tmp_path, CLASSES, MARKS)
    writer.add(LabelledImage("a.png", (*SIZE, 3), [whole]))
    [line] = (tmp_path / "labels" / "a.txt").read_text().splitlines()
    vertices = np.rint(np.array(line.split()[1:], float).reshape(-1, 2) * SIZE[::-1]).astype(int)
    box = (*vertices.min(axis=0), *vertices.max(axis=0))
    assert box == (10, 10, 60, 50)
    # Edges without width enclose nothing, so that the area is that of the two pieces.
    x, y = vertices.T.astype(float)
    assert abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 == mask.sum()


@pytest.mark.parametrize("masks", [True, False])
def test_voc_has_sizes_masks_and_a_list(masks: bool, tmp_path: Path) -> None:
    write("voc", tmp_path, masks)
    root = ET.parse(tmp_path / "Annotations" / "000000.xml").getroot()
    assert root.findtext("source/database") == MARKS.description
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["80", "60", "3"]
    assert [item.findtext("truncated") for item in root.findall("object")] == ["0", "0", "1" if masks else "0"]
    assert [root.findtext(f"object[2]/bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")] == [
        "11", "42", "30", "49",
    ]  # fmt: skip
    values = np.asarray(Image.open(tmp_path / "SegmentationObject" / "000000.png"))
    for number, mask in enumerate(MASKS, 1):
        np.testing.assert_array_equal(values == number, mask)
    assert (tmp_path / "ImageSets" / "Main" / "train.txt").read_text().split() == ["000000", "000001", "000002"]


def test_dota_boxes_lie_along_the_objects(tmp_path: Path) -> None:
    write("dota", tmp_path)
    line = (tmp_path / "labelTxt" / "000000.txt").read_text().splitlines()[2].split()
    corners = np.array(line[:8], float).reshape(4, 2)
    sides = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    longest = np.diff(corners, axis=0)[sides.argmax()]
    assert np.rad2deg(np.arctan2(longest[1], longest[0])) % 180 == pytest.approx(30, abs=4)
    assert sides.max() == pytest.approx(30, abs=2.5)
    assert sides.min() == pytest.approx(6, abs=2.5)


@pytest.mark.parametrize(
    ("crs", "wkt"),
    [("EPSG:32633", False), ("EPSG:4326", False), ("+proj=laea +lat_0=50 +lon_0=10 +datum=WGS84", True), (None, False)],
)
def test_geojson_lies_where_the_scene_lies(crs: str | None, wkt: bool, tmp_path: Path) -> None:
    transform = from_origin(12.0, 55.0, 3e-5, 1.72e-5) if crs == "EPSG:4326" else from_origin(400_000, 90_000, 3, 3)
    writer = WRITERS["geojson"](tmp_path, CLASSES, MARKS)
    place = {}
    if crs is not None:
        name = rasterio.CRS.from_string(crs).to_wkt() if wkt else crs
        place = {"crs": name, "transform": tuple(transform)[:6]}
    path = tmp_path / writer.images / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=80, height=60, count=1, dtype="uint8",
                       crs=crs, transform=transform if crs else None) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(1, 255, (1, *SIZE), np.uint8))
    writer.add(LabelledImage("a.tif", (*SIZE, 1), objects(), **place))
    writer.close()
    data = json.loads((tmp_path / "labels" / "a.geojson").read_text())
    assert data["description"] == MARKS.description
    if crs is None:
        assert data["crs"] is None
        result = sorted(shapely.geometry.shape(item["geometry"]).bounds for item in data["features"])
        assert result == sorted((box[1], box[0], box[3], box[2]) for box in boxes())
        return
    result, source, said = init_and_ingest(tmp_path, tmp_path / "out")
    assert source == "geojson", said
    read = sorted(map(tuple, result.labels[["row_min", "col_min", "row_max", "col_max"]].to_numpy().tolist()))
    assert read == [pytest.approx(box, abs=0.01) for box in boxes()]


def test_labels_of_the_label_table_are_written_too() -> None:
    item = outlined_object("ship", (0, 0, 7, 7), "POLYGON ((0 5, 5 0, 7 2, 2 7, 0 5))")
    assert item.area == pytest.approx(20)
    assert {(round(x), round(y)) for x, y in item.corners} == {(0, 5), (5, 0), (7, 2), (2, 7)}
    assert outlined_object("ship", (1, 2, 3, 5), None).outline == [[(2, 1), (5, 1), (5, 3), (2, 3), (2, 1)]]
