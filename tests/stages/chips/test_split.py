"""Splits: promises that hold for every data set, and cases worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from satpipe.stages.chips import split as s
from satpipe.utils.errors import TooLittleDataError


def chips(groups=6, units=4, ships=6, sea=12):
    """A data set: each of ``groups`` has ``units``, each of these so many ships and background chips."""
    rows = [
        (f"g{group}", f"g{group}u{unit}", label, f"g{group}u{unit}{label}{number}")
        for group in range(groups)
        for unit in range(units)
        for label, count in (("ship", ships), ("sea", sea))
        for number in range(count)
    ]
    group, unit, label, name = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    return s.Chips(name, label, group, unit, name.copy(), np.zeros((0, 2), np.int64), *np.zeros((2, 0), bool))


def with_leaks(data, pairs, copies=True):
    """The data set with pairs of chips that are copies, or overlap on the ground."""
    return dataclasses.replace(data, leaks=np.array(pairs), copies=np.full(len(pairs), copies))


def request(test=("g0",), fraction=1.0, smallest=None, replicate=0, seed=1, validation=0.25):
    return s.Request(frozenset(test), fraction, smallest or fraction, validation, "sea", seed, replicate)


def roles(data, asked):
    found = s.split(data, asked)
    return {
        role: set(data.chip_id[found.role == role]) for role in (s.TRAIN, s.VALIDATION, s.TEST, s.UNUSED, s.DROPPED)
    }


def counts(data, found, role, label):
    return int(((found.role == role) & (data.label == label)).sum())


def test_all_labels_of_the_other_groups_train_or_validate():
    data = chips()
    found = s.split(data, request())
    assert set(data.group[found.role == s.TEST]) == {"g0"}
    assert counts(data, found, s.TEST, "ship") == 24
    assert counts(data, found, s.TRAIN, "ship") + counts(data, found, s.VALIDATION, "ship") == 120
    # A quarter of 20 units of one size validates.
    assert counts(data, found, s.VALIDATION, "ship") == 30
    assert counts(data, found, s.VALIDATION, "sea") == 60
    assert found.validated_by == "unit"


@pytest.mark.parametrize(("units", "smallest", "by"), [(4, 0.25, "unit"), (4, 0.1, "chip"), (20, 0.1, "unit")])
def test_fractions_are_drawn_by_unit_where_there_are_enough(units, smallest, by):
    data = chips(units=units, ships=12, sea=24)
    found = s.split(data, request(fraction=0.5, smallest=smallest))
    assert found.drawn_by == by
    used = np.isin(found.role, [s.TRAIN, s.VALIDATION])
    reached = len(set(data.unit[used]))
    assert reached == (5 * units // 2 if by == "unit" else 5 * units)


@given(
    units=st.integers(3, 6),
    ships=st.integers(8, 12),
    seed=st.integers(0, 50),
    replicate=st.integers(0, 5),
    fractions=st.lists(st.floats(0.2, 1), min_size=2, max_size=4, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_a_smaller_fraction_lies_inside_a_larger_one(units, ships, seed, replicate, fractions):
    data = chips(groups=5, units=units, ships=ships, sea=3 * ships)
    before: set[str] = set()
    for fraction in sorted(fractions):
        found = roles(data, request(fraction=fraction, smallest=min(fractions), seed=seed, replicate=replicate))
        used = found[s.TRAIN] | found[s.VALIDATION]
        assert before <= used
        before = used
        here = np.isin(data.chip_id, list(used))
        pool = 4 * units * ships
        for label, times in (("ship", 1), ("sea", 3)):
            expected = np.floor(fraction * pool * times + 0.5)
            assert (here & (data.label == label)).sum() == expected


@given(seed=st.integers(0, 100), fraction=st.floats(0.2, 1), share=st.floats(0.1, 0.5))
@settings(max_examples=60, deadline=None)
def test_no_unit_or_group_is_on_two_sides(seed, fraction, share):
    data = chips(units=3, ships=10)
    try:
        found = s.split(data, request(fraction=fraction, seed=seed, validation=share))
    except TooLittleDataError:
        reject()  # a fifth of the labels with a tenth of them to validate may be too few, and is refused
    train, validation, test = (found.role == role for role in (s.TRAIN, s.VALIDATION, s.TEST))
    assert not set(data.group[test]) & set(data.group[train | validation])
    if found.validated_by == "unit":
        assert not set(data.unit[train]) & set(data.unit[validation])


def test_a_replicate_draws_anew_and_the_same_one_draws_the_same():
    data = chips()
    first = roles(data, request(fraction=0.5, replicate=0))
    assert first == roles(data, request(fraction=0.5, replicate=0))
    assert first[s.TRAIN] != roles(data, request(fraction=0.5, replicate=1))[s.TRAIN]
    assert first[s.TRAIN] != roles(data, request(fraction=0.5, seed=2))[s.TRAIN]


def test_a_leak_drops_the_training_copy_and_keeps_the_tested_one():
    data = chips()
    place = {name: number for number, name in enumerate(data.chip_id)}
    leaky = with_leaks(data, [[place["g0u0ship0"], place["g3u1ship2"]], [place["g4u0sea1"], place["g0u1sea0"]]])
    found = s.split(leaky, request())
    assert found.role[place["g3u1ship2"]] == s.DROPPED
    assert found.role[place["g4u0sea1"]] == s.DROPPED
    assert found.role[place["g0u0ship0"]] == s.TEST
    assert found.dropped == {"near-duplicate of a test chip": 2}


@pytest.mark.parametrize(
    ("copies", "dropped", "advice"),
    [
        (
            True,
            r"\(7 near-duplicate of a test chip\), 5 of them foreground",
            "raise chips.duplicates.min_correlation or",
        ),
        (False, r"\(7 overlap with a test chip\), 5 of them foreground", None),
    ],
)
def test_too_little_data_names_what_was_dropped(copies, dropped, advice):
    data = chips(groups=2, units=2, ships=6)
    place = {name: number for number, name in enumerate(data.chip_id)}
    ships = [[place[f"g0u0ship{number}"], place[f"g1u0ship{number}"]] for number in range(5)]
    sea = [[place[f"g0u0sea{number}"], place[f"g1u0sea{number}"]] for number in range(2)]
    with pytest.raises(TooLittleDataError, match=dropped) as raised:
        s.split(with_leaks(data, ships + sea, copies), request())
    assert (advice in str(raised.value)) if advice else ("min_correlation" not in str(raised.value))
    with pytest.raises(TooLittleDataError, match="training and validation: add labels"):
        s.split(chips(groups=2, units=1), request())


@given(st.integers(0, 300))
@settings(max_examples=40, deadline=None)
def test_no_leak_is_left_whatever_the_pairs(seed):
    data = chips(units=3, ships=10)
    pairs = np.random.default_rng(seed).integers(0, len(data.chip_id), (25, 2))
    data = with_leaks(data, pairs[pairs[:, 0] != pairs[:, 1]])
    found = s.split(data, request(fraction=0.7, seed=seed))
    held_out = np.isin(found.role, [s.VALIDATION, s.TEST])
    for one, other in data.leaks:
        for a, b in ((one, other), (other, one)):
            assert not (found.role[a] == s.TRAIN and held_out[b])
            assert not (found.role[a] == s.VALIDATION and found.role[b] == s.TEST)


@pytest.mark.parametrize("role", ["test", "validation"])
def test_a_leak_that_was_left_stops_the_stage(role, monkeypatch):
    data = chips()
    found = roles(data, request())
    place = {name: number for number, name in enumerate(data.chip_id)}
    leak = [place[sorted(found[s.TRAIN])[0]], place[sorted(found[role])[0]]]
    monkeypatch.setattr(s, "_beside", lambda leaks, chosen: np.zeros(len(chosen), dtype=bool))
    with pytest.raises(AssertionError, match="a leak between training and held-out chips is left"):
        s.split(with_leaks(data, [leak]), request())


def test_chips_that_share_pixels_on_two_sides_stop_the_stage():
    data = chips()
    with pytest.raises(AssertionError, match="share pixels"):
        s.split(dataclasses.replace(data, cluster=np.full(len(data.chip_id), "all", dtype=object)), request())


def test_one_unit_validates_by_chips_that_share_no_pixels():
    data = chips(groups=2, units=1, ships=16, sea=32)
    # Chips 0 and 1, 2 and 3 ... overlap.
    data = dataclasses.replace(data, cluster=np.array([f"c{n // 2}" for n in range(len(data.chip_id))], dtype=object))
    found = s.split(data, request())
    assert found.validated_by == "chip"
    train, validation = (set(data.cluster[found.role == role]) for role in (s.TRAIN, s.VALIDATION))
    assert validation
    assert not train & validation


def test_the_final_split_has_no_test():
    found = roles(chips(), request(test=()))
    assert not found[s.TEST]
    assert not found[s.UNUSED]


@pytest.mark.parametrize(
    ("data", "asked", "role", "kind"),
    [
        (chips(ships=0), request(), "train", "foreground"),
        (chips(sea=0), request(), "train", "background"),
        (chips(groups=2, units=1, ships=6), request(), "train", "foreground"),
        (chips(groups=6, units=1, ships=3), request(), "test", "foreground"),
        (chips(), request(fraction=0.05), "train", "foreground"),
    ],
)
def test_too_little_data_says_which_part_lacks_what(data, asked, role, kind):
    with pytest.raises(TooLittleDataError, match=rf"a split has \d+ {kind} chips? with role {role} .*add labels"):
        s.split(data, asked)


def test_units_that_share_ground_become_one():
    unit = np.array(["a", "b", "c", "a", "d"], dtype=object)
    joined = s.joined_units(unit, np.array([[0, 2], [2, 4]]))
    assert joined.tolist() == ["a", "b", "a", "a", "a"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=25))
def test_clusters_are_the_chains_of_overlapping_windows(places):
    scene = np.array([place[0] for place in places], dtype=object)
    rows, cols = (np.array([place[axis] for place in places]) for axis in (1, 2))
    touch = (scene[:, None] == scene) & (abs(rows[:, None] - rows) < 8) & (abs(cols[:, None] - cols) < 8)
    for _ in places:
        touch = touch @ touch
    expected = [min(np.flatnonzero(row).tolist(), key=str) for row in touch]
    assert s.clusters(scene, rows, cols, 8).tolist() == expected


def test_clusters_worked_out_by_hand():
    scene = np.array(["x", "x", "x", "x", "y", "y"], dtype=object)
    rows, cols = np.array([0, 5, 12, 0, 0, 10]), np.array([0, 5, 9, 40, 0, 0])
    found = s.clusters(scene, rows, cols, 10)
    # x: 0 overlaps 1, 1 overlaps 2 (a chain); 3 is far. y: edge to edge is no overlap.
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 4
