"""No worker takes more memory than it may."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject


def test_task_above_the_memory_cap_ends_in_a_sentence(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("memory is capped on Linux alone")
    project = LettersProject.build(tmp_path / "letters")
    project.edit("satpipe/stages/synth/stage.py", "    (context.out", "    bytearray(3 << 30)\n    (context.out")
    stopped = project.call("run", "all", "--config", "letters.yaml", "--set", "compute.memory_gb=1.5")
    assert stopped.returncode == 2
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert "task synth/r" in stopped.stderr
    assert "needs more memory than the 1.5 GiB of compute.memory_gb; raise that" in stopped.stderr
    project.edit("satpipe/stages/synth/stage.py", "    bytearray(3 << 30)\n    (context.out", "    (context.out")
    assert "gan/r0" not in project.run("--set", "compute.memory_gb=1.5"), "the cap is no part of any key"
