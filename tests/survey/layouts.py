"""Folders as people have them: the same eight harbours with six ships each, in every way that labels are kept."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

HEIGHT, WIDTH = 128, 192
SCENES = 8
SHIPS = 6
UTM = "EPSG:32610"
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def boxes(number: int) -> list[Box]:
    """The ships of a scene: 20 x 8 px, or 24 x 8 in the scenes with odd numbers."""
    length = 20 + 4 * (number % 2)
    corners = [(15 + 70 * (ship % 2), 15 + 36 * (ship // 2)) for ship in range(SHIPS)]
    return [(left, top, left + length, top + 8) for left, top in corners]


def scene(number: int) -> np.ndarray:
    """Pixels (H, W, 3) of grainy water with bright ships; no two scenes are alike."""
    random = np.random.default_rng(number)
    pixels = random.normal(80 + 3 * number, 12, (HEIGHT, WIDTH, 3))
    for left, top, right, bottom in boxes(number):
        pixels[top:bottom, left:right] += 90
    return np.clip(pixels, 1, 255).astype(np.uint8)


def transform(number: int) -> Any:
    return from_origin(550_000 + 1000 * number, 4_180_000, 3, 3)


def write_tif(path: Path, pixels: np.ndarray, **profile: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count, dtype=pixels.dtype, **profile
        ) as file:
            file.write(pixels.transpose(2, 0, 1))


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pngs(folder: Path, below: str = "") -> None:
    for number in range(SCENES):
        write_png(folder / below / f"port{number}.png", scene(number))


def tifs(folder: Path, below: str = "") -> None:
    for number in range(SCENES):
        write_tif(folder / below / f"port{number}.tif", scene(number), crs=UTM, transform=transform(number))


def polygon(number: int, box: Box) -> shapely.Polygon:
    left, top, right, bottom = box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return shapely.Polygon([transform(number) @ corner for corner in corners])


def vectors(**columns: str) -> geopandas.GeoDataFrame:
    shapes = [polygon(number, box) for number in range(SCENES) for box in boxes(number)]
    return geopandas.GeoDataFrame(
        {name: [value] * len(shapes) for name, value in columns.items()}, geometry=shapes, crs=UTM
    )


# --------------------------------------------------------------------------------------------------------- layouts


def geojson_for_all(folder: Path) -> None:
    tifs(folder, "scenes")
    vectors(kind="cargo", id="x").to_crs("EPSG:4326").to_file(folder / "vessels.geojson", driver="GeoJSON")


def geojson_beside(folder: Path) -> None:
    tifs(folder)
    for number in range(SCENES):
        shapes = [polygon(number, box) for box in boxes(number)]
        frame = geopandas.GeoDataFrame({"class": ["ship"] * SHIPS}, geometry=shapes, crs=UTM)
        frame.to_file(folder / f"port{number}.geojson", driver="GeoJSON")


def geopackage(folder: Path) -> None:
    tifs(folder)
    frame = vectors(label="ship")
    frame.iloc[:2].to_file(folder / "labels.gpkg", layer="draft", driver="GPKG")
    frame.to_file(folder / "labels.gpkg", layer="final", driver="GPKG")


def shapefile_without_crs(folder: Path) -> None:
    tifs(folder)
    vectors(label="ship").set_crs(None, allow_override=True).to_file(folder / "ships.shp")
    (folder / "ships.prj").unlink(missing_ok=True)


def yolo_lines(number: int, name: int = 0, side: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    height, width = side
    return "".join(
        f"{name} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} {(x1 - x0) / width:.6f}"
        f" {(y1 - y0) / height:.6f}\n"
        for x0, y0, x1, y1 in boxes(number)
    )


def yolo_beside(folder: Path) -> None:
    pngs(folder)
    for number in range(SCENES):
        (folder / f"port{number}.txt").write_text(yolo_lines(number))


def yolo_folders(folder: Path) -> None:
    """As many tools export it: parts, images and labels apart, and a YAML with the names."""
    for number in range(SCENES):
        part = folder / ("train" if number < 6 else "val")
        write_png(part / "images" / f"port{number}.png", scene(number))
        (part / "labels").mkdir(exist_ok=True)
        (part / "labels" / f"port{number}.txt").write_text(yolo_lines(number, 1))
    (folder / "data.yaml").write_text("nc: 2\nnames: [barge, vessel]\n")


def voc(folder: Path) -> None:
    pngs(folder, "JPEGImages")
    (folder / "Annotations").mkdir()
    for number in range(SCENES):
        objects = "".join(
            f"<object><name>ship</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
            for x0, y0, x1, y1 in boxes(number)
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        (folder / "Annotations" / f"port{number}.xml").write_text(f"<annotation>{size}{objects}</annotation>")


def coco(folder: Path) -> None:
    pngs(folder, "images")
    images = [{"id": n, "file_name": f"port{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(SCENES)]
    found = [
        {"id": 10 * n + k, "image_id": n, "category_id": 7, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for n in range(SCENES)
        for k, (x0, y0, x1, y1) in enumerate(boxes(n))
    ]
    data = {"info": {}, "images": images, "annotations": found, "categories": [{"id": 7, "name": "ship"}]}
    (folder / "instances.json").write_text(json.dumps(data, indent=1))


def write_csv(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([names, *rows])


def csv_pixels(folder: Path) -> None:
    pngs(folder, "images")
    rows = [[f"port{n}.png", *box, "ship"] for n in range(SCENES) for box in boxes(n)]
    write_csv(folder / "boxes.csv", ["image_id", "xmin", "ymin", "xmax", "ymax", "label"], rows)


def csv_degrees(folder: Path) -> None:
    tifs(folder)
    frame = vectors().to_crs("EPSG:4326")
    rows = [[f"{point.x:.7f}", f"{point.y:.7f}"] for point in frame.geometry.map(lambda shape: shape.centroid)]
    write_csv(folder / "ships.csv", ["Longitude", "Latitude"], rows)


def chips() -> list[tuple[int, int, np.ndarray]]:
    """Scene, class number and pixels (48, 48, 3): twelve chips of each scene, every other one with a ship."""
    found = []
    for number in range(SCENES):
        random = np.random.default_rng(100 + number)
        for chip in range(2 * SHIPS):
            pixels = random.normal(80 + 3 * number, 12, (48, 48, 3))
            # Ships of other places, lengths and directions: near-duplicates would be dropped.
            top, left, length, width = random.integers((12, 12, 10, 3), (22, 18, 20, 7))
            pixels[top : top + width, left : left + length] += 90 * (chip % 2)
            pixels = pixels if random.random() < 0.5 else pixels.transpose(1, 0, 2)
            found.append((number, chip % 2, np.clip(pixels, 1, 255).astype(np.uint8)))
    return found


def shipsnet(folder: Path) -> None:
    """Half of the scenes as named files, half in a planar JSON, as the data set comes."""
    packed: dict[str, list[Any]] = {"data": [], "labels": [], "locations": [], "scene_ids": []}
    for at, (number, label, pixels) in enumerate(chips()):
        place = [-122.3 + 0.02 * number, 37.7 + 0.001 * at]
        if number % 2:
            write_png(folder / "shipsnet" / f"{label}__scene{number}__{place[0]:.6f}_{place[1]:.6f}.png", pixels)
            continue
        packed["data"].append(pixels.transpose(2, 0, 1).reshape(-1).tolist())
        packed["labels"].append(label)
        packed["locations"].append(place)
        packed["scene_ids"].append(f"scene{number}")
    (folder / "shipsnet.json").write_text(json.dumps(packed))


def folders(folder: Path) -> None:
    for at, (number, label, pixels) in enumerate(chips()):
        write_png(folder / ("ship" if label else "no ship") / f"port{number}_{at}.png", pixels)


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "geojson-for-all": (geojson_for_all, "geojson", SCENES * SHIPS),
    "geojson-beside": (geojson_beside, "geojson", SCENES * SHIPS),
    "geopackage": (geopackage, "geojson", SCENES * SHIPS),
    "shapefile-without-crs": (shapefile_without_crs, "geojson", SCENES * SHIPS),
    "yolo-beside": (yolo_beside, "yolo", SCENES * SHIPS),
    "yolo-folders": (yolo_folders, "yolo", SCENES * SHIPS),
    "voc": (voc, "voc", SCENES * SHIPS),
    "coco": (coco, "coco", SCENES * SHIPS),
    "csv-pixels": (csv_pixels, "csv", SCENES * SHIPS),
    "csv-degrees": (csv_degrees, "csv", SCENES * SHIPS),
    "shipsnet": (shipsnet, "shipsnet", SCENES * SHIPS),
    "folders": (folders, "folders", SCENES * SHIPS),
}
"""How each is made, the type of source that it is, and its objects."""
