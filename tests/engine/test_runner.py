"""The runner's promises, each tried from outside through the command line on the letters pipeline."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject
from satpipe.config import load
from satpipe.engine.forecast import later_stages
from satpipe.engine.store import Store

ALL = [
    "chips/loud-a",
    "chips/loud-b",
    "classify/r0",
    "classify/r1",
    "gan/r0",
    "gan/r1",
    "ingest/a",
    "ingest/b",
    "ingest/tables",
    "report/page",
    "synth/r0",
    "synth/r1",
]


def written_at(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 where it is gone by now."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def wait_for(folder: Path, pattern: str, patience_s: float = 120) -> None:
    until = time.monotonic() + patience_s
    while not list(folder.glob(pattern)):
        assert until > time.monotonic(), f"{pattern} did not appear in {folder}"
        time.sleep(0.02)


def test_first_run_makes_everything_and_publishes_the_report(project: LettersProject) -> None:
    done = project.call("run", "all", "--config", "letters.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-2] == "2 counts"
    assert (project.folder / "reports" / "letters" / "report.html").read_text() == "<p>14 14</p>"
    timings = json.loads((project.folder / "reports" / "letters" / "timings.json").read_text())
    assert sorted(timings["seconds"]) == ALL


def test_second_run_makes_nothing_and_says_so(finished: LettersProject) -> None:
    before = finished.content()
    done = finished.call("run", "all", "--config", "letters.yaml")
    assert "everything is up to date (12 tasks)" in done.stdout
    assert "2 counts" in done.stdout
    assert finished.content() == before


def test_changed_helper_reruns_only_what_its_output_changes(
    finished: LettersProject,
) -> None:
    # Two stages use `loud`. Its output is the same for these texts, so nothing behind the two stages is made again.
    finished.edit("satpipe/shared.py", "return text.upper()", "return text.upper().upper()")
    assert finished.run() == ["chips/loud-a", "chips/loud-b", "classify/r0", "classify/r1"]
    finished.edit("satpipe/shared.py", "text.upper().upper()", 'text.upper() + "!"')
    assert finished.run() == [task for task in ALL if not task.startswith("ingest")]


def test_changed_helper_of_one_stage_leaves_the_others_alone(finished: LettersProject) -> None:
    finished.edit("satpipe/shared.py", "return text.lower()", "return text.lower().strip()")
    assert finished.run() == ["gan/r0", "gan/r1"]


def test_changed_comment_docstring_or_annotation_remakes_nothing(finished: LettersProject) -> None:
    finished.edit("satpipe/shared.py", '"""Upper case."""', '"""In capitals."""  # as on a chart')
    finished.edit("satpipe/shared.py", "def loud(text: str) -> str:", "\n\ndef loud(text: object) -> object:")
    assert finished.run() == []


def test_changed_template_remakes_only_the_report(finished: LettersProject) -> None:
    finished.edit("satpipe/stages/report/templates/page.html", "<p>", "<p class='counts'>")
    assert finished.run() == ["report/page"]
    assert "class='counts'" in (finished.folder / "reports" / "letters" / "report.html").read_text()


def test_one_replicate_more_makes_one_replicate(finished: LettersProject) -> None:
    assert finished.run("--set", "split.replicates=3") == ["classify/r2", "gan/r2", "report/page", "synth/r2"]


def test_changed_user_file_remakes_what_follows_from_it(finished: LettersProject) -> None:
    (finished.folder / "texts" / "a.txt").write_text("harbour ")
    assert finished.run() == ["ingest/a"]  # spaces are stripped: the same content comes out
    (finished.folder / "texts" / "a.txt").write_text("harbor")
    assert "chips/loud-b" not in finished.run()


def test_touched_user_file_remakes_nothing(finished: LettersProject) -> None:
    os.utime(finished.folder / "texts" / "a.txt", (1, 1))
    assert finished.run() == []


@pytest.mark.parametrize("keep_time", [False, True], ids=["edited", "edited-with-its-old-time"])
def test_output_edited_by_hand_is_noticed(finished: LettersProject, keep_time: bool) -> None:
    before = finished.content()
    path = finished.folder_of("chips", "loud-a") / "loud.txt"
    stamp = path.stat()
    path.write_text("HARBOUR?")  # one byte longer
    if keep_time:
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert finished.run() == ["chips/loud-a"]
    assert finished.content() == before


def test_flipped_bit_is_found_on_opening_and_made_again(finished: LettersProject) -> None:
    before = finished.content()
    path = finished.folder_of("chips", "loud-a") / "loud.txt"
    stamp = path.stat()
    path.write_bytes(b"IARBOUR")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    more = ("run", "all", "--config", "letters.yaml", "--set", "split.replicates=3")
    stopped = finished.call(*more, "--no-remake")
    assert stopped.returncode == 2
    assert path.parent.relative_to(finished.folder).as_posix() in stopped.stderr
    assert "loud.txt was changed" in stopped.stderr
    assert path.read_bytes() == b"IARBOUR"
    done = finished.call(*more)
    assert done.returncode == 0, done.stderr
    assert "loud.txt was changed; it is made again" in done.stdout
    assert path.read_bytes() == b"HARBOUR"
    assert finished.run() == []
    after = finished.content()
    assert all(after[name] == text for name, text in before.items() if name.startswith("data/parts/"))


def test_no_remake_stops_at_a_changed_artifact(finished: LettersProject) -> None:
    (finished.folder_of("gan", "r1") / "model.txt").unlink()
    stopped = finished.call("run", "all", "--config", "letters.yaml", "--no-remake")
    assert stopped.returncode == 2
    assert "artifact gan/r1 in " in stopped.stderr
    assert "model.txt is missing" in stopped.stderr
    assert finished.run() == ["gan/r1"]
    assert finished.call("run", "all", "--config", "letters.yaml", "--no-remake").returncode == 0


def test_deleted_output_and_deleted_report_come_back(finished: LettersProject) -> None:
    before = finished.content()
    shutil.rmtree(finished.folder_of("synth", "r1"))
    shutil.rmtree(finished.folder / "reports" / "letters")
    assert finished.run() == ["synth/r1"]
    assert finished.content() == before


def test_report_edited_by_hand_is_published_again(finished: LettersProject) -> None:
    before = finished.content()
    (finished.folder / "reports" / "letters" / "report.html").write_text("<p>better</p>")
    assert finished.run() == []
    assert finished.content() == before


def test_broken_record_is_made_again(finished: LettersProject) -> None:
    before = finished.content()
    record = next((finished.folder / "data" / "records" / "synth").glob("*.json"))
    record.write_text(record.read_text()[:40])
    assert len(finished.run()) == 1
    assert finished.content() == before


def test_force_makes_the_named_stage_again(finished: LettersProject) -> None:
    done = finished.call("run", "gan", "--config", "letters.yaml", "--force")
    assert "gan/r0 made" in done.stdout
    assert "chips/loud-a made" not in done.stdout


def test_to_stops_and_from_does_not_make_what_comes_before(project: LettersProject) -> None:
    early = project.call("run", "all", "--config", "letters.yaml", "--from", "gan")
    assert early.returncode == 2
    assert "`satpipe run ingest` first" in early.stderr
    assert project.run("--to", "chips") == ["chips/loud-a", "chips/loud-b", "ingest/a", "ingest/b", "ingest/tables"]
    assert "ingest/a" not in project.run("--from", "gan")


def test_killed_run_resumes_with_the_same_bytes(project: LettersProject, tmp_path: Path) -> None:
    straight = LettersProject.build(tmp_path / "straight")
    straight.run()
    log = project.folder / "log.txt"
    project.environment = {"LETTERS_SLEEP_S": "0.4", "LETTERS_LOG": str(log)}
    process = project.start("run", "all", "--config", "letters.yaml", "--set", "compute.workers=1")
    wait_for(project.folder, "data/work/*/step")
    process.kill()
    process.communicate()
    project.environment = {"LETTERS_LOG": str(log)}
    # Workers of the killed run end by themselves; the resumed one starts at a step that was reached.
    time.sleep(1.5)
    project.run()
    assert "r0 from step 0" not in log.read_text().splitlines()
    assert project.content() == straight.content()


def test_scratch_of_committed_artifacts_is_removed(finished: LettersProject) -> None:
    # As a kill leaves it between an artifact's record and the end of its work folder.
    data = finished.folder / "data"
    keys = {stage: next((data / "records" / stage).glob("*.json")).stem for stage in ("gan", "classify")}
    for key in [*keys.values(), "unknown"]:
        (data / "work" / key).mkdir()
    lost = json.loads((data / "records" / "gan" / f"{keys['gan']}.json").read_text())["digest"]
    (data / "parts" / "gan" / lost).rename(finished.folder / "aside")
    with Store(data).lock():
        assert {path.name for path in (data / "work").iterdir()} == {keys["gan"], "unknown"}


def test_killed_run_is_listed_as_stopped_and_kept_by_clean(project: LettersProject) -> None:
    log = project.folder / "log.txt"
    project.environment = {"LETTERS_SLEEP_S": "1.5", "LETTERS_LOG": str(log)}
    process = project.start("run", "all", "--config", "letters.yaml", "--set", "compute.workers=1")
    wait_for(project.folder, "data/records/gan/*.json")
    # The checkpoint of the artifact after it: the first artifact's own may lie there a moment longer, but is older.
    made = next(project.folder.glob("data/records/gan/*.json")).stat().st_mtime_ns
    until = time.monotonic() + 60
    while not any(written_at(step) > made for step in project.folder.glob("data/work/*/step")):
        assert time.monotonic() < until, "no second part began"
        time.sleep(0.02)
    assert [row["state"] for row in json.loads(project.call("runs", "--json").stdout)] == ["running"]
    process.kill()
    process.communicate()
    time.sleep(1.5)
    assert [row["state"] for row in json.loads(project.call("runs", "--json").stdout)] == ["stopped"]
    assert project.call("clean", "--yes").returncode == 0
    project.environment = {"LETTERS_LOG": str(log)}
    assert "gan/r0" not in project.run()
    assert "r1 from step 0" not in log.read_text().splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_with_130_and_says_how_to_go_on(project: LettersProject, number: signal.Signals) -> None:
    project.environment = {"LETTERS_SLEEP_S": "5"}
    process = project.start("run", "all", "--config", "letters.yaml")
    wait_for(project.folder, "data/work/*/progress.json")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; run the same command again to resume" in err
    assert "Traceback" not in err
    project.environment = {}
    assert "ingest/a" not in project.run()


def test_second_run_at_the_same_time_is_refused_with_the_pid(project: LettersProject) -> None:
    project.environment = {"LETTERS_SLEEP_S": "1"}
    first = project.start("run", "all", "--config", "letters.yaml")
    wait_for(project.folder, "data/work/*")
    second = project.call("run", "all", "--config", "letters.yaml")
    assert second.returncode == 2
    assert f"process {first.pid} on " in second.stderr
    assert "run all --config letters.yaml" in second.stderr
    assert project.call("status", "--config", "letters.yaml").returncode == 0
    assert project.call("runs").returncode == 0
    assert first.wait(60) == 0


def test_same_bytes_with_one_worker_and_with_three(project: LettersProject, tmp_path: Path) -> None:
    other = LettersProject.build(tmp_path / "other")
    project.run("--set", "compute.workers=1")
    other.run("--set", "compute.workers=3")
    assert project.content() == other.content()


def test_failed_task_ends_in_one_sentence(project: LettersProject) -> None:
    project.edit("satpipe/stages/synth/stage.py", "(context.out", "raise RuntimeError('no ink')\n    (context.out")
    done = project.call("run", "all", "--config", "letters.yaml")
    assert done.returncode == 1
    assert "task synth/r" in done.stderr
    assert "RuntimeError: no ink" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    project.edit("satpipe/stages/synth/stage.py", "raise RuntimeError('no ink')\n    (context.out", "(context.out")
    assert project.run() == ["classify/r0", "classify/r1", "report/page", "synth/r0", "synth/r1"]


def test_dry_run_lists_tasks_with_reasons_and_runs_none(finished: LettersProject) -> None:
    before = finished.content()
    same = finished.call("run", "all", "--config", "letters.yaml", "--dry-run")
    assert "everything is up to date" in same.stdout
    done = finished.call("run", "all", "--config", "letters.yaml", "--dry-run", "--set", "chips.size_px=32")
    assert "chips/loud-a: about" in done.stdout
    assert "configuration size_px was 80 and is 32" in done.stdout
    assert "then gan, synth, classify, report" in done.stdout
    assert finished.content() == before


def test_dry_run_expects_what_similar_tasks_took(project: LettersProject) -> None:
    project.edit(
        "satpipe/stages/gan/stage.py", "    (context.out", "    import time; time.sleep(2.2)\n    (context.out"
    )
    project.run()
    done = project.call("run", "all", "--config", "letters.yaml", "--dry-run", "--set", "split.replicates=3")
    assert "gan/r2: about 2 s" in done.stdout, done.stdout + done.stderr
    # An artifact of another configuration is none of its like.
    done = project.call("run", "all", "--config", "letters.yaml", "--dry-run", "--set", "chips.size_px=32")
    assert "chips/loud-a: about 1 s" in done.stdout


def test_dry_run_of_a_fresh_project_forecasts_later_stages(project: LettersProject) -> None:
    for stage in ("gan", "synth", "classify"):
        stage = project.folder / "satpipe" / "stages" / stage / "stage.py"
        stage.write_text(stage.read_text() + "\n\ndef forecast(config, extent):\n    return extent.splits + 1, 600.0\n")
    done = project.call("run", "all", "--config", "letters.yaml", "--dry-run", "--set", "split.fractions=[0.5, 1]")
    # Three folds, two fractions, two replicates, and the final one.
    assert "gan: 13 tasks of about 10 min" in done.stdout, done.stderr
    assert "about 3.5 h in all with 2 workers" in done.stdout
    assert not (project.folder / "data" / "parts").exists()


@pytest.mark.parametrize(
    ("split", "folds"),
    [
        ("scheme: holdout\n  repeats: 4", 4),
        ("scheme: folds\n  repeats: 2", 6),
        ("scheme: lists\n  test_lists: [[a], [b]]", 2),
        ("scheme: leave-one-out\n  test_groups: [a, b, c]", 3),
    ],
)
def test_every_way_to_deal_groups_is_forecast(tmp_path: Path, split: str, folds: int) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"ingest: {{sources: [{{type: simulated}}]}}\nsplit:\n  replicates: 5\n  {split}\n")
    gan, report = later_stages(load.load(path), ["gan", "report"])
    assert (gan.stage, gan.tasks, report.tasks) == ("gan", 5 * folds + 1, 1)
    assert gan.seconds > 0


def test_budget_runs_whole_replicates_and_says_what_it_left_out(project: LettersProject) -> None:
    done = project.call("run", "all", "--config", "letters.yaml", "--budget", "0.001s", "--set", "split.replicates=4")
    assert done.returncode == 0, done.stderr
    assert "1 replicate took longer than 0.001s; left out: replicates 2 to 4" in done.stdout
    assert "1 counts" in done.stdout
    done = project.call("run", "all", "--config", "letters.yaml", "--budget", "2h", "--set", "split.replicates=3")
    assert "3 replicates fitted in 2h; none left out" in done.stdout
    assert "gan/r0" not in done.stdout


@pytest.mark.parametrize("budget", ["3", "h", "-1h", "nanh", "infh", "3 weeks"])
def test_wrong_budget_is_refused(project: LettersProject, budget: str) -> None:
    done = project.call("run", "all", "--config", "letters.yaml", "--budget", budget)
    assert done.returncode == 2
    assert "such as 30m or 3h" in done.stderr


def test_status_and_why_name_what_changed(finished: LettersProject) -> None:
    finished.edit("satpipe/shared.py", "text.upper()", "text.title()")
    status = finished.call("status", "--config", "letters.yaml")
    assert status.returncode == 0, status.stderr
    assert "code satpipe.shared.loud changed" in status.stdout
    why = finished.call("why", "chips", "--config", "letters.yaml")
    assert "chips/loud-a: to run: code satpipe.shared.loud changed" in why.stdout
    assert "ingest/a: up to date: made 20" in finished.call("why", "ingest", "--config", "letters.yaml").stdout


def test_runs_lists_data_preset_verdict_and_report(finished: LettersProject) -> None:
    rows = json.loads(finished.call("runs", "--json").stdout)
    assert [(row["run"], row["state"], row["data"], row["verdict"]) for row in rows] == [
        ("letters", "finished", "folders", "helps")
    ]
    assert Path(finished.folder, rows[0]["report"]).is_file()
    # In a pipe a run is one line and nothing of it is cut, however narrow the window that it was called from.
    finished.environment = {"COLUMNS": "40"}
    lines = finished.call("runs").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].rstrip().endswith(rows[0]["report"])


def test_clean_deletes_what_no_run_refers_to_and_nothing_else(finished: LettersProject) -> None:
    before = finished.content()
    assert "nothing to delete" in finished.call("clean", "--yes").stdout
    finished.run("--set", "chips.size_px=32", "--set", "seed=2", "--name", "other")
    freed = finished.call("clean", "--yes", "--forget", "other")
    assert "freed" in freed.stdout, freed.stderr
    shutil.rmtree(finished.folder / "reports" / "other")
    assert finished.content() == before
    assert finished.run() == []


def test_store_of_another_version_is_refused(finished: LettersProject) -> None:
    (finished.folder / "data" / "store.json").write_text('{"version": 999}')
    done = finished.call("run", "all", "--config", "letters.yaml")
    assert done.returncode == 2
    assert "version 999" in done.stderr


def test_log_file_is_written_per_run(finished: LettersProject) -> None:
    logs = list((finished.folder / "data" / "logs").glob("letters-*.log"))
    assert len(logs) == 1
    assert "report/page made in" in logs[0].read_text()
