"""Chips that arrive cut: Kaggle's "Ships in Satellite Imagery" as folder and as JSON, and class-named folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import pytest
from fixtures.ingest_project import Ingested, ingest, pixels, write_image
from hypothesis import given
from hypothesis import strategies as st
from satpipe.config.run import RunConfig
from satpipe.engine.progress import Progress
from satpipe.formats.shipsnet import Named, columns, parse_name, planar, top_level
from satpipe.raster import gdal
from satpipe.stages.ingest import kaggle
from satpipe.utils.errors import InputError

NAMES = [
    "1__20170501_181321_0e1f__-122.34_37.755.png",
    "0__20170501_181321_0e1f__-122.36_37.80.png",
    "0__20160710_182140_0c78__-122.3322_37.7501.png",
]


def chip(seed: int) -> np.ndarray:
    return pixels(80, 80, seed=seed)


def write_folder(folder: Path, names: list[str] = NAMES) -> None:
    for number, name in enumerate(names):
        write_image(folder / name, chip(number))


def write_json(path: Path, seeds: list[int], **lists: Any) -> None:
    """A planar JSON of chips; label i is i % 2."""
    data = {"data": [chip(seed).transpose(2, 0, 1).ravel().tolist() for seed in seeds]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data | {"labels": [seed % 2 for seed in seeds]} | lists))


def item(found: Ingested, name: str) -> np.ndarray:
    scene = gdal.scene_file(found.scene(name), found.store)
    return gdal.read_item(scene)[0]


# ------------------------------------------------------------------------------------------------------------ folder


def test_a_chip_is_a_scene_with_one_label_that_covers_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert result.metadata["labels"] == {"non-ship": 2, "ship": 1}
    assert set(result.labels["kind"]) == {"scene"}
    assert set(result.boxes()) == {(0, 0, 80, 80)}
    row = result.scene(NAMES[0])
    assert row["group_scene"] == "20170501_181321_0e1f"
    assert row["group_location"] == "-122.34_37.75"
    assert row["gsd_m"] == 3
    assert result.metadata["groups"] == ["location", "scene"]


def test_the_centre_in_the_name_puts_the_chip_on_the_map(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    row = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")}).scene(NAMES[2])
    a, b, c, d, e, f = json.loads(row["transform"])
    assert (a, b, d, e) == (3, 0, 0, -3)
    assert row["crs"] == "EPSG:32610"
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True)
    assert to_lonlat.transform(c + 40 * 3, f - 40 * 3) == pytest.approx((-122.3322, 37.7501), abs=1e-7)


def test_an_unknown_place_is_no_georeference() -> None:
    assert "crs" not in columns(Named("1", "s"), 80, 80, 3.0)
    assert "crs" not in columns(Named("1", "s", -122.0, 37.0), 80, 80, None)
    assert columns(Named("1", "s", 500.0, 37.0), 80, 80, 3.0)["group_location"] is None
    assert columns(Named("1", "s", -122.0, -37.0), 80, 80, 3.0)["crs"] == "EPSG:32710"
    assert columns(Named("1", "s", 180.0, 10.0), 80, 80, 3.0)["crs"] == "EPSG:32660"


def test_names_of_another_form_are_quarantined(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", [*NAMES, "sfbay_1.png", "7__scene__1_2.png"])
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert "is not named" in result.quarantined["shipsnet/sfbay_1.png"]
    assert "not a class index from 0 to 1" in result.quarantined["shipsnet/7__scene__1_2.png"]
    assert len(result.metadata["scenes"]) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1__20170501_181321_0e1f__-122.34_37.755.png", Named("1", "20170501_181321_0e1f", -122.34, 37.755)),
        ("0__a__b__-1_2.jpg", Named("0", "a__b", -1.0, 2.0)),
        ("ship.png", None),
        ("1__a__x_y.png", None),
    ],
)
def test_a_name_says_label_scene_and_centre(name: str, expected: Named | None) -> None:
    assert parse_name(name) == expected


# -------------------------------------------------------------------------------------------------------------- JSON


def test_the_planar_json_gives_the_pixels_back(tmp_path: Path) -> None:
    write_json(tmp_path / "in" / "shipsnet.json", [3, 4, 5])
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in" / "shipsnet.json")})
    assert list(result.scenes["scene_id"]) == [f"shipsnet/shipsnet.json#{index}" for index in range(3)]
    for index, seed in enumerate([3, 4, 5]):
        np.testing.assert_array_equal(item(result, f"#{index}"), chip(seed))
    assert result.metadata["labels"] == {"non-ship": 1, "ship": 2}


def test_scene_ids_and_locations_are_groups_and_places(tmp_path: Path) -> None:
    write_json(
        tmp_path / "in" / "shipsnet.json", [1, 2, 3], scene_ids=["a", "b", "a"],
        locations=[[-122.34, 37.755], [-122.36, 37.8], None],
    )  # fmt: skip
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert result.scenes["group_scene"].tolist() == ["a", "b", "a"]
    assert result.scenes["group_location"].fillna("").tolist() == ["-122.34_37.75", "-122.36_37.80", ""]
    assert result.scenes["crs"].fillna("").tolist() == ["EPSG:32610", "EPSG:32610", ""]


@pytest.mark.parametrize("by", ["csv", "regex"])
def test_chips_of_a_json_get_groups_by_their_place_in_it(tmp_path: Path, by: str) -> None:
    write_json(tmp_path / "in" / "shipsnet.json", [1, 2, 3])
    source = {"type": "shipsnet", "path": str(tmp_path / "in")}
    if by == "csv":
        rows = ["file,port", *(f"shipsnet.json#{index},p{index % 2}" for index in range(3))]
        (tmp_path / "groups.csv").write_text("\n".join(rows))
        source["groups_csv"] = str(tmp_path / "groups.csv")
    else:
        source["groups_regex"] = r"#(?P<port>\d)$"
    result = ingest(tmp_path, source)
    assert result.scenes["group_port"].tolist() == (["p0", "p1", "p0"] if by == "csv" else ["0", "1", "2"])
    assert result.quarantined == {}


def test_a_chip_in_the_folder_and_in_the_json_is_used_once(tmp_path: Path) -> None:
    write_folder(tmp_path / "in" / "chips")
    write_json(tmp_path / "in" / "shipsnet.json", [0, 1, 7])
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")}, strict=True)
    assert result.metadata["copies"] == 2
    used = [name for name, _ in result.metadata["scenes"]]
    # The folder's names say the scene, this JSON does not: the folder's are kept.
    assert used == [*(f"shipsnet/chips/{name}" for name in sorted(NAMES)), "shipsnet/shipsnet.json#2"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[: len(text) // 2], "is not a JSON of chips"),
        (lambda text: text.replace('"data"', '"pixels"'), "holds nothing under `data`"),
        (lambda text: text.replace('"labels": [1, 0]', '"labels": [1]'), "2 chips and 1 label"),
        (lambda text: "[1, 2]", "it is not a JSON object"),
        (lambda text: "", "it is not a JSON object"),
        (lambda text: '{"data": [[1, 2], [3]], "labels": [0, 1]}', "none of its chips can be used"),
    ],
)
def test_a_json_that_cannot_be_read_is_one_quarantined_file(tmp_path: Path, change: Any, reason: str) -> None:
    path = tmp_path / "in" / "shipsnet.json"
    write_json(path, [1, 2])
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"shipsnet/shipsnet\.json cannot be used") as caught:
        ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert reason in str(caught.value) or path.stat().st_size == 0


@pytest.mark.parametrize(
    "bad", [[1, 2, 3, 4], [0.5] * 19200, [256] * 19200, [-1] * 19200, ["a"] * 19200, None, {"a": 1}, [1] * 300]
)
def test_one_bad_chip_of_a_json_is_quarantined_alone(tmp_path: Path, bad: Any) -> None:
    path = tmp_path / "in" / "shipsnet.json"
    write_json(path, [1, 2, 3])
    data = json.loads(path.read_text())
    data["data"][1] = bad
    path.write_text(json.dumps(data))
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert list(result.quarantined) == ["shipsnet/shipsnet.json#1"]
    np.testing.assert_array_equal(item(result, "#2"), chip(3))


def test_planar_means_all_red_then_all_green_then_all_blue() -> None:
    assert planar([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).tolist() == [
        [[1, 5, 9], [2, 6, 10]],
        [[3, 7, 11], [4, 8, 12]],
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5), st.sampled_from([None, 1]))
def test_the_streaming_parser_says_what_pythons_own_says(data: dict[str, Any], indent: int | None) -> None:
    rebuilt: dict[str, Any] = {key: [] for key, value in data.items() if isinstance(value, list)}
    for key, value in top_level(json.dumps(data, indent=indent)):
        if key in rebuilt and isinstance(data[key], list):
            rebuilt[key].append(value)
        else:
            rebuilt[key] = value
    assert rebuilt == data


@given(st.text(alphabet='{}[]":,0123 tf', max_size=20))
def test_the_streaming_parser_ends_on_any_text(text: str) -> None:
    try:
        list(top_level(text))
    except ValueError:
        return


# ----------------------------------------------------------------------------------------------------------- folders


def test_class_folders(tmp_path: Path) -> None:
    for number, name in enumerate(["ship/a.png", "ship/deep/b.png", "non-ship/a.png", "whale/c.png", "loose.png"]):
        write_image(tmp_path / "in" / name, chip(number))
    result = ingest(tmp_path, {"type": "folders", "path": str(tmp_path / "in"), "gsd_m": 3})
    assert result.metadata["labels"] == {"non-ship": 1, "ship": 2}
    assert "class 'whale' is not in ingest.classes" in result.quarantined["folders/whale/c.png"]
    assert "folders/loose.png" in result.quarantined
    source = {"type": "folders", "path": str(tmp_path / "in"), "class_map": {"whale": "non-ship"}}
    assert ingest(tmp_path, source).metadata["labels"] == {"non-ship": 2, "ship": 2}


# ------------------------------------------------------------------------------------------------------------ Kaggle


def kagglehub_with(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    module = ModuleType("kagglehub")
    module.dataset_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_a_kaggle_data_set_is_fetched_once_and_read_as_shipsnet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(handle: str) -> str:
        calls.append(handle)
        write_folder(tmp_path / "cache" / "shipsnet" / "shipsnet")
        write_json(tmp_path / "cache" / "shipsnet.json", [0, 1], scene_ids=["a", "b"])
        (tmp_path / "cache" / "readme.md").write_text("not needed")
        return str(tmp_path / "cache")

    kagglehub_with(monkeypatch, download)
    result = ingest(tmp_path, {"type": "kaggle", "version": 3, "licence": "CC0"})
    assert calls == ["rhammell/ships-in-satellite-imagery/versions/3"]
    assert result.metadata["labels"] == {"non-ship": 2, "ship": 1}
    assert result.metadata["copies"] == 2
    assert not list(result.store.rglob("readme.md"))
    paths = [Path(row) for row in result.scenes["path"]]
    assert all((result.store / path).is_file() and not path.is_absolute() for path in paths)
    again = ingest(tmp_path, {"type": "kaggle", "version": 3, "licence": "CC0"})
    assert again.made == []
    assert len(calls) == 1


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(handle: str) -> str:
        raise ConnectionError("Network is unreachable\nwith a second line")

    kagglehub_with(monkeypatch, download)
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        ingest(tmp_path, {"type": "kaggle"})
    assert "check the network" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").rglob("metadata.json"))


def test_a_copy_that_breaks_off_is_not_taken_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "cache")
    kagglehub_with(monkeypatch, lambda handle: str(tmp_path / "cache"))
    copied = []

    def copy(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 2:
            raise OSError("No space left on device")
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("satpipe.stages.ingest.kaggle.shutil.copyfile", copy)
        with pytest.raises(Exception, match="No space left"):
            ingest(tmp_path, {"type": "kaggle"})
    assert copied[0].suffix == ".png"
    assert not list((tmp_path / "data").rglob("metadata.json"))
    assert ingest(tmp_path, {"type": "kaggle"}).metadata["labels"] == {"non-ship": 2, "ship": 1}


def test_without_kagglehub_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(InputError) as caught:
        kaggle.download("a/b", None, tmp_path, Progress(None))
    assert "pip install 'satpipe[kaggle]'" in str(caught.value)
    assert "https://www.kaggle.com/datasets/a/b" in str(caught.value)


def test_a_dry_run_of_a_kaggle_source_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kagglehub_with(monkeypatch, lambda handle: pytest.fail("downloaded while planning"))
    from satpipe.engine.task import PlanContext
    from satpipe.stages.ingest.stage import plan

    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "kaggle"}]}})
    (task,) = next(plan(PlanContext(config, {}, None)))
    assert task.name == "download-kaggle"


def test_items_keep_missing_groups_missing(tmp_path: Path) -> None:
    write_json(tmp_path / "in" / "shipsnet.json", [1, 2])
    result = ingest(tmp_path, {"type": "shipsnet", "path": str(tmp_path / "in")})
    assert pd.isna(result.scenes["group_scene"]).all()
