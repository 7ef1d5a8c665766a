"""Chips with the boxes and masks of the objects that they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from fixtures.harbour import FINE, SIZE, export, harbour, objects_of, outline
from fixtures.ingest_project import (
    UTM,
    feature,
    init_and_ingest,
    made_run,
    square,
    write_geojson,
    write_image,
    write_tif,
)
from PIL import Image
from pycocotools.coco import COCO
from satpipe.engine.runs import Run
from satpipe.stages.chips.object_labels import BARELY, NO_BOX
from satpipe.utils.errors import ConfigError

EDGES = ["row_min", "col_min", "row_max", "col_max"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return harbour(tmp_path_factory.mktemp("harbour"), masks="auto")


def annotations(folder: Path, table: pd.DataFrame, label: int) -> tuple[COCO, list[dict[str, Any]]]:
    """The objects of the chip that was cut for a label, by column."""
    coco = COCO(str(folder / "annotations.json"))
    file = table.loc[table["chip_id"].str.endswith(f"#l{label:04d}"), "file"].item()
    [image] = [image for image in coco.loadImgs(coco.getImgIds()) if f"images/{image['file_name']}" == file]
    return coco, sorted(coco.loadAnns(coco.getAnnIds(imgIds=image["id"])), key=lambda item: item["bbox"][0])


def test_chips_label_all_objects_that_they_show(run: Run, tmp_path: Path) -> None:
    table, _ = export(run, tmp_path / "out")
    coco, (long, near) = annotations(tmp_path / "out", table, 0)
    # The chip is centred on the first ship, at (43, 48): its corner is (27, 32), and it ends at column 64.
    assert long["bbox"] == [8, 13, 16, 6]
    assert near["bbox"] == [30, 23, 2, 6]
    [image] = coco.loadImgs(long["image_id"])
    pixels = np.asarray(Image.open(tmp_path / "out" / "images" / image["file_name"]))
    for item in (long, near):
        col, row, wide, high = map(int, item["bbox"])
        assert (pixels[row : row + high, col : col + wide] == 220).all()
    assert len(coco.getImgIds()) == len(table) > 3


def test_masks_that_were_found_are_said_to_be(run: Run, tmp_path: Path) -> None:
    table, _ = export(run, tmp_path / "out")
    coco, [lone] = annotations(tmp_path / "out", table, 2)
    assert lone["attributes"] == {"mask_source": "estimated"}
    shown = np.zeros((SIZE, SIZE), bool)
    shown[8:24, 13:19] = True  # the ship at (120, 120), in the chip with its corner at (112, 107)
    assert (coco.annToMask(lone).astype(bool) == shown).mean() > 0.97


def test_backgrounds_have_no_objects(run: Run, tmp_path: Path) -> None:
    table, _ = export(run, tmp_path / "out", "yolo")
    for row in table[table["class"] == "non-ship"].itertuples():
        assert (tmp_path / "out" / "labels" / f"{Path(row.file).stem}.txt").read_text() == ""


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc", "dota"])
def test_ingest_reads_exported_chips(kind: str, run: Run, tmp_path: Path) -> None:
    table, _ = export(run, tmp_path / "out", kind)
    result, source, said = init_and_ingest(tmp_path / "out", tmp_path)
    assert source == kind, said
    assert len(result.scenes) == len(table)
    ships = result.labels[result.labels["class"] == "ship"]
    assert ships["quarantined"].isna().all()
    boxes = sorted(map(tuple, ships[EDGES].to_numpy().tolist()))
    coco = COCO(str(export(run, tmp_path / "coco")[0].pipe(lambda _: tmp_path / "coco" / "annotations.json")))
    given = sorted((y, x, y + high, x + wide) for x, y, wide, high in (item["bbox"] for item in coco.anns.values()))
    assert boxes == [pytest.approx(box, abs=1.0 if kind == "dota" else 0.001) for box in given]


def test_boxes_follow_the_gsd_of_chips(tmp_path: Path) -> None:
    run = harbour(tmp_path, gsd_m=6, resampling="average", masks="never")
    table, _ = export(run, tmp_path / "out")
    _, shown = annotations(tmp_path / "out", table, 2)
    # At 6 m the third ship is 8 x 3 pixels at (60, 60); its chip's corner is (48, 46) or half a pixel beside it.
    [lone] = shown
    assert lone["bbox"][2:] == [3, 8]
    assert lone["bbox"][1] == 12
    assert lone["bbox"][0] in (14, 15)


def test_barely_seen_objects_are_counted(tmp_path: Path) -> None:
    beside = feature(outline(40, 63, 6, 16))  # of its 16 columns the first ship's chip shows one
    _, objects = export(harbour(tmp_path, beside, masks="never"), tmp_path / "out")
    assert objects.left_out[BARELY] >= 1


def test_chips_with_objects_of_unknown_extent_are_left_out(tmp_path: Path) -> None:
    point = feature(list(FINE @ (45, 55)), "Point")
    run = harbour(tmp_path, point, masks="never")
    table, objects = export(run, tmp_path / "out")
    assert objects.left_out[NO_BOX] == len(objects.store) - len(table) == 2
    assert table["chip_id"].str.endswith("#l0002").any()
    assert not table["chip_id"].str.endswith("#l0000").any()


def test_ready_cut_chips_have_the_box_of_their_mask(tmp_path: Path) -> None:
    for number in range(6):
        water = np.random.default_rng(number).integers(20, 40, (SIZE, SIZE, 3)).astype(np.uint8)
        write_image(tmp_path / "in" / "non-ship" / f"{number}.png", water.copy())
        water[12:20, 6:26] = 220
        write_image(tmp_path / "in" / "ship" / f"{number}.png", np.roll(water, number, 0))
    source = {"type": "folders", "path": str(tmp_path / "in")}
    run = made_run(tmp_path / "run", source, chips={"size_px": SIZE})
    table, objects = export(run, tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    masked = objects.store.index["mask_shard"].notna().sum()
    assert len(coco.anns) == masked
    assert objects.left_out[NO_BOX] == 6 - masked
    assert (table["class"] == "non-ship").sum() == 6
    for item in coco.anns.values():
        assert item["attributes"] == {"box_source": "estimated", "mask_source": "estimated"}
        assert item["bbox"][2:] == pytest.approx([20, 8], abs=3)


def test_splits_are_sets_of_their_own(run: Run, tmp_path: Path) -> None:
    names = objects_of(run)[0].store.index["chip_id"].tolist()
    roles = dict(zip(names, ["train", "validation", "test", "unused"] * len(names), strict=False))
    table, _ = export(run, tmp_path / "out", "yolo", roles=roles, by_split=True)
    assert set(table["role"]) == {"train", "validation", "test"}
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data == {"train": "train/images", "val": "validation/images", "test": "test/images", "names": {0: "ship"}}
    for row in table.itertuples():
        assert row.file.startswith(f"{row.role}/images/")
        path = tmp_path / "out" / row.file
        assert path.is_file()
        assert (path.parent.parent / "labels" / f"{path.stem}.txt").is_file()
    with pytest.raises(ConfigError, match="needs --split NAME"):
        export(run, tmp_path / "more", "yolo", by_split=True)


def test_chips_that_are_no_png_keep_their_place(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).integers(1, 4000, (160, 160, 5)).astype(np.uint16)
    write_tif(tmp_path / "in" / "s.tif", scene)
    write_geojson(tmp_path / "ships.geojson", feature(square(40, 40)))
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "ships.geojson")}
    table, _ = export(made_run(tmp_path / "run", source, chips={"size_px": SIZE}), tmp_path / "out")
    ship = table[table["class"] == "ship"].iloc[0]
    with rasterio.open(tmp_path / "out" / ship["file"]) as file:
        assert (file.count, file.crs.to_string()) == (5, UTM)
        row, col = int(ship["row"]), int(ship["col"])
        np.testing.assert_array_equal(file.read().transpose(1, 2, 0), scene[row : row + SIZE, col : col + SIZE])
