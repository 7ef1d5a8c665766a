"""Chips as pictures: conversion to 8-bit RGB, and sheets of many chips."""

from __future__ import annotations

import numpy as np
import pytest
from satpipe.dataset.contact_sheet import chosen, draw_sheet, enlarged, to_rgb, viewable
from satpipe.dataset.scaling import Scaling


def coloured(*values: int) -> np.ndarray:
    """Pictures of 4 x 6 pixels, each of one grey."""
    return np.stack([np.full((4, 6, 3), value, np.uint8) for value in values])


def test_uint8_chips_are_shown_as_they_are() -> None:
    chips = np.arange(256, dtype=np.uint8).reshape(1, 8, 32, 1)
    np.testing.assert_array_equal(viewable(chips), chips.repeat(3, axis=-1))


def test_the_first_three_bands_or_the_first_as_grey_are_shown() -> None:
    values = np.array([-1.0, 0.0, 1.0, 0.5], np.float32).reshape(1, 1, 1, 4)
    assert to_rgb(values).ravel().tolist() == [0, 128, 255]
    assert to_rgb(values[..., 1:3]).ravel().tolist() == [128, 128, 128]


@pytest.mark.filterwarnings("error")
def test_values_out_of_range_are_clipped_and_nan_is_black() -> None:
    assert to_rgb(np.array([-7, 7, np.nan], np.float32).reshape(1, 1, 1, 3)).ravel().tolist() == [0, 255, 0]


def test_a_given_scaling_makes_chips_comparable() -> None:
    scaling = Scaling((0.0,), (1000.0,), "uint16")
    chips = np.array([0, 500, 1000, 2000], np.uint16).reshape(4, 1, 1, 1)
    assert viewable(chips, scaling)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    small = enlarged(coloured(1, 2))
    assert small.shape == (2, 64, 96, 3)
    assert enlarged(np.zeros((1, 80, 80, 3), np.uint8)).shape == (1, 80, 80, 3)


def test_each_group_starts_a_row_on_white() -> None:
    sheet = np.asarray(draw_sheet([coloured(10, 20, 30), coloured(40)], columns=2))
    assert sheet.shape == (3 * 6 + 2, 2 * 8 + 2, 3)
    assert sheet[2, 2].tolist() == [10] * 3
    assert sheet[2, 10].tolist() == [20] * 3
    assert sheet[8, 2].tolist() == [30] * 3
    assert sheet[14, 2].tolist() == [40] * 3
    assert (sheet[8:, 10:] == 255).all()


def test_titles_stand_above_their_groups_even_empty_ones() -> None:
    sheet = np.asarray(draw_sheet([coloured(10), np.empty((0, 4, 6, 3), np.uint8)], 2, ["a", "b"]))
    assert sheet.shape[0] == 2 * 16 + 6 + 2
    assert (sheet[:16] < 255).any()
    assert sheet[16, 2].tolist() == [10] * 3
    assert (sheet[23:] < 255).any()


def test_a_sheet_without_pictures_is_white() -> None:
    assert (np.asarray(draw_sheet([np.empty((0, 4, 4, 3), np.uint8)], 4)) == 255).all()


def test_a_draw_is_without_repetition_and_repeatable() -> None:
    rows = chosen(100, 10, seed=3)
    assert len(set(rows.tolist())) == 10
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, chosen(100, 10, seed=3))
    np.testing.assert_array_equal(chosen(4, 10, seed=3), np.arange(4))
