"""Windows to objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.inference.detect.merge import merge

SIZE = 80


def hill(centres: list[tuple[float, float]], step: int = 8, extent: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Windows at a step, and probabilities that fall with the distance from the nearest centre."""
    rows, cols = np.mgrid[0 : extent - SIZE : step, 0 : extent - SIZE : step]
    windows = np.stack([rows.ravel(), cols.ravel()], axis=1)
    middles = windows + SIZE / 2
    away = np.min([np.linalg.norm(middles - np.array(centre), axis=1) for centre in centres], axis=0)
    score = 1 / (1 + np.exp((away - 26) / 3))
    return windows, np.stack([1 - score, score], axis=1)


def test_a_hill_of_windows_is_one_object_in_its_middle() -> None:
    result = merge(*hill([(200, 163)]), SIZE, 8, 0.5)
    assert len(result) == 1
    np.testing.assert_allclose(result.centres[0], (200, 163), atol=3)
    assert result.classes.tolist() == [1]


def test_a_hill_that_is_flat_on_top_is_one_object() -> None:
    windows, probabilities = hill([(200, 200)])
    score = np.where(probabilities[:, 1] > 0.6, 1.0, probabilities[:, 1])
    result = merge(windows, np.stack([1 - score, score], axis=1), SIZE, 8, 0.5)
    assert len(result) == 1
    np.testing.assert_allclose(result.centres[0], (200, 200), atol=5)


def test_two_objects_a_window_apart_are_two() -> None:
    result = merge(*hill([(120, 120), (120, 210)]), SIZE, 8, 0.5)
    assert len(result) == 2
    np.testing.assert_allclose(np.sort(result.centres[:, 1]), (120, 210), atol=5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_the_order_of_windows_does_not_matter(seed: int) -> None:
    windows, probabilities = hill([(120, 120), (250, 210)])
    order = np.random.default_rng(seed).permutation(len(windows))
    item, other = merge(windows, probabilities, SIZE, 8, 0.1), merge(windows[order], probabilities[order], SIZE, 8, 0.1)
    np.testing.assert_allclose(item.centres, other.centres)
    np.testing.assert_allclose(item.scores, other.scores)


def test_classes_are_told_apart() -> None:
    windows, probabilities = hill([(200, 200)])
    three = np.stack([probabilities[:, 0], 0.2 * probabilities[:, 1], 0.8 * probabilities[:, 1]], axis=1)
    assert merge(windows, three, SIZE, 8, 0.5).classes.tolist() == [2]


def test_nothing_is_nothing() -> None:
    assert len(merge(np.zeros((0, 2), np.int64), np.zeros((0, 2)), SIZE, 8, 0.5)) == 0
    assert len(merge(np.zeros((3, 2), np.int64), np.tile([1.0, 0.0], (3, 1)), SIZE, 8, 0.5)) == 0


def test_a_long_object_is_one_with_its_middle_in_the_middle() -> None:
    line = [(200.0, col) for col in np.arange(140.0, 261.0, 4)]
    result = merge(*hill(line), SIZE, 8, 0.5)
    assert len(result) == 1
    np.testing.assert_allclose(result.centres[0], (200, 200), atol=5)


def test_a_ripple_on_a_hill_is_no_object_and_a_saddle_parts_two() -> None:
    windows, _ = hill([(200, 200)])
    col = windows[:, 1] + SIZE / 2
    for depth, count in ((1.0, 1), (2.0, 2), (9.0, 2)):
        odds = np.where(np.abs(windows[:, 0] - 160) < 20, 6 - depth * (np.abs(col - 200) < 14), -6.0)
        odds[np.abs(col - 200) > 50] = -6
        score = 1 / (1 + np.exp(-odds))
        assert len(merge(windows, np.stack([1 - score, score], axis=1), SIZE, 8, 0.5)) == count
