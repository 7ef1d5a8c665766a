"""From predictions to every figure of the report: one question, one verdict, and explorations named so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...models.quality import experiment_verdict
from .html import words
from .stats.metrics import METRICS, Floats, Scorer, describe
from .stats.predictions import PredictionArrays, prediction_arrays, tested
from .stats.question import Question
from .stats.statistics import (
    Interval,
    Verdict,
    crossed_bootstrap,
    decide,
    difference,
    interval,
    percentile_interval,
    sign_flip_test,
)

COLUMNS = (
    "kind", "role", "fraction", "fold", "arm", "baseline", "metric", "estimate", "low", "high", "se", "df",
    "replicates", "units", "chips", "sign_flip_p",
)  # fmt: skip
"""Columns of metrics.csv. `kind`: `arm` or `difference`; `role`: `primary` in one row only; no fold: all folds."""
OTHER_SEEDS = "other seeds"
MIN_HALF = 2
"""Replicates in each half of the control that compares the baseline with itself."""


def finite(value: Any) -> Any:
    """Return the same data with None where a number is not finite, as JSON has no other word for it."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_json(data: Any, path: Path) -> None:
    """Write JSON for people and programs: sorted as given, no NaN."""
    path.write_text(json.dumps(finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def comparisons(arms: Sequence[str], treatment: str, baseline: str) -> list[tuple[str, str]]:
    """Return pairs (arm, what it is compared with), the primary one first.

    An arm over classic augmentation is compared with `classic`, any other with `real`; the negative control also with
    `gan`, whose chips it has; GAN chips also with real objects that were cut out and composited in the same way, which
    separates the gain due to composition from that due to the GAN.
    """
    pairs = [(treatment, baseline)]
    for arm in arms:
        other = "classic" if arm.startswith("classic+") else "real"
        pairs.append((arm, other))
    pairs += [("gan", "shuffled"), ("gan", "cutpaste"), ("classic+gan", "classic+cutpaste")]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1] and set(pair) <= set(arms)]


def metric_names(classes: Sequence[str]) -> list[str]:
    """Return all metrics, those of single classes too."""
    return [*METRICS, *(f"recall of {name}" for name in classes)]


def _row(result: Interval, view: PredictionArrays, **what: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(COLUMNS),
        "role": "exploration",
        **what,
        **{name: getattr(result, name) for name in ("estimate", "low", "high", "se", "df")},
        "replicates": len(view.replicates),
        "units": len(view.units),
        "chips": len(view.chip_id),
    }


