"""Temperature and threshold against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from satpipe.models.classifier import softmax
from satpipe.stages.classify.calibrate import balanced_accuracy, fit_temperature, fit_threshold, nll
from scipy.special import expit, logit
from sklearn.metrics import balanced_accuracy_score, log_loss


def test_loss_and_balanced_accuracy_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    assert nll(logits, labels, 1.7) == pytest.approx(log_loss(labels, softmax(logits, 1.7)))
    predicted = logits.argmax(axis=1)
    assert balanced_accuracy(predicted, labels) == pytest.approx(balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_many_chips_recover_the_temperature_of_their_labels(true):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (20_000, 2))
    labels = (rng.random(20_000) < softmax(logits, true)[:, 1]).astype(int)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.06)


def test_few_chips_do_not_drive_the_temperature_to_zero():
    logits = np.array([[2.0, -2.0], [-2.0, 2.0]] * 5)
    assert 0.3 < fit_temperature(logits, np.array([0, 1] * 5)) < 1.0


def test_without_chips_nothing_is_changed():
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, int)) == 1.0
    assert fit_threshold(np.array([0.1, 0.2]), np.array([0, 0])) == 0.5
    assert fit_threshold(np.array([0.1, 0.2]), np.array([1, 2])) == 0.5


def test_mirrored_scores_have_their_threshold_in_the_middle():
    scores = np.array([0.1, 0.3, 0.7, 0.9])
    assert fit_threshold(scores, np.array([0, 0, 1, 1])) == pytest.approx(0.5, abs=0.01)


@given(shift=st.floats(-2, 2))
def test_the_threshold_moves_with_the_log_odds(shift):
    rng = np.random.default_rng(2)
    odds = np.concatenate([rng.normal(-2, 1, 20_000), rng.normal(2, 1, 10_000)])
    labels = np.repeat([0, 1], [20_000, 10_000])
    at_zero = logit(fit_threshold(expit(odds), labels))
    assert logit(fit_threshold(expit(odds + shift), labels)) == pytest.approx(at_zero + shift, abs=0.01)


def test_many_chips_lose_as_many_objects_as_they_keep_background():
    rng = np.random.default_rng(5)
    odds = np.concatenate([rng.normal(-2, 1.5, 20_000), rng.normal(1, 1.5, 9_000)])
    labels = np.repeat([0, 1], [20_000, 9_000])
    shift = logit(fit_threshold(expit(odds), labels))
    lost, kept = expit(shift - odds[labels == 1]).mean(), expit(odds[labels == 0] - shift).mean()
    assert lost == pytest.approx(kept, abs=0.002)


def test_the_threshold_matches_the_share_of_the_labels():
    rng = np.random.default_rng(6)
    odds = np.concatenate([rng.normal(-1, 2, 3000), rng.normal(2, 2, 3000)])
    labels = np.repeat([0, 1], 3000)
    # The score equation of a logistic regression whose only free parameter is the intercept.
    shift = logit(fit_threshold(expit(odds), labels))
    rate = expit(odds - shift)
    assert rate.mean() == pytest.approx(labels.mean(), abs=0.002)


def test_a_few_chips_hardly_move_the_threshold():
    odds = np.array([-3.0] * 20 + [-1.0] * 5)
    labels = np.repeat([0, 1], [20, 5])
    few = logit(fit_threshold(expit(odds), labels))
    many = logit(fit_threshold(expit(np.tile(odds, 200)), np.tile(labels, 200)))
    assert many == pytest.approx(-2.0, abs=0.05)
    assert -0.8 < few < 0


def test_the_threshold_does_not_depend_on_the_class_ratio():
    rng = np.random.default_rng(3)
    background, ships = expit(rng.normal(-2, 1.5, 100)), expit(rng.normal(1, 1.5, 60))
    once = fit_threshold(np.concatenate([background, ships]), np.repeat([0, 1], [100, 60]))
    thrice = fit_threshold(np.concatenate([np.tile(background, 3), ships]), np.repeat([0, 1], [300, 60]))
    assert once == pytest.approx(thrice)


def test_all_other_classes_are_foreground():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    one = fit_threshold(scores, np.array([0, 0, 1, 1]))
    assert fit_threshold(scores, np.array([0, 0, 1, 2])) == one
