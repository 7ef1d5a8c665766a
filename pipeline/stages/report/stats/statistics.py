"""Intervals and verdicts: a crossed jackknife over replicates and test units, folds as random or fixed effects.

An experiment is a table of replicates by test units. A replicate repeats every random choice of the training; a unit is
a group of test chips that belong together, such as a scene. Each has an effect of its own on the difference between two
arms, so neither chips nor trainings are independent of one another, and all of them count towards the variance:

    difference(r, u) = effect + fold(f) + replicate(r) + unit(u) + rest(r, u)

Folds are strata, so units vary within their fold. Whether the fold's own effect counts depends on what folds are:

- ``random``: folds are areas, or lists of groups that someone chose. What one area has and another has not must not
  pass for an effect in all areas, so the interval is the wider of the one within folds and the one over folds.
- ``fixed``: the test units themselves were assigned to folds at random. Then folds differ by their units, which the
  interval counts already, and by the chips they train on, which the answer takes as given.

With three areas the first costs much: no test can keep its level for areas that differ by any amount and find much with
three of them, because two degrees of freedom are all there is to tell how areas differ. ``benchmarks/verdicts.py``
simulates both, and the percentiles of the crossed bootstrap, which the report shows as a second opinion: they are too
narrow with six replicates, and up to three times too wide in variance where the rest dominates (Owen 2007, "The
pigeonhole bootstrap", theorem 4).

All functions take a :data:`Scorer`, which gives the metric of every replicate for any weighting of the units, so they
serve differences between arms and single arms alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from scipy import optimize, stats

from .metrics import Floats, Ints, Scorer

MIN_REPLICATES = 6
MIN_UNITS = 10
MIN_EFFECTIVE_UNITS = 4.0
"""Test units of equal size that those of an experiment must be worth; one with half of the chips leaves fewer."""
WITHIN_WEIGHT = 0.15
"""Weight of the variance within folds in the variance over three folds or more; see :func:`variance_over_folds`."""
POWER = 0.8
EXACT_FLIPS = 14

Answer = Literal["helps", "hurts", "no detectable difference", "too little data to tell"]
Folds = Literal["random", "fixed"]
"""Whether folds count as draws from all such folds, or differ by nothing but the units assigned to them at random."""


@dataclass(frozen=True)
class Interval:
    """An estimate, how far it may be off, and what that is made of.

    Attributes:
        estimate: Mean over replicates, all units with weight one.
        low: Lower end of the interval.
        high: Upper end of the interval.
        se: Standard error.
        df: Degrees of freedom of the standard error.
        confidence: Confidence of the interval.
        variance_replicates: Share of the squared length of the interval that comes from replicates.
        variance_units: Share that comes from test units.
        variance_folds: Share that comes from folds as random effects, from how they differ and how few they are.
        variance_rest: Share that comes from none of them alone.
    """

    estimate: float
    low: float
    high: float
    se: float
    df: float
    confidence: float
    variance_replicates: float = math.nan
    variance_units: float = math.nan
    variance_folds: float = math.nan
    variance_rest: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """Answer, and the interval that it follows from.

    Attributes:
        answer: One of the four answers.
        interval: Treatment minus baseline.
        detectable: Smallest true effect that would have been found with a power of 0.8; NaN if unknown.
        replicates: How many replicates there were.
        units: How many test units there were.
        effective_units: How many units of equal size they are worth.
    """

    answer: Answer
    interval: Interval
    detectable: float
    replicates: int
    units: int
    effective_units: float


def difference(treatment: Scorer, baseline: Scorer) -> Scorer:
    """Return the scorer of a paired difference: both arms see the same weights of the same units."""
    return lambda weights: treatment(weights) - baseline(weights)


def strata(fold: Sequence[int] | Ints) -> Ints:
    """Return the stratum of each unit: its fold, but folds of a single unit are one stratum together.

    Nothing can be learned of the variance between units from a stratum of one: leaving one scene out at a time would
    otherwise look as if test scenes did not vary at all.

    Args:
        fold: Fold of each unit (U,).
    """
    folds = np.asarray(fold, dtype=np.int64)
    values, inverse, count = np.unique(folds, return_inverse=True, return_counts=True)
    if len(values) < 2 or (count > 1).all():
        return inverse.astype(np.int64)
    single = count < 2
    merged = np.where(single, 0, np.cumsum(~single))
    if single.sum() == 1:
        # One lonely unit joins the smallest of the others, the one that it changes most.
        merged[single] = merged[np.argmin(np.where(single, np.iinfo(np.int64).max, count))]
    return np.unique(merged[inverse], return_inverse=True)[1].astype(np.int64)


def mean_of_replicates(values: Floats, weights: Floats | None = None) -> Floats:
    """Return the mean over the last axis of the values that are defined."""
    defined = ~np.isnan(values)
    weight = defined.astype(np.float64) if weights is None else defined * weights
    total = weight.sum(-1)
    summed = np.where(defined, values, 0.0) * weight
    mean: Floats = np.full(total.shape, np.nan)
    np.divide(summed.sum(-1), total, out=mean, where=total > 0)
    return mean


def effective_units(share: Floats) -> float:
    """Return how many units of equal size are worth as much as units with these shares (U,) of the chips.

    A mean with weights w over independent units has the variance of a plain mean over (sum w)^2 / sum w^2 of them (Kish
    1965, "Survey Sampling", section 8.2).
    """
    return float(share.sum() ** 2 / np.square(share).sum())


def pseudo_values(score: Scorer, stratum: Ints, share: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the metric of each replicate (R,), and the jackknife influence (R, U) of each unit on each replicate.

    With g_r the metric of replicate r, and g_r(-u) the same without unit u while the other units of its stratum weigh
    1 / (1 - h_u), h_u the unit's share of the stratum's chips, so that the stratum keeps its weight, the influence is
    (n - 1) (g_r - g_r(-u)) for n units in the stratum. For a plain mean over one stratum of units of equal size that is
    the unit's value less the mean.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,).
        share: Share of the chips that each unit holds (U,); equal shares by default.
    """
    share = _equal_shares(len(stratum)) if share is None else share
    same = stratum[:, None] == stratum[None, :]
    others = np.maximum(1 - share / np.bincount(stratum, share)[stratum], np.finfo(float).eps)
    weights = np.where(same, 1 / others[:, None], 1.0)
    np.fill_diagonal(weights, 0.0)
    full = score(np.ones((1, len(stratum))))[0]
    without = score(weights).T
    without = np.where(np.isnan(without), full[:, None], without)
    return full, (np.bincount(stratum)[stratum] - 1) * (full[:, None] - without)


