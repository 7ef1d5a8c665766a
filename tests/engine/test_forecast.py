"""The number of trainings of a run is forecast before anything starts."""

from __future__ import annotations

import pytest
from satpipe.config.run import RunConfig
from satpipe.engine.forecast import later_stages
from satpipe.engine.stages import NAMES


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
    tasks = {stage: number for stage, number, _ in later_stages(config, NAMES)}
    splits = folds * 2 * 5
    assert tasks == {"gan": splits + 1, "synth": splits + 1, "classify": splits * 4 + 1}
