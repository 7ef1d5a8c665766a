"""The eight symmetries of a square chip, against each other and against NumPy's flips."""

from __future__ import annotations

import numpy as np
import pytest
from satpipe.dataset.orientations import SYMMETRIES, each_turned, turned, turned_back

CHIP = np.arange(16 * 16 * 3, dtype=np.float32).reshape(1, 16, 16, 3)


def test_the_eight_differ_and_are_those_of_flips_and_a_transpose() -> None:
    found = {turned(CHIP, number).tobytes() for number in range(SYMMETRIES)}
    flips = [np.flip(CHIP, axes) for axes in ((), (1,), (2,), (1, 2))]
    assert found == {view.tobytes() for flip in flips for view in (flip, flip.transpose(0, 2, 1, 3))}
    assert len(found) == SYMMETRIES


def test_the_first_leaves_chips_as_they_are() -> None:
    np.testing.assert_array_equal(turned(CHIP, 0), CHIP)


@pytest.mark.parametrize("number", range(SYMMETRIES))
def test_turned_back_undoes_a_symmetry(number: int) -> None:
    np.testing.assert_array_equal(turned(turned(CHIP, number), turned_back(number)), CHIP)
    np.testing.assert_array_equal(turned(turned(CHIP, turned_back(number)), number), CHIP)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_chip_has_its_own_symmetry_and_its_bands_stay_together(dtype: str) -> None:
    numbers = np.array([5, 0, 7, 3, 3, 6, 1, 2, 4])
    chips = (np.arange(9)[:, None, None, None] + CHIP).astype(dtype)
    views = each_turned(chips, numbers)
    for chip, view, number in zip(chips, views, numbers, strict=True):
        np.testing.assert_array_equal(view, turned(chip[None], number)[0])
    assert views.dtype == chips.dtype
    assert not np.shares_memory(views, chips)
