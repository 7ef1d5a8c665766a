"""The number of trainings of a run is forecast before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from satpipe.commands import cli
from satpipe.config.run import RunConfig
from satpipe.engine.forecast import StageForecast, later_stages
from satpipe.utils.errors import TooLittleDataError


@pytest.mark.parametrize(
    ("split", "folds"),
    [
        ({"scheme": "holdout", "repeats": 3}, 3),
        ({"scheme": "folds", "folds": 4, "repeats": 2}, 8),
        ({"scheme": "lists", "test_lists": [["a"], ["b", "c"]]}, 2),
        ({"scheme": "leave-one-out", "test_groups": ["a", "b", "c"]}, 3),
        ({"scheme": "leave-one-out"}, 1),
    ],
)
def test_forecast_counts_every_fold_fraction_and_replicate(split: dict[str, object], folds: int) -> None:
    ask = {"fractions": [0.5, 1.0], "replicates": 5, "random_replicates": 0}
    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated"}]}, "split": split | ask})
    tasks = {stage.stage: stage.tasks for stage in later_stages(config, ["gan", "synth", "classify"])}
    splits = folds * 2 * 5
    assert tasks == {"gan": splits + 1, "synth": 2 * (splits + 1), "classify": splits * 4 + 1}


def test_dry_run_forecasts_no_time_for_what_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text(
        "ingest: {sources: [{type: simulated, scenes: 2}]}\nsplit: {scheme: folds, folds: 3}\n"
    )
    command = ["run", str(tmp_path / "few.yaml"), "--dry-run", "--root", str(tmp_path)]
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, TooLittleDataError)
    assert "there are 2 scenes, and split.folds = 3 folds need at least 3" in str(done.exception)
    assert "in all" not in done.output


def test_the_last_task_leaves_the_other_workers_idle() -> None:
    stage = StageForecast("gan", 3, 50.0)
    assert [stage.wall(workers) for workers in (1, 2, 3, 4)] == [150.0, 100.0, 50.0, 50.0]
    assert str(stage) == "gan: 3 tasks of about 50 s"
    assert str(StageForecast("report", 1, 5.0)) == "report: about 5 s"


def test_chips_are_forecast_by_the_pixels_of_all_scenes(tmp_path: Path) -> None:
    def chips(**source: object) -> StageForecast:
        config = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated", **source}]}})
        (stage,) = later_stages(config, ["chips"])
        return stage

    small, large = chips(scenes=20, size_px=512), chips(scenes=40, size_px=512)
    assert 1.8 * small.seconds - 6 < large.seconds < 2.2 * small.seconds
    assert chips(scenes=4000, size_px=512).tasks == 16
