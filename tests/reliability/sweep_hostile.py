"""Run all hostile files and say how each kind ended: ``python tests/reliability/sweep_hostile.py [kind]``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fixtures.calls import KINDS
from fixtures.faults import Harness
from fixtures.hostile import batches, tif
from fixtures.hostile_check import check, check_call

CALLS = 30
"""Broken files of each kind that the library opens."""


def main() -> int:
    """Print a line per kind, and every problem; exit with 1 where there is one."""
    wanted = sys.argv[1:]
    began = time.monotonic()
    files: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        canary = folder / "secret" / "canary.tif"
        canary.parent.mkdir()
        canary.write_bytes(tif(7))
        harness = Harness(folder / "harness")
        for number, batch in enumerate(batches(canary)):
            if wanted and batch.kind not in wanted:
                continue
            result = check(harness, batch, folder / f"p{number}", canary)
            files[batch.kind] += len(batch.hostile)
            refused[batch.kind] += len(result.refused)
            for problem in result.problems:
                print(f"PROBLEM {problem}", flush=True)
            problems += result.problems
        for kind in KINDS:
            if wanted and kind not in wanted:
                continue
            for number in range(CALLS):
                found_here, was_refused = check_call(harness, kind, number, folder / "call", canary)
                files[kind] += 1
                refused[kind] += was_refused
                for problem in found_here:
                    print(f"PROBLEM {problem}", flush=True)
                problems += found_here
        harness.close()
    for kind, count in files.items():
        print(f"{kind}: {count} files, {refused[kind]} refused, {count - refused[kind]} sound enough to be used")
    print(f"{files.total()} hostile files, {len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
