"""Some scenes of many: spread over folders, with labels first, no more than asked for, and counted."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from fixtures.ingest_project import ingest, pixels, write_image
from satpipe.stages.ingest.sample import sample

NAMES = [f"{folder}/{number:03}.png" for folder in ("a", "b", "c") for number in range(100)]


def test_all_are_taken_where_nothing_limits_them() -> None:
    assert sample(NAMES, [1] * 300, (), None, None) == set(NAMES)
    assert sample(NAMES, [1] * 300, (), 400, 1000) == set(NAMES)


def test_a_sample_covers_each_folder_from_end_to_end() -> None:
    taken = sample(NAMES, [1] * 300, (), 30, None)
    assert Counter(name[0] for name in taken) == {"a": 10, "b": 10, "c": 10}
    places = sorted(int(name[2:5]) for name in taken if name[0] == "a")
    assert places[0] < 15
    assert places[-1] > 85
    assert max(after - before for before, after in itertools.pairwise(places)) < 20


def test_scenes_with_labels_of_their_own_come_first() -> None:
    labelled = {name for name in NAMES if int(name[2:5]) % 10 == 0}
    taken = sample(NAMES, [1] * 300, labelled, 24, None)
    assert len(taken & labelled) == 18


def test_bytes_are_limited_but_the_smallest_six_are_taken_anyway() -> None:
    sizes = list(range(1, 301))
    taken = sample(NAMES, sizes, (), None, 500)
    assert sum(sizes[NAMES.index(name)] for name in taken) <= 500
    assert sample(NAMES, [1000 + size for size in sizes], (), None, 500) == set(NAMES[:6])
    assert sample(NAMES, sizes, (), 2, 1) == {"a/000.png", "a/001.png"}


@pytest.mark.parametrize("strict", [False, True])
def test_scenes_left_out_are_counted_with_their_labels(strict: bool, tmp_path: Path) -> None:
    for number in range(12):
        write_image(tmp_path / "set" / f"s{number:02}.png", pixels(seed=number))
        (tmp_path / "set" / f"s{number:02}.txt").write_text("0 .5 .5 .2 .2\n" if number < 8 else "")
    source = {"type": "yolo", "path": str(tmp_path / "set")}
    found = ingest(tmp_path, source, max_scenes=4, strict=strict)
    used = found.scenes[found.scenes["quarantined"].isna()]["path"].tolist()
    assert len(used) == 4
    assert found.metadata["labels"] == {"ship": 3}
    assert set(found.quarantined.values()) == {"ingest.max_scenes and max_megabytes take 4 of 12"}
    assert len(found.quarantined) == 8
