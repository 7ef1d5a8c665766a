"""Metrics against scikit-learn, for plain and for weighted units."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.stages.report.stats import metrics
from sklearn import metrics as reference

UNITS = 7


def table(seed: int, chips: int = 160, classes: int = 2, ties: bool = True):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, chips)
    predicted = np.where(rng.random(chips) < 0.7, true, rng.integers(0, classes, chips))
    score = rng.random(chips)
    if ties:
        score = np.round(score, 1)
    unit = rng.integers(0, UNITS, chips)
    return true, predicted, score, unit


def weighted(weights, unit):
    return np.repeat(np.arange(len(unit)), weights[unit].astype(int))


COUNTED = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "recall": lambda true, predicted: reference.recall_score(true > 0, predicted > 0),
    "precision": lambda true, predicted: reference.precision_score(true > 0, predicted > 0, zero_division=0),
    "f1": lambda true, predicted: reference.f1_score(true > 0, predicted > 0),
}


@pytest.mark.parametrize("name", list(COUNTED))
@pytest.mark.parametrize("classes", [2, 3])
def test_counted_metrics_are_scikit_learns_for_any_weights(name, classes):
    for seed in range(5):
        true, predicted, _, unit = table(seed, classes=classes)
        counts = metrics.confusion_counts(true, predicted, unit, UNITS, classes)[None]
        weights = np.random.default_rng(seed).integers(0, 4, (6, UNITS)).astype(float)
        result = metrics.counted(counts, metrics.FORMULAS[name])(weights)[:, 0]
        for value, weight in zip(result, weights, strict=True):
            chosen = weighted(weight, unit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert value == pytest.approx(COUNTED[name](true[chosen], predicted[chosen]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_average_precision_is_scikit_learns_for_any_weights(seed, ties):
    true, _, score, unit = table(seed, chips=60, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 3, (4, UNITS)).astype(float)
    result = metrics.average_precision(true > 0, score[None], unit)(weights)[:, 0]
    for value, weight in zip(result, weights, strict=True):
        chosen = weighted(weight, unit)
        if true[chosen].any():
            assert value == pytest.approx(reference.average_precision_score(true[chosen] > 0, score[chosen]))
        else:
            assert np.isnan(value)


def test_average_precision_takes_only_chips_tested():
    true, _, score, unit = table(3, ties=False)
    present = np.random.default_rng(0).random(len(true)) < 0.5
    result = metrics.average_precision(true > 0, score[None], unit, present[None])(np.ones((1, UNITS)))
    assert result[0, 0] == pytest.approx(reference.average_precision_score(true[present] > 0, score[present]))


def test_average_precision_is_the_same_in_chunks(monkeypatch):
    true, _, score, unit = table(4)
    weights = np.random.default_rng(1).integers(0, 3, (50, UNITS)).astype(float)
    whole = metrics.average_precision(true > 0, score[None], unit)(weights)
    monkeypatch.setattr(metrics, "CHUNK", 7 * len(true))
    assert np.array_equal(whole, metrics.average_precision(true > 0, score[None], unit)(weights))


def plain_calibration_error(positive, score):
    """The definition, bin by bin."""
    error = 0.0
    bins = np.minimum((score * 10).astype(int), 9)
    for number in range(10):
        subset = bins == number
        if subset.any():
            error += subset.mean() * abs(score[subset].mean() - positive[subset].mean())
    return error


def test_calibration_error_is_its_definition_for_any_weights():
    for seed in range(5):
        true, _, score, unit = table(seed, ties=False)
        counts = metrics.calibration_counts(true > 0, score, unit, UNITS)[None]
        weights = np.random.default_rng(seed).integers(0, 4, (6, UNITS)).astype(float)
        result = metrics.counted(counts, metrics.calibration_error)(weights)[:, 0]
        for value, weight in zip(result, weights, strict=True):
            chosen = weighted(weight, unit)
            assert value == pytest.approx(plain_calibration_error(true[chosen] > 0, score[chosen]))


def test_a_score_of_one_belongs_to_the_last_bin():
    result = metrics.calibration_counts(np.array([True]), np.array([1.0]), np.array([0]), 1)
    assert result[0, :-1].sum() == 0.0
    assert result[0, -1] == 1


def test_recall_without_objects_and_precision_without_finds():
    nothing_there = np.array([[[5.0, 2.0, 0.0, 0.0]]])
    nothing_found = np.array([[[5.0, 0.0, 2.0, 0.0]]])
    ones = np.ones((1, 1))
    assert np.isnan(metrics.counted(nothing_there, metrics.recall)(ones)[0, 0])
    assert metrics.counted(nothing_found, metrics.precision)(ones)[0, 0] == 0.0


def test_balanced_accuracy_leaves_out_absent_classes():
    counts = np.array([8.0, 2.0, 0.0, 0.0])
    assert metrics.balanced_accuracy(counts) == pytest.approx(0.8)


def test_recall_of_a_class_is_scikit_learns():
    true, predicted, _, unit = table(0, classes=3)
    counts = metrics.confusion_counts(true, predicted, unit, UNITS, 3)[None]
    for number in range(3):
        result = metrics.counted(counts, metrics.class_recall(number))(np.ones((1, UNITS)))[0, 0]
        assert result == pytest.approx(reference.recall_score(true, predicted, labels=[number], average="macro"))
