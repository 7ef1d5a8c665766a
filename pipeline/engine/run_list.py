"""List of runs, for people: results, what the last attempt came to, and records that are damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.quick import is_quick
from ..utils.errors import StoreError
from .publish import PAGE, page_of
from .results import Attempt, Damaged, Result, Results, differing_keys
from .stages import NAMES
from .store import Store
from .task import read_metadata


def run_rows(root: Path) -> list[dict[str, Any]]:
    """Return a row for each result of each run below ``root``, each unfinished attempt and each damaged record."""
    store = Store(root / "data")
    results = Results(store.root)
    rows: list[dict[str, Any]] = []
    for name in results.names():
        versions = results.versions(name)
        for version in versions:
            title = name if version is versions[-1] else version.title
            if isinstance(version, Damaged):
                rows.append(_damaged(version))
            else:
                state = "finished" if version.is_full else f"complete up to {version.last}"
                verdict = _verdict(store, version)
                rows.append(_row(title, state, version, verdict, _report(root, store, title, version)))
        attempt = results.attempt(name)
        if isinstance(attempt, Damaged):
            rows.append(_damaged(attempt))
        elif attempt is not None and _is_news(attempt, versions):
            rows.append(_row(name, _state(attempt, store), attempt, None, None))
    return rows


def _damaged(record: Damaged) -> dict[str, Any]:
    text = f"damaged record {record.path.name}: {record.reason}"
    empty = dict.fromkeys(("data", "preset", "time", "report"))
    return {"run": record.title, "state": "damaged", "version": None, "verdict": text, **empty}


def _row(title: str, state: str, record: Result | Attempt, verdict: str | None, report: str | None) -> dict[str, Any]:
    sources = _section(record.config, "ingest").get("sources")
    items = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    words = verdict or record.sentence
    return {
        "run": title,
        "state": state,
        "version": record.version if isinstance(record, Result) else None,
        "data": ", ".join(str(source.get("name") or source.get("type")) for source in items),
        "preset": _section(record.config, "gan").get("preset"),
        "verdict": f"not a verdict: {words}" if is_quick(_section(record.config, "report").get("title")) else words,
        "time": f"{record.seconds:.0f} s" if record.seconds is not None else None,
        "report": report,
    }


def _verdict(store: Store, result: Result) -> str | None:
    """Return the verdict as the committed report has it, since anybody can edit the record of a run.

    The record's own, marked as not verified, where the report is not there or was changed; None where there is none.
    """
    if PAGE not in result.digests:
        return None
    try:
        page = read_metadata(store.open(page_of(result)))
    except StoreError:
        return f"not verified: {result.verdict or result.sentence}"
    # A verdict on a generator that did not learn is no verdict on GANs, as its sentence says first.
    return f"the generator did not learn; {page['verdict']}" if page.get("learned") is False else str(page["verdict"])


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _report(root: Path, store: Store, title: str, result: Result) -> str | None:
    """Return the page of a result: the published one, else the committed one; None where it has none."""
    if PAGE not in result.digests:
        return None
    published = root / "reports" / title / "report.html"
    page = store.folder(page_of(result)) / "report.html"
    return next((str(path) for path in (published, page) if path.is_file()), None)


def _is_news(attempt: Attempt, versions: Sequence[Result | Damaged]) -> bool:
    """Return whether an attempt is more than what made the newest result, or a part of that."""
    newest = versions[-1] if versions else None
    if attempt.state == "finished" and attempt.last == NAMES[-1]:
        return False
    if attempt.state != "finished" or not isinstance(newest, Result):
        return True
    if NAMES.index(attempt.last) >= NAMES.index(newest.last):
        return False
    return bool(differing_keys(newest.config, attempt.config))


def _state(attempt: Attempt, store: Store) -> str:
    """Return the state of an attempt; a killed attempt could not record it."""
    if attempt.state == "finished":
        return f"complete up to {attempt.last}"
    if attempt.state != "running":
        return attempt.state
    holder = store.holder()
    return "running" if holder is not None and holder["pid"] == attempt.pid else "stopped"
