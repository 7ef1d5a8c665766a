"""Try every command on a root that was changed to do harm: ``sweep_hostile_root.py [count [seed]]``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from fixtures.everyday import restore
from fixtures.faults import Harness, build_project
from fixtures.hostile_root import COMMANDS, LAST, check, mutations, strangers_folder


def main() -> int:
    """Print every problem; exit with 1 if there is one."""
    count = int(sys.argv[1]) if sys.argv[1:] else 200
    seed = int(sys.argv[2]) if sys.argv[2:] else 0
    began, problems = time.monotonic(), []
    with tempfile.TemporaryDirectory() as text:
        base = Path(text)
        harness = Harness(base / "harness")
        outside = strangers_folder(base / "stranger")
        folder = build_project(base / "project")
        harness.arm()
        ran = harness.run(folder, "run", "small.yaml")
        assert ran.code == 0, ran.err
        pristine = restore(base / "pristine", folder)
        for number, mutation in enumerate(mutations(count)):
            for problem in check(
                harness, restore(folder, pristine), mutation, [seed, number] if seed else number, outside
            ):
                print(f"PROBLEM {problem}", flush=True)
                problems.append(problem)
        harness.close()
    calls = count * len((*COMMANDS, *LAST))
    print(f"{count} mutations, {calls:,} commands, {len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
