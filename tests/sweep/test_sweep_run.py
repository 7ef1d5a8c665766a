"""A sweep's promises, tried on the letters pipeline: shared artifacts, failures, resuming, what it leaves."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject, made

SWEEP = ("sweep", "--config", "letters.yaml", "--name", "s")
REPLICATES = (*SWEEP, "--grid", "split.replicates=1,2")
SEEDS = (*SWEEP, "--grid", "seed=1,2,3", "--set", "split.replicates=1")


def table(project: LettersProject) -> dict[str, dict[str, str]]:
    """Lines of the CSV by point."""
    text = (project.folder / "reports" / "s" / "sweep.csv").read_text()
    return {line["point"]: line for line in csv.DictReader(text.splitlines())}


def tasks(output: str) -> list[str]:
    """Artifacts that were made; what follows an artifact's name says which point it was for."""
    return [title for title in made(output) if not title.startswith(("ingest/", "chips/"))]


def wait_for(happened: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_points_share_tasks_and_leave_reports_and_a_table(project: LettersProject) -> None:
    done = project.call(*REPLICATES)
    assert done.returncode == 0, done.stderr
    expected = [f"{stage}/r{number}" for stage in ("classify", "gan") for number in (0, 1)]
    assert tasks(done.stdout) == [*expected, "report/page", "report/page", "synth/r0", "synth/r1"]
    assert "gan/r0 of replicates=1 and 1 more made in" in done.stdout
    assert "gan/r1 of replicates=2 made in" in done.stdout
    assert (project.folder / "reports" / "s-replicates-1" / "report.html").read_text() == "<p>14</p>"
    assert (project.folder / "reports" / "s-replicates-2" / "report.html").read_text() == "<p>14 14</p>"
    assert {point: line["state"] for point, line in table(project).items()} == {
        "replicates=1": "done",
        "replicates=2": "done",
    }
    runs = json.loads(project.call("runs", "--json").stdout)
    assert [(run["run"], run["state"]) for run in runs] == [
        ("s-replicates-1", "finished"),
        ("s-replicates-2", "finished"),
    ]


def test_a_sweep_over_a_finished_run_runs_nothing(project: LettersProject) -> None:
    project.run()
    done = project.call(*REPLICATES)
    assert tasks(done.stdout) == ["report/page"]  # of one replicate; that of two was made by the run
    before = project.content()
    assert tasks(project.call(*REPLICATES).stdout) == []
    assert project.content() == before


def test_a_killed_sweep_resumes_with_the_same_bytes(project: LettersProject, tmp_path: Path) -> None:
    straight = LettersProject.build(tmp_path / "straight")
    assert straight.call(*SEEDS).returncode == 0
    log = project.folder / "log.txt"
    project.environment = {"LETTERS_SLEEP_S": "0.3", "LETTERS_LOG": str(log)}
    process = project.start(*SEEDS, "--set", "compute.workers=1")
    data = project.folder / "data"
    # One generator is recorded, and another one has a checkpoint.
    wait_for(
        lambda: (
            (keys := {path.stem for path in data.glob("records/gan/*.json")})
            and any(path.parent.name not in keys for path in data.glob("work/*/step"))
        )
    )
    process.kill()
    process.communicate()
    time.sleep(1.5)  # its workers end by themselves
    assert "nothing to delete" in project.call("clean", "--yes").stdout  # what it made is kept for it
    assert {line["state"] for line in table(project).values()} == {"waiting"}
    project.environment = {"LETTERS_LOG": str(log)}
    done = project.call(*SEEDS)
    assert done.returncode == 0, done.stderr
    starts = log.read_text().splitlines()
    assert starts[0] == "r0 from step 0"
    assert len(starts) == 3, "no finished part is made again"
    assert any(not line.endswith("step 0") for line in starts[1:])
    tables = [
        {path: data for path, data in one.content().items() if "sweep." not in path} for one in (project, straight)
    ]
    assert tables[0] == tables[1]
    assert {point: line["state"] for point, line in table(project).items()} == dict.fromkeys(table(straight), "done")


def test_an_interrupted_sweep_ends_with_130(project: LettersProject) -> None:
    project.environment = {"LETTERS_SLEEP_S": "5"}
    process = project.start(*SEEDS)
    wait_for(lambda: list(project.folder.glob("data/work/*/progress.json")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run the same command again to resume" in err
    assert {run["state"] for run in json.loads(project.call("runs", "--json").stdout)} == {"interrupted"}


FAILS = """from ...utils.errors import TrainingError
    if context.config["seed"] in SEEDS:
        raise TrainingError("it diverged; lower something")
    import os, time"""


def test_a_failing_point_is_in_the_table_with_its_reason(project: LettersProject) -> None:
    project.edit("satpipe/stages/gan/stage.py", "import os, time", FAILS.replace("SEEDS", "(2,)"))
    done = project.call(*SEEDS)
    assert done.returncode == 0, done.stderr
    assert "failed: seed=2: it diverged; lower something" in done.stdout
    found = table(project)
    assert list(found)[-1] == "seed=2"
    assert (found["seed=2"]["state"], found["seed=2"]["failure"]) == ("failed", "it diverged; lower something")
    assert found["seed=1"]["state"] == found["seed=3"]["state"] == "done"
    assert not (project.folder / "reports" / "s-seed-2").exists()


def test_a_sweep_in_which_every_point_fails_is_one_sentence(project: LettersProject) -> None:
    project.edit("satpipe/stages/gan/stage.py", "import os, time", FAILS.replace("SEEDS", "(1, 2, 3)"))
    done = project.call(*SEEDS)
    assert done.returncode == 1
    assert done.stderr.strip() == "satpipe: sweep s: every point failed, the first with: it diverged; lower something"


def test_a_sweep_to_the_gan_leaves_out_what_is_not_evaluated(project: LettersProject) -> None:
    project.edit("satpipe/stages/gan/stage.py", 'Task("gan", f"r{replicate}"', 'Task("gan", ("final", "r1")[replicate]')
    done = project.call(*SWEEP, "--grid", "seed=1,2", "--to", "gan")
    assert done.returncode == 0, done.stderr
    assert tasks(done.stdout) == ["gan/r1", "gan/r1"]
    assert {line["state"] for line in table(project).values()} == {"done"}
    assert not (project.folder / "data" / "parts" / "synth").exists()
    assert "nothing to delete" in project.call("clean", "--yes").stdout


def test_a_wrong_point_stops_the_sweep_before_anything_is_made(project: LettersProject) -> None:
    done = project.call(*SWEEP, "--grid", "split.replicates=1,0")
    assert done.returncode == 2
    assert "point replicates=0: --set split.replicates=0: `split.replicates`" in done.stderr
    assert not (project.folder / "data").exists()


def test_dry_run_lists_the_points_and_makes_nothing(project: LettersProject) -> None:
    for stage in ("gan", "synth", "classify"):
        stage = project.folder / "satpipe" / "stages" / stage / "stage.py"
        stage.write_text(stage.read_text() + "\n\ndef forecast(config, extent):\n    return extent.splits, 600.0\n")
    done = project.call(*SEEDS, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "seed=1: 2 tasks of ingest to run"
    assert lines[1] == "seed=2: 2 tasks of ingest to run, 2 of them shared with points above"
    # Three folds of one replicate: three artifacts of ten minutes in each of three stages, for three points.
    assert lines[3] == "3 points, about 2.3 h in all with 2 workers"
    assert not (project.folder / "data" / "parts").exists()


def test_a_sweep_runs_on_a_dask_cluster(project: LettersProject) -> None:
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    done = project.call(*SEEDS, "--to", "gan", "--executor", "dask")
    assert done.returncode == 0, done.stderr
    assert {line["state"] for line in table(project).values()} == {"done"}
