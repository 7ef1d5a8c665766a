"""Kill a run, or have its disk fail, at hundreds of points, and compare what comes out byte for byte.

``python tests/reliability/sweep.py kill 200`` and ``python tests/reliability/sweep.py faults 200`` print what was hit
where, and every run that ended otherwise than it should. Continuous integration runs a dozen of these points.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fixtures.faults import (
    EVERYTHING,
    FAIL_FROM,
    FAIL_ONCE,
    GROWING,
    KILL_GROUP,
    KILL_SELF,
    NOTHING,
    SIGNAL_LEAD,
    Fault,
    Harness,
    build_project,
    chain,
    content,
    place,
    signal_name,
)

DISKS = {
    errno.ENOSPC: GROWING,
    errno.EDQUOT: GROWING,
    errno.EROFS: EVERYTHING,
    errno.EACCES: EVERYTHING,
    errno.EIO: EVERYTHING,
}
SCHEDULES = {
    "kill": [(KILL_GROUP, 0, 0), (KILL_SELF, 0, 0), (KILL_GROUP, 0, 0)],
    "signal": [(SIGNAL_LEAD, int(signal.SIGTERM), 0), (SIGNAL_LEAD, int(signal.SIGINT), 0)],
    "faults": [(action, number, classes) for number, classes in DISKS.items() for action in (FAIL_FROM, FAIL_ONCE)],
}
PER_CHAIN = 20
STEPS = 170
"""Operations between two faults, about: a whole run has some 3000."""


def is_as_told(fault: Fault) -> bool:
    """Whether a run ended as its fault has it end."""
    ran = fault.ran
    if fault.action == NOTHING:
        return ran.code == 0
    if fault.action == KILL_GROUP:
        return ran.code == -signal.SIGKILL
    if fault.action == KILL_SELF:
        return ran.code == -signal.SIGKILL or (ran.code == 2 and ran.one_sentence())
    if fault.action == SIGNAL_LEAD:
        return ran.code == 130 and "run the same command again to resume" in ran.err
    if ran.code == 0:  # what only saves time, or tidies up, may fail
        return fault.action == FAIL_ONCE or "/cache/" in fault.path or fault.operation == "unlink"
    return ran.code == 2 and ran.one_sentence() and os.strerror(fault.number) in ran.err


def main() -> int:
    """Sweep; exits with 1 where a run ended otherwise, or its bytes differ."""
    kind, wanted = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    began = time.monotonic()
    places: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    done = problems = 0
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        harness = Harness(folder / "harness")
        project = build_project(folder / "project")  # one place for all: scene tables hold absolute paths
        fresh = folder / "fresh"
        shutil.copytree(project, fresh)
        first = harness.run_all(project)
        assert first.code == 0, first
        expected = content(project)
        while done < wanted:
            shutil.rmtree(project)
            shutil.copytree(fresh, project)
            for fault in chain(harness, project, seed, min(PER_CHAIN, wanted - done), SCHEDULES[kind], STEPS):
                if not is_as_told(fault):
                    problems += 1
                    print(f"PROBLEM at {fault.operation} {fault.path}: ended with {signal_name(fault.ran.code)}")
                    print(f"  {fault.ran.err.strip()[-800:]}", flush=True)
                if fault.action != NOTHING:
                    done += 1
                    where = place(fault.path, project)
                    places[f"{fault.operation} {where}"] += 1
                    stages[stage_of(fault.ran.out)] += 1
            result = content(project)
            for name in sorted(set(result) ^ set(expected)) + [
                item for item in result if result[item] != expected.get(item)
            ]:
                problems += 1
                print(f"PROBLEM other bytes after chain {seed}: {name}", flush=True)
            seed += 1
            print(f"{done} points, {problems} problems, {time.monotonic() - began:.0f} s", flush=True)
        harness.close()
    print("by stage: " + ", ".join(f"{stage} {count}" for stage, count in stages.items()))
    print("by operation: " + ", ".join(f"{name} {count}" for name, count in _operations(places).most_common()))
    print(f"{done} points at {len(places)} different places, {problems} problems")
    return 1 if problems else 0


def stage_of(output: str) -> str:
    """The stage that a run was in when it was stopped, from what it had said."""
    named = [line.partition(":")[0] for line in output.splitlines() if line[:1].isalpha()]
    return named[-1] if named else "start"


def _operations(places: Counter[str]) -> Counter[str]:
    result: Counter[str] = Counter()
    for name, count in places.items():
        result[name.split()[0]] += count
    return result


if __name__ == "__main__":
    sys.exit(main())
