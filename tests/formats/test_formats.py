"""Formats of tools and data sets, as they come: `init` recognises each, and ingest finds the same boxes in all."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.ingest_project import init_and_ingest
from fixtures.layouts import FURTHER, SCENES, boxes
from satpipe.formats.registry import FORMATS


@pytest.mark.parametrize("layout", FURTHER)
def test_each_format_is_recognised_and_gives_the_same_boxes(layout: str, tmp_path: Path) -> None:
    make, kind = FURTHER[layout]
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    result, source, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert source == kind, said
    assert sum(result.metadata["labels"].values()) == SCENES * 6
    good = result.labels[result.labels["quarantined"].isna()]
    for number in range(SCENES):
        scenes = result.scenes["scene_id"][result.scenes["scene_id"].str.contains(f"(?:port|scene){number}[.v]")]
        own = good[good["scene_id"].isin(scenes)][["col_min", "row_min", "col_max", "row_max"]]
        assert len(own) == 6
        for row, box in zip(sorted(own.to_numpy().tolist()), sorted(boxes(number)), strict=True):
            assert row == pytest.approx(box, abs=0.02)


def test_every_format_has_its_own_name_and_a_model() -> None:
    assert list(FORMATS) == [reference.source.model_fields["type"].default for reference in FORMATS.values()]
    assert all(reference.title and reference.files and reference.source.__doc__ for reference in FORMATS.values())
