"""The stage as a whole, on scenes with something to find in them."""

from __future__ import annotations

import json
import os

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from fixtures.chip_project import ChipProject, label_row, scene, scene_row, write_tif
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.names import CROWD
from satpipe.dataset.tables import CHIPS, GROUP_PREFIX, SPLIT
from satpipe.stages.chips.batches import draw_labels
from satpipe.utils.errors import ConfigError, HostError, TooLittleDataError

SHIP = np.array([200, 40, 40], np.uint8)


def harbour(tmp_path, count=6, ships=14, side=160, **profile):
    """Scenes of noise with red ships of 4 x 8 pixels, and labels for them; each scene at a place of its own."""
    scenes, labels = [], []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        pixels = rng.integers(60, 90, (side, side, 3)).astype(np.uint8)
        pixels[: side // 4] += rng.integers(0, 90, (side // 4, side, 1)).astype(np.uint8)  # a rough shore
        boxes = [(row, col) for row in range(50, side - 20, 24) for col in range(12, side - 20, 24)][:ships]
        for place, (row, col) in enumerate(boxes):
            pixels[row : row + 4, col : col + 8] = SHIP
            labels.append(label_row(f"{number}-{place}", f"s{number}.tif", (row, col, row + 4, col + 8)))
        path = write_tif(tmp_path / f"s{number}.tif", pixels, **profile)
        transform = [3, 0, 550_000 + number * 5000, 0, -3, 4_180_000]
        found = scene(path, pixels)
        scenes.append(scene_row(found, transform=json.dumps(transform), group_site=f"site{number // 2}"))
    return scenes, labels


@pytest.fixture
def project(tmp_path):
    return ChipProject(tmp_path / "store")


FOLDS = {"split": {"scheme": "folds", "folds": 3, "replicates": 2, "fractions": [0.5, 1.0]}}


def chips_of(project, done, split=None):
    store = ChipStore.open(CHIPS.read, done["index"].path / "index.parquet", project.root)
    if split is None:
        return store, None
    return store, SPLIT.read(done[f"split-{split}"].path / "split.parquet")


def test_labelled_chips_show_their_ship_in_the_middle(project, tmp_path):
    done = project.run(*harbour(tmp_path), **FOLDS)
    store, _ = chips_of(project, done)
    chips, labels = store.read(), store.index["class"].to_numpy()
    red = (chips == SHIP).all(axis=-1)
    assert red[labels == "ship"][:, 6:10, 4:12].all()
    assert not red[labels == "non-ship"].any()
    assert done["index"].metadata["chips"] == {"non-ship": 168, "ship": 84}
    assert done["index"].metadata["shape"] == [16, 16, 3]
    assert set(store.index["kind"]) == {"label", "random", "textured"}
    assert store.index["chip_id"].is_unique


def test_textured_chips_have_more_texture_than_others(project, tmp_path):
    done = project.run(*harbour(tmp_path), **FOLDS)
    store, _ = chips_of(project, done)
    spread = pd.Series(store.read().astype(float).std(axis=(1, 2, 3))).groupby(store.index["kind"].to_numpy()).mean()
    assert spread["textured"] > 1.5 * spread["random"]


def test_every_split_leaks_nothing(project, tmp_path):
    done = project.run(*harbour(tmp_path), **FOLDS)
    names = [name for name in done if name.startswith(("split-fold", "split-final"))]
    assert len(names) == 3 * 2 * 2 + 1
    tested = set()
    for name in names:
        store, split = chips_of(project, done, name.removeprefix("split-"))
        assert split["chip_id"].tolist() == store.index["chip_id"].tolist()
        scenes = store.index["scene_id"].to_numpy()
        role = split["role"].to_numpy()
        test = set(scenes[role == "test"])
        assert not test & set(scenes[(role == "train") | (role == "validation")])
        tested |= test
        metadata = done[name].metadata
        assert metadata["counts"]["train"]["ship"] >= 8
        assert sum(sum(counts.values()) for counts in metadata["counts"].values()) == len(store)
    assert tested == {f"s{number}.tif" for number in range(6)}
    assert "test" not in done["split-final"].metadata["counts"]


def test_a_random_split_mixes_every_scene(project, tmp_path):
    done = project.run(*harbour(tmp_path), **FOLDS)
    store, split = chips_of(project, done, "random-r0")
    role, scenes = split["role"].to_numpy(), store.index["scene_id"].to_numpy()
    assert done["split-random-r0"].metadata["counts"]["test"] == {"non-ship": 56, "ship": 28}  # a third of each class
    assert set(scenes[role == "test"]) == set(scenes[role == "train"])
    assert (role != chips_of(project, done, "random-r1")[1]["role"].to_numpy()).any()


def test_a_random_split_has_as_many_labels_as_the_verdict_is_on(project, tmp_path):
    settings = {"split": FOLDS["split"] | {"fractions": [1.0, 0.5]}, "report": {"fraction": 0.5}}
    done = project.run(*harbour(tmp_path), **(FOLDS | settings))
    metadata = done["split-random-r0"].metadata
    assert metadata["fraction"] == 0.5
    assert metadata["counts"]["test"] == {"non-ship": 56, "ship": 28}
    assert metadata["counts"]["unused"] == {"non-ship": 56, "ship": 28}


def test_a_further_scene_leaves_the_windows_of_others(tmp_path):
    scenes, labels = harbour(tmp_path, 6)
    few, more = ChipProject(tmp_path / "few"), ChipProject(tmp_path / "more")
    chosen = [row for row in labels if row["scene_id"] != "s5.tif"]
    before, _ = chips_of(few, few.run(scenes[:5], chosen, **FOLDS))
    after, _ = chips_of(more, more.run(scenes, labels, **FOLDS))
    same = set(before.index["chip_id"]) & set(after.index["chip_id"])
    assert len(same) == len(before)
    assert (before.of(sorted(same)).read() == after.of(sorted(same)).read()).all()


def test_the_number_of_threads_does_not_change_the_bytes(tmp_path, monkeypatch):
    scenes, labels = harbour(tmp_path)
    digests = []
    for cores in (1, 4):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        project = ChipProject(tmp_path / f"cores{cores}")
        digests.append({name: done.ref.digest for name, done in project.run(scenes, labels, **FOLDS).items()})
    assert digests[0] == digests[1]


def test_labels_beyond_the_maximum_are_counted(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    done = project.run(scenes, labels, chips={"size_px": 16, "max_per_class": 60}, **FOLDS)
    metadata = done["index"].metadata
    assert metadata["chips"] == {"non-ship": 120, "ship": 60}
    assert metadata["dropped"]["labelled: more than chips.max_per_class"] == 24
    store, _ = chips_of(project, done)
    background = store.where((store.index["class"] == "non-ship").to_numpy())
    assert not (background.read() == SHIP).any()
    assert store.index.loc[store.index["class"] == "ship", "scene_id"].nunique() == 6


def test_chips_that_arrive_cut_are_limited_too(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    for row in scenes:
        row |= {"height": 160, "width": 160}
    whole = {"kind": "scene", "row_min": 0.0, "col_min": 0.0, "row_max": 160.0, "col_max": 160.0}
    ready = [labels[0] | whole | {"label_id": row["scene_id"], "scene_id": row["scene_id"]} for row in scenes]
    kept, spare = draw_labels(pd.DataFrame(ready), 4, 1)
    assert (len(kept), len(spare)) == (4, 2)
    assert set(kept["label_id"]).isdisjoint(spare["label_id"])
    again, _ = draw_labels(pd.DataFrame(ready[::-1]), 4, 1)
    assert set(again["label_id"]) == set(kept["label_id"])


def test_changed_groups_and_licences_do_not_cut_chips_again(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    project.run(scenes, labels, **FOLDS)
    project.run([row | {"group_site": "elsewhere", "licence": "other"} for row in scenes], labels, **FOLDS)
    assert not [name for name in project.made if name.startswith("cut")]
    assert "index" in project.made


def test_chips_at_another_gsd_lie_where_they_did(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    done = project.run(scenes, labels, chips={"size_px": 16, "gsd_m": 6, "resampling": "average"}, **FOLDS)
    store, _ = chips_of(project, done)
    ships = store.where((store.index["class"] == "ship").to_numpy())
    # 4 x 8 pixels at 3 m are 2 x 4 at 6 m: the mean of four equal pixels is their value.
    assert (ships.read()[:, 7:9, 6:10] == SHIP).all()
    first = geopandas.GeoSeries.from_wkt(ships.index["footprint"].head(1), crs="EPSG:4326").to_crs("EPSG:32610")
    assert first.area.iloc[0] == pytest.approx((16 * 6) ** 2, rel=1e-3)


def test_another_gsd_without_a_kernel_stops(project, tmp_path):
    with pytest.raises(ConfigError, match=r"scene s0.tif has a GSD of 3 m, the chips 6 m; set chips.resampling"):
        project.run(*harbour(tmp_path), chips={"size_px": 16, "gsd_m": 6}, **FOLDS)


def test_windows_without_data_are_dropped_and_counted(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    path = tmp_path / "s0.tif"
    pixels = np.full((160, 160, 3), 80, np.uint8)
    pixels[:, 80:] = 0
    write_tif(path, pixels, nodata=0)
    scenes[0] |= {"nodata": 0.0, "mask": "nodata"}
    done = project.run(scenes, labels, **FOLDS)
    gone = sum(1 for row in labels if row["scene_id"] == "s0.tif" and row["col_max"] > 80)
    assert done["index"].metadata["dropped"]["labelled: too few valid pixels"] == gone
    store, _ = chips_of(project, done)
    here = store.where((store.index["scene_id"] == "s0.tif").to_numpy())
    assert (here.index["valid_fraction"] >= 0.95).all()
    assert (here.read() != 0).all()


def test_a_scene_smaller_than_a_chip_gives_none_and_says_so(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    small = np.full((12, 40, 3), 80, np.uint8)
    path = write_tif(tmp_path / "small.tif", small)
    scenes.append(scene_row(scene(path, small), transform=None, crs=None, group_site="z"))
    labels.append(label_row("small", "small.tif", (2, 10, 8, 20)))
    done = project.run(scenes, labels, **FOLDS)
    assert done["index"].metadata["dropped"]["labelled: the scene is smaller than a chip"] == 1
    store, _ = chips_of(project, done)
    assert not (store.index["scene_id"] == "small.tif").any()
    # Where fewer valid pixels are enough, the chip is padded.
    done = project.run(scenes, labels, chips={"size_px": 16, "min_valid_fraction": 0.7}, **FOLDS)
    store, _ = chips_of(project, done)
    padded = store.where((store.index["scene_id"] == "small.tif").to_numpy())
    assert padded.index["valid_fraction"].tolist() == [0.75]
    assert (padded.read() == 80).all()


def test_three_classes_are_cut_assigned_and_counted_apart(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    for number, row in enumerate(labels):
        row["class"] = ("tanker", "cargo")[number % 2]
    ingest = {"sources": [{"type": "folders", "path": "x"}], "classes": ["water", "cargo", "tanker"]}
    done = project.run(scenes, labels, ingest=ingest, **FOLDS)
    assert done["index"].metadata["chips"] == {"water": 168, "cargo": 42, "tanker": 42}
    for fold in range(3):
        assert set(done[f"split-fold{fold}-f100-r0"].metadata["counts"]["test"]) == {"water", "cargo", "tanker"}


def test_grid_background_covers_what_holds_no_ship(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    chips = {"size_px": 16, "negatives": {"method": "grid", "margin_px": 0}}
    done = project.run(scenes, labels, chips=chips, **FOLDS)
    store, _ = chips_of(project, done)
    covered = np.zeros((160, 160), bool)
    mine = store.index[(store.index["scene_id"] == "s1.tif") & (store.index["kind"] == "grid")]
    for row, col in zip(mine["row"], mine["col"], strict=True):
        covered[row : row + 16, col : col + 16] = True
    assert covered[:40].all()
    assert covered[:, -2:].mean() > 0.5
    assert done["index"].metadata["dropped"]["background: holds an object or part of one"] > 0
    assert not (store.read()[(store.index["class"] == "non-ship").to_numpy()] == SHIP).all(axis=-1).any()


def test_near_misses_can_become_background(project, tmp_path):
    chips = {"size_px": 16, "negatives": {"near_miss": "background", "near_miss_share": 0.5, "textured_share": 0.5}}
    done = project.run(*harbour(tmp_path), chips=chips, **FOLDS)
    store, _ = chips_of(project, done)
    near = store.where((store.index["kind"] == "near_miss").to_numpy())
    assert len(near) > 60
    assert set(near.index["class"]) == {"non-ship"}
    assert (near.read() == SHIP).all(axis=-1).any(axis=(1, 2)).mean() > 0.9


def test_scenes_that_arrived_cut_are_taken_as_they_are(project, tmp_path):
    scenes, labels = [], []
    for number in range(120):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 20, 3)).astype(np.uint8)
        path = write_tif(tmp_path / f"c{number:03d}.tif", pixels)
        scenes.append(scene_row(scene(path, pixels), crs=None, transform=None))
        name = "ship" if number % 3 == 0 else "non-ship"
        labels.append(label_row(f"l{number}", f"c{number:03d}.tif", (0, 0, 20, 20), kind="scene", **{"class": name}))
    done = project.run(scenes, labels, **FOLDS)
    store, _ = chips_of(project, done)
    assert done["index"].metadata["chips"] == {"non-ship": 80, "ship": 40}
    assert set(store.index["kind"]) == {"label"}
    assert (store.index["row"] == 2).all()
    assert store.index["footprint"].isna().all()


def test_overlapping_scenes_are_joined_or_copies_dropped(tmp_path):
    scenes, labels = harbour(tmp_path)
    # Scene 1 lies on scene 0, half a scene to the side.
    scenes[1] |= {"transform": json.dumps([3, 0, 550_000 + 240, 0, -3, 4_180_000])}
    for overlap in ("join", "drop"):
        project = ChipProject(tmp_path / overlap)
        split = {"scheme": "leave-one-out", "replicates": 1, "overlap": overlap}
        done = project.run(scenes, labels, split=split)
        assert done["duplicates"].metadata["overlaps"] > 0
        assert ["s0.tif", "s1.tif"] in done["duplicates"].metadata["joined"]["scene_id"]
        folds = [name for name in done if name.startswith("split-fold")]
        assert len(folds) == (5 if overlap == "join" else 6)
        test = done["split-fold0-f100-r0"]
        dropped = test.metadata["dropped"]
        # Scenes that show one place are one unit to the statistics as well.
        units = set(SPLIT.read(test.path / "split.parquet")["unit"])
        assert ("s1.tif" in units) is (overlap == "drop")
        assert bool(dropped.get("overlap with a test chip")) is (overlap == "drop")


def test_no_background_is_cut_where_a_crowd_is(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    # The right half of every scene stands for a crowd.
    crowds = [
        label_row(f"crowd-{number}", f"s{number}.tif", (0, 80, 160, 160)) | {"quarantined": CROWD}
        for number in range(6)
    ]
    done = project.run(scenes, labels + crowds, split={"replicates": 1})
    index = CHIPS.read(done["index"].path / "index.parquet")
    background = index[index["label_id"].isna()]
    assert len(background)
    assert (background["col"] + 16 <= 80).all()


def test_a_scene_that_a_host_lacks_is_left_to_another(project, tmp_path):
    scenes, labels = harbour(tmp_path)
    (tmp_path / "s3.tif").unlink()
    with pytest.raises(HostError, match=r"s3\.tif does not exist on .*: it was moved since it was ingested, or"):
        project.run(scenes, labels, **FOLDS)


def test_too_few_groups_end_the_stage_after_the_chips_are_made(project, tmp_path):
    with pytest.raises(TooLittleDataError, match=r"too little data .* 28 non-ship, 14 ship in 1 group"):
        project.run(*harbour(tmp_path, 1), **FOLDS)
    assert {"windows", "cut-0of1", "index", "duplicates"} <= set(project.made)


def test_no_chip_at_all_is_one_sentence(project, tmp_path):
    scenes, _ = harbour(tmp_path)
    with pytest.raises(TooLittleDataError, match="no chip could be cut"):
        project.run(scenes, [], **FOLDS)


def test_an_unknown_group_column_is_one_sentence(project, tmp_path):
    with pytest.raises(ConfigError, match=r"split.by is aoi, but the scenes have the group columns scene_id, site"):
        project.run(*harbour(tmp_path), split={"by": "aoi"})


def test_the_index_opens_in_geopandas_with_outlines_in_lon_lat(project, tmp_path):
    done = project.run(*harbour(tmp_path), **FOLDS)
    frame = geopandas.read_parquet(done["index"].path / "index.parquet")
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()
    store, _ = chips_of(project, done)
    chip = store.index.iloc[0]
    outline = frame.to_crs("EPSG:32610").geometry.iloc[0]
    west, south, east, north = outline.bounds
    # The scene's corner, and the chip's place in it in pixels of 3 m.
    number = int(str(chip["scene_id"])[1])
    assert west == pytest.approx(550_000 + number * 5000 + 3 * chip["col"], abs=0.02)
    assert north == pytest.approx(4_180_000 - 3 * chip["row"], abs=0.02)
    assert (east - west, north - south) == pytest.approx((48, 48), abs=0.02)
    assert f"{GROUP_PREFIX}site" in frame.columns


def test_the_contact_sheet_shows_both_classes(project, tmp_path):
    from PIL import Image

    done = project.run(*harbour(tmp_path), **FOLDS)
    sheet = np.asarray(Image.open(done["index"].path / "sheet.png"))
    assert (sheet == SHIP).all(axis=-1).any()
    assert sheet.shape[1] > 16 * 64


def copied(tmp_path, scenes, labels):
    """The first scene once more as the last one: without georeference, turned by 180 degrees and 5 px to the left."""
    pixels = np.roll(rasterio.open(tmp_path / "s0.tif").read().transpose(1, 2, 0)[::-1, ::-1], -5, axis=1)
    found = scene(write_tif(tmp_path / "s5.tif", np.ascontiguousarray(pixels), crs=None, transform=None), pixels)
    side = len(pixels)
    boxes = [row for row in labels if row["scene_id"] == "s0.tif"]
    turned = [
        label_row(
            f"5-{row['label_id']}",
            "s5.tif",
            (side - row["row_max"], side - row["col_max"] - 5, side - row["row_min"], side - row["col_min"] - 5),
        )
        for row in boxes
    ]
    row = scene_row(found, crs=None, transform=None, gsd_m=3.0, group_site="elsewhere")
    return [*scenes[:5], row], [label for label in labels if label["scene_id"] != "s5.tif"] + turned


@pytest.mark.parametrize("overlap", ["drop", "join"])
def test_a_copy_without_georeference_does_not_leak(overlap, project, tmp_path):
    scenes, labels = copied(tmp_path, *harbour(tmp_path))
    done = project.run(scenes, labels, chips={"size_px": 16}, split=FOLDS["split"] | {"by": "site", "overlap": overlap})
    metadata = done["duplicates"].metadata
    assert metadata["scenes"]["seen"] == 1
    assert metadata["seen_overlaps"] > 28
    assert metadata["joined"]["site"] == [["elsewhere", "site0"]]
    store, _ = chips_of(project, done)
    pairs = pd.read_parquet(done["duplicates"].path / "pairs.parquet")
    classes = dict(zip(store.index["chip_id"], store.index["class"], strict=True))
    seen = pairs[pairs["kind"] == "overlap"]
    assert {classes[name] for name in seen["chip_a"]} == {"ship", "non-ship"}
    for name in (name for name in done if name.startswith("split-fold")):
        _, split = chips_of(project, done, name.removeprefix("split-"))
        role = dict(zip(split["chip_id"], split["role"], strict=True))
        assert not any(
            {role[a], role[b]} == {"train", "test"} for a, b in zip(seen["chip_a"], seen["chip_b"], strict=True)
        )
    dropped = sum(sum(done[name].metadata["dropped"].values()) for name in done if name.startswith("split-fold"))
    assert bool(dropped) is (overlap == "drop")


def test_scenes_are_not_compared_where_that_is_off(project, tmp_path):
    scenes, labels = copied(tmp_path, *harbour(tmp_path))
    done = project.run(scenes, labels, chips={"size_px": 16, "duplicates": {"scenes": False}}, **FOLDS)
    assert done["duplicates"].metadata["scenes"] is None
    assert done["duplicates"].metadata["seen_overlaps"] == 0
    assert not {"features-0of1", "scene-pairs"} & done.keys()
