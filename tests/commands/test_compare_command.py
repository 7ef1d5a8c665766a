"""``satpipe compare`` on the command line: names and folders of runs, what it prints, where it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from satpipe.commands import cli
from satpipe.dataset.tables import PREDICTIONS
from satpipe.stages.report.schema import FORMAT, Report
from satpipe.utils.errors import InputError

CLASSES = ["non-ship", "ship"]
ARMS = ["classic", "classic+gan"]


def write_run(root: Path, name: str, wrong: int, preset: str = "dcgan", chips: int = 240) -> None:
    """A report as far as `compare` reads it; of every arm `wrong` chips in ten of `classic+gan` are wrong."""
    folder = root / "reports" / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    frames = []
    for replicate in range(6):
        for arm in ARMS:
            true = np.arange(chips) % 2
            miss = rng.integers(0, 10, chips) < (wrong if arm == "classic+gan" else 3)
            predicted = np.where(miss, 1 - true, true)
            frames.append(
                pd.DataFrame(
                    {
                        "fold": 0,
                        "fraction": 1.0,
                        "replicate": replicate,
                        "arm": arm,
                        "role": "test",
                        "chip_id": [f"c{number}" for number in range(chips)],
                        "unit": [f"scene{number % 12}" for number in range(chips)],
                        "class": np.array(CLASSES)[true],
                        "predicted": np.array(CLASSES)[predicted],
                        "score": np.where(predicted == 1, 0.9, 0.1),
                        "threshold": 0.5,
                    }
                )
            )
    PREDICTIONS.write(pd.concat(frames, ignore_index=True), folder / "predictions.parquet")
    report = {
        "format": FORMAT,
        "run": name,
        "answer": {
            "question": {
                "metric": "accuracy",
                "title": "accuracy",
                "treatment": "classic+gan",
                "baseline": "classic",
                "fraction": 1.0,
                "confidence": 0.95,
                "draws": 100,
                "seed": 1,
                "unit": "scene_id",
                "folds": "random",
            },
            "sentence": f"What {name} says.",
            "arm_values": dict.fromkeys(ARMS, 0.5),
        },
        "gan": {"quality": {"ship": {"kid": 0.2, "kid_floor": 0.1}}},
        "data": {"scenes": {"scene0": "a" * 64}},
        "provenance": {
            "configuration": {"ingest": {"classes": CLASSES}, "gan": {"preset": preset}},
            "artifacts": {"chips/index": "b" * 64},
        },
    }
    assert set(report) <= {*Report.model_fields, "format"}
    (folder / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two runs")
    write_run(folder, "first", wrong=3)
    write_run(folder, "second", wrong=1, preset="dcgan-lowdata")
    write_run(folder, "shorter", wrong=3, chips=200)
    return folder


def invoke(root: Path, *words: str):
    return CliRunner().invoke(cli, ["compare", *words, "--root", str(root)], catch_exceptions=True)


def test_two_runs_are_compared_on_the_terminal_and_in_files(root):
    done = invoke(root, "first", "second")
    assert done.exit_code == 0, done.output
    for words in (
        "first (not verified): ",
        "instead of",
        "gan.preset",
        "dcgan-lowdata",
        "240 common test chips",
        "second is better",
    ):
        assert words in done.output
    assert "0.2 (0.1)" in done.output
    folder = root / "reports" / "compare-first-second"
    data = json.loads((folder / "compare.json").read_text())
    assert [row["answer"] for row in data["differences"]] == ["no detectable difference", "better"]
    assert (folder / "compare.html").is_file()


def test_a_run_may_be_named_by_its_folder_and_the_output_placed(root, tmp_path):
    done = invoke(root, str(root / "reports" / "first"), "second", "--out", str(tmp_path / "elsewhere"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "elsewhere" / "compare.html").is_file()


def test_other_test_chips_are_compared_apart_or_in_common(root):
    done = invoke(root, "first", "shorter")
    assert done.exit_code == 0, done.output
    assert "of each run on its own test chips, unpaired intervals" in done.output
    done = invoke(root, "first", "shorter", "--common")
    assert done.exit_code == 0
    assert "200 common test chips" in done.output
    assert "note: The runs were tested on different chips (240, 200; 200 in common)" in done.output


@pytest.mark.parametrize(("key", "value", "said"), [("seed", 2, False), ("chips", {"size_px": 64}, True)])
def test_chips_look_different_after_other_cutting_not_another_seed(tmp_path, key, value, said):
    for name in ("first", "second"):
        write_run(tmp_path, name, wrong=3)
    file = tmp_path / "reports" / "second" / "report.json"
    report = json.loads(file.read_text())
    report["provenance"]["configuration"][key] = value
    report["provenance"]["artifacts"]["chips/index"] = "c" * 64
    file.write_text(json.dumps(report))
    done = invoke(tmp_path, "first", "second")
    assert done.exit_code == 0, done.output
    assert ("may look different" in " ".join(done.output.split())) == said


def test_what_was_edited_into_a_report_is_not_printed(root):
    done = invoke(root, "first", "second")
    assert "What first says." not in done.output
    assert "first is not verified: the store with run first is missing" in " ".join(done.output.split())


def test_an_unknown_run_names_those_that_exist(root):
    done = invoke(root, "first", "third")
    assert isinstance(done.exception, InputError)
    assert "no report of a run third" in str(done.exception)
    assert "first, second, shorter" in str(done.exception)
