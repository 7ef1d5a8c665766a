"""Comparing runs: what it refuses, what it finds, and what it shows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fixtures.artifact_metadata import sound
from fixtures.report_data import CLASSES, FakeRun, SimulatedRun
from satpipe.engine.digests import digest_of
from satpipe.engine.results import Result, Results
from satpipe.engine.store import Store
from satpipe.engine.task import METADATA, Task
from satpipe.stages.report import compare, compare_page
from satpipe.stages.report.html.words import NOT_ABOUT_GANS
from satpipe.utils.errors import InputError
from sklearn.metrics import balanced_accuracy_score

BETTER = {"real": 0.0, "classic": 0.6, "gan": 0.3, "classic+gan": 2.0}


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    """The same data and test chips as the other run's, and a far better GAN arm."""
    root = tmp_path_factory.mktemp("other run")
    return FakeRun(root, SimulatedRun(effects=BETTER), name="better", gan={"preset": "dcgan"}).report()[0]


@pytest.fixture(scope="module")
def found(page_folder, other_folder):
    return compare.compare([page_folder, other_folder])


def test_keys_that_differ_are_named_with_both_values(found):
    assert found.configuration == {"gan.preset": ["dcgan-lowdata", "dcgan"]}
    assert found.data == {}


def test_the_difference_is_that_of_the_predictions_recomputed(found, page_folder, other_folder):
    def mean(folder, arm):
        rows = pd.read_parquet(folder / "predictions.parquet")
        rows = rows[(rows["arm"] == arm) & (rows["role"] == "test")]
        return np.mean(
            [balanced_accuracy_score(item["class"], item["predicted"]) for _, item in rows.groupby("replicate")]
        )

    assert [row["arm"] for row in found.differences] == ["real", "classic", "gan", "classic+gan"]
    for row in found.differences:
        expected = mean(other_folder, row["arm"]) - mean(page_folder, row["arm"])
        assert row["estimate"] == pytest.approx(expected)


def test_only_an_arm_that_got_better_is_called_better(found):
    answers = {row["arm"]: row["answer"] for row in found.differences}
    assert answers["classic+gan"] == "better"
    assert answers["real"] == answers["classic"] == "no detectable difference"


def test_the_terminal_table_has_a_row_per_arm(found):
    head, rows = found.table()
    assert head[:3] == ["arm", "harbours", "better"]
    assert rows[-1][0] == "classic+gan"
    assert rows[-1][-1] == "better is better"
    assert all(len(row) == len(head) for row in rows)


def test_the_page_shows_both_runs_and_needs_nothing_else(found, tmp_path):
    page = compare_page.write(found, tmp_path / "out").read_text("utf-8")
    data = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    assert data["runs"] == ["harbours", "better"]
    assert data["gan_quality"]["ship"]["kid"] == [pytest.approx(0.141), pytest.approx(0.141)]
    assert page.count("data:image/png;base64,") == 4
    assert "<script" not in page
    assert "dcgan-lowdata" in page


def test_runs_on_other_scenes_are_compared_only_if_asked(page_folder, tmp_path):
    fewer = FakeRun(tmp_path, SimulatedRun(units=11), name="fewer").report()[0]
    with pytest.raises(InputError, match=r"were tested on different chips \(360, 330; .* --common"):
        compare.compare([page_folder, fewer])
    found = compare.compare([page_folder, fewer], common=True)
    assert found.chips["common"] < 360
    assert "the comparison uses those that all share" in found.warnings[-1]
    assert found.differences[0]["chips"] == found.chips["common"]


def test_two_seeds_are_compared_as_independent_experiments(page_folder, tmp_path):
    other = FakeRun(tmp_path, SimulatedRun(effects=BETTER, seed=5), name="seed5").report()[0]
    rows = pd.read_parquet(other / "predictions.parquet")
    # Background chips are drawn anew; labelled objects stay what they are.
    drawn = (rows["class"] == CLASSES[0]) & rows["chip_id"].str.endswith("7")
    rows.assign(chip_id=rows["chip_id"].mask(drawn, rows["chip_id"] + "x")).to_parquet(other / "predictions.parquet")
    found = compare.compare([page_folder, other])
    assert not found.paired
    assert "compared as independent experiments" in found.warnings[-1]
    row = found.differences[-1]
    assert row["arm"] == "classic+gan"
    assert row["answer"] == "better"
    alone = [json.loads((folder / "report.json").read_text("utf-8"))["answer"] for folder in (page_folder, other)]
    means = [answer["arm_values"]["classic+gan"] for answer in alone]
    assert row["estimate"] == pytest.approx(means[1] - means[0])
    tables = [pd.read_csv(folder / "metrics.csv") for folder in (page_folder, other)]
    arms = [table.query("kind == 'arm' and arm == 'classic+gan' and fold.isna()") for table in tables]
    errors = [arm.set_index("metric").loc["balanced_accuracy", "se"] for arm in arms]
    assert row["se"] == pytest.approx(np.hypot(*errors), rel=1e-4)
    assert row["low"] < row["estimate"] < row["high"]


