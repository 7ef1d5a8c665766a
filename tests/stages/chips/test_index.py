"""The index of all chips: order, groups and counts, whatever the batches and however many rows are held at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.dataset.tables import CHIPS, SCENES
from satpipe.stages.chips import index
from satpipe.utils.errors import TooLittleDataError

CLASSES = ["sea", "ship"]
NAMES = ["b.tif", "a.tif", "d.tif", "c.tif"]


def scene_table() -> pd.DataFrame:
    """Four scenes, the last of which has no site."""
    columns = {name: pd.array([None] * 4) for name in SCENES.columns} | {
        "scene_id": NAMES,
        "group_site": ["x", "y", "x", None],
    }
    return SCENES.frame(pd.DataFrame(columns))


def write_batch(store: Path, name: str, scenes: dict[str, int]) -> Path:
    """A committed batch: of each scene so many chips, every third a ship; a chip's pixels tell its scene and number."""
    folder = store / "chips" / name
    folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    chips = [
        np.full((4, 4, 1), 40 * NAMES.index(scene) + n, np.uint8)
        for scene, count in scenes.items()
        for n in range(count)
    ]
    shard = write_shard(np.stack(chips) if chips else np.zeros((0, 4, 4, 1), np.uint8), folder)
    for scene, count in scenes.items():
        for number in range(count):
            rows.append(
                dict.fromkeys(CHIPS.columns)
                | {"chip_id": f"{scene}#{number}", "scene_id": scene, "class": CLASSES[number % 3 == 0], "kind": "grid"}
                | {"valid_fraction": 1.0, "shard": shard, "position": len(rows)}
            )
    CHIPS.write(rows, folder / "index.parquet")
    return folder


def built(store: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The metadata and the table of two batches, without masks, whose scenes interleave, and an empty one."""
    folders = [
        write_batch(store, "cut-0", {"b.tif": 5, "c.tif": 4}),
        write_batch(store, "cut-1", {"a.tif": 3, "d.tif": 2}),
        write_batch(store, "cut-2", {}),
    ]
    (store / "out").mkdir()
    metadata = index.build(folders, scene_table(), CLASSES, store, store / "out", 1)
    return metadata, CHIPS.read(store / "out" / "index.parquet")


def test_chips_stand_in_the_order_of_their_scenes(tmp_path: Path) -> None:
    _, table = built(tmp_path)
    assert table["scene_id"].tolist() == ["b.tif"] * 5 + ["a.tif"] * 3 + ["d.tif"] * 2 + ["c.tif"] * 4
    assert ChipStore(table, tmp_path).read()[:, 0, 0, 0].tolist() == [*range(5), 40, 41, 42, 80, 81, 120, 121, 122, 123]


def test_a_scene_without_a_group_is_one_of_its_own(tmp_path: Path) -> None:
    metadata, table = built(tmp_path)
    assert table["group_site"].tolist() == ["x"] * 5 + ["y"] * 3 + ["x"] * 2 + ["c.tif"] * 4
    assert metadata["groups"]["site"] == {
        "c.tif": {"sea": 2, "ship": 2},
        "x": {"sea": 4, "ship": 3},
        "y": {"sea": 2, "ship": 1},
    }
    assert metadata["groups"]["scene_id"]["a.tif"] == {"sea": 2, "ship": 1}


def test_chips_are_counted_by_class_and_kind(tmp_path: Path) -> None:
    metadata, _ = built(tmp_path)
    assert metadata["chips"] == {"sea": 8, "ship": 6}
    assert metadata["kinds"] == {"grid": 14}
    assert (metadata["shape"], metadata["dtype"]) == ([4, 4, 1], "uint8")


@pytest.mark.parametrize("at_once", [1, 4, 7])
def test_few_rows_at_a_time_give_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    metadata, table = built(tmp_path / "whole")
    monkeypatch.setattr(index, "CHIPS_AT_ONCE", at_once)
    in_ranges, ranges = built(tmp_path / "ranges")
    assert in_ranges == metadata
    pd.testing.assert_frame_equal(ranges, table)


def test_no_chip_at_all_is_one_sentence(tmp_path: Path) -> None:
    folder = write_batch(tmp_path, "cut-0", {})
    with pytest.raises(TooLittleDataError, match="no chip could be cut"):
        index.build([folder], scene_table(), CLASSES, tmp_path, tmp_path, 1)
