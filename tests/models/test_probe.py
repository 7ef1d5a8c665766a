"""Training on chips and testing on others: grades of known scores, and a classifier that learns what it can learn."""

from __future__ import annotations

import numpy as np
import pytest
from satpipe.models import probe
from satpipe.models.device import Profile
from satpipe.models.probe import drawn_equally, grade, probabilities, train_probe


def test_grade_of_known_scores() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    found = grade(scores, np.array([0, 0, 1, 1]), ("sea", "ship"))
    # Ships are ranked 1 and 3: (1/1 + 2/3) / 2. Seas are ranked 1 and 3 too.
    assert found["average_precision"] == pytest.approx({"sea": 0.8333, "ship": 0.8333})
    assert found["balanced_accuracy"] == 0.75


def test_every_class_is_drawn_equally_from_its_own_pool() -> None:
    pools = [np.arange(5), np.arange(100, 300), np.array([7])]
    drawn = drawn_equally(np.random.default_rng(0), pools, 30)
    assert [int(np.isin(drawn, pool).sum()) for pool in pools] == [10, 10, 10]
    assert len(drawn_equally(np.random.default_rng(0), pools, 31)) == 33


def test_a_trained_probe_knows_the_class_and_follows_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STEPS", 30)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    chips = rng.normal(-0.5, 0.1, (40, 16, 16, 3)).astype(np.float32)
    chips[labels == 1, 6:10, 3:13] += 1
    found = [probabilities(train_probe(chips, labels, 2, seed, Profile()), chips) for seed in (1, 1, 2)]
    np.testing.assert_allclose(found[0].sum(1), 1)
    assert grade(found[0], labels, ("sea", "ship"))["balanced_accuracy"] == 1
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