def test_a_forged_sentence_is_not_repeated(page_folder, tmp_path):
    report = json.loads((page_folder / "report.json").read_text("utf-8"))
    true = report["answer"]["sentence"]
    report["answer"]["sentence"] = "GANs double the accuracy."
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "predictions.parquet").write_bytes((page_folder / "predictions.parquet").read_bytes())
    found = compare.compare([tmp_path, page_folder])
    assert [run.checked.sentence for run in found.runs] == [true, true]
    assert "its verdict did not follow from its predictions and was recomputed" in found.warnings[0]
    assert "was recomputed" not in found.warnings[1]


def test_a_forged_warning_is_not_repeated(page_folder, tmp_path):
    report = json.loads((page_folder / "report.json").read_text("utf-8"))
    true = report["answer"]["sentence"]
    report["answer"]["sentence"] = f"GANs double the accuracy. {NOT_ABOUT_GANS} {true}"
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "predictions.parquet").write_bytes((page_folder / "predictions.parquet").read_bytes())
    sentence = compare.load(tmp_path).checked.sentence
    assert sentence == f"Its report says that its generator did not learn. {NOT_ABOUT_GANS} {true}"


@pytest.mark.parametrize("forged", [None, "report.json", "predictions.parquet"])
def test_reports_are_checked_against_the_store(page_folder, tmp_path, forged):
    store, title = Store(tmp_path / "data"), "report/page"
    store.create()
    with store.staging("k" * 32) as staged:
        for name in ("report.json", "predictions.parquet"):
            (staged / name).write_bytes((page_folder / name).read_bytes())
        (staged / METADATA).write_text(json.dumps(sound(title)))
        task = Task("report", "page", "satpipe:nothing")
        record = store.commit(staged, task, digest_of({}), {}, 1.0)
    name = "harbours"
    result = Result(
        name=name, last="report", sentence="", config={}, keys={title: record.key}, digests={title: record.digest},
        started=0.0, version=1,
    )  # fmt: skip
    Results(store.root).record(result)
    folder = tmp_path / "reports" / name
    folder.mkdir(parents=True)
    for file in ("report.json", "predictions.parquet"):
        (folder / file).write_bytes(
            (page_folder / file).read_bytes() + (b"\n" if file == forged == "report.json" else b"")
        )
    if forged == "predictions.parquet":
        rows = pd.read_parquet(folder / forged)
        rows.assign(predicted=rows["class"]).to_parquet(folder / forged)
    run = compare.load(folder, tmp_path)
    assert run.checked.verified is (forged is None)
    if forged is not None:
        assert f"{forged} is not what run {name} wrote" in run.checked.note
    if forged == "predictions.parquet":
        assert "accuracy 1.000 instead of 1.000" in run.checked.sentence


def test_a_scene_with_other_content_is_another_scene(page_folder, other_folder, tmp_path):
    changed = tmp_path / "changed"
    changed.mkdir()
    report = json.loads((other_folder / "report.json").read_text("utf-8"))
    report["data"]["scenes"]["harbour-03"] = "f" * 64
    (changed / "report.json").write_text(json.dumps(report))
    (changed / "predictions.parquet").write_bytes((other_folder / "predictions.parquet").read_bytes())
    with pytest.raises(InputError, match="1 scene with the same name but other content"):
        compare.compare([page_folder, changed])


def test_runs_of_other_classes_are_not_compared(page_folder, other_folder, tmp_path):
    report = json.loads((other_folder / "report.json").read_text("utf-8"))
    report["provenance"]["configuration"]["ingest"]["classes"].append("tanker")
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "predictions.parquet").write_bytes((other_folder / "predictions.parquet").read_bytes())
    with pytest.raises(InputError, match=r"\(non-ship, ship\) and .* \(non-ship, ship, tanker\) have different"):
        compare.compare([page_folder, tmp_path], common=True)


def test_chips_of_several_folds_are_compared_fold_by_fold(page_folder, tmp_path):
    folders = []
    for name, folder in (("one", page_folder), ("two", page_folder)):
        copy = tmp_path / name
        copy.mkdir()
        (copy / "report.json").write_bytes((folder / "report.json").read_bytes())
        rows = pd.read_parquet(folder / "predictions.parquet")
        again = rows.assign(fold=rows["fold"].max() + 1 + (rows["fold"] + 1) % 3)
        pd.concat([rows, again], ignore_index=True).to_parquet(copy / "predictions.parquet")
        folders.append(copy)
    for row in compare.compare(folders).differences:
        assert row["estimate"] == 0


@pytest.mark.parametrize("content", [None, "{", '{"format": 99}', "[]"])
def test_a_folder_without_a_report_is_named(page_folder, tmp_path, content):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
        (tmp_path / "predictions.parquet").write_bytes((page_folder / "predictions.parquet").read_bytes())
    with pytest.raises(InputError, match=str(tmp_path)):
        compare.compare([page_folder, tmp_path])


def test_a_run_compared_with_itself_does_not_differ(page_folder):
    found = compare.compare([page_folder, page_folder])
    assert [run.name for run in found.runs] == ["harbours (1)", "harbours (2)"]
    assert not found.configuration
    assert {row["answer"] for row in found.differences} == {"no detectable difference"}
    assert {row["estimate"] for row in found.differences} == {0.0}


def test_one_run_is_nothing_to_compare(page_folder):
    with pytest.raises(InputError, match="two runs or more"):
        compare.compare([page_folder])
