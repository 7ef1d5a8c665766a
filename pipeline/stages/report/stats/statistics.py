"""How sure we are: crossed jackknife and bootstrap over replicates and test units, and the verdict that follows.

An experiment is a table of replicates by test units. A replicate repeats every random choice of the training; a unit is
a group of test chips that belong together, such as a scene. Each has an effect of its own on the difference between two
arms, so neither chips nor trainings are independent of one another, and both directions count towards the variance:

    difference(r, u) = effect + replicate(r) + unit(u) + rest(r, u)

Folds are strata: units vary within their fold. Where folds disagree by more than replicates and units explain, the
excess counts too, or an effect that one area has and another has not would pass for one of all areas. All functions
take a :data:`Scorer`, which gives the metric of every replicate for any weighting of the units, so they serve
differences between arms and single arms alike.

Why the verdict's interval is a t interval from the crossed jackknife and not the percentiles of the crossed bootstrap:
``benchmarks/verdicts.py`` simulates both. With six replicates the percentiles are too narrow where replicates differ
(they know nothing of the few degrees of freedom), and up to three times too wide in variance where the rest dominates
(Owen 2007, "The pigeonhole bootstrap", theorem 4). The bootstrap is kept as the second opinion that the report shows.
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
POWER = 0.8
EXACT_FLIPS = 14

Answer = Literal["helps", "hurts", "no detectable difference", "too little data to tell"]


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
        variance_replicates: Share of the squared standard error that comes from replicates.
        variance_units: Share that comes from test units.
        variance_folds: Share that comes from folds that disagree by more than replicates and units explain.
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
    """The answer, and the interval that it follows from.

    Attributes:
        answer: One of the four answers.
        interval: Treatment minus baseline.
        detectable: Smallest true effect that would have been found with a power of 0.8; NaN if unknown.
        replicates: How many replicates there were.
        units: How many test units there were.
    """

    answer: Answer
    interval: Interval
    detectable: float
    replicates: int
    units: int


def difference(treatment: Scorer, baseline: Scorer) -> Scorer:
    """The scorer of a paired difference: both arms see the same weights of the same units."""
    return lambda weights: treatment(weights) - baseline(weights)


def strata(fold: Sequence[int] | Ints) -> Ints:
    """Stratum of each unit: its fold, but folds of a single unit are one stratum together.

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
    """Mean over the last axis of the values that are defined."""
    known = ~np.isnan(values)
    weight = known.astype(np.float64) if weights is None else known * weights
    total = weight.sum(-1)
    summed = np.where(known, values, 0.0) * weight
    mean: Floats = np.full(total.shape, np.nan)
    np.divide(summed.sum(-1), total, out=mean, where=total > 0)
    return mean


def pseudo_values(score: Scorer, stratum: Ints) -> tuple[Floats, Floats]:
    """Metric of each replicate (R,), and the jackknife influence (R, U) of each unit on each replicate.

    With g_r the metric of replicate r, and g_r(-u) the same without unit u while the other n - 1 units of its stratum
    weigh n / (n - 1), so that the stratum keeps its weight, the influence is -(n - 1) times the deviation of g_r(-u)
    from its mean over the stratum. For a plain mean over one stratum that is the unit's value less the mean.
    """
    units = len(stratum)
    sizes = np.bincount(stratum)[stratum].astype(np.float64)
    same = stratum[:, None] == stratum[None, :]
    weights = np.where(same, (sizes / np.maximum(sizes - 1, 1))[:, None], 1.0)
    np.fill_diagonal(weights, 0.0)
    full = score(np.ones((1, units)))[0]
    without = score(weights).T
    without = np.where(np.isnan(without), full[:, None], without)
    influence = np.empty_like(without)
    for number in range(int(stratum.max()) + 1):
        here = stratum == number
        mean = without[:, here].mean(1, keepdims=True)
        influence[:, here] = -(int(here.sum()) - 1) * (without[:, here] - mean)
    return full, influence


def crossed_variance(full: Floats, influence: Floats, stratum: Ints) -> tuple[float, float, float, float]:
    """Variance of the mean over replicates from replicates, units and the rest, and its degrees of freedom.

    For a balanced table and a linear metric the parts are the mean squares of a two-way analysis of variance with units
    nested in strata: var = MS_replicates / (R U) + MS_units / (R U) - MS_rest / (R U), whose expectation is the true
    variance of a mean with crossed random effects. The difference can come out too small by chance, so the largest of
    the sum and each direction alone is taken (MacKinnon, Nielsen and Webb 2024, "Jackknife inference with two-way
    clustering", the CV3max rule). Degrees of freedom follow Satterthwaite (1946).

    Args:
        full: Metric of each replicate (R,).
        influence: Influence (R, U) of each unit on each replicate, from :func:`pseudo_values`.
        stratum: Stratum of each unit (U,).

    Returns:
        Variance from replicates, from units, the rest's share that both count (subtracted in the sum), and the degrees
        of freedom of the resulting variance.
    """
    known = ~np.isnan(full)
    full, influence = full[known], influence[known]
    replicates = len(full)
    sizes = np.bincount(stratum).astype(np.float64)
    weight = 1.0 / (sizes * np.maximum(sizes - 1, 1))[stratum]
    by_replicate = float(np.var(full, ddof=1) / replicates) if replicates > 1 else 0.0
    by_unit = float((np.square(influence.mean(0)) * weight).sum())
    centred = influence - influence.mean(0)
    both = float((np.square(centred) * weight).sum() / (replicates * max(replicates - 1, 1)))
    unit_df = max(len(stratum) - len(sizes), 1.0)
    replicate_df = max(replicates - 1, 1)
    variance = by_replicate + by_unit - both
    if variance <= max(by_replicate, by_unit):
        df = float(replicate_df if by_replicate >= by_unit else unit_df)
    else:
        spread = by_replicate**2 / replicate_df + by_unit**2 / unit_df + both**2 / (replicate_df * unit_df)
        # A difference of mean squares can have fewer degrees of freedom than its poorest part: not by this much.
        df = max(variance**2 / spread, min(replicate_df, unit_df)) if spread > 0 else float(replicate_df)
    return by_replicate, by_unit, both, df


