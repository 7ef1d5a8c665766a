"""Readers of other people's files, fuzzed in a process of its own with a cap on its memory.

A sample; ``fuzz.py`` goes on as long as it is told to.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fixtures import REPOSITORY
from fixtures.fuzz import READERS


def test_every_reader_raises_nothing_but_a_sentence() -> None:
    if sys.platform != "linux":
        pytest.skip("memory is capped on Linux alone")
    done = subprocess.run(
        [sys.executable, "-m", "fixtures.fuzz", "5", "20260101"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert all(name in done.stdout for name in READERS)
