"""Hostile and broken files: refused by name with a reason, without a crash, a hang, or anything let in.

A sample of what ``sweep_hostile.py`` does with more than 500 files.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.calls import KINDS
from fixtures.faults import Harness
from fixtures.hostile import COUNTS, Batch, batches, tif
from fixtures.hostile_check import check, check_call

SAMPLE = 6


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that no hostile file may lead to."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret" / "canary.tif"
    path.parent.mkdir()
    path.write_bytes(tif(7))
    return path


@pytest.fixture(scope="module")
def sample(canary: Path) -> dict[str, list[Batch]]:
    result: dict[str, list[Batch]] = {}
    for batch in batches(canary, SAMPLE):
        result.setdefault(batch.kind, []).append(batch)
    return result


@pytest.mark.parametrize("kind", ["image traps", *COUNTS])
def test_hostile_files_are_refused_one_by_one_and_let_nothing_in(
    harness: Harness, sample: dict[str, list[Batch]], canary: Path, tmp_path: Path, kind: str
) -> None:
    refused = 0
    for batch in sample[kind]:
        result = check(harness, batch, tmp_path / "project", canary)
        assert result.problems == []
        assert sorted([*result.refused, *result.used]) == sorted(batch.hostile)
        refused += len(result.refused)
    assert refused > 0, "files that are all sound attack nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_broken_file_opened_by_the_library_is_a_sentence(
    harness: Harness, canary: Path, tmp_path: Path, kind: str
) -> None:
    refused = []
    for number in range(8):
        problems, was_refused = check_call(harness, kind, number, tmp_path / "files", canary)
        assert problems == []
        refused.append(was_refused)
    assert any(refused)
