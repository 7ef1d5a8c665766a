"""Which chips a training sees at each step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.stages.classify.sampling import class_slots, schedule, stream, synthetic_shares


@given(classes=st.integers(2, 5), steps=st.integers(1, 40), batch=st.integers(4, 33))
def test_classes_get_equal_places_in_the_long_run(classes, steps, batch):
    slots = class_slots(classes, steps, batch)
    assert (slots.sum(axis=1) == batch).all()
    assert slots.max() - slots.min() <= 1
    totals = slots[: steps // classes * classes].sum(axis=0)
    assert len(set(totals.tolist())) == 1


@given(members=st.integers(1, 20), length=st.integers(0, 100))
def test_a_stream_shows_all_members_equally_often(members, length):
    drawn = stream(np.arange(members) + 100, length, [1, 2])
    counts = np.bincount(drawn - 100, minlength=members) if length else np.zeros(members, int)
    assert len(drawn) == length
    assert counts.max() - counts.min() <= 1


def test_shares_by_use():
    np.testing.assert_allclose(synthetic_shares("mixed", 0.3, 4), [0.3] * 4)
    np.testing.assert_allclose(synthetic_shares("falling", 0.3, 4), [0.3, 0.2, 0.1, 0.0])
    np.testing.assert_allclose(synthetic_shares("pretraining", 0.25, 8), [1, 1, 0, 0, 0, 0, 0, 0])


@settings(deadline=None)
@given(
    share=st.floats(0, 0.9),
    use=st.sampled_from(["mixed", "falling"]),
    batch=st.integers(6, 40),
    seed=st.integers(0, 2**31),
)
def test_the_share_of_synthetic_chips_holds_over_the_training(share, use, batch, seed):
    labels = np.array([0] * 30 + [1] * 7 + [0] * 5 + [1] * 9)
    synthetic = np.arange(len(labels)) >= 37
    shares = synthetic_shares(use, share, 50)
    rows = schedule(labels, synthetic, shares, batch, seed)
    assert rows.shape == (50, batch)
    assert abs(synthetic[rows].sum() - shares.sum() * batch) <= 2
    for number in (0, 1):
        per_step = (labels[rows] == number).sum(axis=1)
        assert set(per_step.tolist()) <= {batch // 2, batch // 2 + 1}


def test_pretraining_shows_synthetic_chips_then_real_ones():
    labels = np.array([0, 1] * 10)
    synthetic = np.arange(20) >= 12
    rows = schedule(labels, synthetic, synthetic_shares("pretraining", 0.5, 10), 8, 3)
    assert synthetic[rows[:5]].all()
    assert not synthetic[rows[5:]].any()


def test_a_class_without_synthetic_chips_takes_real_ones():
    labels = np.array([0, 0, 1, 1, 1])
    synthetic = np.array([False, False, False, False, True])
    rows = schedule(labels, synthetic, np.full(20, 0.5), 8, 1)
    assert not synthetic[rows][labels[rows] == 0].any()
    assert synthetic[rows][labels[rows] == 1].mean() == pytest.approx(0.5)


def test_arms_of_a_split_start_with_the_same_real_chips():
    labels = np.array([0, 1] * 20)
    alone = schedule(labels, np.zeros(40, bool), np.zeros(5), 8, 7)
    more = np.concatenate([labels, [0, 1]])
    mixed = schedule(more, np.arange(42) >= 40, np.full(5, 0.25), 8, 7)
    for number in (0, 1):
        real = mixed[(mixed < 40) & (more[mixed] == number)]
        np.testing.assert_array_equal(real, alone[labels[alone] == number][: len(real)])
