"""The report of a run that never ran: what it says, that it says it alone, and that it says it twice alike."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.report_data import CLASSES, FakeRun, SimulatedRun
from satpipe.stages.report import stage
from sklearn import metrics as reference


class Page(HTMLParser):
    """The page as a list of elements and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="session")
def html(page_folder):
    return (page_folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="session")
def page(html):
    return Page(html)


@pytest.fixture(scope="session")
def report(page_folder):
    return json.loads((page_folder / "report.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory):
    """A run on the user's own files, whose names try to get into the page."""
    attack = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    source = {"type": "yolo", "path": "/home/somebody/secret project/scenes", "groups_csv": "/home/somebody/t.csv"}
    simulated = SimulatedRun(hostile=attack, chips=8, random_split=True)
    run = FakeRun(tmp_path_factory.mktemp("hostile"), simulated, ingest={"sources": [source], "classes": list(CLASSES)})
    return run.report()[0]


# --------------------------------------------------------------------------------------------------- what it says


def test_the_verdict_is_the_first_thing_said(html, report):
    body = html[html.index("<main") :]
    sentence = report["answer"]["sentence"]
    assert report["answer"]["verdict"] == "helps"
    assert sentence.startswith("Adding GAN chips to classic augmentation helps: balanced accuracy 0.")
    assert body.index(sentence) < body.index("<h2")


def test_the_page_says_simulated_data_only_where_it_is(html, hostile_folder):
    assert "Simulated data." in html
    assert "Simulated data." not in (hostile_folder / "report.html").read_text("utf-8")


def test_the_page_follows_the_favoured_arms_final_classifier(fake_run):
    tasks = fake_run.report()[1]
    assert [task.title for task in tasks] == ["report/verdict", "classify/final", "report/page"]
    assert tasks[1].config["arm"] == "classic+gan"
    assert tasks[1].training
    assert "synth" in tasks[1].inputs


def test_without_a_gain_the_final_classifier_is_the_baselines(tmp_path):
    simulated = SimulatedRun(effects={"real": 0.0, "classic": 0.6, "gan": 0.0, "classic+gan": 0.6}, chips=12)
    metadata, final = FakeRun(tmp_path, simulated).verdict()
    assert metadata["verdict"] == "no detectable difference"
    assert "would have been detected with 80 % probability" in metadata["sentence"]
    assert final.config["arm"] == "classic"
    assert "synth" not in final.inputs


def test_few_replicates_are_too_little_data(tmp_path):
    metadata, _ = FakeRun(tmp_path, SimulatedRun(replicates=3, chips=8)).verdict()
    assert metadata["verdict"] == "too little data to tell"
    assert "3 replicates, 12 test scenes, where a verdict needs 6 and 10" in metadata["sentence"]


def test_a_single_replicate_has_no_interval(tmp_path):
    effects = {"classic": 0.6, "classic+cutpaste": 0.8, "classic+gan": 1.1}
    folder, _ = FakeRun(tmp_path, SimulatedRun(effects, replicates=1, chips=8)).report()
    text = (folder / "report.html").read_text()
    assert "– to –" not in text
    assert "– – –" not in text
    assert "points (no interval). An interval needs at least two replicates" in text


def test_what_was_left_out_is_counted_with_its_reason(page):
    text = " ".join(page.text)
    assert "1 scene quarantined" in text
    assert "the file ends before its last block" in text
    assert "holds part of an object 31" in text
    assert "near-duplicate of a test chip" in text


def test_the_words_of_the_page_are_explained(page):
    text = " ".join(" ".join(page.text).split())
    words = text[text.rindex("Terms on this page") :]
    assert "Arm classic+gan Trained on real chips and synthetic chips of the GAN, all of them augmented." in words
    assert "A verdict needs 6." in words
    assert "Points Percentage points: from 0.80 to 0.85 is +5.0 points." in words


def test_versions_seed_and_profile_are_shown(page, report):
    text = " ".join(" ".join(page.text).split())
    assert "Seed 1. Trained on cpu in fp32, channels last, 1 thread each." in text
    assert set(report["provenance"]["versions"]) >= {"python", "satpipe", "torch", "numpy", "albumentations"}
    assert report["provenance"]["profile"]["device"] == "cpu"


# --------------------------------------------------------------------------------------- one file, and accessible


def test_the_page_needs_no_script_and_no_network(page, html):
    assert not page.all("script")
    assert not [attrs for _, attrs in page.elements for name in attrs if name.startswith("on")]
    links = [attrs[name] for _, attrs in page.elements for name in ("src", "href", "data", "action") if name in attrs]
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert len(html.encode()) < 3_000_000


def test_every_picture_and_figure_says_what_it_is(page):
    assert page.all("img")
    assert all("alt" in attrs for attrs in page.all("img"))
    drawings = page.all("svg")
    assert drawings
    ids = {attrs["id"] for _, attrs in page.elements if attrs.get("id")}
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= ids


def test_no_id_is_used_twice(page):
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))