def _equal_shares(units: int) -> Floats:
    return np.full(units, 1 / units)


def jackknife_df(stratum: Ints, share: Floats) -> float:
    """Return the degrees of freedom of the jackknife variance over units that hold these shares of the chips.

    For a mean over one stratum, with h the shares and y the units' means, the jackknife variance is the quadratic form

        y' Q y = sum_u a_u ((e_u - h)' y)^2    with a_u = (n - 1) / n * h_u^2 / (1 - h_u)^2,

    e_u the unit vector of u. With independent y of equal variance Satterthwaite's (1946) approximation by a multiple of
    chi-squared has (trace Q)^2 / trace(Q Q) degrees of freedom (Bell and McCaffrey 2002, "Bias reduction in standard
    errors for linear regression with multi-stage samples", equation 10). As (e_u - h)'(e_v - h) = [u = v] - h_u - h_v +
    h'h, both traces are sums over units. Strata are independent, so their traces add up. Equal shares give the number
    of units less the number of strata; one unit that holds nearly all chips leaves hardly one.

    Args:
        stratum: Stratum of each unit (U,).
        share: Share of all chips that each unit holds (U,).
    """
    trace = trace_squared = 0.0
    for number in range(int(stratum.max()) + 1):
        chips = share[stratum == number]
        h, units = chips / chips.sum(), len(chips)
        others = np.maximum(1 - h, np.finfo(float).eps)
        a = (units - 1) / units * np.square(chips / others)
        a0, a1, a2 = (float((a * h**power).sum()) for power in range(3))
        length = float(np.square(h).sum())
        trace += a0 * (1 + length) - 2 * a1
        trace_squared += (length * a0) ** 2 + 2 * a0 * a2 - 4 * length * a0 * a1 + 2 * a1**2
        trace_squared += float((np.square(a) * (1 + 2 * (length - 2 * h))).sum())
    return trace**2 / trace_squared


