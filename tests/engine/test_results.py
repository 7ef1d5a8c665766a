"""Results of runs are versions that stay: what replaces what, what is listed, and what is deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject, made
from satpipe.config.renamed import RENAMED
from satpipe.engine.results import Attempt, Damaged, Result, Results, differing_keys
from satpipe.engine.store import Store
from satpipe.engine.task import Task
from satpipe.utils.bounded_files import read_bytes, walk_files
from satpipe.utils.errors import StoreError

DIGESTS = {"gan/final": "a" * 32, "report/page": "b" * 32}


def result(last: str = "report", seed: int = 1, **digests: str) -> Result:
    keys = dict.fromkeys(digests or DIGESTS, "c" * 32)
    config = {"name": "r", "seed": seed}
    return Result(
        name="r", version=0, last=last, sentence="", config=config, keys=keys, digests=digests or DIGESTS, started=1.0
    )


def rows(project: LettersProject) -> list[tuple[str, str, str]]:
    listed = json.loads(project.call("runs", "--json").stdout)
    return [(row["run"], row["state"], row["verdict"]) for row in listed]


def test_only_other_content_gets_the_next_version(tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert [results.record(item).version for item in (result(), result(), result(seed=2))] == [1, 1, 1]  # type: ignore[union-attr]
    other = results.record(result(**{"report/page": "d" * 32}))
    assert other is not None
    assert other.title == "r@2"
    assert [item.title for item in results.versions("r")] == ["r@1", "r@2"]


def test_a_result_that_goes_further_replaces_the_shorter_one(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.record(result("gan", **{"gan/final": "a" * 32}))
    results.record(result())
    (only,) = results.versions("r")
    assert isinstance(only, Result)
    assert only.is_full


@pytest.mark.parametrize("last", ["ingest", "chips", "gan", "classify"])
def test_a_shorter_run_is_no_result_beside_a_finished_one(tmp_path: Path, last: str) -> None:
    results = Results(tmp_path)
    results.record(result())
    assert results.record(result(last, **{"gan/final": "e" * 32})) is None
    assert len(results.versions("r")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"digests": {"../x": "a" * 32}},
        {"digests": {"gan/final": "../../../etc"}},
        {"keys": {"no-stage/final": "a" * 32}},
        {"version": 7},
        {"name": "other"},
        {"last": "everything"},
        {"config": []},
    ],
    ids=str,
)
def test_a_record_that_satpipe_never_wrote_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    results = Results(tmp_path)
    results.record(result())
    path = tmp_path / "runs" / "r" / "result-1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (only,) = results.versions("r")
    assert isinstance(only, Damaged)
    assert only.title == "r@1"


def test_an_attempt_changes_no_result(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.record(result())
    before = (tmp_path / "runs" / "r" / "result-1.json").read_bytes()
    attempt = Attempt(name="r", last="gan", sentence="", config={}, keys={}, started=2.0, state="failed", pid=1)
    results.write_attempt(attempt)
    assert results.attempt("r") == attempt
    assert (tmp_path / "runs" / "r" / "result-1.json").read_bytes() == before


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_a_renamed_key_is_no_difference(former: str, present: str) -> None:
    def config(key: str, value: object) -> dict[str, object]:
        *sections, name = key.split(".")
        nested: dict[str, object] = {name: value}
        for section in reversed(sections):
            nested = {section: nested}
        return nested

    assert differing_keys(config(former, 3), config(present, 3)) == []
    assert differing_keys(config(former, 3), config(present, 4)) == [present]


# ----------------------------------------------------------------------------------------------------- command line


def test_another_configuration_is_noted_and_replaces_nothing(finished: LettersProject) -> None:
    page = (finished.folder / "reports" / "letters" / "report.html").read_bytes()
    done = finished.call("run", "letters.yaml", "--set", "split.replicates=3")
    assert done.returncode == 0, done.stderr
    assert "note: run letters has a result of another configuration (split.replicates); it stays" in done.stdout
    assert (finished.folder / "reports" / "letters@1" / "report.html").read_bytes() == page
    assert rows(finished) == [("letters@1", "finished", "helps"), ("letters", "finished", "helps")]
    assert "nothing to delete" in finished.call("clean", "--yes").stdout


def test_partial_and_failing_runs_leave_the_result_listed(finished: LettersProject) -> None:
    first = rows(finished)
    assert finished.call("run", "ingest", "--config", "letters.yaml", "--force").returncode == 0
    assert finished.call("run", "all", "--config", "letters.yaml", "--to", "chips").returncode == 0
    assert rows(finished) == first
    finished.edit("satpipe/stages/synth/stage.py", "(context.out", "raise RuntimeError('no ink')\n    (context.out")
    assert finished.call("run", "letters.yaml").returncode == 1
    assert rows(finished)[0] == first[0]
    assert [state for _, state, _ in rows(finished)] == ["finished", "failed"]
    assert finished.call("clean", "--yes").returncode == 0
    finished.edit("satpipe/stages/synth/stage.py", "raise RuntimeError('no ink')\n    (context.out", "(context.out")
    assert made(finished.call("run", "letters.yaml").stdout) == []


def test_clean_says_what_it_forgets_and_keeps_the_newest_result(finished: LettersProject) -> None:
    finished.run("--set", "split.replicates=3")
    done = finished.call("clean", "--yes", "--forget", "letters@1")
    assert "forget letters@1: " in done.stdout, done.stderr
    assert rows(finished) == [("letters", "finished", "helps")]
    assert finished.run("--set", "split.replicates=3") == []
    wrong = finished.call("clean", "--yes", "--forget", "lettres")
    assert wrong.returncode == 2
    assert "did you mean letters?" in wrong.stderr


def test_clean_says_by_run_what_is_deleted(finished: LettersProject) -> None:
    finished.run("--set", "seed=2", "--name", "other")
    finished.call("run", "gan", "--config", "letters.yaml", "--set", "seed=7")
    finished.run("--name", "other", "--set", "seed=2")
    finished.call("run", "gan", "--config", "letters.yaml", "--set", "seed=8")
    said = finished.call("clean", "--yes").stdout
    assert "delete of letters: artifacts " in said
    assert " of gan; " in said
    assert "other" not in said
    done = finished.call("clean", "--yes", "--forget", "other").stdout
    assert "forget other@1: " in done
    assert "forget other: then it has no finished result any more" in done
    assert "delete of other@1: artifacts " in done
    assert rows(finished)[0] == ("letters", "finished", "helps")
    assert finished.run() == []


def test_a_damaged_record_is_a_row_and_stops_nothing_but_clean(finished: LettersProject) -> None:
    finished.run("--set", "seed=2", "--name", "other")
    (finished.folder / "data" / "runs" / "other" / "result-1.json").write_text("{")
    assert [(row[0], row[1]) for row in rows(finished)] == [("letters", "finished"), ("other@1", "damaged")]
    done = finished.call("clean", "--yes")
    assert done.returncode == 2
    assert "it is unknown what it refers to and nothing is deleted" in done.stderr
    assert finished.run() == []


def test_a_configuration_is_a_target_and_the_default_is_named(project: LettersProject) -> None:
    assert project.call("run", "letters.yaml", "--to", "ingest").returncode == 0
    assert project.call("run", "--config", "letters.yaml", "--to", "ingest").returncode == 0
    note = project.call("status").stderr
    assert "no --config: the demo on simulated scenes; this folder has letters.yaml" in note
    two = project.call("run", "letters.yaml", "--config", "letters.yaml")
    assert two.returncode == 2
    assert "more than one configuration" in two.stderr
    alone = project.call("run", "all", "gan", "--config", "letters.yaml")
    assert "`all` cannot be combined with stage names" in alone.stderr


# ------------------------------------------------------------------------------------------------- links and modes


@pytest.mark.parametrize("name", ["", "parts", "parts/gan", "records/gan", "runs", "work", "store.lock", "store.json"])
def test_a_store_with_a_link_is_refused(tmp_path: Path, name: str) -> None:
    root, outside = tmp_path / "data", tmp_path / "elsewhere"
    outside.mkdir()
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(outside)
    with pytest.raises(StoreError, match=r"is a link to .*elsewhere, and satpipe does not follow links"):
        Store(root)


def test_clean_removes_links_and_not_what_they_lead_to(finished: LettersProject) -> None:
    outside = finished.folder / "elsewhere"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    for place in (f"parts/gan/{'0' * 32}", f"records/gan/{'0' * 32}.json", f"work/{'1' * 32}"):
        (finished.folder / "data" / place).symlink_to(outside)
    done = finished.call("clean", "--yes")
    assert done.returncode == 0, done.stderr
    assert (outside / "precious").read_text() == "kept"
    assert not (finished.folder / "data" / "parts" / "gan" / ("0" * 32)).is_symlink()


def test_an_artifact_with_a_link_in_it_is_not_what_was_committed(finished: LettersProject) -> None:
    path = finished.folder_of("gan", "r0") / "model.txt"
    copy = finished.folder / "copy.txt"
    path.rename(copy)
    path.symlink_to(copy)
    assert finished.run() == ["gan/r0"]
    assert not path.is_symlink()


def test_committed_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    with store.staging("k" * 32) as folder:
        (folder / "weights").write_bytes(b"1")
        (folder / "weights").chmod(0o600)
        record = store.commit(folder, Task("gan", "final", "a:b"), "k" * 32, {}, 1.0)
    modes = {path.stat().st_mode & 0o777 for path in store.folder(record.ref).iterdir()}
    (tmp_path / "plain").touch()
    assert modes == {(tmp_path / "plain").stat().st_mode & 0o777}


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    for name, size in (("file", 4), ("link", 5), ("pipe", 5)):
        with pytest.raises(OSError):  # noqa: PT011 - each has words of its own
            read_bytes(tmp_path / name, size)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.name for path in walk_files(tmp_path)] == ["file", "link", "loop", "pipe"]
