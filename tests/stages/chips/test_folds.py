"""Folds over groups."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from satpipe.stages.chips.components import components
from satpipe.stages.chips.folds import Bundle, Rule, assign_folds, bundled, group_column
from satpipe.utils.errors import ConfigError, TooLittleDataError


def rule(scheme="folds", folds=3, test_groups=None, seed=1, test_fraction=0.4):
    return Rule("site", scheme, folds, test_fraction, test_groups, "sea", seed)


def bundles(**ships):
    return [Bundle((name,), {"sea": 2 * count + 1, "ship": count}) for name, count in sorted(ships.items())]


SIX = bundles(a=10, b=9, c=1, d=2, e=3, f=8)


def test_leave_one_out_tests_each_group_in_turn():
    groups = [*bundles(a=3, b=1), Bundle(("empty",), {"sea": 9})]
    assert assign_folds(groups, rule("leave-one-out")) == [("a",), ("b",)]


def test_folds_test_each_group_once_and_share_the_ships_evenly():
    folds = assign_folds(SIX, rule())
    assert sorted(name for fold in folds for name in fold) == list("abcdef")
    ships = {bundle.name: bundle.counts["ship"] for bundle in SIX}
    # 33 ships over 3 folds: the best is 11 each (a+c, b+d, e+f).
    assert sorted(sum(ships[name] for name in fold) for fold in folds) == [11, 11, 11]


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 50), min_size=3, max_size=15))
def test_every_fold_tests_and_trains_on_both_classes(ships):
    groups = bundles(**ships)
    for scheme in ("folds", "holdout", "leave-one-out"):
        for fold in assign_folds(groups, rule(scheme)):
            assert fold
            assert set(fold) < set(ships)


def test_holdout_takes_its_fraction_of_the_groups():
    groups = bundles(**{f"g{number}": 5 for number in range(10)})
    chosen = [assign_folds(groups, rule("holdout", seed=seed)) for seed in range(5)]
    assert {len(folds[0]) for folds in chosen} == {4}
    assert {len(folds) for folds in chosen} == {1}
    assert len(set(map(str, chosen))) > 1


def test_a_group_more_does_not_change_the_order_of_the_others():
    few = bundles(**{f"g{number}": 5 for number in range(10)})
    [before] = assign_folds(few, rule("holdout"))
    [after] = assign_folds([*few, *bundles(new=5)], rule("holdout"))
    assert len(set(before) ^ set(after)) <= 2


def test_joined_groups_are_tested_together():
    counts = {name: {"sea": 3, "ship": 2} for name in "abcd"}
    folds = assign_folds(bundled(counts, [["b", "d"]]), rule("leave-one-out"))
    assert folds == [("a",), ("b", "d"), ("c",)]


def test_only_named_groups_are_tested():
    assert assign_folds(SIX, rule("leave-one-out", test_groups=("b", "e"))) == [("b",), ("e",)]


def test_lists_are_tested_as_given():
    lists = (("a", "c"), ("b",))
    asked = dataclasses.replace(rule("lists"), lists=lists)
    assert assign_folds(SIX, asked) == [("a", "c"), ("b",)]
    with pytest.raises(ConfigError, match=r"split.test_lists names 'z'"):
        assign_folds(SIX, dataclasses.replace(asked, lists=(("z",),)))
    with pytest.raises(TooLittleDataError, match=r"the test list sea, \.\.\. cannot be scored"):
        assign_folds([*SIX, Bundle(("sea",), {"sea": 9})], dataclasses.replace(asked, lists=(("sea",),)))


def test_repeats_deal_the_groups_anew():
    groups = bundles(**{f"g{number}": 3 + number for number in range(12)})
    folds = assign_folds(groups, dataclasses.replace(rule(), repeats=3))
    assignments = [folds[start : start + 3] for start in (0, 3, 6)]
    for one in assignments:
        assert sorted(name for fold in one for name in fold) == sorted(bundle.name for bundle in groups)
    assert len(set(map(str, assignments))) == 3
    assert assignments[0] == assign_folds(groups, rule())
    assert len({str(fold) for fold in assign_folds(groups, dataclasses.replace(rule("holdout"), repeats=4))}) > 1


def test_a_misspelt_test_group_names_the_nearest():
    with pytest.raises(ConfigError, match=r"split.test_groups names 'aio1', which is not a group of site .*'aoi1'"):
        assign_folds(bundles(aoi1=3, other=2), rule("leave-one-out", test_groups=("aio1",)))


def test_a_missing_group_column_names_what_there_is():
    with pytest.raises(ConfigError, match=r"split.by is sit, but the scenes have the group columns scene_id, site"):
        group_column({"scene_id": {}, "site": {}}, "sit", "split.by")


@pytest.mark.parametrize("scheme", ["folds", "holdout", "leave-one-out"])
@pytest.mark.parametrize(
    "groups",
    [
        [],
        bundles(a=5),
        [Bundle(("a",), {"sea": 5, "ship": 5}), Bundle(("b",), {"sea": 5})],
        [Bundle(("a",), {"sea": 5}), Bundle(("b",), {"sea": 5})],
        [Bundle(("a",), {"ship": 5}), Bundle(("b",), {"ship": 5})],
    ],
)
def test_too_little_data_is_a_sentence_with_counts(scheme, groups):
    with pytest.raises(TooLittleDataError, match=r"too little data .* groups?.*at least \d of these are needed: add"):
        assign_folds(groups, rule(scheme))


def test_components_against_scipy():
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    for _ in range(20):
        edges = rng.integers(0, 30, (18, 2))
        found = components((f"{a:02d}", f"{b:02d}") for a, b in edges)
        count, label = connected_components(coo_matrix((np.ones(18), edges.T), (30, 30)), directed=False)
        expected = [tuple(f"{n:02d}" for n in np.flatnonzero(label == k)) for k in range(count)]
        assert found == sorted(names for names in expected if len(names) > 1)
