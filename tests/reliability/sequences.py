"""Walk all sequences of three everyday commands: ``python tests/reliability/sequences.py [first command]``.

Sequences that begin alike share their beginning: a project is copied and not run again.
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fixtures.everyday import COMMANDS, Kept, build, restore, walk
from fixtures.faults import Harness

LENGTH = 3


def explore(harness: Harness, folder: Path, copies: Path, begun: tuple[str, ...], kept: Kept) -> tuple[int, list[str]]:
    """Return the number of sequences that begin so, and what they lost; ``folder`` is as ``begun`` left it."""
    if len(begun) == LENGTH:
        return 1, []
    pristine = restore(copies / str(len(begun)), folder)
    total, problems = 0, []
    for name in COMMANDS:
        if not begun and sys.argv[1:] and name not in sys.argv[1:]:
            continue
        restore(folder, pristine)
        reference = copy.deepcopy(kept)
        lost = [f"{' > '.join(begun)} > {problem}" for problem in walk(harness, folder, (name,), reference)]
        for problem in lost:
            print(f"PROBLEM {problem}", flush=True)
        count, later = explore(harness, folder, copies, (*begun, name), reference)
        total, problems = total + count, problems + lost + later
        if not begun:
            print(f"{name}: {count} sequences, {len(lost + later)} problems", flush=True)
    shutil.rmtree(pristine)
    return total, problems


def main() -> int:
    """Print every loss; exit with 1 if there is one."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as text:
        base = Path(text)
        harness = Harness(base / "harness")
        folder = build(harness, base / "project")
        kept = Kept()
        kept.check(folder)
        total, problems = explore(harness, folder, base / "copies", (), kept)
        harness.close()
    print(f"{total:,} sequences, {len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
