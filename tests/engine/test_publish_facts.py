"""How a page was made: filled in where it is published, and no part of what is compared."""

from __future__ import annotations

import pytest
from satpipe.engine import publish_facts
from satpipe.engine.publish_facts import command_line, fill_in, without_facts

PAGE = "<p><!--how it was made--><!--/--></p><li>More<!--time of 6 replicates--><!--/--></li><p>end<!--/--></p>"
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
    page = fill_in(PAGE, 1_700_000_000.0, 240.0, SECONDS)
    assert "Made 2023-11-14 22:13 UTC in 4 min on " in page
    assert "cores, " in page
    assert "<code>satpipe run all --name &#x27;&lt;b&gt;&#x27;</code>" in page
    # Six more replicates at (40 + 44 + 6 + 10) / 2 seconds each.
    assert "That is about 5 min of computing on one worker here." in page


def test_what_is_filled_in_does_not_count() -> None:
    filled = fill_in(PAGE, 1_700_000_000.0, 240.0, SECONDS)
    assert filled != PAGE
    assert without_facts(filled) == without_facts(fill_in(PAGE, 1_600_000_000.0, None, {})) == PAGE
    assert without_facts(filled.replace("More", "Less")) != PAGE


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
    monkeypatch.setattr(publish_facts, "__file__", str(tmp_path / "a" / "b" / "module.py"))
    publish_facts.source_commit.cache_clear()
    assert publish_facts.source_commit() is None
    publish_facts.source_commit.cache_clear()
