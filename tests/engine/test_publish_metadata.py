"""How a page was made: filled in where it is published, and no part of what is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures.artifact_metadata import sound
from satpipe.engine import publish_metadata
from satpipe.engine.digests import digest_of
from satpipe.engine.publish import PAGE, publish
from satpipe.engine.publish_metadata import command_line, fill_in, without_metadata
from satpipe.engine.results import Result
from satpipe.engine.store import Store
from satpipe.engine.task import METADATA, Task

TEXT = "<p><!--how it was made--><!--/--></p><li>More<!--time of 6 replicates--><!--/--></li><p>end<!--/--></p>"
SECONDS = {
    "ingest/tables": 100.0,
    "gan/fold0-f100-r0": 40.0,
    "gan/fold0-f100-r1": 44.0,
    "classify/fold0-f100-r0-classic+gan": 6.0,
    "classify/fold0-f100-r1-classic+gan": 10.0,
    "gan/final": 90.0,
}


def test_date_duration_machine_and_command_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/satpipe", "run", "all", "--name", "<b>"])
    page = fill_in(TEXT, 1_700_000_000.0, 240.0, SECONDS)
    assert "Made 2023-11-14 22:13 UTC in 4 min on " in page
    assert "cores, " in page
    assert "<code>satpipe run all --name &#x27;&lt;b&gt;&#x27;</code>" in page
    # Six more replicates at (40 + 44 + 6 + 10) / 2 seconds each.
    assert "That is about 5 min of computing on one worker here." in page


def test_what_is_filled_in_does_not_count() -> None:
    filled = fill_in(TEXT, 1_700_000_000.0, 240.0, SECONDS)
    assert filled != TEXT
    assert without_metadata(filled) == without_metadata(fill_in(TEXT, 1_600_000_000.0, None, {})) == TEXT
    assert without_metadata(filled.replace("More", "Less")) != TEXT


def test_a_command_line_names_no_folders_and_no_secrets() -> None:
    words = [
        "x",
        "run",
        "/home/somebody/my.yaml",
        "--set",
        "ingest.sources.0.path=/secret/scenes",
        "--set",
        "token=abc",
    ]
    assert command_line(words) == "satpipe run my.yaml --set ingest.sources.0.path=scenes --set 'token=***'"


def test_a_commit_is_told_where_the_code_is_a_checkout(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_metadata, "__file__", str(tmp_path / "a" / "b" / "module.py"))
    publish_metadata.source_commit.cache_clear()
    assert publish_metadata.source_commit() is None
    publish_metadata.source_commit.cache_clear()


def test_a_page_is_filled_in_once_and_restored_if_edited(tmp_path: Path) -> None:
    store, keys = Store(tmp_path / "data"), {title: digest_of({"of": title}) for title in (PAGE, "gan/fold0-f100-r0")}
    store.create()
    digests = {}
    for title, key in keys.items():
        stage, _, name = title.partition("/")
        with store.staging(key) as staged:
            (staged / METADATA).write_text(json.dumps(sound(title)))
            (staged / "report.html").write_text(TEXT)
            record = store.commit(staged, Task(stage, name, "satpipe:nothing"), key, {"of": title}, 60.0)
        digests[title] = record.digest
    result = Result(
        name="harbour", last="report", sentence="", config={}, keys=keys, digests=digests, started=0.0, version=1
    )
    page = publish(store, tmp_path / "reports", result)
    text = page.read_text("utf-8")
    assert "Made 1970-01-01 00:00 UTC on " in text
    assert "That is about 6 min of computing" in text
    before = page.stat().st_mtime_ns
    assert publish(store, tmp_path / "reports", result).stat().st_mtime_ns == before
    page.write_text(text.replace("More", "Much more"))
    assert without_metadata(publish(store, tmp_path / "reports", result).read_text("utf-8")) == TEXT
