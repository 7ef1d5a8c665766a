"""The list of runs: verdicts that were edited are not repeated, and it fits the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.artifact_metadata import sound
from rich.console import Console
from satpipe.commands import _common, cli, runs
from satpipe.engine.digests import digest_of
from satpipe.engine.publish import PAGE
from satpipe.engine.results import Attempt, Result, Results
from satpipe.engine.run_list import run_rows
from satpipe.engine.store import Store
from satpipe.engine.task import METADATA, Task

CONFIG = {"ingest": {"sources": [{"type": "simulated"}]}, "gan": {"preset": "layers"}}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Return a root folder with a run whose report says that it helps."""
    return finish(tmp_path, {})


def finish(root: Path, metadata: dict[str, object]) -> Path:
    """Write a run whose report says that it helps, with more metadata; return the root folder."""
    store, key = Store(root / "data"), digest_of({"of": "page"})
    store.create()
    with store.staging(key) as staged:
        (staged / METADATA).write_text(json.dumps(sound("report/page") | metadata))
        (staged / "report.html").write_text("<p>It helps.</p>")
        record = store.commit(staged, Task("report", "page", "satpipe:nothing"), key, {}, 1.0)
    result = Result(
        name="harbour", last="report", sentence="It helps.", config=CONFIG, keys={PAGE: key}, started=0.0, version=1,
        digests={PAGE: record.digest}, verdict="helps", seconds=12.0,
    )  # fmt: skip
    Results(store.root).record(result)
    return root


def verdict(root: Path) -> str:
    (row,) = run_rows(root)
    return str(row["verdict"])


def test_an_edited_verdict_is_not_repeated(finished: Path) -> None:
    (record,) = (finished / "data" / "runs" / "harbour").glob("result-*.json")
    assert verdict(finished) == "helps"
    record.write_text(record.read_text().replace('"verdict":"helps"', '"verdict":"helps by 90 points"'))
    assert verdict(finished) == "helps"


def test_a_verdict_without_its_report_is_not_verified(finished: Path) -> None:
    (page,) = (finished / "data" / "parts" / "report").iterdir()
    metadata = page / METADATA
    metadata.chmod(0o644)
    metadata.write_text(metadata.read_text().replace("helps", "hurts"))
    assert verdict(finished) == "not verified: helps"


@pytest.mark.parametrize(
    ("learned", "listed"), [(False, "the generator did not learn; helps"), (True, "helps"), (None, "helps")]
)
def test_a_generator_that_did_not_learn_is_listed_so(learned: bool | None, listed: str, tmp_path: Path) -> None:
    assert verdict(finish(tmp_path, {"learned": learned})) == listed


def test_a_quick_look_is_listed_as_no_verdict(finished: Path) -> None:
    (record,) = (finished / "data" / "runs" / "harbour").glob("result-*.json")
    data = json.loads(record.read_text())
    data["config"]["report"] = {"title": "Quick look, not a verdict: run harbour"}
    record.write_text(json.dumps(data))
    assert verdict(finished) == "not a verdict: helps"


def test_the_list_fits_the_terminal(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Attempt(
        name="harbour", last="gan", sentence="failed: " + "a long reason " * 20, config=CONFIG, keys={}, started=1.0,
        state="failed", pid=1,
    )  # fmt: skip
    Results(finished / "data").write_attempt(failed)
    output = io.StringIO()
    terminal = Console(file=output, force_terminal=True, width=80, color_system=None)
    for module in (_common, runs):
        monkeypatch.setattr(module, "console", lambda error=False: terminal)
    assert CliRunner().invoke(cli, ["runs", "--root", str(finished)]).exit_code == 0
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 8
    assert "…" in output.getvalue()
    assert "report.html" not in output.getvalue()
