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
    assert [source.type for source in short.ingest.sources] == [source.type for source in config.ingest.sources]
    assert short.ingest.max_scenes is not None
    assert short.chips.model_copy(update={"max_per_class": None}) == config.chips
    assert short.compute == config.compute
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


def test_quick_takes_as_many_chips_whatever_the_classes() -> None:
    for count in (2, 5, 40):
        short = quick(load(None, [f"ingest.classes={[f'c{number}' for number in range(count)]}"]))
        assert short.chips.max_per_class is not None
        assert short.synth.per_class is not None
        assert short.chips.max_per_class * count <= max(600, 24 * count)
        assert short.synth.per_class * count <= max(400, 24 * count)


def test_quick_trains_less_and_keeps_lower_limits() -> None:
    small, large = (quick(load(None, [f"chips.size_px={side}"])) for side in (48, 256))
    assert large.gan.images is not None
    assert small.gan.images is not None
    assert large.gan.images < small.gan.images / 4
    assert large.classify.steps < small.classify.steps
    given = quick(load(None, ["ingest.max_scenes=9", "chips.max_per_class=11", "ingest.max_megabytes=2"]))
    assert (given.ingest.max_scenes, given.chips.max_per_class, given.ingest.max_megabytes) == (9, 11, 2)


def test_quick_draws_windows_where_a_grid_would_take_all() -> None:
    short = quick(load(None, ["chips.negatives.method=grid", "chips.negatives.per_positive=9"]))
    assert short.chips.negatives.method == "sampled"
    assert short.chips.negatives.per_positive == 2
