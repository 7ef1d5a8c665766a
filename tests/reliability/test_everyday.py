"""Finished results survive everyday commands; ``sequences.py`` beside this walks all sequences of three."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from fixtures.everyday import COMMANDS, Kept, restore, run_other, walk
from fixtures.faults import Harness

SAMPLE = 14


@pytest.fixture(scope="module")
def pristine(harness: Harness, published: tuple[Path, Path]) -> tuple[Path, Path]:
    """Where the project is, and the copy from which it is restored."""
    folder = restore(*published)
    run_other(harness, folder)
    return folder, folder.rename(folder.with_name("everyday"))


def sequences() -> list[tuple[str, ...]]:
    """Return a sample that has every command, those that were found to lose results first."""
    losing = [
        ("run chips", "clean", "run all"),
        ("run with --set", "killed", "clean"),
        ("chips", "clean", "generate"),
        ("failed", "clean", "compare"),
        ("sweep", "run with --set", "clean"),
    ]
    rest = [item for item in itertools.product(COMMANDS, repeat=3) if item not in losing]
    drawn = np.random.default_rng(1).choice(len(rest), SAMPLE - len(losing), replace=False)
    return losing + [rest[number] for number in drawn]


@pytest.mark.parametrize("sequence", sequences(), ids=" > ".join)
def test_no_sequence_loses_a_result(harness: Harness, pristine: tuple[Path, Path], sequence: tuple[str, ...]) -> None:
    folder = restore(*pristine)
    kept = Kept()
    assert kept.check(folder) == []
    assert sorted(kept.results) == ["other@1", "small@1"]
    assert list(walk(harness, folder, sequence, kept)) == []
