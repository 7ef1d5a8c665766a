"""Labels as they come out of tools: what used to be read wrong without a word, one test for each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from fixtures.ingest_project import (
    CORNER,
    UTM,
    cut,
    feature,
    ingest,
    init_and_ingest,
    pixels,
    square,
    write_geojson,
    write_image,
    write_tif,
)
from fixtures.layouts import SCENES, boxes, mask, pngs, polygon, scene, tifs, transform, vectors, write_csv, write_png
from PIL import Image
from satpipe.raster import gdal

SHIPS = 6 * SCENES


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --------------------------------------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_is_read_as_viewers_show_it(orientation: int, suffix: str, tmp_path: Path) -> None:
    upright = Image.new("RGB", (60, 40))
    upright.paste((250, 250, 250), (30, 0, 60, 20))
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's transpose that stores it so
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    stored.save(path, exif=exif, **({"quality": 95} if suffix == ".jpg" else {}))
    with gdal.open_scene(path) as dataset:
        assert (dataset.height, dataset.width) == (40, 60)
        bright = dataset.read(1) > 128
    assert bright[:18, 32:].all()
    assert not bright[22:].any()
    assert not bright[:, :28].any()


def test_a_placed_scene_is_not_turned_by_its_exif_tag(tmp_path: Path) -> None:
    write_tif(tmp_path / "a.tif")
    Image.fromarray(pixels()).save(tmp_path / "b.tif", tiffinfo={274: 6})
    with gdal.open_scene(tmp_path / "a.tif") as dataset:
        assert dataset.height == 60
    with gdal.open_scene(tmp_path / "b.tif") as dataset:
        assert (dataset.height, dataset.width) == (80, 60)


def test_a_world_file_places_an_image(tmp_path: Path) -> None:
    a, b, c, d, e, f = list(CORNER)[:6]
    world = f"{a}\n{d}\n{b}\n{e}\n{c + a / 2}\n{f + e / 2}\n"
    write_tif(tmp_path / "in" / "a.tif", transform=rasterio.Affine.identity())
    (tmp_path / "in" / "a.tfw").write_text(world)
    write_image(tmp_path / "in" / "b.png", pixels(seed=2))
    (tmp_path / "in" / "b.pgw").write_text(world)
    (tmp_path / "in" / "b.prj").write_text(rasterio.CRS.from_string(UTM).to_wkt())
    write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    result = ingest(tmp_path, source)
    assert result.boxes() == [(20, 30, 30, 40)] * 2
    (tmp_path / "in" / "b.pgw").write_text(world.replace(f"{c + a / 2}", f"{c + a / 2 + 30}"))
    assert sorted(ingest(tmp_path, source).boxes()) == [(20, 20, 30, 30), (20, 30, 30, 40)]


@pytest.mark.parametrize(
    ("made_of", "words"), [("gcps", "ground control points"), ("rpcs", "rational polynomial"), ("world", "add a.prj")]
)
def test_what_places_a_scene_and_is_not_used_is_named(made_of: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.tif"
    write_image(path, driver="GTiff")
    if made_of == "world":
        path.with_suffix(".tfw").write_text("3\n0\n0\n-3\n550000\n4180000\n")
    else:
        with rasterio.open(path, "r+") as file:
            if made_of == "gcps":
                corners = [(0, 0), (0, 80), (60, 0), (60, 80)]
                file.gcps = [rasterio.control.GroundControlPoint(r, c, *(CORNER @ (c, r))) for r, c in corners], UTM
            else:
                ones = [1.0] * 20
                file.rpcs = rasterio.rpc.RPC(0, 1, 0, 1, ones, ones, 0, 1, 0, 1, ones, ones, 0, 1, 0, 0)
    write_geojson(tmp_path / "l.geojson", feature(square(20, 30)))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    with pytest.raises(Exception, match=words) as caught:
        ingest(tmp_path, source)
    assert "labels_crs: pixel" not in str(caught.value)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "elsewhere" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    made(tmp_path / "in")
    (tmp_path / "in" / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    result = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    assert list(result.scenes["scene_id"]) == ["yolo/images/a.png"]
    assert result.metadata["labels"] == {"ship": 1}


# -------------------------------------------------------------------------------------------------- class columns


@pytest.mark.parametrize(
    ("column", "values"),
    [("Class", ("ship", "buoy")), ("class_id", (1, 2)), ("type_id", (73, 18)), ("LABEL_NAME", ("ship", "buoy"))],
)
@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "csv"])
def test_the_class_column_is_seen_whatever_it_is_called(
    column: str, values: tuple[Any, Any], suffix: str, tmp_path: Path
) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    frame = vectors().assign(**{column: [values[number % 2] for number in range(SHIPS)]})
    if suffix == "csv":
        edges = frame.to_crs("EPSG:4326").geometry.bounds.to_numpy().tolist()
        rows = [[*row, value] for row, value in zip(edges, frame[column], strict=True)]
        write_csv(folder / "l.csv", ["west", "south", "east", "north", column], rows)
    else:
        frame.to_file(folder / f"l.{suffix}")
    result, _, _ = init_and_ingest(folder, tmp_path)
    assert result.metadata["labels"] == {str(value): SHIPS // 2 for value in values}


def test_columns_that_are_not_used_are_listed_with_the_command(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    frame = vectors(label="ship").assign(flag=["NO", "PA", "LR"] * (SHIPS // 3), length=np.arange(SHIPS) + 0.5)
    frame.to_file(folder / "l.gpkg")
    _, _, said = init_and_ingest(folder, tmp_path)
    assert "flag (3 values)" in said
    assert "--set ingest.sources.0.class_column=flag" in said
    assert "length" not in said


@pytest.mark.parametrize("kind", ["layer", "file"])
def test_a_layer_or_a_file_for_each_class(kind: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    frame = vectors()
    for name, part in (("ship", frame.iloc[::2]), ("buoy", frame.iloc[1::2])):
        path = folder / ("labels.gpkg" if kind == "layer" else f"{name}.gpkg")
        part.to_file(path, layer=name, driver="GPKG")
    result, _, _ = init_and_ingest(folder, tmp_path)
    assert result.metadata["labels"] == {"buoy": SHIPS // 2, "ship": SHIPS // 2}


def test_an_area_beside_the_labels_is_no_class(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    vectors().to_file(folder / "labels.gpkg", layer="ships", driver="GPKG")
    around = geopandas.GeoDataFrame(geometry=[shapely.box(*vectors().total_bounds).buffer(50)], crs=UTM)
    around.to_file(folder / "labels.gpkg", layer="aoi", driver="GPKG")
    result, _, said = init_and_ingest(folder, tmp_path)
    assert sum(result.metadata["labels"].values()) == SHIPS
    assert "aoi" in said


def test_files_of_splits_are_no_classes(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    frame = vectors()
    frame.iloc[::2].to_file(folder / "train.geojson")
    frame.iloc[1::2].to_file(folder / "val.geojson")
    result, _, _ = init_and_ingest(folder, tmp_path)
    assert result.metadata["labels"] == {"ship": SHIPS}


# ----------------------------------------------------------------------------------------------------- coordinates


def csv_boxes(name: Any, form: str) -> list[list[Any]]:
    rows = []
    for number in range(SCENES):
        for x0, y0, x1, y1 in boxes(number):
            wide, high = x1 - x0, y1 - y0
            values = {
                "corner": [x0, y0, wide, high],
                "centre": [(x0 + x1) / 2, (y0 + y1) / 2, wide, high],
                "parts": [x0 / 192, y0 / 128, x1 / 192, y1 / 128],
                "four": [x0, y0, x1, y0, x1, y1, x0, y1],
            }[form]
            rows.append([name(number), *values, "ship"])
    return rows


@pytest.mark.parametrize(
    ("form", "columns"),
    [
        ("corner", ["x", "y", "width", "height"]),
        ("corner", ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]),
        ("centre", ["x_center", "y_center", "w", "h"]),
        ("parts", ["XMin", "YMin", "XMax", "YMax"]),
        ("four", ["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]),
    ],
)
def test_a_csv_keeps_the_size_of_its_boxes(form: str, columns: list[str], tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    pngs(folder, "images")
    write_csv(folder / "l.csv", ["image_path", *columns, "label"], csv_boxes(lambda n: f"port{n}.png", form))
    result, _, _ = init_and_ingest(folder, tmp_path)
    own = result.labels[result.labels["scene_id"].str.endswith("port3.png")]
    edges = own[["col_min", "row_min", "col_max", "row_max"]].to_numpy().tolist()
    assert [pytest.approx(box) for box in boxes(3)] == edges


@pytest.mark.parametrize("crs", ["EPSG:4326", UTM])
def test_map_coordinates_beside_a_scene_column_are_no_pixels(crs: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    centres = vectors().geometry.centroid.to_crs(crs)
    names = [f"port{number}.tif" for number in range(SCENES) for _ in range(6)]
    rows = [[name, f"{point.x:.8f}", f"{point.y:.8f}"] for name, point in zip(names, centres, strict=True)]
    write_csv(folder / "l.csv", ["scene", "X", "Y"], rows)
    result, _, _ = init_and_ingest(folder, tmp_path)
    left, top, right, bottom = boxes(0)[0]
    assert result.boxes()[0][:2] == pytest.approx(((top + bottom) / 2, (left + right) / 2), abs=0.01)
    assert len(result.boxes()) == SHIPS


def test_parts_that_touch_are_one_object_and_others_are_not(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    halves = [[square(5, 5, 4)], [square(5, 9, 4)], [square(30, 30, 4)]]
    points = [list(CORNER @ (70, 10)), list(CORNER @ (75, 50))]
    write_geojson(tmp_path / "l.geojson", feature(halves, "MultiPolygon"), feature(points, "MultiPoint"))
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    assert sorted(result.boxes()) == [(5, 5, 9, 13), (10, 70, 10, 70), (30, 30, 34, 34), (50, 75, 50, 75)]
    assert result.labels["label_id"].is_unique


def test_oriented_boxes_and_masks_keep_their_outline(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.txt").write_text("20 10 30 20 20 30 10 20 ship 0\n40 10 50 10 50 20 40 20 ship 0\n")
    result = ingest(tmp_path, {"type": "dota", "path": str(tmp_path / "in")})
    assert result.boxes() == [(10, 10, 30, 30), (10, 40, 20, 50)]
    outlines = result.labels["outline"].to_list()
    assert shapely.from_wkt(outlines[0]).equals(shapely.Polygon([(20, 10), (30, 20), (20, 30), (10, 20)]))
    assert pd.isna(outlines[1])  # the box says all


# --------------------------------------------------------------------------------------------------- lost places


def unusable(folder: Path) -> dict[str, Any]:
    """Seven objects of each scene: those on the right of each row cannot be used, each for another reason."""
    tifs(folder / "in")
    features = []
    for number in range(SCENES):
        for index, box in enumerate(boxes(number)):
            shape = polygon(number, box)
            if index == 1:
                shape = shape.exterior
            elif index == 3:
                shape = shapely.GeometryCollection([shape, shape.exterior])
            properties = {"class": "buoy" if index == 5 else "ship"}
            features.append({"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(shape)})
        features.append({"type": "Feature", "properties": {"class": "ship"}, "geometry": None})
    write_geojson(folder / "l.geojson", *features)
    return {"type": "geojson", "path": str(folder / "in"), "labels": str(folder / "l.geojson")}


def test_no_background_is_cut_where_a_label_cannot_be_used(tmp_path: Path) -> None:
    chips = {"size_px": 16, "negatives": {"per_positive": 4}, "duplicates": {"enabled": False}}
    index = cut(tmp_path, unusable(tmp_path), chips=chips)
    background = index[index["kind"] != "label"]
    assert len(background) > SCENES
    for chip in background.itertuples():
        for left, top, right, bottom in boxes(int(chip.scene_id[-5])):
            apart = chip.row >= bottom or chip.row + 16 <= top or chip.col >= right or chip.col + 16 <= left
            assert apart, (chip.scene_id, chip.row, chip.col)
    assert (index["kind"] == "label").sum() == 4 * SCENES  # of a collection the polygon is read


def coco(folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], name: str = "l.json") -> Path:
    made(folder)
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "ship"}]}
    (folder / name).write_text(json.dumps(data))
    return folder / name


@pytest.mark.parametrize("size", [(0, 0), ("60", "80"), (None, None), ("?", "?")])
def test_coco_sizes_that_say_nothing(size: tuple[Any, Any], tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    ring = [10, 10, 20, 10, 20, 30]
    image = {"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}
    path = coco(tmp_path, [image], [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [ring]}])
    result = ingest(tmp_path, {"type": "coco", "path": str(tmp_path / "in"), "labels": str(path)})
    assert result.boxes() == [(10, 10, 30, 20)]
    assert result.labels["outline"][0].startswith("POLYGON")


def test_coco_masks_as_runs_of_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", pixels(4, 5))
    # Columns first: 4 rows; pixels 5 to 7 and 9 to 11 are the rows 1 to 3 of the columns 1 and 2.
    runs = {"size": [4, 5], "counts": [5, 3, 1, 3, 8]}
    text = {"size": [4, 5], "counts": "531050"}  # the same, compressed as pycocotools has it
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": given} for n, given in enumerate([runs, text])
    ]
    path = coco(tmp_path, [{"id": 1, "file_name": "a.png"}], annotations)
    result = ingest(tmp_path, {"type": "coco", "path": str(tmp_path / "in"), "labels": str(path)})
    assert result.boxes()[0] == (1, 1, 4, 3)


@pytest.mark.parametrize("place", ["beside", "instances"])
def test_coco_files_of_splits_with_the_same_names(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed, split in enumerate(("train", "val")):
        write_png(folder / split / "1.png", scene(seed))
        where = folder / split if place == "beside" else folder / "annotations"
        left = 10 + 50 * seed
        box = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [left, 10, 5, 5]}]
        name = "_annotations.coco.json" if place == "beside" else f"instances_{split}2017.json"
        coco(where, [{"id": 1, "file_name": "1.png"}], box, name)
    result, _, _ = init_and_ingest(folder, tmp_path)
    placed = result.labels.set_index("scene_id")["col_min"].to_dict()
    assert placed == {"coco/train/1.png": 10, "coco/val/1.png": 60}


def test_a_yolo_class_may_be_written_with_a_point(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.txt").write_text(
        "0.0 0.5 0.5 0.1 0.1\n1.000000000000000000e+00 0.2 0.2 0.1 0.1\n0.5 1 1 1 1\n"
    )
    source = {"type": "yolo", "path": str(tmp_path / "in"), "class_names": ["ship", "buoy"]}
    result = ingest(tmp_path, source, classes=["sea", "ship", "buoy"])
    assert result.metadata["labels"] == {"buoy": 1, "ship": 1}


def test_an_empty_name_is_never_a_class(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    pngs(folder)
    for number in range(SCENES):
        (folder / f"port{number}.xml").write_text(
            "<annotation><object><tree>Larch</tree><damage>LD</damage><bndbox><xmin>5</xmin><ymin>5</ymin>"
            "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
        )
    with pytest.raises(Exception, match=r"no <name>.*<tree>, <damage>"):
        init_and_ingest(folder, tmp_path)


@pytest.mark.parametrize("kind", ["value", "file", "folder"])
def test_masks_of_several_classes(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pngs(folder, "images")
    for number in range(SCENES):
        if kind == "value":
            write_png(folder / "masks" / f"port{number}.png", mask(number, 1, 0) + mask(number, 2, 1))
            continue
        for only, name in enumerate(("ship", "buoy")):
            path = f"masks/port{number}_{name}.png" if kind == "file" else f"masks/{name}/port{number}.png"
            write_png(folder / path, mask(number, 255, only))
    result, source, said = init_and_ingest(folder, tmp_path)
    assert source == "mask", said
    names = {"class-1", "class-2"} if kind == "value" else {"ship", "buoy"}
    assert result.metadata["labels"] == dict.fromkeys(sorted(names), SHIPS // 2)


@pytest.mark.parametrize(("level", "ending"), [("R10m", "_TCI_10m"), ("", "_TCI")])
def test_of_a_sentinel_2_product_the_true_colour_image_is_read(level: str, ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    bands = folder / "S2A_MSIL2A_20190101T1.SAFE" / "GRANULE" / "L2A_T10" / "IMG_DATA" / level
    for name, count in ((ending, 3), ("_B02", 1), ("_B08", 1)):
        write_tif(
            made(bands) / f"T10SEG_20190101T1{name}.jp2", scene(0)[..., :count], driver="JP2OpenJPEG", QUALITY="100",
            REVERSIBLE="YES", transform=transform(0),
        )  # fmt: skip
    write_image(bands.parents[1] / "QI_DATA" / "preview.jpg", driver="JPEG")
    shapes = [polygon(0, box) for box in boxes(0)]
    geopandas.GeoDataFrame({"class": ["ship"] * 6}, geometry=shapes, crs=UTM).to_file(folder / "ships.geojson")
    result, _, said = init_and_ingest(folder, tmp_path)
    assert len(result.scenes) == 1
    assert result.scenes["path"][0].endswith(f"{ending}.jp2")
    assert result.metadata["labels"] == {"ship": 6}
    assert "true-colour image" in said


def test_a_csv_for_each_class(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    tifs(folder)
    centres = [(point.x, point.y) for point in vectors().geometry.centroid.to_crs("EPSG:4326")]
    write_csv(folder / "ship.csv", ["lon", "lat"], [list(point) for point in centres[::2]])
    write_csv(folder / "buoy.csv", ["lon", "lat"], [list(point) for point in centres[1::2]])
    result, _, _ = init_and_ingest(folder, tmp_path)
    assert result.metadata["labels"] == {"buoy": SHIPS // 2, "ship": SHIPS // 2}


def test_a_layer_without_geometries_is_passed_over(tmp_path: Path) -> None:
    import pyogrio

    folder = made(tmp_path / "set")
    tifs(folder)
    vectors(label="ship").to_file(folder / "l.gpkg", layer="ships", driver="GPKG")
    pyogrio.write_dataframe(pd.DataFrame({"style": ["a"]}), folder / "l.gpkg", layer="layer_styles", driver="GPKG")
    result, _, _ = init_and_ingest(folder, tmp_path)
    assert result.metadata["labels"] == {"ship": SHIPS}


def test_masks_in_folders_named_after_their_split(tmp_path: Path) -> None:
    for number in range(SCENES):
        split = ("train", "val")[number % 2]
        write_png(tmp_path / "set" / "tiff" / split / f"{number}.png", scene(number))
        write_png(tmp_path / "set" / "tiff" / f"{split}_labels" / f"{number}.png", mask(number, 255))
    result, source, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert source == "mask", said
    assert result.metadata["labels"] == {"object": SHIPS}


def test_what_a_world_file_holds_is_not_repeated(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    write_image(tmp_path / "in" / "b.png", pixels(seed=2))
    (tmp_path / "secret").write_text("root:x:0:0\n")
    (tmp_path / "in" / "a.pgw").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "b.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    result = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    assert result.quarantined == {"yolo/a.png": "world file a.pgw does not hold six numbers, one per line"}