def rows_of(view: PredictionArrays, question: Question, fraction: float, fold: int | None) -> list[dict[str, Any]]:
    """Return rows of metrics.csv for one fraction and one fold (None: all of them)."""
    where = {"fraction": fraction, "fold": fold}
    stratum = view.stratum
    rows = []
    for metric in metric_names(view.classes):
        scorers = {arm: view.scorer(arm, metric) for arm in view.arms}
        for arm, score in scorers.items():
            result = interval(score, stratum, question.confidence, view.share, question.folds)
            bounded = Interval(**{**asdict(result), "low": max(result.low, 0.0), "high": min(result.high, 1.0)})
            rows.append(_row(bounded, view, kind="arm", arm=arm, metric=metric, **where))
        for arm, other in comparisons(view.arms, question.treatment, question.baseline):
            score = difference(scorers[arm], scorers[other])
            result = interval(score, stratum, question.confidence, view.share, question.folds)
            rng = np.random.default_rng([question.seed, 1])
            asked = (question.treatment, question.baseline, question.metric, question.fraction, None)
            primary = (arm, other, metric, fraction, fold) == asked
            row = _row(result, view, kind="difference", arm=arm, baseline=other, metric=metric, **where)
            row["role"] = "primary" if primary else "exploration"
            row["sign_flip_p"] = sign_flip_test(score(np.ones((1, len(stratum))))[0], rng)
            rows.append(row)
        if len(view.replicates) >= 2 * MIN_HALF:
            control = halves(scorers[question.baseline])
            result = interval(control, stratum, question.confidence, view.share, question.folds)
            what = {"arm": question.baseline, "baseline": f"{question.baseline}, {OTHER_SEEDS}", "metric": metric}
            row = _row(result, view, kind="difference", **what, **where)
            rows.append(row | {"role": "control", "replicates": len(view.replicates) // 2})
    return rows


def halves(score: Scorer) -> Scorer:
    """Return the scorer of the difference between the first and the second half of an arm's replicates.

    The halves differ in nothing but their seeds, so this is what comes out where there is nothing to find.
    """

    def between(weights: Floats) -> Floats:
        values = score(weights)
        half = values.shape[1] // 2
        return values[:, :half] - values[:, half : 2 * half]

    return between


def analyse(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    arms: Sequence[str],
    question: Question,
    random_split: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the verdict as JSON data, and the table of all metrics (metrics.csv).

    Args:
        predictions: Rows of the ``PREDICTIONS`` table.
        classes: Class names, background first.
        arms: Arms of the experiment, in order.
        question: What is asked.
        random_split: Predictions on a random split, to be shown beside; no part of the answer.
    """
    fractions = sorted({float(value) for value in predictions["fraction"].unique()}, reverse=True)
    rows: list[dict[str, Any]] = []
    for fraction in fractions:
        view = prediction_arrays(predictions, classes, arms, fraction)
        rows += rows_of(view, question, fraction, None)
        at_fraction = tested(predictions, fraction)
        folds = sorted(at_fraction["fold"].unique())
        for fold in folds if len(folds) > 1 else []:
            # A fold's own arrays: where folds share units, as repeats do, those of all folds assign each to one.
            alone = prediction_arrays(at_fraction[at_fraction["fold"] == fold], classes, arms, fraction)
            rows += rows_of(alone, question, fraction, int(fold))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"fold": "Int64"})
    count = tested(predictions, question.fraction)["fold"].nunique()
    answered = answer(prediction_arrays(predictions, classes, arms, question.fraction), question, int(count))
    if random_split is not None and len(random_split):
        answered["random_split"] = leaky(random_split, classes, arms, question)
    return finite(answered), table


def add_generators(answer: dict[str, Any], generators: Sequence[Mapping[str, Any]]) -> None:
    """Add to the answer whether the generators behind it learned; where they did not, its sentence begins with that.

    Args:
        answer: What :func:`analyse` gave.
        generators: Metadata of the generators whose chips the treatment trains on; empty where it needs none.
    """
    if not generators:
        return
    quality = experiment_verdict(generators)
    answer["generator"] = {"learned": quality.learned, "reasons": list(quality.reasons)}
    if quality.sentence is not None:
        answer["sentence"] = f"{quality.sentence} {words.NOT_ABOUT_GANS} {answer['sentence']}"


def leaky(predictions: pd.DataFrame, classes: Sequence[str], arms: Sequence[str], question: Question) -> dict[str, Any]:
    """Return what a random split of the chips would have claimed: the metric of each arm, mean over replicates."""
    fraction = float(predictions["fraction"].max())
    tested_arms = set(predictions["arm"])
    view = prediction_arrays(predictions, classes, [arm for arm in arms if arm in tested_arms], fraction)
    values = {arm: float(np.nanmean(view.scorer(arm, question.metric)(_ones(view)))) for arm in view.arms}
    return {"fraction": fraction, "values": values, "replicates": len(view.replicates), "chips": len(view.chip_id)}


def _ones(view: PredictionArrays) -> Floats:
    return np.ones((1, len(view.units)))


def verdict_of(view: PredictionArrays, question: Question) -> tuple[Verdict, dict[str, float], str]:
    """Return the verdict, the metric of its two arms, and its sentence."""
    scorers = {arm: view.scorer(arm, question.metric) for arm in (question.treatment, question.baseline)}
    score = difference(scorers[question.treatment], scorers[question.baseline])
    verdict = decide(score, view.stratum, len(view.replicates), question.confidence, view.share, question.folds)
    values = {arm: float(np.nanmean(scorer(_ones(view)))) for arm, scorer in scorers.items()}
    return verdict, values, words.sentence(verdict, question, values)


def answer(view: PredictionArrays, question: Question, folds: int) -> dict[str, Any]:
    """Return the verdict and what stands behind it; ``folds`` may share units, so the ensemble cannot tell them."""
    verdict, values, sentence = verdict_of(view, question)
    ones = _ones(view)
    score = difference(*(view.scorer(arm, question.metric) for arm in (question.treatment, question.baseline)))
    draws = crossed_bootstrap(score, view.stratum, question.draws, np.random.default_rng([question.seed, 0]))
    low, high = percentile_interval(draws, question.confidence)
    by_arm = {arm: view.scorer(arm, question.metric)(ones)[0] for arm in view.arms}
    favoured = question.treatment if verdict.answer == "helps" else question.baseline
    return {
        "question": asdict(question) | describe(question.metric),
        "verdict": verdict.answer,
        "sentence": sentence,
        "favoured": favoured,
        "values": values,
        "difference": asdict(verdict.interval),
        "detectable": verdict.detectable,
        "replicates": verdict.replicates,
        "units": verdict.units,
        "effective_units": verdict.effective_units,
        "folds": folds,
        "chips": len(view.chip_id),
        "by_replicate": dict(zip(map(str, view.replicates.tolist()), score(ones)[0].tolist(), strict=True)),
        "arm_values": {arm: float(np.nanmean(values)) for arm, values in by_arm.items()},
        "arms_by_replicate": {arm: values.tolist() for arm, values in by_arm.items()},
        "bootstrap": {
            "draws": question.draws,
            "low": low,
            "high": high,
            "histogram": np.histogram(draws[~np.isnan(draws)], bins=40)[0].tolist(),
            "range": [float(np.nanmin(draws)), float(np.nanmax(draws))],
        },
    }
