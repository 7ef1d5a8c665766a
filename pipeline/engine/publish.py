"""Publish reports: the newest result's as ``reports/<run>/``, those of older ones as ``reports/<run>@<version>/``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..utils.atomic_files import make_folder, sync_file, sync_folder, write_atomic
from ..utils.bounded_files import remove, walk_files
from ..utils.errors import StoreError, os_error_hint
from .digests import canonical, sha256_file
from .manifest import MANIFEST
from .publish_metadata import fill_in, without_metadata
from .results import Result, Results
from .store import Store, refuse_link
from .task import METADATA, ArtifactRef

PAGE = "report/page"
REPORT = "report.html"
TIMINGS = "timings.json"


def publish(store: Store, reports: Path, result: Result) -> Path:
    """Copy the report of a run's newest result to ``reports/<run>/``, unless it is there unchanged.

    The report of another result that lies there moves aside, to the name of its version.

    Returns:
        The page.

    Raises:
        StoreError: If it cannot be written.
    """
    page = store.open(page_of(result))
    target = reports / result.name
    refuse_link(reports)
    refuse_link(target)
    try:
        if not _is_copy(target, page):
            fresh, old = (target.with_name(f".{target.name}.{state}") for state in ("new", "old"))
            remove(fresh)
            remove(old)
            _copy(page, fresh)
            _fill_in(store, fresh / REPORT, result)
            if target.exists():
                aside = _aside(store, reports, result) or old
                remove(aside)
                os.replace(target, aside)
            os.replace(fresh, target)
            sync_folder(target.parent)
            remove(old)
        _write_timings(store, target, result)
    except OSError as error:
        raise StoreError(f"the report cannot be written to {target}: {os_error_hint(error) or error}") from None
    return target / REPORT


def page_of(result: Result) -> ArtifactRef:
    """Return the page of a result that has one."""
    stage, _, name = PAGE.partition("/")
    return ArtifactRef(stage, name, result.digests[PAGE])


def _files(page: Path) -> dict[Path, Path]:
    """Return the files of a committed page that are published, by name."""
    paths = {path.relative_to(page): path for path in walk_files(page)}
    return {name: path for name, path in paths.items() if name.name not in (METADATA, MANIFEST)}


def _is_copy(folder: Path, page: Path) -> bool:
    """Return whether a folder holds the files of a committed page unchanged, perhaps beside others."""
    files = _files(page)
    return all((folder / name).is_file() for name in files) and all(
        without_metadata(_text(folder / name)) == _text(path)
        if name == Path(REPORT)
        else sha256_file(folder / name) == sha256_file(path)
        for name, path in files.items()
    )


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _copy(page: Path, folder: Path) -> None:
    for name, path in _files(page).items():
        make_folder((folder / name).parent)
        shutil.copyfile(path, folder / name)
        sync_file(folder / name)
    for inner in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        sync_folder(inner)


def _aside(store: Store, reports: Path, result: Result) -> Path | None:
    """Return where the report of an older result that lies in the place of ``result``'s goes; None if it is none."""
    for version in reversed(Results(store.root).versions(result.name)):
        if not isinstance(version, Result) or version.version == result.version or PAGE not in version.digests:
            continue
        page = store.folder(page_of(version))
        if page.is_dir() and _is_copy(reports / result.name, page):
            return reports / version.title
    return None


def _fill_in(store: Store, page: Path, result: Result) -> None:
    """Write into a copied page how it was made."""
    if page.is_file():
        filled = fill_in(_text(page), result.started, result.seconds, _seconds(store, result))
        page.write_bytes(filled.encode())
        sync_file(page)


def _seconds(store: Store, result: Result) -> dict[str, float]:
    """Return the seconds that each task of a result took."""
    return {
        title: record.seconds
        for title, key in sorted(result.keys.items())
        if (record := store.record(title.partition("/")[0], key)) is not None
    }


def _write_timings(store: Store, target: Path, result: Result) -> None:
    """Write how long each task took; beside the report and not in it, since it differs from run to run."""
    seconds = _seconds(store, result)
    text = canonical({"seconds": seconds, "total_seconds": round(sum(seconds.values()), 3)}) + b"\n"
    if not (target / TIMINGS).is_file() or (target / TIMINGS).read_bytes() != text:
        write_atomic(target / TIMINGS, text)
