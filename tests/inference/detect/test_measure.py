"""Precision and recall, against counts by hand and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from satpipe.inference.detect.measure import average_precision, best, match, quality
from sklearn.metrics import precision_recall_curve

BOXES = np.array([[10, 10, 30, 20], [100, 100, 110, 110]], float)


def test_a_detection_finds_the_object_whose_box_holds_its_centre() -> None:
    centres = np.array([[20, 15], [105, 116], [60, 60]], float)
    found = match(centres, np.array([0.9, 0.8, 0.7]), BOXES, tolerance=5)
    assert found.tolist() == [0, -1, -1]
    assert match(centres, np.array([0.9, 0.8, 0.7]), BOXES, tolerance=6).tolist() == [0, 1, -1]


def test_of_two_detections_of_an_object_the_surest_counts() -> None:
    centres = np.array([[20, 15], [21, 15]], float)
    assert match(centres, np.array([0.6, 0.9]), BOXES, 0).tolist() == [-1, 0]


def test_each_takes_the_nearest_free_object() -> None:
    boxes = np.array([[0, 0, 40, 40], [0, 20, 40, 60]], float)
    assert match(np.array([[20, 32], [20, 30]], float), np.array([0.9, 0.8]), boxes, 0).tolist() == [1, 0]


def test_points_are_found_within_the_tolerance() -> None:
    point = np.array([[50, 50, 50, 50]], float)
    assert match(np.array([[54, 50]], float), np.array([1.0]), point, 5).tolist() == [0]
    assert match(np.array([[56, 50]], float), np.array([1.0]), point, 5).tolist() == [-1]


def test_counts_by_hand() -> None:
    scores, right = np.array([0.9, 0.8, 0.7, 0.2]), np.array([True, False, True, True])
    found = quality(scores, right, 5, 0.5)
    assert (found.right, found.detected, found.objects) == (2, 3, 5)
    assert (found.precision, found.recall, found.f1) == (2 / 3, 2 / 5, pytest.approx(0.5))
    assert best(scores, right, 5).f1 == pytest.approx(6 / 9)
    assert best(scores, right, 5).score == pytest.approx(0.1)
    assert average_precision(scores, right, 5) == pytest.approx((1 + 3 / 4 + 3 / 4) / 5)


def test_precision_needs_detections_and_recall_objects() -> None:
    nothing, none = np.zeros(0), np.zeros(0, bool)
    assert math.isnan(quality(nothing, none, 3, 0.5).precision)
    assert quality(nothing, none, 3, 0.5).recall == 0
    assert math.isnan(quality(nothing, none, 0, 0.5).recall)
    assert best(nothing, none, 3) is None
    assert average_precision(nothing, none, 3) == 0
    assert math.isnan(average_precision(nothing, none, 0))


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_average_precision_is_the_area_under_the_best_precision(right: list[bool]) -> None:
    scores = np.linspace(1, 0.1, len(right))
    precision, recall, _ = precision_recall_curve(right, scores)
    envelope = np.maximum.accumulate(precision)
    expected = -np.sum(np.diff(recall) * envelope[:-1])
    assert average_precision(scores, np.array(right), sum(right)) == pytest.approx(expected)


@example([(0.010000000000000002, True), (0.01, False)])
@example([(0.010000000000000002, False), (0.01, True)])
@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=1, max_size=20))
def test_the_best_score_gives_the_best_f1_of_all(found: list[tuple[float, bool]]) -> None:
    scores, right = np.array([one[0] for one in found]), np.array([one[1] for one in found])
    top = best(scores, right, 20)
    assert top is not None
    assert top == quality(scores, right, 20, top.score)
    assert all(quality(scores, right, 20, score).f1 <= top.f1 for score in [*scores, *(scores - 1e-12)])
