"""Kill -9 at any moment loses nothing: the run that goes on ends with the bytes of one that was not disturbed.

A sample of what ``sweep_kills.py`` does at hundreds of points.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from faults import KILL_GROUP, KILL_SELF, SIGNAL_LEAD, Harness, build_project, content, points

SAMPLE = 12


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return build_project(tmp_path / "project")


def operations(sound: Path) -> int:
    return len((sound / "trace.txt").read_text().splitlines())


@pytest.mark.parametrize("sample", range(SAMPLE))
def test_run_killed_at_any_write_goes_on_to_the_same_bytes(
    harness: Harness, sound: Path, expected: dict[str, bytes], project: Path, sample: int
) -> None:
    # Every other point kills the process that writes and leaves the others to find out, as the out-of-memory killer.
    point = points(operations(sound), SAMPLE)[sample]
    harness.arm(project, KILL_SELF if sample % 2 else KILL_GROUP, target=point)
    killed = harness.run_all(project)
    assert harness.fired()
    assert killed.code == -signal.SIGKILL or (sample % 2 and killed.code == 2 and killed.one_sentence()), killed
    harness.arm()
    done = harness.run_all(project)
    assert done.code == 0, done.err
    assert content(project) == expected


def test_what_killed_runs_leave_behind_is_tidied_up(harness: Harness, sound: Path, project: Path) -> None:
    for part in (3, 2):
        harness.arm(project, KILL_GROUP, target=operations(sound) // part)
        assert harness.run_all(project).code == -signal.SIGKILL
    harness.arm()
    assert harness.run_all(project).code == 0
    left = [path for path in project.rglob(".*") if path.name != ".lock"]
    assert left == []
    assert not any((project / "data" / "work").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_any_stage_ends_with_130_and_the_run_goes_on(
    harness: Harness, sound: Path, expected: dict[str, bytes], project: Path, number: signal.Signals
) -> None:
    for point in points(operations(sound), 4):
        harness.arm(project, SIGNAL_LEAD, target=point, number=number)
        ended = harness.run_all(project)
        if harness.fired() and ended.code == 0:
            continue  # it came with the last writes, when there was nothing left to stop
        assert ended.code == 130, ended
        assert ended.err.strip() == "satpipe: interrupted; the same command goes on where it was"
    harness.arm()
    assert harness.run_all(project).code == 0
    assert content(project) == expected


def test_more_workers_make_the_same_bytes(harness: Harness, expected: dict[str, bytes], project: Path) -> None:
    harness.arm()
    assert harness.run_all(project, "--set", "compute.workers=3").code == 0
    assert content(project) == expected
