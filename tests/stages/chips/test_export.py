"""Chips as files for other programs."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.stages.chips.export import export_chips
from satpipe.utils.errors import ConfigError, StoreError

OUTLINE = "POLYGON ((10 50.01, 10 50, 10.02 50, 10.02 50.01, 10 50.01))"
SCENES = pd.DataFrame(
    {
        "scene_id": ["a/b.tif", "a_b.tif", "c"],
        "licence": ["CC0", "CC0", "MIT"],
        "crs": ["EPSG:32610", None, None],
        "transform": ["[3, 0, 500000, 0, -3, 4000000]", None, None],
        "scale_row": [2.0, 1.0, 1.0],
        "scale_col": [2.0, 1.0, 1.0],
    }
)


def store(tmp_path, dtype="uint8", bands=3):
    folder = tmp_path / "chips" / "abc"
    folder.mkdir(parents=True)
    chips = np.random.default_rng(0).integers(0, 255, (4, 8, 8, bands)).astype(dtype)
    write_shard(chips, folder)
    index = pd.DataFrame(
        {
            "chip_id": ["a/b.tif#l0", "a/b.tif#l1", "a_b.tif#l0", "c"],
            "class": ["ship", "ship", "ship", "non-ship"],
            "scene_id": ["a/b.tif", "a/b.tif", "a_b.tif", "c"],
            "row": [10, 0, 0, 0],
            "col": [20, 0, 0, 0],
            "footprint": [OUTLINE, None, None, None],
            "group_site": ["x", "x", "y", "z"],
            "shard": "chips/abc/chips.npy",
            "position": range(4),
        }
    )
    return ChipStore(index, tmp_path), chips


def rows(table):
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_pictures_lie_in_folders_of_their_class(tmp_path):
    chips, pixels = store(tmp_path)
    export_chips(chips, tmp_path / "out", roles={"c": "test"})
    found = rows(tmp_path / "out" / "labels.csv")
    assert [row["file"].split("/")[0] for row in found] == ["ship", "ship", "ship", "non-ship"]
    assert [row["site"] for row in found] == ["x", "x", "y", "z"]
    assert [row["role"] for row in found] == ["", "", "", "test"]
    for row, chip in zip(found, pixels, strict=True):
        assert (np.asarray(Image.open(tmp_path / "out" / row["file"])) == chip).all()


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("uint16", 4), ("float32", 1)])
def test_tiffs_hold_every_dtype_and_their_place(dtype, bands, tmp_path):
    chips, pixels = store(tmp_path, dtype, bands)
    export_chips(chips, tmp_path / "out", "tif", scenes=SCENES)
    found = rows(tmp_path / "out" / "labels.csv")
    assert [row["licence"] for row in found] == ["CC0", "CC0", "CC0", "MIT"]
    for row, chip in zip(found, pixels, strict=True):
        with rasterio.open(tmp_path / "out" / row["file"]) as file:
            assert (file.read().transpose(1, 2, 0) == chip).all()
            assert file.dtypes[0] == dtype
            if row["chip_id"] == "a/b.tif#l0":
                # At 6 m: row 10 is 60 m below the corner, column 20 is 120 m beside it, and 8 pixels are 48 m.
                assert file.crs == "EPSG:32610"
                assert file.bounds == (500_120, 3_999_892, 500_168, 3_999_940)
            elif row["source_scene"] != "a/b.tif":
                assert file.crs is None


def test_arrays_hold_every_dtype(tmp_path):
    chips, pixels = store(tmp_path, "int16", 5)
    export_chips(chips, tmp_path / "out", "npy")
    assert (np.load(tmp_path / "out" / rows(tmp_path / "out" / "labels.csv")[3]["file"]) == pixels[3]).all()


def test_chips_that_are_no_png_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(
        ConfigError, match=r"chips of uint16 with 4 bands cannot be written as PNG; use --format tif, npy"
    ):
        export_chips(store(tmp_path, "uint16", 4)[0], tmp_path / "out")


def test_files_that_are_there_are_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not an empty folder"):
        export_chips(store(tmp_path)[0], tmp_path / "out")


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="png, tif, npy"):
        export_chips(store(tmp_path)[0], tmp_path / "out", "bmp")


def test_ready_cut_chips_do_not_end_twice(tmp_path):
    chips, _ = store(tmp_path)
    index = chips.index.assign(chip_id=["a/1.png", "a/1.PNG", "b.jpeg", "c.d"])
    table = export_chips(ChipStore(index, tmp_path), tmp_path / "out")
    names = [file.split("/")[1] for file in table["file"]]
    assert names == ["a_1.png", "a_1~2.png", "b.png", "c.d.png"]


def test_splits_have_folders_and_unused_chips_none(tmp_path):
    chips, pixels = store(tmp_path)
    roles = {"a/b.tif#l0": "train", "a/b.tif#l1": "unused", "a_b.tif#l0": "test", "c": "train"}
    table = export_chips(chips, tmp_path / "out", roles=roles, by_split=True)
    assert sorted(file.rpartition("/")[0] for file in table["file"]) == ["test/ship", "train/non-ship", "train/ship"]
    metadata = rows(tmp_path / "out" / "test" / "metadata.csv")
    assert [row["class"] for row in metadata] == ["ship"]
    assert (np.asarray(Image.open(tmp_path / "out" / "test" / metadata[0]["file_name"])) == pixels[2]).all()
    with pytest.raises(ConfigError, match="needs --split NAME"):
        export_chips(chips, tmp_path / "more", by_split=True)


@pytest.mark.parametrize("file_format", ["png", "parquet"])
def test_groups_take_no_other_column_s_name(file_format, tmp_path):
    chips, _ = store(tmp_path)
    groups = {f"group_{name}": ["x", "x", "y", "z"] for name in ("label", "Image", "kind", "class", "group_label")}
    index = chips.index.assign(kind="label", **groups)
    table = export_chips(ChipStore(index, tmp_path), tmp_path / "out", file_format)
    assert list(table["class"]) == ["ship", "ship", "ship", "non-ship"]
    assert list(table["kind"]) == ["label"] * 4
    assert list(table["site"]) == list(table["group_Image"]) == ["x", "x", "y", "z"]
    assert {"group_label", "group_kind", "group_class", "group_group_label"} < set(table.columns)
    if file_format == "parquet":
        written = pq.read_table(tmp_path / "out" / "chips.parquet")
        assert written["label"].to_pylist() == [1, 1, 1, 0]
        assert len(set(written.column_names)) == len(written.column_names)


def test_tables_name_files_as_they_are(tmp_path):
    chips, _ = store(tmp_path)
    index = chips.index.assign(**{"class": ["=ship", "=ship", "-ship", "@non-ship"]})
    export_chips(ChipStore(index, tmp_path), tmp_path / "out")
    for name in ("labels.csv", "metadata.csv"):
        for row in rows(tmp_path / "out" / name):
            assert (tmp_path / "out" / row["file" if name == "labels.csv" else "file_name"]).is_file()
            assert row["class"] in ("'=ship", "'-ship", "'@non-ship"), "a spreadsheet runs none of them"
