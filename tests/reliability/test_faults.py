"""A disk that is full, over quota, read-only, forbidden or broken: one sentence, nothing lost, and the run goes on.

A sample of what ``sweep.py faults`` does at hundreds of points.
"""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.faults import (
    CLOCK_BACK,
    EVERYTHING,
    FAIL_FROM,
    FAIL_ONCE,
    GROWING,
    Fault,
    Harness,
    Undisturbed,
    build_project,
    chain,
    content,
)
from satpipe.config.run import RunConfig
from satpipe.engine.plan import Planner, TaskBatch
from satpipe.engine.stages import STAGES
from satpipe.engine.store import Record, Store
from satpipe.engine.worker import run_task
from satpipe.models.device import Profile
from satpipe.utils.errors import InputError

FAULTS = {
    "full": (errno.ENOSPC, GROWING, "No space left on device"),
    "quota": (errno.EDQUOT, GROWING, "Disk quota exceeded"),
    "read-only": (errno.EROFS, EVERYTHING, "Read-only file system"),
    "forbidden": (errno.EACCES, EVERYTHING, "Permission denied"),
    "broken": (errno.EIO, EVERYTHING, "Input/output error"),
}


def test_failing_write_is_a_sentence_and_the_run_resumes(
    harness: Harness, undisturbed: Undisturbed, project: Path
) -> None:
    texts = {number: text for number, _, text in FAULTS.values()}
    kinds = [(FAIL_FROM, number, classes) for number, classes, _ in FAULTS.values()]
    *faults, last = chain(harness, project, 5, 11, kinds, steps=300)
    assert len(faults) >= 4
    for fault in faults:
        assert ended_well(fault, texts[fault.number]), fault
    assert last.ran.code == 0, last
    assert content(project) == undisturbed.content


def test_single_failing_write_loses_nothing(harness: Harness, undisturbed: Undisturbed, project: Path) -> None:
    *faults, last = chain(harness, project, 6, 6, [(FAIL_ONCE, errno.EIO, EVERYTHING)], steps=900)
    for fault in faults:
        assert fault.ran.code == 0 or ended_well(fault, "Input/output error"), fault
    assert last.ran.code == 0, last
    assert content(project) == undisturbed.content


def test_clock_that_goes_back_a_day_changes_nothing(harness: Harness, undisturbed: Undisturbed, project: Path) -> None:
    harness.arm(project, CLOCK_BACK, target=len(undisturbed.trace) // 3, shift_s=86_400)
    done = harness.run_all(project)
    assert done.code == 0, done.err
    assert content(project) == undisturbed.content
    (row,) = json.loads(harness.run(project, "runs", "--json").out)
    assert float(row["time"].removesuffix(" s")) >= 0


def ended_well(fault: Fault, text: str) -> bool:
    """Whether a run that could not write ended in one sentence that says why, or got by without."""
    if fault.ran.code == 0:
        return "/cache/" in fault.path or fault.operation in ("unlink", "rmdir")
    return fault.ran.code == 2 and fault.ran.one_sentence() and text in fault.ran.err


def test_real_full_disk_is_a_sentence_and_the_run_resumes(
    harness: Harness, undisturbed: Undisturbed, small_disk: Path
) -> None:
    project = small_disk
    harness.arm()
    failed = harness.run_all(project)
    assert failed.code == 2, failed
    assert failed.one_sentence(), failed.err
    assert "No space left on device; make room" in failed.err
    before = {path: path.stat().st_mtime_ns for path in project.rglob("records/*/*.json")}
    assert before
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk.parent], check=True)
    assert harness.run_all(project).code == 0
    assert content(project) == undisturbed.content
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was committed is not made again"


def test_store_on_a_read_only_disk_can_still_be_looked_at(harness: Harness, small_disk: Path) -> None:
    project = small_disk
    subprocess.run(["mount", "-o", "remount,size=64m", project.parent], check=True)
    harness.arm()
    assert harness.run_all(project, "--to", "gan").code == 0
    subprocess.run(["mount", "-o", "remount,ro", project.parent], check=True)
    for command in (["status", "--config", "small.yaml"], ["runs"], ["why", "gan", "--config", "small.yaml"]):
        looked = harness.run(project, *command)
        assert looked.code == 0, looked.err
        assert looked.err == ""
    refused = harness.run_all(project)
    assert refused.code == 2
    assert "Read-only file system; make it writable, or choose another --root" in refused.err
    assert refused.one_sentence()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "could no longer be read"),
        (lambda path: path.write_bytes(b"other"), "was changed while it was read"),
    ],
)
def test_user_file_that_changes_is_not_recorded_as_it_was(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    project = build_project(tmp_path / "project")
    # The key of an artifact names the content that was planned: nothing else may be committed under it.
    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "yolo", "path": str(project / "images")}]}})
    walk = Planner(config, Store(project / "data"), Profile)
    image = project / "images" / "s3.png"
    kept = image.read_bytes()

    def handle(batch: TaskBatch) -> list[Record]:
        change(image)
        with pytest.raises(InputError, match=said) as caught:
            run_task(batch.specs[0])
        assert str(image) in str(caught.value)
        assert walk.store.record("ingest", batch.specs[0].key) is None
        image.write_bytes(kept)
        return [run_task(spec) for spec in batch.specs]

    batch = next(walk.stage(STAGES[0], handle))
    assert walk.store.record("ingest", batch.specs[0].key) is not None
