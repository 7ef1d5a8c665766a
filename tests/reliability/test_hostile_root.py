"""A project folder from somebody else: no code of it runs, nothing outside is touched, complaints are sentences.

``sweep_hostile_root.py`` beside this tries all mutations.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.everyday import restore
from fixtures.faults import Harness
from fixtures.hostile_root import BY_HAND, RANDOM, Mutation, check, strangers_folder

SAMPLE = [mutation for mutation in BY_HAND if mutation.name.split(" in ")[0] not in ("nothing",)][:60:4]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that belongs to somebody else."""
    return strangers_folder(tmp_path_factory.mktemp("outside") / "stranger")


@pytest.mark.parametrize("mutation", [*BY_HAND[:2], *SAMPLE, *BY_HAND[-4:]], ids=lambda mutation: mutation.name)
def test_trap_by_hand_lets_nothing_in_or_out(
    harness: Harness, published: tuple[Path, Path], outside: Path, mutation: Mutation
) -> None:
    assert check(harness, restore(*published), mutation, 1, outside) == []


@pytest.mark.parametrize("number", [*range(0, 24, 4), *range(24, len(RANDOM), 2)])
def test_random_change_ends_in_a_sentence(
    harness: Harness, published: tuple[Path, Path], outside: Path, number: int
) -> None:
    assert check(harness, restore(*published), Mutation(f"random {number}", RANDOM[number]), number, outside) == []