def test_references_within_figures_lead_somewhere(page, html):
    ids = {attrs["id"] for _, attrs in page.elements if attrs.get("id")}
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= ids
    assert {attrs["href"][1:] for attrs in page.all("use")} <= ids


def test_headings_and_tables_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert page.all("html")[0]["lang"] == "en"


# ------------------------------------------------------------------------------------------------------ promises


def test_equal_runs_give_equal_bytes(fake_run, page_folder):
    before = {path: path.read_bytes() for path in sorted(page_folder.rglob("*")) if path.is_file()}
    again = fake_run.report()[0]
    after = {path: path.read_bytes() for path in sorted(again.rglob("*")) if path.is_file()}
    assert before == after


def test_names_from_outside_are_text_and_never_markup(hostile_folder):
    hostile = Page((hostile_folder / "report.html").read_text("utf-8"))
    assert not hostile.all("script")
    assert all("onerror" not in attrs for attrs in hostile.all("img"))
    assert "<script>alert(1)</script>" in " ".join(hostile.text)
    for figure in (hostile_folder / "figures").glob("*.svg"):
        assert "<script" not in figure.read_text("utf-8")


def test_the_page_tells_nobody_where_the_users_files_lie(hostile_folder):
    text = "".join((hostile_folder / name).read_text("utf-8") for name in ("report.html", "report.json"))
    assert "somebody" not in text
    assert "scenes" in text


def test_the_number_of_workers_is_no_part_of_the_page(fake_run):
    shown = stage.shown_config(fake_run.config)
    assert "workers" not in shown["compute"]
    assert shown["split"] == fake_run.config.model_dump(mode="json")["split"]


# --------------------------------------------------------------------------- everything again, with pandas alone


def recomputed(frame: pd.DataFrame, metric: str) -> float:
    """A metric of one arm as the report defines it: per replicate over all chips, then the mean over replicates."""
    functions = {
        "accuracy": lambda one: reference.accuracy_score(one["class"], one["predicted"]),
        "balanced_accuracy": lambda one: reference.balanced_accuracy_score(one["class"], one["predicted"]),
        "recall": lambda one: reference.recall_score(one["class"], one["predicted"], pos_label="ship"),
        "precision": lambda one: reference.precision_score(one["class"], one["predicted"], pos_label="ship"),
        "f1": lambda one: reference.f1_score(one["class"], one["predicted"], pos_label="ship"),
        "average_precision": lambda one: reference.average_precision_score(one["class"] == "ship", one["score"]),
        "calibration_error": expected_calibration_error,
        "recall of non-ship": lambda one: (one["predicted"] == one["class"])[one["class"] == "non-ship"].mean(),
    }
    return float(np.mean([functions[metric](one) for _, one in frame.groupby("replicate")]))


def expected_calibration_error(one: pd.DataFrame) -> float:
    """Guo et al. 2017, equation 3, in ten bins."""
    bins = np.minimum((one["score"] * 10).astype(int), 9)
    found = (
        one.assign(ship=one["class"] == "ship")
        .groupby(bins)
        .agg(gap=("score", "mean"), share=("ship", "mean"), count=("score", "size"))
    )
    return float(((found["gap"] - found["share"]).abs() * found["count"]).sum() / len(one))


METRICS = ("accuracy", "balanced_accuracy", "recall", "precision", "f1", "average_precision", "calibration_error")


