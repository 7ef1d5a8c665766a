"""No worker takes more memory than it may."""

from __future__ import annotations

import sys

import pytest
from fixtures.toy_project import Toy


def test_part_that_needs_more_memory_than_the_cap_ends_in_a_sentence_and_the_rest_is_kept(toy: Toy) -> None:
    if sys.platform != "linux":
        pytest.skip("memory is capped on Linux alone")
    toy.edit("satpipe/stages/synth/stage.py", "    (job.out", "    bytearray(3 << 30)\n    (job.out")
    stopped = toy.call("run", "all", "--config", "toy.yaml", "--set", "compute.memory_gb=1.5")
    assert stopped.returncode == 2
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert "part synth/r" in stopped.stderr
    assert "needs more memory than the 1.5 GiB of compute.memory_gb; raise that" in stopped.stderr
    toy.edit("satpipe/stages/synth/stage.py", "    bytearray(3 << 30)\n    (job.out", "    (job.out")
    assert "gan/r0" not in toy.run("--set", "compute.memory_gb=1.5"), "the cap is no part of any key"
