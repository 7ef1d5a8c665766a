"""Intervals, tests and verdicts against scipy, statsmodels and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from satpipe.stages.report.stats import statistics
from satpipe.stages.report.stats.metrics import accuracy, balanced_accuracy, counted
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.power import TTestPower


def mean_of(values):
    """The scorer of the weighted mean of a table (R, U)."""

    def score(weights):
        with np.errstate(invalid="ignore"):
            return weights @ values.T / weights.sum(1, keepdims=True)

    return score


def one_stratum(units):
    return np.zeros(units, dtype=np.int64)


def crossed(rng, replicates, units, effect=0.0, replicate=1.0, unit=1.0, rest=1.0):
    return (
        effect
        + replicate * rng.normal(size=(replicates, 1))
        + unit * rng.normal(size=(1, units))
        + rest * rng.normal(size=(replicates, units))
    )


# ------------------------------------------------------------------------------------------------------ variance


def test_variance_components_are_those_of_a_two_way_anova():
    replicates, units = 6, 11
    values = crossed(np.random.default_rng(0), replicates, units)
    frame = pd.DataFrame(
        [(r, u, values[r, u]) for r, u in itertools.product(range(replicates), range(units))],
        columns=["r", "u", "y"],
    )
    anova = sm.stats.anova_lm(ols("y ~ C(r) + C(u)", frame).fit())
    mean_square = anova["sum_sq"] / anova["df"] / (replicates * units)
    full, influence = statistics.pseudo_values(mean_of(values), one_stratum(units))
    by_replicate, by_unit, both, _ = statistics.crossed_variance(full, influence, one_stratum(units))
    assert by_replicate == pytest.approx(mean_square["C(r)"])
    assert by_unit == pytest.approx(mean_square["C(u)"])
    assert both == pytest.approx(mean_square["Residual"])


def test_variance_is_unbiased_for_crossed_effects_in_strata():
    rng = np.random.default_rng(1)
    stratum = np.repeat([0, 1, 2], [3, 4, 8])
    estimates, variances = [], []
    for _ in range(3000):
        values = crossed(rng, 6, len(stratum), replicate=0.5, rest=0.7)
        full, influence = statistics.pseudo_values(mean_of(values), stratum)
        by_replicate, by_unit, both, _ = statistics.crossed_variance(full, influence, stratum)
        estimates.append(full.mean())
        variances.append(by_replicate + by_unit - both)
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.06)


def test_fold_differences_are_no_variance_of_units():
    stratum = np.repeat([0, 1], 6)
    values = crossed(np.random.default_rng(2), 6, 12)
    shifted = values + np.where(stratum == 0, 5.0, -5.0)
    there, here = (statistics.pseudo_values(mean_of(one), stratum) for one in (shifted, values))
    assert statistics.crossed_variance(*there, stratum) == pytest.approx(statistics.crossed_variance(*here, stratum))


def test_folds_that_disagree_give_the_t_interval_of_scipy():
    fold = np.array([0.3, 1.1, -0.4, 0.6])
    stratum = np.repeat(np.arange(4), 5)
    values = np.repeat(fold[stratum][None], 6, axis=0)
    found = statistics.interval(mean_of(values), stratum)
    expected = stats.ttest_1samp(fold, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.variance_folds == pytest.approx(1.0)


def test_two_random_folds_have_one_degree_of_freedom():
    stratum = np.repeat([0, 1], 6)
    values = crossed(np.random.default_rng(16), 6, 12, replicate=0.1, unit=0.1, rest=0.1) + np.where(stratum, 2.0, 0.0)
    result = statistics.interval(mean_of(values), stratum)
    expected = stats.ttest_1samp([values[:, stratum == fold].mean() for fold in (0, 1)], 0.0).confidence_interval(0.95)
    assert result.df == pytest.approx(1.0)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_fixed_folds_may_differ_without_widening_the_interval():
    stratum = np.repeat([0, 1, 2], 5)
    values = crossed(np.random.default_rng(17), 6, 15)
    shifted = values + np.array([-4.0, 0.0, 4.0])[stratum]
    same, fixed = (statistics.interval(mean_of(table), stratum, folds="fixed") for table in (values, shifted))
    assert (fixed.low, fixed.high, fixed.df) == pytest.approx((same.low, same.high, same.df))
    assert fixed.variance_folds == 0.0
    random = statistics.interval(mean_of(shifted), stratum)
    assert random.se > 2 * fixed.se
    assert random.variance_folds > 0.8


def test_folds_that_agree_widen_nothing():
    stratum = np.repeat([0, 1, 2], 6)
    values = crossed(np.random.default_rng(3), 6, 18)
    values -= np.stack([values[:, stratum == one].mean() for one in range(3)])[stratum]
    found = statistics.interval(mean_of(values), stratum)
    by_replicate, by_unit, both, df = statistics.crossed_variance(
        *statistics.pseudo_values(mean_of(values), stratum), stratum
    )
    assert found.se**2 == pytest.approx(max(by_replicate + by_unit - both, by_replicate, by_unit))
    assert found.df == df
    assert found.variance_folds == 0.0


def test_an_interval_of_replicates_is_the_t_interval_of_scipy():
    replicate = np.random.default_rng(3).normal(size=8)
    values = np.repeat(replicate[:, None], 12, axis=1)
    found = statistics.interval(mean_of(values), one_stratum(12), 0.9)
    expected = stats.ttest_1samp(replicate, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.df == 7
    assert found.variance_replicates == pytest.approx(1.0)


def test_the_interval_of_units_alone_is_the_t_interval_of_scipy():
    unit = np.random.default_rng(4).normal(size=15)
    values = np.repeat(unit[None], 6, axis=0)
    found = statistics.interval(mean_of(values), one_stratum(15), 0.95)
    expected = stats.ttest_1samp(unit, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.variance_units == pytest.approx(1.0)


def test_a_single_replicate_or_unit_gives_no_interval():
    values = np.random.default_rng(5).normal(size=(6, 12))
    assert math.isnan(statistics.interval(mean_of(values[:1]), one_stratum(12)).low)
    assert math.isnan(statistics.interval(mean_of(values[:, :1]), one_stratum(1)).low)


def test_the_jackknife_of_a_ratio_agrees_with_scipys_bootstrap():
    """One replicate's worth of variance between units, where scipy can do the resampling."""
    rng = np.random.default_rng(6)
    size = rng.integers(20, 60, 40)
    right = rng.binomial(size, rng.beta(8, 3, 40))
    counts = np.stack([np.zeros(40), np.zeros(40), size - right, right], axis=-1)[None].repeat(2, 0)
    found = statistics.interval(counted(counts, accuracy), one_stratum(40))
    expected = stats.bootstrap(
        (right, size), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True, n_resamples=4000,
        method="basic", rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.se == pytest.approx(expected.standard_error, rel=0.08)


# -------------------------------------------------------------------------------------------- units of uneven size


def weighted(values, share):
    """The scorer of the mean of a table (R, U) whose units hold these shares of the chips."""

    def score(weights):
        return (weights * share) @ values.T / (weights @ share)[:, None]

    return score


def jackknife_variances(values, share):
    """Jackknife variances (N,) of the weighted means of rows (N, U), by leaving out one unit at a time."""
    units = len(share)
    mean = values @ share / share.sum()
    left_out = [
        np.delete(values, unit, 1) @ np.delete(share, unit) / (share.sum() - share[unit]) for unit in range(units)
    ]
    return (units - 1) / units * sum((without - mean) ** 2 for without in left_out)


def test_the_variance_of_uneven_units_is_that_of_the_jackknife():
    share = np.array([0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    unit = np.random.default_rng(18).normal(size=(1, 6))
    stratum = one_stratum(6)
    full, influence = statistics.pseudo_values(weighted(unit.repeat(4, 0), share), stratum, share)
    _, by_unit, _, _ = statistics.crossed_variance(full, influence, stratum, share)
    assert by_unit == pytest.approx(jackknife_variances(unit, share)[0])


@pytest.mark.parametrize("share", [[0.4, 0.2, 0.2, 0.1, 0.1], [0.75] + 11 * [0.25 / 11]])
def test_degrees_of_freedom_are_those_of_simulated_variances(share):
    """A multiple of chi-squared with d degrees of freedom has 2 mean^2 / variance = d."""
    share = np.array(share)
    variances = jackknife_variances(np.random.default_rng(19).normal(size=(200_000, len(share))), share)
    expected = 2 * variances.mean() ** 2 / variances.var()
    assert statistics.jackknife_df(one_stratum(len(share)), share) == pytest.approx(expected, rel=0.03)


def test_degrees_of_freedom_are_units_less_strata():
    stratum = np.array([0, 0, 0, 1, 1, 1])
    assert statistics.jackknife_df(stratum, np.full(6, 1 / 6)) == pytest.approx(4.0)
    assert statistics.jackknife_df(one_stratum(2), np.array([0.9, 0.1])) == pytest.approx(1.0)


def test_one_unit_with_most_of_the_chips_leaves_too_little_data():
    values = 5 + 0.01 * np.random.default_rng(20).normal(size=(6, 12))
    share = np.array([0.6] + 11 * [0.4 / 11])
    verdict = statistics.decide(weighted(values, share), one_stratum(12), 6, share=share)
    assert verdict.answer == "too little data to tell"
    assert verdict.effective_units == pytest.approx(1 / (0.36 + 0.16 / 11))
    even = statistics.decide(mean_of(values), one_stratum(12), 6)
    assert (even.answer, even.effective_units) == ("helps", pytest.approx(12.0))


# ------------------------------------------------------------------------------------------------------ bootstrap


def test_the_bootstrap_of_units_is_scipys():
    unit = np.random.default_rng(7).normal(size=25)
    values = np.repeat(unit[None], 4, axis=0)
    draws = statistics.crossed_bootstrap(mean_of(values), one_stratum(25), 20_000, np.random.default_rng(0))
    expected = stats.bootstrap((unit,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    low, high = statistics.percentile_interval(draws)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval), abs=0.02)


def test_the_bootstrap_has_the_variance_of_owens_theorem():
    """Owen 2007: the pigeonhole variance of a mean, from the mean squares of the table."""
    replicates, units = 7, 19
    values = crossed(np.random.default_rng(8), replicates, units)
    by_replicate = values.mean(1).var() / replicates
    by_unit = values.mean(0).var() / units
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    both = (rest**2).mean() / (replicates * units)
    draws = statistics.crossed_bootstrap(mean_of(values), one_stratum(units), 60_000, np.random.default_rng(0))
    assert draws.var() == pytest.approx(by_replicate + by_unit + both, rel=0.03)


def test_the_bootstrap_keeps_units_in_their_fold():
    stratum = np.array([0, 0, 0, 1, 1, 1])
    seen = []

    def score(weights):
        seen.append(weights)
        return np.ones((len(weights), 2))

    statistics.crossed_bootstrap(score, stratum, 500, np.random.default_rng(0))
    assert (seen[0][:, stratum == 0].sum(1) == 3).all()
    assert (seen[0][:, stratum == 1].sum(1) == 3).all()


# --------------------------------------------------------------------------------------------------------- strata


def test_folds_of_one_unit_are_one_stratum():
    assert statistics.strata([0, 1, 2, 3]).tolist() == [0, 0, 0, 0]


def test_a_lonely_unit_joins_the_smallest_fold():
    found = statistics.strata([0, 0, 0, 1, 2, 2])
    assert found[3] == found[4] == found[5]
    assert found[0] == found[1] == found[2] != found[3]


def test_folds_of_several_units_are_strata():
    assert statistics.strata([5, 5, 7, 7, 7]).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("fold", [[0], [0, 0], [0, 1], [0, 1, 1], [3, 1, 1, 2, 2, 2], [1, 2, 3, 3]])
def test_no_stratum_is_of_one_unit_where_there_are_more(fold):
    found = statistics.strata(fold)
    assert found.min() == 0
    counts = np.bincount(found)
    assert (counts > 0).all()
    assert len(fold) == 1 or (counts > 1).all()


def test_leave_one_out_still_counts_the_variance_of_scenes():
    values = np.repeat(np.random.default_rng(9).normal(size=(1, 12)), 6, axis=0)
    stratum = statistics.strata(np.arange(12))
    assert statistics.interval(mean_of(values), stratum).se > 0.1


# --------------------------------------------------------------------------------------------- tests and verdicts


def test_the_sign_flip_test_is_scipys_exact_permutation_test():
    differences = np.array([0.4, 0.1, -0.2, 0.5, 0.3, 0.25])
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    found = statistics.sign_flip_test(differences, np.random.default_rng(0))
    assert found == pytest.approx(expected.pvalue)


def test_the_sign_flip_test_of_equal_arms_is_one():
    assert statistics.sign_flip_test(np.zeros(6), np.random.default_rng(0)) == 1.0


def test_the_sign_flip_test_draws_flips_where_there_are_too_many():
    differences = np.random.default_rng(10).normal(0.4, 1.0, 20)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    found = statistics.sign_flip_test(differences, np.random.default_rng(0), draws=20_000)
    assert found == pytest.approx(expected.pvalue, abs=0.015)


@pytest.mark.parametrize("replicates", [6, 12, 40])
def test_the_detectable_effect_is_that_of_statsmodels(replicates):
    expected = TTestPower().solve_power(nobs=replicates, alpha=0.05, power=0.8, alternative="two-sided")
    found = statistics.detectable_effect(1 / math.sqrt(replicates), replicates - 1)
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_constant_difference_has_no_detectable_effect():
    assert math.isnan(statistics.detectable_effect(0.0, 5))


def verdict_on(values):
    return statistics.decide(mean_of(values), one_stratum(values.shape[1]), len(values))


@pytest.mark.parametrize(("effect", "answer"), [(3.0, "helps"), (-3.0, "hurts"), (0.0, "no detectable difference")])
def test_the_verdict_follows_from_the_interval(effect, answer):
    values = crossed(np.random.default_rng(11), 8, 20, rest=0.5, replicate=0.3, unit=0.3)
    verdict = verdict_on(values - values.mean() + effect)
    assert verdict.answer == answer
    assert (verdict.interval.low > 0) == (answer == "helps")
    assert (verdict.interval.high < 0) == (answer == "hurts")


@pytest.mark.parametrize(("replicates", "units"), [(5, 12), (6, 9), (1, 1)])
def test_too_little_data_gives_no_other_verdict(replicates, units):
    values = 5 + 0.01 * np.random.default_rng(12).normal(size=(replicates, units))
    assert verdict_on(values).answer == "too little data to tell"


def test_six_replicates_and_ten_units_are_enough():
    values = 5 + 0.01 * np.random.default_rng(13).normal(size=(6, 10))
    assert verdict_on(values).answer == "helps"


def test_arms_that_predict_the_same_do_not_differ():
    verdict = verdict_on(np.zeros((6, 12)))
    assert verdict.answer == "no detectable difference"
    assert verdict.interval.low == verdict.interval.high == 0.0


def test_swapping_the_arms_swaps_the_verdict():
    rng = np.random.default_rng(14)
    counts = rng.integers(1, 20, (2, 6, 12, 4)).astype(float)
    first, second = (counted(one, balanced_accuracy) for one in counts)
    stratum = one_stratum(12)
    there = statistics.decide(statistics.difference(first, second), stratum, 6).interval
    back = statistics.decide(statistics.difference(second, first), stratum, 6).interval
    assert (there.estimate, there.low, there.high) == pytest.approx((-back.estimate, -back.high, -back.low))


def test_ten_thousand_draws_of_a_full_experiment_are_one_product():
    """The bootstrap asks for all draws at once: no loop over draws is hidden behind the scorer."""
    calls = []

    def score(weights):
        calls.append(weights.shape)
        return np.zeros((len(weights), 12))

    statistics.crossed_bootstrap(score, one_stratum(80), 10_000, np.random.default_rng(0))
    assert calls == [(10_000, 80)]


def test_false_verdicts_are_rare_where_percentiles_are_wrong():
    """300 experiments without effect whose replicates differ: the t interval keeps its word, percentiles do not."""
    rng = np.random.default_rng(15)
    wrong = percentile = 0
    for _ in range(300):
        values = crossed(rng, 6, 12, replicate=1.0, unit=0.3, rest=0.3)
        found = statistics.interval(mean_of(values), one_stratum(12))
        wrong += found.low > 0 or found.high < 0
        draws = statistics.crossed_bootstrap(mean_of(values), one_stratum(12), 300, rng)
        low, high = statistics.percentile_interval(draws)
        percentile += low > 0 or high < 0
    assert wrong / 300 < 0.08
    assert percentile > wrong


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_areas_that_differ_by_chance_are_rarely_an_effect(folds):
    """400 experiments whose areas differ three times as much as all else explains, without an effect in general."""
    rng = np.random.default_rng([21, folds])
    stratum = np.arange(15) % folds
    wrong = 0
    for _ in range(400):
        values = crossed(rng, 6, 15, replicate=0.3, unit=1.0, rest=0.5) + rng.normal(size=folds)[stratum]
        result = statistics.interval(mean_of(values), stratum)
        wrong += result.low > 0 or result.high < 0
    assert wrong / 400 <= 0.06 + 2.33 * math.sqrt(0.06 * 0.94 / 400)
