"""Labels of every format: the same objects come out of each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from fixtures.ingest_project import CORNER, UTM, feature, ingest, pixels, square, write_geojson, write_image, write_tif
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin
from satpipe.formats import georeference
from satpipe.utils.errors import InputError

BOXES = [(10.0, 20.0, 22.0, 50.0), (30.0, 5.0, 44.0, 17.0)]
"""(row_min, col_min, row_max, col_max) of two ships in a scene of 60 x 80 pixels."""


def rings(transform: Any = CORNER) -> list[shapely.Polygon]:
    result = []
    for top, left, bottom, right in BOXES:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        result.append(shapely.Polygon([transform @ corner for corner in corners]))
    return result


def frame(crs: str = UTM) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"class": ["ship", "ship"]}, geometry=rings(), crs=UTM).to_crs(crs)


def write_labels(kind: str, folder: Path) -> dict[str, Any]:
    """Write the two boxes in one format, for a scene ``in/a.*``, and return the source."""
    geo = {"type": "geojson", "path": str(folder / "in")}
    if kind.startswith("geojson"):
        crs = kind.partition(" ")[2] or UTM
        frame(crs).to_file(folder / "l.geojson", driver="GeoJSON", engine="pyogrio")
        return geo | {"labels": str(folder / "l.geojson")}
    if kind == "gpkg":
        frame("EPSG:3857").to_file(folder / "l.gpkg", driver="GPKG")
        return geo | {"labels": str(folder / "l.gpkg")}
    if kind == "shp":
        frame("EPSG:4326").to_file(folder / "l.shp")
        return geo | {"labels": str(folder / "l.shp")}
    if kind == "parquet":
        frame("EPSG:4326").to_parquet(folder / "l.parquet")
        return geo | {"labels": str(folder / "l.parquet")}
    if kind == "csv lonlat":
        lines = ["lon_min,lat_min,lon_max,lat_max"]
        for ring in rings():
            lines.append(",".join(map(str, geopandas.GeoSeries([ring], crs=UTM).to_crs("EPSG:4326").total_bounds)))
        (folder / "l.csv").write_text("\n".join(lines))
        return {"type": "csv", "path": str(folder / "in"), "labels": str(folder / "l.csv")}
    if kind == "csv pixel":
        lines = ["image,label,left,top,right,bottom"]
        lines += [f"a.tif,ship,{left},{top},{right},{bottom}" for top, left, bottom, right in BOXES]
        (folder / "l.csv").write_text("\n".join(lines))
        columns = {"file": "image", "class": "label", "x_min": "left", "y_min": "top", "x_max": "right"}
        return {
            "type": "csv", "path": str(folder / "in"), "labels": str(folder / "l.csv"),
            "columns": columns | {"y_max": "bottom"},
        }  # fmt: skip
    if kind == "coco":
        data = {
            "images": [{"id": 7, "file_name": "images/a.tif", "width": 80, "height": 60}],
            "categories": [{"id": 3, "name": "ship"}],
            "annotations": [
                {"id": number, "image_id": 7, "category_id": 3, "bbox": [left, top, right - left, bottom - top]}
                for number, (top, left, bottom, right) in enumerate(BOXES)
            ],
        }
        (folder / "l.json").write_text(json.dumps(data))
        return {"type": "coco", "path": str(folder / "in"), "labels": str(folder / "l.json")}
    if kind == "yolo":
        lines = [
            f"0 {(left + right) / 160} {(top + bottom) / 120} {(right - left) / 80} {(bottom - top) / 60}"
            for top, left, bottom, right in BOXES
        ]
        (folder / "in" / "a.txt").write_text("\n".join(lines))
        return {"type": "yolo", "path": str(folder / "in")}
    if kind == "voc":
        objects = "".join(
            f"<object><name>ship</name><part><name>bow</name><bndbox><xmin>1</xmin></bndbox></part><bndbox>"
            f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for top, left, bottom, right in BOXES
        )
        size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
        (folder / "in" / "a.xml").write_text(f"<annotation><filename>a.tif</filename>{size}{objects}</annotation>")
        return {"type": "voc", "path": str(folder / "in")}
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        *("geojson", "geojson EPSG:4326", "geojson EPSG:3857", "gpkg", "shp", "parquet", "csv lonlat", "csv pixel"),
        *("coco", "yolo", "voc"),
    ],
)
def test_the_same_boxes_come_out_of_every_format(tmp_path: Path, kind: str) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    result = ingest(tmp_path, write_labels(kind, tmp_path))
    # Box corners that went through longitude and latitude span a slightly turned box in UTM: here under 0.7 pixels.
    tolerance = 0.7 if kind == "csv lonlat" else 1e-3
    for box, expected in zip(result.boxes(), BOXES, strict=True):
        assert box == pytest.approx(expected, abs=tolerance)
    assert set(result.labels["kind"]) == {"box"}
    assert result.metadata["labels"] == {"ship": 2}
    assert result.labels["label_id"].is_unique
    assert result.labels["origin"].notna().all()


def test_points_and_polygons_of_any_shape(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    tasks = [square(5, 5, 3), square(5, 20, 3)]
    write_geojson(
        tmp_path / "l.geojson",
        feature(list(CORNER @ (33.5, 12.25)), "Point"),
        feature([[tasks[0]], [tasks[1]]], "MultiPolygon"),
        feature([list(CORNER @ (1, 1)), list(CORNER @ (2, 2))], "LineString"),
    )
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    result = ingest(tmp_path, source)
    good = result.labels[result.labels["quarantined"].isna()]
    assert list(good["kind"]) == ["point", "box", "box"]  # parts that do not touch are objects of their own
    assert result.boxes() == [(12.25, 33.5, 12.25, 33.5), (5, 5, 8, 8), (5, 20, 8, 23)]
    assert result.boxes(usable=False) == [(1, 1, 2, 2)]  # no background is cut there
    assert result.metadata["labels_quarantined_by_reason"] == {"its geometry is LineString, not a polygon or point": 1}


def test_yolo_outlines_are_boxes_and_odd_lines_are_quarantined(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.txt").write_text(
        "0 0.1 0.1 0.3 0.1 0.3 0.2\n0 0.5 0.5 0.1 0.1 0.93\n"
        "0 0.5 0.5\nship 1 1 1 1\n4 0.5 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n"
    )
    result = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in")})
    assert result.boxes() == [pytest.approx((6, 8, 12, 24)), pytest.approx((27, 36, 33, 44))]
    reasons = result.metadata["labels_quarantined_by_reason"]
    assert sum(reasons.values()) == 4
    assert reasons["class index 4 has no name in class_names"] == 1
    assert reasons["the box has no area"] == 1
    assert [name for name, _ in result.metadata["labels_quarantined"]] == [
        f"yolo/a.txt:{line}" for line in (3, 4, 5, 6)
    ]


def test_yolo_labels_that_were_divided_by_another_side(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", pixels(50, 80))
    (tmp_path / "in" / "a.txt").write_text("0 0.5 0.25 0.25 0.125\n")
    result = ingest(tmp_path, {"type": "yolo", "path": str(tmp_path / "in"), "normalised_by_px": 80})
    assert result.boxes() == [(15, 30, 25, 50)]


@pytest.mark.parametrize("layout", ["beside", "images/labels", "folder"])
def test_yolo_labels_are_found_in_each_usual_place(tmp_path: Path, layout: str) -> None:
    images = tmp_path / "set" / "images" / "train"
    labels = {"beside": images, "images/labels": tmp_path / "set" / "labels" / "train", "folder": tmp_path / "else"}
    write_image(images / "a.png")
    labels[layout].mkdir(parents=True, exist_ok=True)
    (labels[layout] / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    source = {"type": "yolo", "path": str(images)} | ({"labels": str(tmp_path / "else")} if layout == "folder" else {})
    assert ingest(tmp_path, source).metadata["labels"] == {"ship": 1}


def test_a_class_may_have_another_name_in_the_label_file(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    names = ["Vessel", "buoy", "ship"]
    write_geojson(
        tmp_path / "l.geojson",
        *(feature(square(10, 10 * index), **{"class": name}) for index, name in enumerate(names)),
    )
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}
    result = ingest(tmp_path, source | {"class_map": {"Vessel": "ship"}})
    assert result.metadata["labels"] == {"ship": 2}
    assert result.metadata["labels_quarantined_by_reason"] == {"class 'buoy' is not in ingest.classes": 1}
    result = ingest(tmp_path, source | {"class_map": {"Vessel": "ship"}}, classes=["sea", "ship", "buoy"])
    assert result.metadata["labels"] == {"buoy": 1, "ship": 2}


def test_a_missing_class_column_is_named_with_those_there(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    frame().rename(columns={"class": "kind"}).to_file(tmp_path / "l.gpkg", driver="GPKG")
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.gpkg")}
    with pytest.raises(InputError, match="no column 'typ'; it has: kind"):
        ingest(tmp_path, source | {"class_column": "typ"})
    assert ingest(tmp_path, source | {"class_column": "kind"}).metadata["labels"] == {"ship": 2}


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_class_numbers_stay_whole_where_one_is_missing(tmp_path: Path, suffix: str) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    frame().assign(**{"class": [7.0, None]}).to_file(tmp_path / f"l.{suffix}")
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / f"l.{suffix}")}
    result = ingest(tmp_path, source | {"class_map": {"7": "ship"}, "default_class": "unknown"})
    assert result.metadata["labels"] == {"ship": 1}
    assert result.metadata["labels_quarantined_by_reason"] == {"class 'unknown' is not in ingest.classes": 1}


def test_a_geopackage_with_two_layers_needs_the_name_of_one(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    frame().to_file(tmp_path / "l.gpkg", driver="GPKG", layer="ships")
    frame().iloc[:1].to_file(tmp_path / "l.gpkg", driver="GPKG", layer="quays", mode="a")
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.gpkg")}
    with pytest.raises(InputError, match=r"layers ships, quays; set layer"):
        ingest(tmp_path, source)
    assert ingest(tmp_path, source | {"layer": "quays"}).metadata["labels"] == {"ship": 1}


# ---------------------------------------------------------------------------------------------- which scene is meant


def test_a_file_named_like_a_scene_is_for_that_scene_alone(tmp_path: Path) -> None:
    # Two dates of one place: a ship of the first is not in the second.
    write_tif(tmp_path / "in" / "may.tif", pixels(seed=1))
    write_tif(tmp_path / "in" / "june.tif", pixels(seed=2))
    write_geojson(tmp_path / "in" / "may.geojson", feature(square(10, 10)))
    write_geojson(tmp_path / "in" / "june.geojson", feature(square(30, 30)), feature(square(40, 60)))
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in")})
    assert result.labels.groupby("scene_id").size().to_dict() == {"geojson/june.tif": 2, "geojson/may.tif": 1}


def test_an_object_is_a_label_in_each_scene_that_it_touches(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif", pixels(seed=1))
    write_tif(tmp_path / "in" / "b.tif", pixels(seed=2), transform=CORNER @ Affine.translation(80, 0))
    write_geojson(tmp_path / "l.geojson", feature(square(10, 75)), feature(square(30, 100)))
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    placed = result.labels.set_index("scene_id")[["row_min", "col_min", "row_max", "col_max"]]
    assert placed.loc["geojson/a.tif"].tolist() == [10, 75, 20, 85]  # what lies beyond the edge is kept
    assert sorted(placed.loc["geojson/b.tif"].to_numpy().tolist()) == [[10, -5, 20, 5], [30, 20, 40, 30]]
    assert result.labels["label_id"].is_unique


def test_coordinates_in_pixels_need_a_file_of_the_scenes_own(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", pixels(seed=1))
    write_image(tmp_path / "in" / "b.png", pixels(seed=2))
    ring = [[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]
    write_geojson(tmp_path / "in" / "a.geojson", feature(ring), crs=None)
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels_crs": "pixel"}
    assert ingest(tmp_path, source).boxes() == [(20, 10, 40, 30)]
    write_geojson(tmp_path / "l.geojson", feature(ring), crs=None)
    with pytest.raises(InputError, match="could belong to several scenes"):
        ingest(tmp_path, source | {"labels": str(tmp_path / "l.geojson")})


def test_a_file_in_pixels_takes_no_scene_with_its_own(tmp_path: Path) -> None:
    ring = [[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]
    for seed, name in enumerate(("a", "b", "gone")):
        write_geojson(tmp_path / "l" / f"{name}.geojson", feature(ring), crs=None)
        if name != "gone":
            write_image(tmp_path / "in" / f"{name}.png", pixels(seed=seed))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l"), "labels_crs": "pixel"}
    result = ingest(tmp_path, source)
    assert result.boxes() == [(20, 10, 40, 30)] * 2
    assert result.quarantined == {}
    assert result.metadata["labels_quarantined_by_reason"] == {"outside every scene": 1}


@pytest.mark.parametrize("suffix", ["csv", "geojson"])
def test_the_empty_file_of_a_scene_without_objects_adds_nothing(tmp_path: Path, suffix: str) -> None:
    for seed, name in enumerate("abc"):
        write_image(tmp_path / "in" / f"{name}.png", pixels(seed=seed))
        rows = [f"{name}.png,vessel,10,20,30,40"] if name != "b" else []
        if suffix == "csv":
            (tmp_path / "l").mkdir(exist_ok=True)
            (tmp_path / "l" / f"{name}.csv").write_text("\n".join(["file,kind,x_min,y_min,x_max,y_max", *rows]))
        else:
            ring = [[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]
            data = [feature(ring) | {"properties": {"kind": "vessel"}} for _ in rows]
            write_geojson(tmp_path / "in" / f"{name}.geojson", *data, crs=None)
    own: dict[str, Any] = {"class_column": "kind", "labels_crs": "pixel"}
    if suffix == "csv":
        own = {"columns": {"class": "kind"}, "labels": str(tmp_path / "l")}
    source = {"type": suffix, "path": str(tmp_path / "in"), "class_map": {"vessel": "ship"}} | own
    result = ingest(tmp_path, source)
    assert result.boxes() == [(20, 10, 40, 30)] * 2
    assert result.quarantined == {}


def test_csv_points_with_and_without_a_file(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "x" / "a.tif", pixels(seed=1))
    write_tif(tmp_path / "in" / "y" / "a.tif", pixels(seed=2))
    (tmp_path / "l.csv").write_text("file,x,y\nx/a.tif,7,9\na.tif,1,1\ny/a.tif,nan,1\nx/a.tif,7,\nx/a.tif,7,99\n")
    source = {"type": "csv", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.csv")}
    result = ingest(tmp_path, source)
    assert result.boxes() == [(9, 7, 9, 7)]
    assert result.metadata["labels_quarantined_by_reason"] == {
        "a coordinate is not a finite number": 1,
        "its file is not among the scenes": 1,  # the name alone could be either scene
        "outside every scene": 1,
        "x, y are not all numbers": 1,
    }
    lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*(CORNER @ (40, 30)))
    (tmp_path / "l.csv").write_text(f"lon,lat\n{lon},{lat}\n")
    assert ingest(tmp_path, source).boxes() == [pytest.approx((30, 40, 30, 40), abs=1e-3)] * 2


def test_unusable_coco_objects_are_counted_with_reasons(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    base = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 5, 5]}
    odd = [{"iscrowd": 1}, {"image_id": 9}, {"category_id": 9}, {"bbox": [1, 2, 3]}, {"bbox": [500, 500, 5, 5]}]
    data = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": 5} | base, *({"id": 5} | base | item for item in odd)],
    }
    (tmp_path / "l.json").write_text(json.dumps(data))
    source = {"type": "coco", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.json")}
    result = ingest(tmp_path, source)
    assert result.boxes() == [(10, 10, 15, 15)]
    assert result.metadata["labels_quarantined_by_reason"] == {
        "category 9 is not under `categories`": 1,
        "it marks a crowd and not a single object": 1,
        "its bbox is not four numbers": 1,
        "its image is not among the scenes": 1,
        "outside the scene": 1,
    }
    assert result.labels["label_id"].is_unique


# ------------------------------------------------------------------------------------------------------------ geometry


@settings(max_examples=60, deadline=None)
@given(
    lon=st.floats(-179, 179),
    lat=st.floats(-70, 70),
    angle=st.floats(0, 360),
    pixel=st.floats(0.3, 30),
    row=st.floats(0, 900),
    col=st.floats(0, 900),
    labels_crs=st.sampled_from(["EPSG:4326", "EPSG:3857", "the scene's"]),
    degrees=st.booleans(),
)
def test_a_pixel_goes_to_the_map_and_comes_back(
    lon: float, lat: float, angle: float, pixel: float, row: float, col: float, labels_crs: str, degrees: bool
) -> None:
    zone = int((lon + 180) // 6) + 1
    crs = "EPSG:4326" if degrees else f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    size = pixel / 111_000 if degrees else pixel
    transform = Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(size, -size)
    scene = {"crs": crs, "transform": json.dumps(list(transform)[:6]), "width": 1000, "height": 1000}
    there = crs if labels_crs == "the scene's" else labels_crs
    point = pyproj.Transformer.from_crs(crs, there, always_xy=True).transform(*(transform @ (col, row)))
    cols, rows = georeference.to_pixels(*georeference.project(np.array([point]), there, crs), scene)
    assert cols[0] == pytest.approx(col, abs=0.01)
    assert rows[0] == pytest.approx(row, abs=0.01)


@pytest.mark.parametrize("west", [179.9, -180.1], ids=["scene east of 180", "scene west of -180"])
def test_labels_on_both_sides_of_the_antimeridian(tmp_path: Path, west: float) -> None:
    transform = from_origin(west, 0.1, 0.001, 0.001)
    write_tif(tmp_path / "in" / "a.tif", pixels(200, 200), crs="EPSG:4326", transform=transform)
    rows = [(179.95, 0.05), (-179.95, 0.05), (0.0, 0.05)]
    write_geojson(tmp_path / "l.geojson", *(feature(list(index), "Point") for index in rows), crs=None)
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    assert result.boxes() == [pytest.approx((50, 50, 50, 50)), pytest.approx((50, 150, 50, 150))]
    assert result.metadata["labels_quarantined_by_reason"] == {"outside every scene": 1}


def test_a_box_over_the_antimeridian_is_one_box_in_utm(tmp_path: Path) -> None:
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = to_utm.transform(180, -0.0 + 10)
    write_tif(
        tmp_path / "in" / "a.tif", pixels(200, 200), crs="EPSG:32660", transform=from_origin(x - 300, y + 300, 3, 3)
    )
    ring = [[179.9995, 9.9995], [-179.9995, 9.9995], [-179.9995, 10.0005], [179.9995, 10.0005], [179.9995, 9.9995]]
    write_geojson(tmp_path / "l.geojson", feature(ring), crs=None)
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    ((top, left, bottom, right),) = result.boxes()
    assert right - left == pytest.approx(0.001 * 111_320 * math.cos(math.radians(10)) / 3, abs=1.5)
    assert (top + bottom) / 2 == pytest.approx(100, abs=0.5)
    assert (left + right) / 2 == pytest.approx(100, abs=0.5)


def test_quarantined_labels_stay_in_the_table_with_their_reason(tmp_path: Path) -> None:
    write_tif(tmp_path / "in" / "a.tif")
    write_geojson(tmp_path / "l.geojson", feature(square(10, 10)), feature(square(500, 500)))
    result = ingest(tmp_path, {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")})
    assert list(result.labels["quarantined"].fillna("")) == ["", "outside every scene"]
    assert pd.isna(result.labels["scene_id"][1])
