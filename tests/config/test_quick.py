"""The quick version of a configuration: the same data, every stage, and too little for a verdict."""

from __future__ import annotations

import pytest
from fixtures import REPOSITORY
from satpipe.config.load import load
from satpipe.config.quick import NOT_A_VERDICT, quick
from satpipe.stages.report.stats.statistics import MIN_REPLICATES

CONFIGURATIONS = sorted((REPOSITORY / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_quick_keeps_the_data_and_gives_no_verdict(path) -> None:
    config = load(path)
    short = quick(config)
    assert (short.ingest, short.chips, short.compute) == (config.ingest, config.chips, config.compute)
    assert short.split.replicates < MIN_REPLICATES
    assert short.report.title is not None
    assert short.report.title.startswith(NOT_A_VERDICT)
    assert short.name == f"{config.name}-quick"
    assert set(short.classify.arms) == {config.report.baseline, config.report.treatment}
    assert short.classify.steps <= config.classify.steps


@pytest.mark.parametrize(
    "split",
    [
        ["split.scheme=lists", "split.test_lists=[[a], [b], [c]]"],
        ["split.scheme=leave-one-out", "split.test_groups=[a, b]"],
        ["split.fractions=[0.25, 1]", "report.fraction=0.25"],
    ],
    ids=str,
)
def test_quick_trains_one_division_at_all_labels(split: list[str]) -> None:
    short = quick(load(None, split))
    assert short.split.fractions == (1.0,)
    assert short.split.scheme == "holdout" or len(short.split.test_lists or ()) == 1
    assert short.report.fraction is None