def crossed_variance(
    full: Floats, influence: Floats, stratum: Ints, share: Floats | None = None
) -> tuple[float, float, float, float]:
    """Return the variance of the mean over replicates from replicates, units and the rest, and its degrees of freedom.

    For a balanced table and a linear metric the parts are the mean squares of a two-way analysis of variance with units
    nested in strata: var = MS_replicates / (R U) + MS_units / (R U) - MS_rest / (R U), whose expectation is the true
    variance of a mean with crossed random effects. The difference can come out too small by chance, so the largest of
    the sum and each direction alone is taken (MacKinnon, Nielsen and Webb 2024, "Jackknife inference with two-way
    clustering", the CV3max rule). Degrees of freedom follow Satterthwaite (1946) from those of the parts.

    Args:
        full: Metric of each replicate (R,).
        influence: Influence (R, U) of each unit on each replicate, from :func:`pseudo_values`.
        stratum: Stratum of each unit (U,).
        share: Share of the chips that each unit holds (U,); equal shares by default.

    Returns:
        Variance from replicates, from units, the rest's share that both count (subtracted in the sum), and the degrees
        of freedom of the resulting variance.
    """
    share = _equal_shares(len(stratum)) if share is None else share
    defined = ~np.isnan(full)
    full, influence = full[defined], influence[defined]
    replicates = len(full)
    sizes = np.bincount(stratum).astype(np.float64)
    weight = 1.0 / (sizes * np.maximum(sizes - 1, 1))[stratum]
    by_replicate = float(np.var(full, ddof=1) / replicates) if replicates > 1 else 0.0
    by_unit = float((np.square(influence.mean(0)) * weight).sum())
    centred = influence - influence.mean(0)
    both = float((np.square(centred) * weight).sum() / (replicates * max(replicates - 1, 1)))
    replicate_df = max(replicates - 1, 1)
    unit_df = jackknife_df(stratum, share)
    if by_replicate + by_unit - both > max(by_replicate, by_unit):
        rest_df = replicate_df * max(len(stratum) - len(sizes), 1)
        df = satterthwaite((by_replicate, replicate_df), (by_unit, unit_df), (-both, rest_df))
    else:
        df = float(replicate_df if by_replicate >= by_unit else unit_df)
    return by_replicate, by_unit, both, df


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of independent variances, each given with its own (Satterthwaite 1946)."""
    return float(sum(variance for variance, _ in parts) ** 2 / sum(variance**2 / df for variance, df in parts))


def variance_over_folds(
    score: Scorer, stratum: Ints, share: Floats, within: float, within_df: float
) -> tuple[float, float]:
    """Return the variance of the mean with folds as random effects, and its degrees of freedom; 0 for a single fold.

    The jackknife that leaves out one fold at a time holds whatever differs between folds: replicates and units as well
    as the fold's own effect. So over folds alone, with F - 1 degrees of freedom, the t interval keeps its level however
    much folds differ. But where they agree it wastes what is known of the variance within them. So from three folds on
    :data:`WITHIN_WEIGHT` of that variance is added, with degrees of freedom after Satterthwaite (1946): these rise
    where folds agree and fall to F - 1 where they do not. The weight is the largest with which the wider of this
    interval and the one within folds is wrong 6 times in 100 at most for three normal folds that differ by any amount
    (found by simulation; four folds and more stay below that). Two folds have their one degree of freedom alone.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,).
        share: Share of the chips that each unit holds (U,).
        within: Variance of the mean from replicates and units.
        within_df: Its degrees of freedom.
    """
    folds = int(stratum.max()) + 1
    if folds < 2:
        return 0.0, math.nan
    weights = (stratum != np.arange(folds)[:, None]).astype(np.float64)
    full, *values = mean_of_replicates(score(np.vstack([np.ones(len(stratum)), weights])))
    change = np.array(values) - full
    change = change[~np.isnan(change)]
    if len(change) < 2:
        return 0.0, math.nan
    between = float((len(change) - 1) / len(change) * np.square(change).sum())
    between_df = jackknife_df(np.zeros(folds, dtype=np.int64), np.bincount(stratum, share).astype(np.float64))
    added = WITHIN_WEIGHT * within if folds > 2 else 0.0
    if between + added == 0:
        return 0.0, math.nan
    return between + added, satterthwaite((between, between_df), (added, within_df))


def interval(
    score: Scorer,
    stratum: Ints,
    confidence: float = 0.95,
    share: Floats | None = None,
    folds: Folds = "random",
) -> Interval:
    """Return the crossed jackknife t interval of the mean over replicates.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,), from :func:`strata`.
        confidence: Confidence of the interval.
        share: Share of the chips that each unit holds (U,); equal shares by default.
        folds: Whether folds are random or fixed effects.
    """
    share = _equal_shares(len(stratum)) if share is None else share
    full, influence = pseudo_values(score, stratum, share)
    estimate = float(mean_of_replicates(full))
    if np.count_nonzero(~np.isnan(full)) < 2 or len(stratum) <= stratum.max() + 1:
        # One replicate or one unit says nothing of how far replicates or units differ.
        return Interval(estimate, math.nan, math.nan, math.nan, math.nan, confidence)
    by_replicate, by_unit, both, df = crossed_variance(full, influence, stratum, share)
    within = max(by_replicate + by_unit - both, by_replicate, by_unit)
    se = math.sqrt(within)
    reach = within_reach = _reach(se, df, confidence)
    if folds == "random":
        over_folds, over_folds_df = variance_over_folds(score, stratum, share, within, df)
        if over_folds > 0 and _reach(math.sqrt(over_folds), over_folds_df, confidence) > reach:
            se, df = math.sqrt(over_folds), over_folds_df
            reach = _reach(se, df, confidence)
    shares: tuple[float, ...] = (math.nan,) * 4
    if reach > 0:
        inside = (within_reach / reach) ** 2
        alone = [inside * max(part - both, 0.0) / within if within > 0 else 0.0 for part in (by_replicate, by_unit)]
        shares = (*alone, 1 - inside, max(inside - sum(alone), 0.0))
    return Interval(estimate, estimate - reach, estimate + reach, se, df, confidence, *shares)


def _reach(se: float, df: float, confidence: float) -> float:
    """Return half the length of a t interval."""
    return float(stats.t.ppf(0.5 + confidence / 2, df)) * se


def crossed_bootstrap(score: Scorer, stratum: Ints, draws: int, rng: np.random.Generator) -> Floats:
    """Return draws (B,) of the pigeonhole bootstrap: replicates and units resampled apart, units in their stratum.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,).
        draws: How many draws B.
        rng: Source of the draws.
    """
    values = score(unit_weights(stratum, draws, rng))
    return mean_of_replicates(values, replicate_weights(values.shape[1], draws, rng))


def unit_weights(stratum: Ints, draws: int, rng: np.random.Generator) -> Floats:
    """Return how often each unit is drawn, (B, U): with replacement, within its stratum."""
    weights = np.empty((draws, len(stratum)))
    for number in range(int(stratum.max()) + 1):
        of_stratum = np.flatnonzero(stratum == number)
        weights[:, of_stratum] = rng.multinomial(
            len(of_stratum), np.full(len(of_stratum), 1 / len(of_stratum)), size=draws
        )
    return weights


def replicate_weights(replicates: int, draws: int, rng: np.random.Generator) -> Floats:
    """Return how often each replicate is drawn, (B, R), with replacement."""
    drawn = rng.multinomial(replicates, np.full(replicates, 1 / replicates), size=draws)
    return np.asarray(drawn, dtype=np.float64)


def percentile_interval(draws: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of the percentile interval of bootstrap draws; undefined draws do not count."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def detectable_effect(se: float, df: float, confidence: float = 0.95, power: float = POWER) -> float:
    """Return the smallest true effect that a t test with this standard error finds with the given power (noncentral t).

    NaN where the standard error is zero: a difference that never varied says nothing of what would have been seen.
    """
    if not se > 0:
        return math.nan
    critical = float(stats.t.ppf(0.5 + confidence / 2, df))

    def missing(ratio: float) -> float:
        # The chance to find it with the wrong sign is left out: it is nothing near the power that is asked for.
        return float(stats.nct.sf(critical, df, ratio)) - power

    return se * float(optimize.brentq(missing, 0.0, 2 * critical + 5))


def decide(
    score: Scorer,
    stratum: Ints,
    replicates: int,
    confidence: float = 0.95,
    share: Floats | None = None,
    folds: Folds = "random",
) -> Verdict:
    """Return the verdict on a paired difference (treatment minus baseline, more is better).

    Args:
        score: Scorer of the difference.
        stratum: Stratum of each unit (U,).
        replicates: How many replicates the scorer gives.
        confidence: Confidence of the interval.
        share: Share of the chips that each unit holds (U,); equal shares by default.
        folds: Whether folds are random or fixed effects.
    """
    share = _equal_shares(len(stratum)) if share is None else share
    difference_interval = interval(score, stratum, confidence, share, folds)
    worth = effective_units(share)
    answer: Answer
    if (
        replicates < MIN_REPLICATES
        or len(stratum) < MIN_UNITS
        or worth < MIN_EFFECTIVE_UNITS
        or math.isnan(difference_interval.se)
    ):
        answer = "too little data to tell"
    elif difference_interval.low > 0:
        answer = "helps"
    elif difference_interval.high < 0:
        answer = "hurts"
    else:
        answer = "no detectable difference"
    detectable = detectable_effect(difference_interval.se, difference_interval.df, confidence)
    return Verdict(answer, difference_interval, detectable, replicates, len(stratum), worth)


def sign_flip_test(differences: Floats, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Return the two-sided p value of a mean of zero, from flipping the sign of each replicate's difference.

    All 2^R flips are counted up to R = 14, beyond that random ones together with the observed one. Exact if each
    replicate's difference is symmetric about zero; it knows nothing of test units, so it is an exploration only.

    Args:
        differences: One difference per replicate (R,).
        rng: Source of the random flips.
        draws: How many random flips.

    Returns:
        The p value; NaN where no replicate has a difference.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan
    observed = abs(values.sum())
    slack = 1e-12 * max(observed, 1e-300)
    if len(values) <= EXACT_FLIPS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(values)))).reshape(-1, len(values))
        return float(np.mean(np.abs(signs @ values) >= observed - slack))
    signs = rng.choice((-1.0, 1.0), size=(draws, len(values)))
    return float((1 + np.sum(np.abs(signs @ values) >= observed - slack)) / (1 + draws))