@pytest.mark.parametrize("metric", [*METRICS, "recall of non-ship"])
def test_every_estimate_follows_from_the_predictions(page_folder: Path, metric: str):
    predictions = pd.read_parquet(page_folder / "predictions.parquet")
    test = predictions[predictions["role"] == "test"]
    table = pd.read_csv(page_folder / "metrics.csv")
    rows = table[(table["metric"] == metric) & (table["role"] != "control")]
    assert len(rows) > 20
    for _, row in rows.iterrows():
        here = test[np.isclose(test["fraction"], row["fraction"])]
        if not np.isnan(row["fold"]):
            here = here[here["fold"] == row["fold"]]
        value = recomputed(here[here["arm"] == row["arm"]], metric)
        if row["kind"] == "difference":
            value -= recomputed(here[here["arm"] == row["baseline"]], metric)
        assert row["estimate"] == pytest.approx(value, abs=2e-6)


def test_the_standard_error_can_be_recomputed_from_predictions(page_folder, report):
    """The crossed jackknife as docs/report.md tells it, with groups left out one at a time by weights."""
    rows = pd.read_parquet(page_folder / "predictions.parquet").query("role == 'test'")
    wide = rows.pivot_table(
        index=["replicate", "fold", "unit", "chip_id", "class"], columns="arm", values="predicted", aggfunc="first"
    ).reset_index()

    def differences(weight: pd.Series) -> np.ndarray:
        """Difference of each replicate, with a weight for each unit."""
        values = []
        for _, one in wide.groupby("replicate"):
            counts = one["unit"].map(weight).to_numpy()
            both = [
                np.mean([np.average((one[arm] == name)[one["class"] == name], weights=counts[one["class"] == name])
                         for name in CLASSES])
                for arm in ("classic+gan", "classic")
            ]  # fmt: skip
            values.append(both[0] - both[1])
        return np.array(values)

    chips = wide.drop_duplicates("chip_id")
    share = pd.crosstab(chips["unit"], chips["class"], normalize="columns").mean(axis=1)
    fold = wide.drop_duplicates("unit").set_index("unit")["fold"]
    size, held = fold.map(fold.value_counts()), share.groupby(fold).transform("sum")
    full = differences(size * 0 + 1)
    without = pd.DataFrame(
        {unit: differences((1 + (fold == fold[unit]) * (1 / (1 - share[unit] / held[unit]) - 1))
                           .where(fold.index != unit, 0.0))
         for unit in fold.index}
    )  # fmt: skip
    influence = -without.sub(full, axis=0) * (size - 1)
    replicates, scale = len(full), size * (size - 1)
    between_replicates = full.var(ddof=1) / replicates
    between_units = (influence.mean() ** 2 / scale).sum()
    both = (((influence - influence.mean()) ** 2).sum() / scale).sum() / (replicates * (replicates - 1))
    variance = max(between_replicates + between_units - both, between_replicates, between_units)
    answer = report["answer"]
    assert answer["question"]["folds"] == "fixed"
    assert answer["effective_units"] == pytest.approx(1 / (share**2).sum())
    assert answer["difference"]["estimate"] == pytest.approx(full.mean())
    assert answer["difference"]["se"] == pytest.approx(np.sqrt(variance))


def test_one_row_is_the_question_and_all_others_explore(page_folder):
    table = pd.read_csv(page_folder / "metrics.csv")
    primary = table[table["role"] == "primary"]
    assert len(primary) == 1
    assert primary.iloc[0][["arm", "baseline", "metric"]].tolist() == ["classic+gan", "classic", "balanced_accuracy"]
    assert set(table["role"]) == {"primary", "exploration", "control"}


def test_the_baseline_against_itself_is_shown_as_a_control(page_folder):
    table = pd.read_csv(page_folder / "metrics.csv")
    rows = table[(table["role"] == "control") & (table["metric"] == "balanced_accuracy") & table["fold"].isna()]
    assert rows.iloc[0][["arm", "baseline"]].tolist() == ["classic", "classic, other seeds"]
    test = pd.read_parquet(page_folder / "predictions.parquet").query("role == 'test' and arm == 'classic'")
    expected = recomputed(test[test["replicate"] < 3], "balanced_accuracy")
    expected -= recomputed(test[test["replicate"] >= 3], "balanced_accuracy")
    assert rows.iloc[0]["estimate"] == pytest.approx(expected, abs=2e-6)
    assert rows.iloc[0]["low"] < 0 < rows.iloc[0]["high"]
