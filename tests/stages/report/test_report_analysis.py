"""The table of all metrics, where folds are odd: a class that one lacks, repeats that share their units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from satpipe.config.run import SplitConfig
from satpipe.stages.report.analysis import analyse
from satpipe.stages.report.sections.next_steps import deciding_steps
from satpipe.stages.report.stage import fold_effects
from satpipe.stages.report.stats.predictions import prediction_arrays
from satpipe.stages.report.stats.question import Question
from satpipe.utils.errors import StoreError
from sklearn.metrics import balanced_accuracy_score

CLASSES = ("non-ship", "ship", "tanker")
ARMS = ("classic", "classic+gan")
QUESTION = Question("balanced_accuracy", "classic+gan", "classic", 1.0, 0.95, 200, 1, "scene_id")


def predictions(folds: int, repeats: int = 1, classes: int = 3, replicates: int = 6) -> pd.DataFrame:
    """Twelve units of 20 chips, assigned to ``folds`` folds anew in each repeat."""
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(12), 20)
    true = np.tile(np.arange(20) % classes, 12)
    frames = []
    for repeat in range(repeats):
        order = rng.permutation(12)
        fold = repeat * folds + order[unit] % folds
        for arm in ARMS:
            for replicate in range(replicates):
                guess = np.where(rng.random(len(unit)) < 0.8, true, rng.integers(0, classes, len(unit)))
                frames.append(
                    pd.DataFrame(
                        {
                            "fold": fold,
                            "fraction": 1.0,
                            "replicate": replicate,
                            "arm": arm,
                            "role": "test",
                            "chip_id": [f"c{number}" for number in range(len(unit))],
                            "unit": [f"s{number}" for number in unit],
                            "class": np.array(CLASSES)[true],
                            "predicted": np.array(CLASSES)[guess],
                            "score": np.where(guess > 0, 0.9, 0.1),
                            "threshold": 0.5,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def test_a_class_that_a_fold_does_not_test_has_no_figure_there() -> None:
    rows = predictions(3)
    rows = rows[(rows["fold"] != 1) | (rows["class"] != "tanker")]
    answer, table = analyse(rows, CLASSES, ARMS, QUESTION)
    recall = table[(table["metric"] == "recall of tanker") & (table["role"] == "exploration")]
    recall = recall[recall["kind"] == "difference"]
    assert recall.loc[recall["fold"] == 1, ["estimate", "sign_flip_p"]].isna().all(axis=None)
    assert recall.loc[recall["fold"] != 1, ["estimate", "sign_flip_p"]].notna().all(axis=None)
    assert answer["folds"] == 3


def test_folds_of_repeats_are_those_of_the_predictions() -> None:
    rows = predictions(3, repeats=2, classes=2)
    answer, table = analyse(rows, CLASSES[:2], ARMS, QUESTION)
    assert answer["folds"] == 6
    assert answer["units"] == 12
    for fold in range(6):
        subset = rows[(rows["fold"] == fold) & (rows["arm"] == "classic")]
        expected = subset.groupby("replicate").apply(
            lambda one: balanced_accuracy_score(one["class"], one["predicted"])
        )
        result = table[(table["fold"] == fold) & (table["kind"] == "arm") & (table["metric"] == "balanced_accuracy")]
        row = result[result["arm"] == "classic"].iloc[0]
        assert row["estimate"] == pytest.approx(expected.mean())
        assert row["chips"] == subset["chip_id"].nunique()


def test_a_class_that_nobody_knows_is_no_background() -> None:
    with pytest.raises(StoreError, match="predictions of class tanker, which is not among non-ship, ship"):
        analyse(predictions(3), CLASSES[:2], ARMS, QUESTION)


def test_the_share_of_a_unit_is_its_mean_share_over_classes() -> None:
    rows = predictions(3, classes=2)
    held = rows["unit"] != "s0"
    rows = rows[held | (rows["class"] == "ship")]
    chips = rows.drop_duplicates("chip_id")
    expected = pd.crosstab(chips["unit"], chips["class"], normalize="columns").mean(axis=1)
    view = prediction_arrays(rows, CLASSES[:2], ARMS, 1.0)
    assert dict(zip(view.units, view.share, strict=True)) == pytest.approx(expected.to_dict())


def test_a_scene_with_most_of_the_chips_is_named_in_the_sentence() -> None:
    rows = predictions(3, classes=2)
    copies = [rows[rows["unit"] == "s0"].assign(chip_id=lambda one, n=n: one["chip_id"] + f"-{n}") for n in range(30)]
    result, _ = analyse(pd.concat([rows, *copies], ignore_index=True), CLASSES[:2], ARMS, QUESTION)
    share = np.array([31, *11 * [1]]) / 42
    worth = 1 / (share**2).sum()
    assert result["verdict"] == "too little data to tell"
    assert result["effective_units"] == pytest.approx(worth)
    assert (
        f"so many of the chips that all are worth {worth:.1f}, where a verdict needs 6 and 10 worth 4"
        in result["sentence"]
    )


@pytest.mark.parametrize(
    ("split", "effects"),
    [
        ({"scheme": "folds"}, "fixed"),
        ({"scheme": "holdout"}, "fixed"),
        ({"scheme": "folds", "by": "site", "unit": "site"}, "fixed"),
        ({"scheme": "folds", "by": "aoi", "unit": "site"}, "random"),
        ({"scheme": "leave-one-out", "by": "aoi"}, "random"),
        ({"scheme": "lists", "test_lists": [["a"], ["b"]]}, "random"),
    ],
)
def test_folds_are_fixed_where_units_are_assigned_by_chance(split: dict[str, object], effects: str) -> None:
    assert fold_effects(SplitConfig.model_validate(split)) == effects


@pytest.mark.parametrize(
    ("shares", "worth", "title"),
    [
        ({"units": 0.1, "folds": 0.7}, 12.0, "Leave out more areas, or ask about these"),
        ({"units": 0.7, "folds": 0.0}, 12.0, "Test on more places"),
        ({"units": 0.1, "folds": 0.7}, 2.7, "Test on more places"),
    ],
)
def test_what_is_most_uncertain_decides_the_next_step(shares: dict[str, float], worth: float, title: str) -> None:
    variances = {f"variance_{name}": value for name, value in {"replicates": 0.1, "rest": 0.1, **shares}.items()}
    answer = {
        "question": {"unit": "site"},
        "difference": {"estimate": 0.001, **variances},
        "detectable": 0.02,
        "replicates": 8,
        "units": 12,
        "effective_units": worth,
        "folds": 3,
    }
    steps = list(deciding_steps(SimpleNamespace(answer=answer, config={"name": "demo"})))
    assert [step["title"] for step in steps if "replicates" not in step["title"]] == [title]
    assert ("split.scheme=folds" in steps[-1]["command"]) == title.startswith("Leave out")
