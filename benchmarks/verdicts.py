"""How often the verdict is wrong, and what it can see: the report's procedure on simulated experiments.

    python benchmarks/verdicts.py                                    # 1,000 experiments of each kind
    python benchmarks/verdicts.py --predictions reports/RUN/predictions.parquet   # variances from a run of your own

Each simulated experiment is a table of predictions with effects of chips, test units, replicates, folds and their
interactions, drawn on the logit scale; the verdict's own code then judges it. Without a true difference between the
arms a verdict of "helps" or "hurts" is false. Beside the procedure in use stands the percentile interval of the crossed
bootstrap, which it replaced.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from satpipe.stages.report.stats.metrics import balanced_accuracy, confusion_counts, counted
from satpipe.stages.report.stats.statistics import (
    crossed_bootstrap,
    decide,
    difference,
    percentile_interval,
    strata,
)
from section import write_section
from verdicts_simulation import MEASURED, MIDDLE, SIZES, SMALL, Components, Size, estimate, margins

TITLE = "How often the verdict is wrong, and what it can see"
LIMIT = 0.06


ESTIMATED = "as estimated"
UNITS = {"arm_unit": 1.2, "quality": 0.05, "bias": 0.1, "training_unit": 0.1}
KINDS: dict[str, dict[str, float]] = {
    ESTIMATED: {},
    "replicates differ most": {"quality": 1.2, "bias": 1.0, "arm_unit": 0.05, "training_unit": 0.1},
    "units differ most": UNITS,
    "single predictions differ most": {"rest": 2.0, "quality": 0.0, "bias": 0.0, "arm_unit": 0.0, "training_unit": 0.0},
    "near the ceiling": {"mean": 6.0, "quality": 0.3, "bias": 0.3},
    "replicates alike in all folds": {"replicate": 0.6, "quality": 0.6},
}
"""Kinds of experiments without a true difference, by the standard deviations that are not as estimated."""


@dataclass(frozen=True)
class Scenario:
    """A kind of experiment without a true difference.

    Attributes:
        kind: What it is called.
        size: Size of the experiments.
        changes: Standard deviations that are not as estimated.
        bounded: Whether the limit on false verdicts holds; without it the row shows what an assumption costs.
    """

    kind: str
    size: Size
    changes: dict[str, float] = field(default_factory=dict)
    bounded: bool = True


SHAPES: dict[str, Callable[[Size], Size]] = {
    "one unit holds 40 %": lambda size: replace(size, largest=0.4),
    "one unit holds 60 %": lambda size: replace(size, largest=0.6),
    "one unit holds 75 %": lambda size: replace(size, largest=0.75),
    "one unit holds 90 %": lambda size: replace(size, largest=0.9),
    "log-normal sizes, 1": lambda size: replace(size, spread=1.0),
    "log-normal sizes, 1.5": lambda size: replace(size, spread=1.5),
}
"""How units differ in size."""


def scenarios() -> dict[str, list[Scenario]]:
    """Return all scenarios by the title of their table."""
    fixed = [replace(size, fold_effects="fixed") for size in SIZES]
    alike = {"arm_fold": 0.0}
    areas = [Scenario(kind, size, changes) for kind, changes in KINDS.items() for size in SIZES]
    for folds in (2, 3, 5):
        for deviation in (0.15, 0.3, 0.6, 1.2):
            kind = f"{folds} areas, each with its own effect, {deviation:g}"
            areas += [Scenario(kind, replace(size, folds=folds), {"arm_fold": deviation}) for size in (SMALL, MIDDLE)]
    by_chance = [Scenario(kind, size, changes | alike) for kind, changes in KINDS.items() for size in fixed]
    by_chance += [
        Scenario(name, replace(fixed[0], folds=folds), alike)
        for name, folds in (("one fold", 1), ("two folds", 2), ("five folds", 5))
    ]
    by_chance += [
        Scenario(f"folds that do have effects, {deviation:g}", fixed[0], {"arm_fold": deviation}, bounded=False)
        for deviation in (0.2, 0.6)
    ]
    uneven = []
    for kind, shape in SHAPES.items():
        for changes in ({}, UNITS):
            name = f"{kind}; units differ most" if changes else kind
            for size in (SMALL, MIDDLE):
                one_fold = replace(shape(size), folds=1, fold_effects="fixed")
                uneven.append(Scenario(f"{name}, one fold", one_fold, changes | alike))
            uneven.append(Scenario(f"{name}, three areas", shape(SMALL), changes))
    return {
        "Folds are areas (random effects)": areas,
        "Units assigned to folds at random (fixed effects)": by_chance,
        "Units of uneven size": uneven,
    }


def experiment(
    rng: np.random.Generator, size: Size, components: Components, effect: float, draws: int
) -> tuple[str, float, float, bool]:
    """Simulate one experiment: verdict, estimate and standard error, and whether percentiles exclude zero."""
    margin, true, unit, fold = margins(rng, size, components, effect)
    predicted = np.where(margin > 0, true, 1 - true)
    # One table for all replicates of both arms: a unit of each replicate counts as a unit of its own.
    rows = np.arange(2 * size.replicates)[:, None] * size.units + unit
    every = np.tile(true, 2 * size.replicates)
    tables = confusion_counts(every, predicted.ravel(), rows.ravel(), 2 * size.replicates * size.units, 2)
    baseline, treatment = tables.reshape(2, size.replicates, size.units, -1)
    score = difference(counted(treatment, balanced_accuracy), counted(baseline, balanced_accuracy))
    stratum = strata(fold)
    by_class = np.stack([np.bincount(unit[true == label], minlength=size.units) for label in (0, 1)])
    share = (by_class / by_class.sum(1, keepdims=True)).mean(0)
    verdict = decide(score, stratum, size.replicates, share=share, folds=size.fold_effects)
    outside = False
    if draws:
        low, high = percentile_interval(crossed_bootstrap(score, stratum, draws, rng))
        outside = low > 0 or high < 0
    return verdict.answer, verdict.interval.estimate, verdict.interval.se, outside


@dataclass(frozen=True)
class Rates:
    """What many experiments ended in."""

    helps: float
    hurts: float
    too_little: float
    percentile: float
    effect: float
    spread: float
    se: float


def rates(
    size: Size, components: Components, effect: float, experiments: int, draws: int, seed: Sequence[int]
) -> Rates:
    """Return the share of experiments by verdict, their mean effect, its spread, and the standard error claimed."""
    rng = np.random.default_rng(list(seed))
    results = [experiment(rng, size, components, effect, draws) for _ in range(experiments)]
    answers, estimates, errors, outside = map(np.array, zip(*results, strict=True))
    return Rates(
        float(np.mean(answers == "helps")),
        float(np.mean(answers == "hurts")),
        float(np.mean(answers == "too little data to tell")),
        float(np.mean(outside)),
        float(estimates.mean()),
        float(estimates.std()),
        float(np.sqrt(np.mean(np.square(errors)))),
    )


# --------------------------------------------------------------------------------------------------------- output


def false_verdicts(components: Components, experiments: int, draws: int, seed: int) -> tuple[list[str], bool]:
    """Return the tables of experiments without a difference, and whether all that are bounded keep the limit."""
    allowed = LIMIT + 2.33 * np.sqrt(LIMIT * (1 - LIMIT) / experiments)
    lines = [
        (
            f"No true difference, {experiments:,} simulated experiments in each row. In percent: how often the verdict"
            f" was nevertheless helps or hurts, of which {100 * LIMIT:g} are allowed (a row breaks the limit above"
            f" {100 * allowed:.1f}, which chance alone exceeds once in 100), how often it was too little data to tell,"
            " and how often the percentiles of the crossed bootstrap would have shown a difference. In points: the"
            " standard deviation of the estimates, and the standard error that the experiments claim. Effects of areas"
            " are standard deviations in logits."
        )
    ]
    kept = True
    for number, (title, rows) in enumerate(scenarios().items()):
        lines += ["", f"{title}:", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        for row, scenario in enumerate(rows):
            setting = replace(components, **scenario.changes)
            share = rates(scenario.size, setting, 0.0, experiments, draws, (seed, number, row))
            false = share.helps + share.hurts
            kept &= not scenario.bounded or false <= allowed
            lines.append(
                f"| {scenario.kind}{'' if scenario.bounded else ' (not bounded)'} | {scenario.size.replicates} x"
                f" {scenario.size.units} | {100 * false:.1f} | {100 * share.too_little:.0f} |"
                f" {100 * share.percentile:.1f} | {100 * share.spread:.2f} | {100 * share.se:.2f} |"
            )
            print(lines[-1], flush=True)
    return lines, kept


COLUMNS = (
    "experiments",
    "replicates x units",
    "verdict false, %",
    "too little data, %",
    "bootstrap percentiles, %",
    "spread",
    "claimed error",
)


def power(components: Components, experiments: int, seed: int) -> list[str]:
    """Return the table of what the procedure finds of planted effects."""
    lines = [
        (
            f"Planted effects, {experiments:,} experiments in each row; effects in points of balanced accuracy. Areas:"
            " as estimated, folds as random effects. By chance: folds without effects of their own, as fixed effects."
        ),
        "",
        "| replicates x units | true effect | areas: helps, % | hurts, % | by chance: helps, % | hurts, % |",
        "|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        for number, effect in enumerate((0.1, 0.2, 0.4, 0.8)):
            areas = rates(size, components, effect, experiments, 0, (seed, 99, number, size.units))
            fixed, alike = replace(size, fold_effects="fixed"), replace(components, arm_fold=0.0)
            by_chance = rates(fixed, alike, effect, experiments, 0, (seed, 98, number, size.units))
            lines.append(
                f"| {size.replicates} x {size.units} | {100 * areas.effect:+.1f} | {100 * areas.helps:.0f} |"
                f" {100 * areas.hurts:.1f} | {100 * by_chance.helps:.0f} | {100 * by_chance.hurts:.1f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> int:
    """Run from the command line; the exit code is 1 if the limit is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000, help="simulated experiments of each kind and size")
    parser.add_argument(
        "--draws", type=int, default=200, help="bootstrap draws of the procedure compared with; 0: none"
    )
    parser.add_argument("--predictions", type=Path, help="predictions.parquet of a run to take the variances from")
    parser.add_argument("--arms", nargs=2, default=("classic", "classic+gan"), help="its two arms")
    parser.add_argument("--background", default="non-ship", help="its background class")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section is replaced by the result")
    given = parser.parse_args()
    sources = {
        origin: (TITLE if number == 0 else f"{TITLE}: {origin}", components)
        for number, (origin, components) in enumerate(MEASURED.items())
    }
    command = f"--experiments {given.experiments}"
    if given.predictions:
        run = given.predictions.parent.name
        components = estimate(pd.read_parquet(given.predictions), tuple(given.arms), given.background)
        sources = {f"run {run}": (f"{TITLE}: as run {run} varies", components)}
        command += f" --predictions reports/{run}/predictions.parquet"
    kept = True
    for origin, (title, components) in sources.items():
        table, within_limit = false_verdicts(components, given.experiments, given.draws, given.seed)
        kept &= within_limit
        values = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in asdict(components).items())
        lines = [
            (
                f"`python benchmarks/verdicts.py {command}`. Standard deviations of the margin, in logits, as estimated"
                f" from real predictions ({origin}): {values}."
            ),
            "",
            *table,
            "",
            *power(components, given.experiments, given.seed),
            "",
            f"The limit of {100 * LIMIT:g} % {'holds in all bounded rows' if within_limit else 'is BROKEN'}.",
        ]
        write_section(title, lines, given.docs)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
