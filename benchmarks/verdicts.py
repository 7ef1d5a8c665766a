"""How often the verdict is wrong, and what it can see: the report's procedure on simulated experiments.

    python benchmarks/verdicts.py                                    # 2,000 experiments of each kind, some minutes
    python benchmarks/verdicts.py --predictions reports/RUN/predictions.parquet   # variances from a run of your own

Each simulated experiment is a table of predictions with effects of chips, test units, replicates and their
interactions, drawn on the logit scale; the verdict's own code then judges it. Without a true difference between the
arms a verdict of "helps" or "hurts" is false. Beside the procedure in use stands the percentile interval of the crossed
bootstrap, which it replaced.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from satpipe.stages.report.stats.metrics import balanced_accuracy, confusion_counts, counted
from satpipe.stages.report.stats.statistics import crossed_bootstrap, decide, difference, percentile_interval, strata
from section import write_section

Floats = npt.NDArray[np.float64]
TITLE = "How often the verdict is wrong, and what it can see"
LIMIT = 0.06
CLIP = 8.0


@dataclass(frozen=True)
class Size:
    """Size of an experiment: replicates, test units, folds, chips of a unit on average."""

    replicates: int
    units: int
    folds: int
    chips: int


SIZES = (Size(6, 12, 3, 30), Size(8, 28, 3, 60), Size(12, 80, 4, 30))


@dataclass(frozen=True)
class Components:
    """Standard deviations on the logit scale of the margin by which a chip is classified rightly.

    The defaults are those of real predictions: PlanetScope tiles of three areas left out in turn, a quarter of the
    labels, eight replicates, a small ship ConvNet on real chips with and without classic augmentation, 82 sites.

    Attributes:
        mean: Mean margin.
        positives: Share of objects among the chips.
        chip: Chips, the same for both arms and all replicates.
        unit: Units, the same for both arms.
        fold: Folds, the same for both arms.
        arm_chip: Chips, different for each arm, the same in all replicates.
        arm_unit: Units, different for each arm and class.
        quality: Trainings: one arm, fold and replicate is better than another.
        bias: Trainings: its threshold leans to one class.
        training_unit: A training does well on one unit and badly on another.
        rest: What is left of each single prediction.
        shared_rest: The same, where both arms have it: they share the labels drawn and the start of the classifier.
        arm_fold: Folds, different for each arm.
    """

    mean: float = 2.2
    positives: float = 0.32
    chip: float = 1.6
    unit: float = 0.7
    fold: float = 0.2
    arm_chip: float = 0.75
    arm_unit: float = 0.45
    quality: float = 0.8
    bias: float = 0.7
    training_unit: float = 0.7
    rest: float = 1.0
    shared_rest: float = 1.3
    arm_fold: float = 0.2


ESTIMATED = "as estimated"
"""The kind that must keep the limit; the others move the variance about, to find where the procedure ends."""
KINDS: dict[str, dict[str, float]] = {
    ESTIMATED: {},
    "replicates differ most": {"quality": 1.2, "bias": 1.0, "arm_unit": 0.05, "training_unit": 0.1},
    "units differ most": {"arm_unit": 1.2, "quality": 0.05, "bias": 0.1, "training_unit": 0.1},
    "single predictions differ most": {"rest": 2.0, "quality": 0.0, "bias": 0.0, "arm_unit": 0.0, "training_unit": 0.0},
    "near the ceiling": {"mean": 6.0, "quality": 0.3, "bias": 0.3},
    "folds agree": {"arm_fold": 0.0},
    "folds differ three times as much": {"arm_fold": 0.6},
}
"""Kinds of experiments without a true difference, by the standard deviations that are not as estimated."""


def margins(rng: np.random.Generator, size: Size, tasks: Components, effect: float) -> tuple[Floats, ...]:
    """Margins (2, R, N) of two arms, true class (N,), unit (N,) and fold of each unit (U,); the second arm gains."""
    fold = np.arange(size.units) % size.folds
    number = rng.integers(max(2, size.chips // 2), size.chips * 3 // 2 + 1, size.units)
    unit = np.repeat(np.arange(size.units), number)
    chips, replicates = len(unit), size.replicates
    true = (rng.random(chips) < tasks.positives).astype(np.int64)
    sign = np.where(true == 1, 1.0, -1.0)
    here = fold[unit]

    def normal(scale: float, *shape: int) -> Floats:
        return scale * rng.standard_normal(shape)

    shared = tasks.mean + normal(tasks.chip, chips) + normal(tasks.unit, size.units)[unit]
    shared = shared + normal(tasks.fold, size.folds)[here]
    common = normal(tasks.shared_rest, replicates, chips)
    arms = []
    for gain in (0.0, effect):
        by_class = normal(tasks.arm_unit, 2, size.units)
        lasting = shared + gain + normal(tasks.arm_chip, chips) + by_class[true, unit]
        lasting = lasting + normal(tasks.arm_fold, size.folds)[here]
        training = normal(tasks.quality, replicates, size.folds)
        leaning = normal(tasks.bias, replicates, size.folds)
        moment = (
            training[:, here] + leaning[:, here] * sign + normal(tasks.training_unit, replicates, size.units)[:, unit]
        )
        arms.append(lasting + common + moment + normal(tasks.rest, replicates, chips))
    return np.stack(arms), true, unit, fold


def experiment(
    rng: np.random.Generator, size: Size, tasks: Components, effect: float, draws: int
) -> tuple[str, float, float, bool]:
    """Verdict, estimate and standard error of one simulated experiment, and whether percentiles exclude zero."""
    margin, true, unit, fold = margins(rng, size, tasks, effect)
    predicted = np.where(margin > 0, true, 1 - true)
    tables = [
        np.stack([confusion_counts(true, one, unit, size.units, 2) for one in arm.astype(np.int64)])
        for arm in predicted
    ]
    score = difference(counted(tables[1], balanced_accuracy), counted(tables[0], balanced_accuracy))
    stratum = strata(fold)
    verdict = decide(score, stratum, size.replicates)
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
    percentile: float
    effect: float
    spread: float
    se: float


def rates(size: Size, tasks: Components, effect: float, experiments: int, draws: int, seed: Sequence[int]) -> Rates:
    """Share of experiments by verdict, their mean effect and its spread, and the standard error they claim."""
    rng = np.random.default_rng(list(seed))
    results = [experiment(rng, size, tasks, effect, draws) for _ in range(experiments)]
    answers, estimates, errors, outside = map(np.array, zip(*results, strict=True))
    return Rates(
        float(np.mean(answers == "helps")),
        float(np.mean(answers == "hurts")),
        float(np.mean(outside)),
        float(estimates.mean()),
        float(estimates.std()),
        float(np.sqrt(np.mean(np.square(errors)))),
    )


# --------------------------------------------------------------------------------- variances of real predictions


def estimate(predictions: pd.DataFrame, arms: tuple[str, str], background: str) -> Components:
    """Method of moments on the margins of real test predictions of two arms, at their largest fraction.

    Half the variance of the difference between the arms is what each arm has of its own; their mean gives what they
    share. Margins are logits of the score less those of the threshold, positive where the prediction is right.
    """
    rows = predictions[(predictions["role"] == "test") & predictions["arm"].isin(arms)]
    rows = rows[rows["fraction"] == rows["fraction"].max()]
    true = (rows["class"] != background).to_numpy()
    margin = _logit(rows["score"].to_numpy(float)) - _logit(rows["threshold"].to_numpy(float))
    rows = rows.assign(margin=np.clip(np.where(true, margin, -margin), -CLIP, CLIP), true=true)
    wide = rows.pivot_table(index=["fold", "true", "unit", "chip_id", "replicate"], columns="arm", values="margin")
    wide = wide.assign(own=(wide[arms[1]] - wide[arms[0]]) / np.sqrt(2), shared=(wide[arms[1]] + wide[arms[0]]) / 2)
    wide = wide.reset_index()
    replicates = wide["replicate"].nunique()
    inflate = replicates / (replicates - 1)
    chip = ["fold", "true", "unit", "chip_id"]
    lasting = wide.groupby(chip, as_index=False)[["own", "shared"]].mean()
    moment = wide[["own", "shared"]] - wide.groupby(chip)[["own", "shared"]].transform("mean")
    wide = wide.assign(own=moment["own"], shared=moment["shared"])
    training = wide.groupby(["fold", "replicate", "true"])["own"].mean().unstack("true")
    wide = wide.assign(own=wide["own"] - wide.groupby(["fold", "replicate", "true"])["own"].transform("mean"))
    rest, training_unit = _nested(wide, ["replicate", "unit", "true"], "own")
    by_fold = lasting.groupby("fold")[["own", "shared"]].mean()
    centred = lasting[["own", "shared"]] - lasting.groupby(["fold", "true"])[["own", "shared"]].transform("mean")
    lasting = lasting.assign(own=centred["own"], shared=centred["shared"])
    arm_chip, arm_unit = _nested(lasting, ["unit", "true"], "own")
    all_chips, unit = _nested(lasting, ["unit"], "shared")
    found = {
        "chip": all_chips - arm_chip / 2,
        "unit": unit - arm_unit / 2,
        "fold": by_fold["shared"].var() if len(by_fold) > 1 else 0.0,
        "arm_chip": arm_chip - rest * inflate / replicates,
        "arm_unit": arm_unit,
        "quality": inflate * training.mean(axis=1).var(ddof=0),
        "bias": inflate * ((training[True] - training[False]) / 2).var(ddof=0),
        "training_unit": inflate * training_unit,
        "rest": inflate * rest,
    }
    found["arm_fold"] = 0.0
    if len(by_fold) > 1:
        units = rows.groupby("fold")["unit"].nunique().mean()
        expected = found["quality"] / replicates + (arm_unit + found["training_unit"] / replicates) / units
        found["arm_fold"] = by_fold["own"].var() - expected
    own = found["quality"] + found["bias"] + found["training_unit"] + found["rest"]
    found["shared_rest"] = inflate * float(np.mean(np.square(wide["shared"]))) - own / 2
    deviations = {name: float(np.sqrt(max(variance, 0.0))) for name, variance in found.items()}
    return Components(mean=float(rows["margin"].mean()), positives=float(true.mean()), **deviations)


def _logit(score: Floats) -> Floats:
    clipped = np.clip(score, 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def _nested(table: pd.DataFrame, groups: list[str], value: str) -> tuple[float, float]:
    """Variance within groups, and between them beyond what that explains."""
    found = table.groupby(groups)[value].agg(["mean", "var", "count"])
    found = found[found["count"] > 1]
    within = float((found["var"] * (found["count"] - 1)).sum() / (found["count"] - 1).sum())
    between = float((found["mean"] ** 2 - within / found["count"]).mean())
    return within, max(between, 0.0)


# --------------------------------------------------------------------------------------------------------- output


def false_verdicts(tasks: Components, experiments: int, stress: int, draws: int, seed: int) -> tuple[list[str], bool]:
    """The table of experiments without a difference, and whether all sizes as estimated keep the limit."""
    lines = [
        (
            f"No true difference, {experiments:,} simulated experiments in each row as estimated and {stress:,} in the"
            " others, which move the variance about to find where the procedure ends. In percent: how often the verdict"
            f" was helps or hurts all the same, which may be {100 * LIMIT:g} in the rows as estimated, and how often"
            " the percentiles of the crossed bootstrap would have said so. In points: how far estimates spread, and the"
            " standard error that the experiments claim."
        ),
        "",
        "| experiments | replicates x units | verdict false, % | bootstrap percentiles, % | spread | claimed error |",
        "|---|---|---|---|---|---|",
    ]
    kept = True
    for number, (kind, changes) in enumerate(KINDS.items()):
        for size in SIZES:
            setting = replace(tasks, **changes)
            count = experiments if kind == ESTIMATED else stress
            found = rates(size, setting, 0.0, count, draws, (seed, number, size.units))
            false = found.helps + found.hurts
            kept &= kind != ESTIMATED or false <= LIMIT
            lines.append(
                f"| {kind} | {size.replicates} x {size.units} | {100 * false:.1f} | {100 * found.percentile:.1f} |"
                f" {100 * found.spread:.2f} | {100 * found.se:.2f} |"
            )
            print(lines[-1], flush=True)
    return lines, kept


def power(tasks: Components, experiments: int, seed: int) -> list[str]:
    """The table of what the procedure finds of planted effects."""
    lines = [
        f"Planted effects, {experiments:,} experiments in each row; effects in points of balanced accuracy.",
        "",
        "| replicates x units | true effect | helps, % | hurts, % |",
        "|---|---|---|---|",
    ]
    for size in SIZES:
        for number, effect in enumerate((0.1, 0.2, 0.4, 0.8)):
            found = rates(size, tasks, effect, experiments, 0, (seed, 99, number, size.units))
            lines.append(
                f"| {size.replicates} x {size.units} | {100 * found.effect:+.1f} | {100 * found.helps:.0f} |"
                f" {100 * found.hurts:.1f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> int:
    """Run from the command line; the exit code is 1 if the limit is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=2000, help="simulated experiments of each kind and size")
    parser.add_argument("--stress", type=int, default=500, help="the same for other variances and planted effects")
    parser.add_argument(
        "--draws", type=int, default=400, help="bootstrap draws of the procedure compared with; 0: none"
    )
    parser.add_argument("--predictions", type=Path, help="predictions.parquet of a run to take the variances from")
    parser.add_argument("--arms", nargs=2, default=("classic", "classic+gan"), help="its two arms")
    parser.add_argument("--background", default="non-ship", help="its background class")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section is replaced by the result")
    given = parser.parse_args()
    tasks = Components()
    if given.predictions:
        tasks = estimate(pd.read_parquet(given.predictions), tuple(given.arms), given.background)
    origin, title, command = "three areas left out in turn", TITLE, f"--experiments {given.experiments}"
    if given.predictions:
        run = given.predictions.parent.name
        origin, title = f"run {run}", f"{TITLE}: as run {run} varies"
        command += f" --predictions reports/{run}/predictions.parquet"
    table, kept = false_verdicts(tasks, given.experiments, given.stress, given.draws, given.seed)
    lines = [
        f"`python benchmarks/verdicts.py {command}`. Standard deviations of the margin, in logits, as"
        f" estimated from real predictions ({origin}): "
        + ", ".join(f"{one.name.replace('_', ' ')} {asdict(tasks)[one.name]:.2f}" for one in fields(tasks))
        + ".",
        "",
        *table,
        "",
        *power(tasks, given.stress, given.seed),
        "",
        f"{'Kept' if kept else 'BROKEN'}: the limit of {100 * LIMIT:g} % in all rows as estimated.",
    ]
    write_section(title, lines, given.docs)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