def variance_between_folds(score: Scorer, stratum: Ints) -> float:
    """Variance of the mean if folds were draws: the jackknife that leaves out one fold at a time; 0 for a single one.

    Where folds differ no more than their replicates and units do, its expectation is the variance that these explain.
    """
    folds = int(stratum.max()) + 1
    if folds < 2:
        return 0.0
    without = mean_of_replicates(score((stratum != np.arange(folds)[:, None]).astype(np.float64)))
    without = without[~np.isnan(without)]
    if len(without) < 2:
        return 0.0
    return float((len(without) - 1) / len(without) * np.square(without - without.mean()).sum())


def interval(score: Scorer, stratum: Ints, confidence: float = 0.95) -> Interval:
    """Crossed jackknife t interval of the mean over replicates.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,), from :func:`strata`.
        confidence: Confidence of the interval.
    """
    full, influence = pseudo_values(score, stratum)
    estimate = float(mean_of_replicates(full))
    if np.count_nonzero(~np.isnan(full)) < 2 or len(stratum) <= stratum.max() + 1:
        # One replicate or one unit says nothing of how far replicates or units differ.
        return Interval(estimate, math.nan, math.nan, math.nan, math.nan, confidence)
    by_replicate, by_unit, both, df = crossed_variance(full, influence, stratum)
    variance = max(by_replicate + by_unit - both, by_replicate, by_unit)
    excess = max(variance_between_folds(score, stratum) - variance, 0.0)
    if excess > 0:
        folds_df = int(stratum.max())
        df = (variance + excess) ** 2 / (variance**2 / df + excess**2 / folds_df)
        variance += excess
    se = math.sqrt(variance)
    reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * se
    shares: tuple[float, ...] = (math.nan,) * 4
    if variance > 0:
        alone = max(by_replicate - both, 0.0), max(by_unit - both, 0.0), excess
        shares = (*(part / variance for part in alone), max(1.0 - sum(alone) / variance, 0.0))
    return Interval(estimate, estimate - reach, estimate + reach, se, df, confidence, *shares)


def crossed_bootstrap(score: Scorer, stratum: Ints, draws: int, rng: np.random.Generator) -> Floats:
    """Draws (B,) of the pigeonhole bootstrap: replicates and units resampled independently, units in their stratum.

    Args:
        score: Scorer of a metric or of a difference.
        stratum: Stratum of each unit (U,).
        draws: How many draws B.
        rng: Source of the draws.
    """
    values = score(unit_weights(stratum, draws, rng))
    return mean_of_replicates(values, replicate_weights(values.shape[1], draws, rng))


def unit_weights(stratum: Ints, draws: int, rng: np.random.Generator) -> Floats:
    """How often each unit is drawn, (B, U): with replacement, within its stratum."""
    weights = np.empty((draws, len(stratum)))
    for number in range(int(stratum.max()) + 1):
        here = np.flatnonzero(stratum == number)
        weights[:, here] = rng.multinomial(len(here), np.full(len(here), 1 / len(here)), size=draws)
    return weights


def replicate_weights(replicates: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each replicate is drawn, (B, R), with replacement."""
    drawn = rng.multinomial(replicates, np.full(replicates, 1 / replicates), size=draws)
    return np.asarray(drawn, dtype=np.float64)


def percentile_interval(draws: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval of bootstrap draws; undefined draws do not count."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def detectable_effect(se: float, df: float, confidence: float = 0.95, power: float = POWER) -> float:
    """Smallest true effect that a t test with this standard error finds with the given power (noncentral t).

    NaN where the standard error is zero: a difference that never varied says nothing of what would have been seen.
    """
    if not se > 0:
        return math.nan
    critical = float(stats.t.ppf(0.5 + confidence / 2, df))

    def missing(ratio: float) -> float:
        # The chance to find it with the wrong sign is left out: it is nothing near the power that is asked for.
        return float(stats.nct.sf(critical, df, ratio)) - power

    return se * float(optimize.brentq(missing, 0.0, 2 * critical + 5))


def decide(score: Scorer, stratum: Ints, replicates: int, confidence: float = 0.95) -> Verdict:
    """The verdict on a paired difference (treatment minus baseline, more is better).

    Args:
        score: Scorer of the difference.
        stratum: Stratum of each unit (U,).
        replicates: How many replicates the scorer gives.
        confidence: Confidence of the interval.
    """
    found = interval(score, stratum, confidence)
    detectable = detectable_effect(found.se, found.df, confidence)
    answer: Answer
    if replicates < MIN_REPLICATES or len(stratum) < MIN_UNITS or math.isnan(found.se):
        answer = "too little data to tell"
    elif found.low > 0:
        answer = "helps"
    elif found.high < 0:
        answer = "hurts"
    else:
        answer = "no detectable difference"
    return Verdict(answer, found, detectable, replicates, len(stratum))


def sign_flip_test(differences: Floats, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Two-sided p value of a mean of zero, from flipping the sign of each replicate's difference.

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
