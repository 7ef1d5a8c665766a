"""The runner's promises, each tried from outside through the command line on the toy pipeline."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from fixtures.toy_project import Toy
from rich.console import Console
from satpipe.config import load
from satpipe.engine.display import PlainDisplay
from satpipe.engine.runner import Runner
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


def test_first_run_makes_everything_and_publishes_the_report(toy: Toy) -> None:
    done = toy.call("run", "all", "--config", "toy.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-2] == "2 counts"
    assert (toy.folder / "reports" / "toy" / "report.html").read_text() == "<p>14 14</p>"
    timings = json.loads((toy.folder / "reports" / "toy" / "timings.json").read_text())
    assert sorted(timings["seconds"]) == ALL


def test_second_run_makes_nothing_and_says_so(toy_done: Toy) -> None:
    before = toy_done.content()
    done = toy_done.call("run", "all", "--config", "toy.yaml")
    assert "everything is up to date (12 parts)" in done.stdout
    assert "2 counts" in done.stdout
    assert toy_done.content() == before


def test_changed_helper_remakes_what_uses_it_and_then_only_what_depends_on_changed_output(toy_done: Toy) -> None:
    # Two rooms use `loud`. Its output is the same for these texts, so nothing behind the two rooms is made again.
    toy_done.edit("satpipe/shared.py", "return text.upper()", "return text.upper().upper()")
    assert toy_done.run() == ["chips/loud-a", "chips/loud-b", "classify/r0", "classify/r1"]
    toy_done.edit("satpipe/shared.py", "text.upper().upper()", 'text.upper() + "!"')
    assert toy_done.run() == [task for task in ALL if not task.startswith("ingest")]


def test_changed_helper_of_one_room_leaves_the_others_alone(toy_done: Toy) -> None:
    toy_done.edit("satpipe/shared.py", "return text.lower()", "return text.lower().strip()")
    assert toy_done.run() == ["gan/r0", "gan/r1"]


def test_changed_comment_docstring_or_annotation_remakes_nothing(toy_done: Toy) -> None:
    toy_done.edit("satpipe/shared.py", '"""Upper case."""', '"""In capitals."""  # as on a chart')
    toy_done.edit("satpipe/shared.py", "def loud(text: str) -> str:", "\n\ndef loud(text: object) -> object:")
    assert toy_done.run() == []


def test_changed_template_remakes_only_the_report(toy_done: Toy) -> None:
    toy_done.edit("satpipe/stages/report/templates/page.html", "<p>", "<p class='counts'>")
    assert toy_done.run() == ["report/page"]
    assert "class='counts'" in (toy_done.folder / "reports" / "toy" / "report.html").read_text()


def test_one_replicate_more_makes_one_replicate(toy_done: Toy) -> None:
    assert toy_done.run("--set", "split.replicates=3") == ["classify/r2", "gan/r2", "report/page", "synth/r2"]


def test_changed_user_file_remakes_what_follows_from_it(toy_done: Toy) -> None:
    (toy_done.folder / "texts" / "a.txt").write_text("harbour ")
    assert toy_done.run() == ["ingest/a"]  # the maker strips it: the same content comes out
    (toy_done.folder / "texts" / "a.txt").write_text("harbor")
    assert "chips/loud-b" not in toy_done.run()


def test_touched_user_file_remakes_nothing(toy_done: Toy) -> None:
    os.utime(toy_done.folder / "texts" / "a.txt", (1, 1))
    assert toy_done.run() == []


@pytest.mark.parametrize("keep_time", [False, True], ids=["edited", "edited-with-its-old-time"])
def test_output_edited_by_hand_is_noticed(toy_done: Toy, keep_time: bool) -> None:
    before = toy_done.content()
    path = toy_done.folder_of("chips", "loud-a") / "loud.txt"
    stamp = path.stat()
    path.write_text("HARBOUR?")  # one byte longer
    if keep_time:
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert toy_done.run() == ["chips/loud-a"]
    assert toy_done.content() == before


def test_one_flipped_bit_is_found_when_the_part_is_opened_and_the_part_made_again(toy_done: Toy) -> None:
    before = toy_done.content()
    path = toy_done.folder_of("chips", "loud-a") / "loud.txt"
    stamp = path.stat()
    path.write_bytes(b"IARBOUR")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    more = ("run", "all", "--config", "toy.yaml", "--set", "split.replicates=3")
    stopped = toy_done.call(*more, "--no-remake")
    assert stopped.returncode == 2
    assert path.parent.relative_to(toy_done.folder).as_posix() in stopped.stderr
    assert "loud.txt was changed" in stopped.stderr
    assert path.read_bytes() == b"IARBOUR"
    done = toy_done.call(*more)
    assert done.returncode == 0, done.stderr
    assert "loud.txt was changed; it is made again" in done.stdout
    assert path.read_bytes() == b"HARBOUR"
    assert toy_done.run() == []
    after = toy_done.content()
    assert all(after[name] == text for name, text in before.items() if name.startswith("data/parts/"))


def test_without_remaking_a_run_stops_at_a_part_that_was_changed_and_names_the_file(toy_done: Toy) -> None:
    (toy_done.folder_of("gan", "r1") / "model.txt").unlink()
    stopped = toy_done.call("run", "all", "--config", "toy.yaml", "--no-remake")
    assert stopped.returncode == 2
    assert "part gan/r1 in " in stopped.stderr
    assert "model.txt is missing" in stopped.stderr
    assert toy_done.run() == ["gan/r1"]
    assert toy_done.call("run", "all", "--config", "toy.yaml", "--no-remake").returncode == 0


def test_deleted_output_and_deleted_report_come_back(toy_done: Toy) -> None:
    before = toy_done.content()
    shutil.rmtree(toy_done.folder_of("synth", "r1"))
    shutil.rmtree(toy_done.folder / "reports" / "toy")
    assert toy_done.run() == ["synth/r1"]
    assert toy_done.content() == before


def test_report_edited_by_hand_is_published_again(toy_done: Toy) -> None:
    before = toy_done.content()
    (toy_done.folder / "reports" / "toy" / "report.html").write_text("<p>better</p>")
    assert toy_done.run() == []
    assert toy_done.content() == before


def test_broken_record_is_made_again(toy_done: Toy) -> None:
    before = toy_done.content()
    record = next((toy_done.folder / "data" / "records" / "synth").glob("*.json"))
    record.write_text(record.read_text()[:40])
    assert len(toy_done.run()) == 1
    assert toy_done.content() == before


def test_force_makes_the_named_stage_again(toy_done: Toy) -> None:
    done = toy_done.call("run", "gan", "--config", "toy.yaml", "--force")
    assert "gan/r0 made" in done.stdout
    assert "chips/loud-a made" not in done.stdout


def test_to_stops_and_from_does_not_make_what_comes_before(toy: Toy) -> None:
    early = toy.call("run", "all", "--config", "toy.yaml", "--from", "gan")
    assert early.returncode == 2
    assert "`satpipe run ingest` first" in early.stderr
    assert toy.run("--to", "chips") == ["chips/loud-a", "chips/loud-b", "ingest/a", "ingest/b", "ingest/tables"]
    assert "ingest/a" not in toy.run("--from", "gan")


def test_killed_run_goes_on_from_its_checkpoint_and_gives_the_same_bytes(toy: Toy, tmp_path: Path) -> None:
    straight = Toy.build(tmp_path / "straight")
    straight.run()
    log = toy.folder / "log.txt"
    toy.environment = {"TOY_SLEEP_S": "0.4", "TOY_LOG": str(log)}
    process = toy.start("run", "all", "--config", "toy.yaml", "--set", "compute.workers=1")
    wait_for(toy.folder, "data/work/*/step")
    process.kill()
    process.communicate()
    toy.environment = {"TOY_LOG": str(log)}
    # Workers of the killed run end by themselves; the resumed one starts at a step that was reached.
    time.sleep(1.5)
    toy.run()
    assert "r0 from step 0" not in log.read_text().splitlines()
    assert toy.content() == straight.content()


def test_scratch_of_what_was_committed_is_tidied_up_and_that_of_lost_content_kept(toy_done: Toy) -> None:
    # As a kill leaves it between a part's record and the end of its work folder.
    data = toy_done.folder / "data"
    keys = {stage: next((data / "records" / stage).glob("*.json")).stem for stage in ("gan", "classify")}
    for key in [*keys.values(), "unknown"]:
        (data / "work" / key).mkdir()
    lost = json.loads((data / "records" / "gan" / f"{keys['gan']}.json").read_text())["digest"]
    (data / "parts" / "gan" / lost).rename(toy_done.folder / "aside")
    with Store(data).lock():
        assert {path.name for path in (data / "work").iterdir()} == {keys["gan"], "unknown"}


def test_killed_run_is_listed_as_stopped_and_clean_keeps_what_it_made(toy: Toy) -> None:
    log = toy.folder / "log.txt"
    toy.environment = {"TOY_SLEEP_S": "0.3", "TOY_LOG": str(log)}
    process = toy.start("run", "all", "--config", "toy.yaml", "--set", "compute.workers=1")
    wait_for(toy.folder, "data/records/gan/*.json")
    # The checkpoint of the part after it: the first part's own may lie there a moment longer, but is older.
    made = next(toy.folder.glob("data/records/gan/*.json")).stat().st_mtime_ns
    until = time.monotonic() + 60
    while not any(written_at(step) > made for step in toy.folder.glob("data/work/*/step")):
        assert time.monotonic() < until, "no second part began"
        time.sleep(0.02)
    assert [row["state"] for row in json.loads(toy.call("runs", "--json").stdout)] == ["running"]
    process.kill()
    process.communicate()
    time.sleep(1.5)
    assert [row["state"] for row in json.loads(toy.call("runs", "--json").stdout)] == ["stopped"]
    assert toy.call("clean", "--yes").returncode == 0
    toy.environment = {"TOY_LOG": str(log)}
    assert "gan/r0" not in toy.run()
    assert "r1 from step 0" not in log.read_text().splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_with_130_and_says_how_to_go_on(toy: Toy, number: signal.Signals) -> None:
    toy.environment = {"TOY_SLEEP_S": "5"}
    process = toy.start("run", "all", "--config", "toy.yaml")
    wait_for(toy.folder, "data/work/*/progress.json")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; the same command goes on where it was" in err
    assert "Traceback" not in err
    toy.environment = {}
    assert "ingest/a" not in toy.run()


def test_second_run_over_the_same_store_is_refused_with_pid_and_command(toy: Toy) -> None:
    toy.environment = {"TOY_SLEEP_S": "1"}
    first = toy.start("run", "all", "--config", "toy.yaml")
    wait_for(toy.folder, "data/work/*")
    second = toy.call("run", "all", "--config", "toy.yaml")
    assert second.returncode == 2
    assert f"process {first.pid} on " in second.stderr
    assert "run all --config toy.yaml" in second.stderr
    assert toy.call("status", "--config", "toy.yaml").returncode == 0
    assert toy.call("runs").returncode == 0
    assert first.wait(60) == 0


def test_same_bytes_with_one_worker_and_with_three(toy: Toy, tmp_path: Path) -> None:
    other = Toy.build(tmp_path / "other")
    toy.run("--set", "compute.workers=1")
    other.run("--set", "compute.workers=3")
    assert toy.content() == other.content()


def test_failed_part_ends_in_one_sentence_and_the_rest_is_kept(toy: Toy) -> None:
    toy.edit("satpipe/stages/synth/stage.py", "(job.out", "raise RuntimeError('no ink')\n    (job.out")
    done = toy.call("run", "all", "--config", "toy.yaml")
    assert done.returncode == 1
    assert "part synth/r" in done.stderr
    assert "RuntimeError: no ink" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    toy.edit("satpipe/stages/synth/stage.py", "raise RuntimeError('no ink')\n    (job.out", "(job.out")
    assert toy.run() == ["classify/r0", "classify/r1", "report/page", "synth/r0", "synth/r1"]


def test_dry_run_says_what_would_be_made_and_why_and_makes_nothing(toy_done: Toy) -> None:
    before = toy_done.content()
    same = toy_done.call("run", "all", "--config", "toy.yaml", "--dry-run")
    assert "everything is up to date" in same.stdout
    done = toy_done.call("run", "all", "--config", "toy.yaml", "--dry-run", "--set", "chips.size_px=32")
    assert "chips/loud-a: about" in done.stdout
    assert "configuration size_px was 80 and is 32" in done.stdout
    assert "then gan, synth, classify, report" in done.stdout
    assert toy_done.content() == before


def test_dry_run_expects_of_a_part_what_its_like_took(toy: Toy) -> None:
    toy.edit("satpipe/stages/gan/stage.py", "    (job.out", "    import time; time.sleep(2.2)\n    (job.out")
    toy.run()
    done = toy.call("run", "all", "--config", "toy.yaml", "--dry-run", "--set", "split.replicates=3")
    assert "gan/r2: about 2 s" in done.stdout, done.stdout + done.stderr
    # A part of another configuration is none of its like.
    done = toy.call("run", "all", "--config", "toy.yaml", "--dry-run", "--set", "chips.size_px=32")
    assert "chips/loud-a: about 1 s" in done.stdout


def test_dry_run_of_a_fresh_project_counts_what_it_cannot_plan_yet(toy: Toy) -> None:
    for stage in ("gan", "synth", "classify"):
        room = toy.folder / "satpipe" / "stages" / stage / "stage.py"
        room.write_text(room.read_text() + "\n\ndef forecast(config, splits):\n    return splits + 1, 600.0\n")
    done = toy.call("run", "all", "--config", "toy.yaml", "--dry-run", "--set", "split.fractions=[0.5, 1]")
    # Three folds, two fractions, two replicates, and the final one.
    assert "gan: 13 parts of about 10 min" in done.stdout, done.stderr
    assert "about 3.3 h in all with 2 workers" in done.stdout
    assert not (toy.folder / "data" / "parts").exists()


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
    runner = Runner(tmp_path, PlainDisplay(Console()))
    [(stage, tasks, seconds)] = runner.forecast(load.load(path), ["gan", "report"])
    assert (stage, tasks) == ("gan", 5 * folds + 1)
    assert seconds > 0


def test_budget_runs_whole_replicates_and_says_what_it_left_out(toy: Toy) -> None:
    done = toy.call("run", "all", "--config", "toy.yaml", "--budget", "0.001s", "--set", "split.replicates=4")
    assert done.returncode == 0, done.stderr
    assert "1 replicate took longer than 0.001s; left out: replicates 2 to 4" in done.stdout
    assert "1 counts" in done.stdout
    done = toy.call("run", "all", "--config", "toy.yaml", "--budget", "2h", "--set", "split.replicates=3")
    assert "3 replicates fitted in 2h; none left out" in done.stdout
    assert "gan/r0" not in done.stdout


@pytest.mark.parametrize("budget", ["3", "h", "-1h", "nanh", "infh", "3 weeks"])
def test_wrong_budget_is_refused(toy: Toy, budget: str) -> None:
    done = toy.call("run", "all", "--config", "toy.yaml", "--budget", budget)
    assert done.returncode == 2
    assert "such as 30m or 3h" in done.stderr


def test_status_and_why_name_what_changed(toy_done: Toy) -> None:
    toy_done.edit("satpipe/shared.py", "text.upper()", "text.title()")
    status = toy_done.call("status", "--config", "toy.yaml")
    assert status.returncode == 0, status.stderr
    assert "code satpipe.shared.loud changed" in status.stdout
    why = toy_done.call("why", "chips", "--config", "toy.yaml")
    assert "chips/loud-a: to be made: code satpipe.shared.loud changed" in why.stdout
    assert "ingest/a: up to date: made 20" in toy_done.call("why", "ingest", "--config", "toy.yaml").stdout


def test_runs_lists_data_preset_verdict_and_report(toy_done: Toy) -> None:
    rows = json.loads(toy_done.call("runs", "--json").stdout)
    assert [(row["run"], row["state"], row["data"], row["verdict"]) for row in rows] == [
        ("toy", "finished", "folders", "helps")
    ]
    assert Path(toy_done.folder, rows[0]["report"]).is_file()
    # In a pipe a run is one line and nothing of it is cut, however narrow the window that it was called from.
    toy_done.environment = {"COLUMNS": "40"}
    lines = toy_done.call("runs").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].rstrip().endswith(rows[0]["report"])


def test_clean_deletes_what_no_run_refers_to_and_nothing_else(toy_done: Toy) -> None:
    before = toy_done.content()
    assert "nothing to delete" in toy_done.call("clean", "--yes").stdout
    toy_done.run("--set", "chips.size_px=32", "--set", "seed=2", "--name", "other")
    freed = toy_done.call("clean", "--yes", "--forget", "other")
    assert "freed" in freed.stdout, freed.stderr
    shutil.rmtree(toy_done.folder / "reports" / "other")
    assert toy_done.content() == before
    assert toy_done.run() == []


def test_store_of_another_version_is_refused(toy_done: Toy) -> None:
    (toy_done.folder / "data" / "store.json").write_text('{"version": 999}')
    done = toy_done.call("run", "all", "--config", "toy.yaml")
    assert done.returncode == 2
    assert "version 999" in done.stderr


def test_log_file_is_written_per_run(toy_done: Toy) -> None:
    logs = list((toy_done.folder / "data" / "logs").glob("toy-*.log"))
    assert len(logs) == 1
    assert "report/page made in" in logs[0].read_text()
