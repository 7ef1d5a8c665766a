"""The eight symmetries of a square chip, against each other and against NumPy's flips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from satpipe.dataset.orientations import BY_FLIPS, ORIENTATIONS, inverse, orient_each, oriented
from satpipe.models.classifier import oriented as oriented_tensor

CHIP = np.arange(16 * 16 * 3, dtype=np.float32).reshape(1, 16, 16, 3)


def test_the_eight_are_the_rotations_and_their_mirror_images() -> None:
    for number in range(ORIENTATIONS):
        rotated = np.rot90(CHIP, number % 4, axes=(1, 2))
        np.testing.assert_array_equal(oriented(CHIP, number), rotated if number < 4 else rotated[:, :, ::-1])
    assert len({oriented(CHIP, number).tobytes() for number in range(ORIENTATIONS)}) == ORIENTATIONS


def test_tensors_are_oriented_as_arrays_are() -> None:
    tensor = torch.from_numpy(CHIP).permute(0, 3, 1, 2)
    for number in range(ORIENTATIONS):
        np.testing.assert_array_equal(oriented_tensor(tensor, number).permute(0, 2, 3, 1), oriented(CHIP, number))


def test_classification_draws_and_averages_by_flips() -> None:
    """The order is part of every result: a draw or a sum of floats in another order has other bytes."""
    for bits, number in enumerate(BY_FLIPS):
        chips = CHIP.transpose(0, 2, 1, 3) if bits & 4 else CHIP
        np.testing.assert_array_equal(
            oriented(CHIP, number), chips[:, :: -1 if bits & 1 else 1, :: -1 if bits & 2 else 1]
        )


def test_the_first_leaves_chips_as_they_are() -> None:
    np.testing.assert_array_equal(oriented(CHIP, 0), CHIP)


@pytest.mark.parametrize("number", range(ORIENTATIONS))
def test_turned_back_undoes_a_symmetry(number: int) -> None:
    np.testing.assert_array_equal(oriented(oriented(CHIP, number), inverse(number)), CHIP)
    np.testing.assert_array_equal(oriented(oriented(CHIP, inverse(number)), number), CHIP)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_chip_has_its_own_orientation(dtype: str) -> None:
    numbers = np.array([5, 0, 7, 3, 3, 6, 1, 2, 4])
    chips = (np.arange(9)[:, None, None, None] + CHIP).astype(dtype)
    views = orient_each(chips, numbers)
    for chip, view, number in zip(chips, views, numbers, strict=True):
        np.testing.assert_array_equal(view, oriented(chip[None], number)[0])
    assert views.dtype == chips.dtype
    assert not np.shares_memory(views, chips)
