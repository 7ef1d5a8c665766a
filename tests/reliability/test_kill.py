"""Kill -9 at any moment loses nothing: the run that goes on ends with the bytes of one that was not disturbed.

A sample of what ``sweep.py kill`` does at hundreds of points.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fixtures.faults import KILL_GROUP, KILL_SELF, NOTHING, SIGNAL_LEAD, Fault, Harness, Undisturbed, chain, content


def ended_as_told(fault: Fault) -> bool:
    """Whether a run ended as its fault has it end: killed, or, where another process was, with one sentence."""
    if fault.action == NOTHING:
        return fault.ran.code == 0
    if fault.action == KILL_SELF and fault.ran.code == 2:
        return fault.ran.one_sentence() and "again to resume" in fault.ran.err
    return fault.ran.code == -signal.SIGKILL


def test_run_killed_at_any_write_goes_on_to_the_same_bytes(
    harness: Harness, undisturbed: Undisturbed, project: Path
) -> None:
    # Every other fault kills the process that writes and leaves the others to find out, as the out-of-memory killer.
    faults = list(chain(harness, project, 1, 12, [(KILL_GROUP, 0, 0), (KILL_SELF, 0, 0)], steps=450))
    assert len(faults) > 6
    assert [fault for fault in faults if not ended_as_told(fault)] == []
    assert content(project) == undisturbed.content
    left = [path for path in (project / "data").rglob(".*") if path.suffix != ".lock"]
    assert left == [], "what killed runs left is tidied up"
    assert not any((project / "data" / "work").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_in_any_stage_ends_with_130_and_can_be_resumed(
    harness: Harness, undisturbed: Undisturbed, project: Path, number: signal.Signals
) -> None:
    *faults, last = chain(harness, project, 3, 5, [(SIGNAL_LEAD, number, 0)], steps=700)
    assert len(faults) >= 3
    for fault in faults:
        assert fault.ran.code == 130, fault
        assert fault.ran.err.strip() == "satpipe: interrupted; run the same command again to resume"
    assert last.ran.code == 0, last
    assert content(project) == undisturbed.content


def test_more_workers_make_the_same_bytes(harness: Harness, undisturbed: Undisturbed, project: Path) -> None:
    harness.arm()
    assert harness.run_all(project, "--set", "compute.workers=3").code == 0
    assert content(project) == undisturbed.content
