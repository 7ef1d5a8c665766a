"""What single sections of the report say, computed again from the tables beside it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pandas as pd
import pytest
from fixtures.report_data import CLASSES, FakeRun, SimulatedRun
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from satpipe.stages.report import schema
from satpipe.stages.report.sections.gan import (
    accepted_grades,
    mean_usefulness,
    over_trained,
    ungraded_in_words,
    usefulness_in_words,
)
from satpipe.stages.report.stats import curves, neighbours
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve


@pytest.fixture(scope="module")
def fractions_folder(tmp_path_factory):
    """A run over three real fractions."""
    simulated = SimulatedRun(chips=16, fractions=(0.25, 0.5, 1.0), random_split=True)
    return FakeRun(tmp_path_factory.mktemp("fractions"), simulated).report()[0]


def read(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def rows_tested(folder):
    rows = pd.read_parquet(folder / "predictions.parquet")
    return rows[(rows["role"] == "test") & (rows["fraction"] == 1.0)]


# ------------------------------------------------------------------------------------------------------- curves


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), ties=st.booleans())
def test_precision_at_recall_lies_on_scikit_learns_curve(seed, ties):
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    positive[0] = True
    score = np.round(rng.random(60), 1) if ties else rng.random(60)
    precision, recall, _ = reference.precision_recall_curve(positive, score)
    for wanted, found in zip(curves.RECALLS[1:], curves.precision_at_recall(positive, score)[1:], strict=True):
        # scikit-learn's curve runs from the lowest threshold up; the last point that reaches the recall is ours.
        last = np.flatnonzero(recall >= wanted - 1e-12)[-1]
        assert found == pytest.approx(precision[last])


def test_reliability_is_scikit_learns_calibration_curve():
    rng = np.random.default_rng(0)
    score = rng.random(500)
    positive = rng.random(500) < score
    share, mean = calibration_curve(positive, score, n_bins=10)
    found_mean, found_share, count = curves.reliability(positive, score)
    assert found_mean == pytest.approx(mean)
    assert found_share == pytest.approx(share)
    assert count.sum() == 500


@pytest.mark.parametrize(
    ("target", "labels"),
    [(0.7, 20.0), (0.8, 40.0), (0.75, 20 * 2**0.5), (0.6, 10.0), (0.1, -np.inf), (0.9, 80.0), (0.91, np.inf)],
)
def test_labels_are_read_off_the_curve_in_doublings(target, labels):
    curve = np.array([0.6, 0.7, 0.8, 0.9])
    assert curves.labels_needed([10, 20, 40, 80], curve, np.array(target)) == pytest.approx(labels)


def test_a_treatment_below_the_curve_is_a_loss(tmp_path):
    worse = SimulatedRun(effects={"classic": 1.5, "classic+gan": -1.0}, chips=16, fractions=(0.25, 1.0))
    folder = FakeRun(tmp_path, worse).report()[0]
    report = read(folder)
    first = report["gains"][0]
    assert first["fraction"] == 0.25
    assert first["gain"] is None
    assert first["loss"] is True
    page = (folder / "report.html").read_text("utf-8")
    assert "classic+gan does less well than classic with as many." in page
    assert "a loss" in page


def test_fractions_of_many_digits_are_found_again(tmp_path):
    folder = FakeRun(tmp_path, SimulatedRun(chips=16, fractions=(0.3333333, 1.0))).report()[0]
    assert "Learning curve" in (folder / "report.html").read_text("utf-8")
    assert set(pd.read_csv(folder / "metrics.csv")["fraction"]) == {0.3333333, 1.0}


def test_a_learning_curve_that_dips_keeps_its_best():
    curve = np.array([0.6, 0.8, 0.7, 0.9])
    assert curves.labels_needed([10, 20, 40, 80], curve, np.array(0.75)) == pytest.approx(10 * 2**0.75)


def test_many_curves_are_read_at_once_as_one_by_one():
    values = np.sort(np.random.default_rng(1).random((30, 4)), axis=1)
    targets = np.random.default_rng(2).random(30)
    together = curves.labels_needed([10, 20, 40, 80], values, targets)
    single = [
        curves.labels_needed([10, 20, 40, 80], one, np.array(aim)) for one, aim in zip(values, targets, strict=True)
    ]
    assert together.tolist() == [float(value) for value in single]


# --------------------------------------------------------------------------------------------------- neighbours


def test_a_rotated_and_mirrored_copy_has_correlation_one():
    rng = np.random.default_rng(3)
    real = rng.integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    turned = np.stack([np.rot90(real[7], 3)[:, ::-1], np.rot90(real[2])])
    where, correlation = neighbours.nearest(turned, real)
    assert where.tolist() == [7, 2]
    assert correlation == pytest.approx([1.0, 1.0], abs=1e-5)


def test_the_nearest_chip_is_that_of_plain_correlation():
    rng = np.random.default_rng(4)
    real, made = rng.random((12, 16, 16, 1)), rng.random((5, 16, 16, 1))
    where, correlation = neighbours.nearest(made, real)
    for number, chip in enumerate(made[..., 0]):
        views = [np.rot90(flip, turns) for flip in (chip, chip[:, ::-1]) for turns in range(4)]
        table = [[np.corrcoef(view.ravel(), other.ravel())[0, 1] for other in real[..., 0]] for view in views]
        assert correlation[number] == pytest.approx(np.max(table), abs=1e-5)
        assert where[number] == np.unravel_index(np.argmax(table), np.shape(table))[1]


def test_flat_chips_are_near_to_nothing():
    flat = np.full((2, 16, 16, 3), 90, dtype=np.uint8)
    assert neighbours.nearest(flat, flat)[1].tolist() == [0.0, 0.0]


# ----------------------------------------------------------------------------------------- recomputed with pandas


def test_chips_that_changed_sides_can_be_recomputed(page_folder):
    rows = rows_tested(page_folder)
    rows = rows.assign(right=rows["class"] == rows["predicted"])
    share = rows.pivot_table(index="chip_id", columns="arm", values="right", aggfunc="mean")
    change = share["classic+gan"] - share["classic"]
    errors = read(page_folder)["errors"]
    assert sorted(errors["won"]) == sorted(change.index[change >= 0.5])
    assert sorted(errors["lost"]) == sorted(change.index[change <= -0.5])
    assert errors["won"]
    always = share.index[share["classic"] == 0]
    assert sorted(errors["always_wrong"]) == sorted(always)
    assert len(always) > 0
    assert errors["always_wrong_share"] == pytest.approx(len(always) / (1 - share["classic"]).sum())
    assert errors["still_wrong"] == (share.loc[always, "classic+gan"] == 0).sum()
    page = (page_folder / "report.html").read_text("utf-8")
    assert f"Every replicate of classic gets {len(always)} test chip" in page


def test_labels_to_check_are_those_all_replicates_contradict(page_folder):
    rows = rows_tested(page_folder)
    rows = rows[rows["arm"].isin(["classic", "classic+gan"])]
    wrong = rows["class"] != rows["predicted"]
    sure = np.where(rows["predicted"] == "ship", rows["score"], 1 - rows["score"]) >= 0.9
    every = (wrong & sure).groupby(rows["chip_id"]).all()
    found = pd.read_csv(page_folder / "labels-to-check.csv")
    assert (
        sorted(found["chip_id"]) == sorted(every.index[every]) == sorted(read(page_folder)["errors"]["labels_to_check"])
    )
    assert len(found) > 0
    assert found["confidence"].is_monotonic_decreasing
    assert {"scene_id", "row", "col"} <= set(found.columns)


def test_calibration_and_precision_can_be_recomputed(page_folder):
    rows = rows_tested(page_folder)
    scores = read(page_folder)["scores"]
    assert list(scores) == ["classic", "classic+gan"]
    for arm, found in scores.items():
        here = rows[rows["arm"] == arm]
        bins = np.minimum((here["score"] * 10).astype(int), 9)
        groups = here.assign(positive=here["class"] == "ship").groupby(bins)
        assert [chips for chips in found["reliability"]["chips"] if chips] == groups.size().tolist()
        known = [value for value in found["reliability"]["share"] if value is not None]
        assert known == pytest.approx(groups["positive"].mean().tolist())
        highest = here.sort_values("score").groupby("replicate").tail(1)
        assert found["precision_at_recall"]["0.00"] == pytest.approx((highest["class"] == "ship").mean())
        everything = (here["class"] == "ship").mean()
        assert everything <= found["precision_at_recall"]["1.00"] < 1


def test_recall_in_the_open_and_beside_structures(page_folder, fake_run):
    rows = rows_tested(page_folder)
    first = fake_run.predictions.drop_duplicates("chip_id")
    ships = first.loc[first["class"] == "ship", "chip_id"].to_numpy()
    found = read(page_folder)["surroundings"]
    for place, names in (("structures", ships[::2]), ("open", ships[1::2])):
        for arm, own in rows[rows["chip_id"].isin(names)].groupby("arm"):
            assert found[arm][place] == pytest.approx(reference.accuracy_score(own["class"], own["predicted"]))


def test_the_verdicts_figures_can_be_recomputed(page_folder):
    answer, rows = read(page_folder)["answer"], rows_tested(page_folder)
    for arm, values in answer["arms_by_replicate"].items():
        here = rows[rows["arm"] == arm].groupby("replicate")
        expected = [reference.balanced_accuracy_score(one["class"], one["predicted"]) for _, one in here]
        assert values == pytest.approx(expected)
        assert answer["arm_values"][arm] == pytest.approx(np.mean(expected))
    one, other = (answer["arms_by_replicate"][arm] for arm in ("classic+gan", "classic"))
    assert list(answer["by_replicate"].values()) == pytest.approx(np.subtract(one, other))
    assert answer["difference"]["estimate"] == pytest.approx(np.mean(one) - np.mean(other))
    assert (answer["replicates"], answer["units"], answer["chips"], answer["folds"]) == (6, 12, 360, 3)


# -------------------------------------------------------------------------------------------- fractions, leakage


def test_several_fractions_are_shown_and_the_largest_decides(fractions_folder):
    table = pd.read_csv(fractions_folder / "metrics.csv")
    assert sorted(table["fraction"].unique()) == [0.25, 0.5, 1.0]
    assert table.loc[table["role"] == "primary", "fraction"].tolist() == [1.0]
    page = (fractions_folder / "report.html").read_text("utf-8")
    assert "25 % of the labels" in page
    assert "What it is worth in labels" in page


def test_the_random_split_stands_beside_the_group_split(fractions_folder):
    answer = read(fractions_folder)["answer"]
    assert answer["random_split"]["values"] == {"classic": 1.0}
    assert answer["random_split"]["fraction"] == answer["question"]["fraction"] == 1.0
    page = (fractions_folder / "report.html").read_text("utf-8")
    section = page[page.index('id="leakage"') :]
    section = section[: section.index("</section>")]
    assert f"classic scores 1.000 instead of {answer['arm_values']['classic']:.3f}" in section
    assert f"{100 * (1 - answer['arm_values']['classic']):+.1f}" in section


def test_the_gain_in_labels_is_read_off_the_curves(fractions_folder):
    table = pd.read_csv(fractions_folder / "metrics.csv")
    table = table[(table["kind"] == "arm") & table["fold"].isna() & (table["metric"] == "balanced_accuracy")]
    curve = {arm: one.sort_values("fraction")["estimate"].to_numpy() for arm, one in table.groupby("arm")}
    gains = read(fractions_folder)["gains"]
    labels = [gain["labels"] for gain in gains]
    assert labels == sorted(labels)
    for position, gain in enumerate(gains):
        needed = curves.labels_needed(labels, curve["classic"], np.array(curve["classic+gan"][position]))
        if np.isinf(needed):
            assert gain["gain"] is None
        else:
            assert gain["gain"] == pytest.approx(float(needed) - labels[position], rel=1e-3, abs=0.05)
    assert gains[-1]["gain"] is None
    assert gains[0]["gain"] > 0


def test_one_fraction_has_no_learning_curve(page_folder):
    assert read(page_folder)["gains"] == []
    assert "learning-curve" not in (page_folder / "report.html").read_text("utf-8")


def test_a_random_split_is_shown_and_does_not_touch_the_verdict(fractions_folder):
    answer = read(fractions_folder)["answer"]
    assert set(answer["random_split"]["values"].values()) == {1.0}
    assert answer["arm_values"]["classic"] < 1
    assert (fractions_folder / "predictions-random-split.parquet").is_file()
    assert "What a random split would have claimed" in (fractions_folder / "report.html").read_text("utf-8")


# ------------------------------------------------------------------------------------------------ published form


def test_the_table_of_places_counts_the_chips_of_each_class(page_folder):
    chips = rows_tested(page_folder).drop_duplicates("chip_id")["class"].value_counts()
    page = (page_folder / "report.html").read_text("utf-8")
    table = page[page.index("<caption>The difference by class") :]
    for name in CLASSES:
        row = table[table.index(f'<th scope="row">class {name}</th>') :]
        assert f'<td class="n">{chips[name]}</td>' in row[: row.index("</tr>")]


def test_reports_validate_against_the_published_schema(page_folder, fractions_folder):
    published = json.loads((page_folder / "report.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(published)
    validator.check_schema(published)
    for folder in (page_folder, fractions_folder):
        validator.validate(read(folder))
    assert not validator.is_valid(read(page_folder) | {"extra": 1})


def test_acceptance_and_usefulness_are_shown_by_class(page_folder):
    report = read(page_folder)
    screening = report["screening"]
    candidates = sum(one["candidates"] for one in screening["classes"].values())
    accepted = sum(one["accepted"] for one in screening["classes"].values())
    assert set(screening["classes"]) == set(CLASSES)
    assert candidates - accepted == sum(screening["not_accepted"].values()) > 0
    usefulness = report["gan"]["usefulness"]
    assert usefulness["synthetic_to_real"]["balanced accuracy"] == pytest.approx(0.78)
    assert usefulness["accepted_to_real"]["balanced accuracy"] == pytest.approx(0.79)
    averages = {f"average precision, {one}" for one in CLASSES}
    assert set(usefulness["real_to_synthetic"]) == {"balanced accuracy", *averages}


@pytest.mark.parametrize(
    ("synthetic", "real", "classes", "said"),
    [
        (0.699, 0.947, 2, "45 %: they show little"),
        (0.8, 0.9, 2, "75 %: they show much"),
        (0.9, 0.9, 3, "100 %: they show nearly all"),
        (0.4, 0.9, 2, "0 %: they show little"),
        (0.7, 0.5, 2, "no better than chance"),
    ],
)
def test_usefulness_in_words_is_a_share_above_chance(synthetic, real, classes, said):
    usefulness = {"real_to_real": {"balanced accuracy": real}, "synthetic_to_real": {"balanced accuracy": synthetic}}
    assert said in usefulness_in_words(usefulness, classes)


def test_accepted_chips_have_no_row_where_a_split_has_none(tmp_path):
    def split(number, grade):
        folders = {}
        for stage, metadata in (("gan", {"usefulness": {}}), ("synth", {"screened": True, "tstr": grade})):
            folders[stage] = tmp_path / f"{stage}{number}"
            folders[stage].mkdir()
            (folders[stage] / "metadata.json").write_text(json.dumps(metadata))
        return SimpleNamespace(metadata={"fraction": 1.0}, **folders)

    grade = {"balanced_accuracy": 0.9, "average_precision": {"ship": 0.8}}
    splits = {"a": split(0, grade), "b": split(1, grade | {"balanced_accuracy": 0.7})}
    data = SimpleNamespace(splits=splits, verdict_splits=lambda: list(splits.values()))
    assert mean_usefulness(data)["accepted_to_real"]["balanced accuracy"] == pytest.approx(0.8)
    assert ungraded_in_words(accepted_grades(data)) is None
    splits["c"] = split(2, {})
    assert "accepted_to_real" not in mean_usefulness(data)
    assert str(ungraded_in_words(accepted_grades(data))).startswith("In 1 of 3 splits screening accepted no chips")


def test_usefulness_in_words_is_of_accepted_chips():
    grades = {"real_to_real": 0.9, "synthetic_to_real": 0.6, "accepted_to_real": 0.8}
    said = usefulness_in_words({way: {"balanced accuracy": value} for way, value in grades.items()}, 2)
    assert "trained only on accepted synthetic chips has a balanced accuracy of 0.800" in said
    assert "75 %: they show much" in said


def test_the_page_says_what_the_chips_are_worth_in_labels(fractions_folder):
    gains = {gain["fraction"]: gain for gain in read(fractions_folder)["gains"]}
    page = (fractions_folder / "report.html").read_text("utf-8")
    least = gains[0.25]
    assert least["gain"] > 0
    says = f"With {least['labels']:,.0f} labels of class ship, classic+gan does as well as classic would with about"
    assert f"{says} {least['gain']:,.0f} more." in page
    assert gains[1.0]["gain"] is None  # the curve of the baseline ends there


def test_every_report_keeps_to_its_published_form(page_folder, fractions_folder):
    for folder in (page_folder, fractions_folder):
        report = read(folder)
        assert schema.Report.model_validate(report).model_dump(mode="json") == report
        assert report["format"] == schema.FORMAT
        assert all((folder / name).is_file() for name in report["figures"])


def test_an_unknown_field_is_no_report(page_folder):
    with pytest.raises(ValidationError):
        schema.Report.model_validate(read(page_folder) | {"extra": 1})


def test_scenes_quarantine_and_leaks_are_in_the_data(page_folder):
    data = read(page_folder)["data"]
    assert data["quarantined_scenes"] == [["harbour-broken", "the file ends before its last block"]]
    assert data["dropped_windows"] == {"holds part of an object": 31, "too few valid pixels": 12}
    assert data["leaks"] == {"near-duplicate of a test chip": 18}
    assert data["georeferenced_scenes"] == len(data["scenes"]) == 12
    assert set(data["chips"]) == set(CLASSES)


@pytest.mark.parametrize(
    ("scores", "best", "said"),
    [
        ([3, 2, 1, 2, 2, 2], 300, True),
        ([3, 2, 1, 2, 2], 300, False),  # two looks are no trend
        ([3, 2, 1], 300, False),
        ([3, 2, 1, 2, 2, 2], None, False),
        ([None, None, None, None], 100, False),
    ],
)
def test_three_evaluations_worse_than_the_best_are_over_training(
    scores: list[float | None], best: int | None, said: bool
) -> None:
    history = [{"images": 100 * number, "score": score} for number, score in enumerate(scores, start=1)]
    assert over_trained(history, best) == ("over-trained from here" if said else None)


def test_the_report_draws_where_a_generator_was_over_trained(page_folder: Path) -> None:
    assert len(sorted(page_folder.glob("figures/gan-distance-*.svg"))) == len(CLASSES)
    assert (page_folder / "figures" / "gan-score.svg").read_text("utf-8").count("over-trained from here") == 1


def test_no_curves_are_spoken_of_where_there_are_none(tmp_path):
    run = FakeRun(tmp_path, SimulatedRun(chips=16))
    for history in tmp_path.rglob("metrics.jsonl"):
        history.write_text(history.read_text("utf-8").splitlines()[-1] + "\n")
    folder = run.report()[0]
    page = (folder / "report.html").read_text("utf-8")
    assert [path.stem for path in folder.glob("figures/gan-*.svg")] == ["gan-losses"]
    assert "Each was evaluated once, at its end." in page
    assert "curves are those of replicate" not in page
    assert "curves above" not in page


def test_the_map_shows_the_chips_of_the_scene_with_most_objects(page_folder):
    rows = rows_tested(page_folder).drop_duplicates("chip_id")
    counts = rows.groupby("unit")["class"].value_counts().unstack(fill_value=0)
    most = counts[counts[CLASSES[1]] == counts[CLASSES[1]].max()].sort_index().iloc[0]
    said = ", ".join(f"{most[name]:,} {name}" for name in CLASSES)
    assert f"Footprints of {said} in one scene." in (page_folder / "report.html").read_text("utf-8")
