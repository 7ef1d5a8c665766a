"""Simulated predictions of two arms, and the variances of real ones: what ``verdicts.py`` judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from satpipe.stages.report.stats.statistics import Folds

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Margins = npt.NDArray[np.float32]
CLIP = 8.0


@dataclass(frozen=True)
class Size:
    """Size of an experiment.

    Attributes:
        replicates: How many replicates.
        units: How many test units.
        folds: How many folds.
        chips: Chips of a unit on average.
        largest: Share of the chips that one unit holds; None: no unit stands out.
        spread: Standard deviation of the logarithm of the units' sizes; 0: between half and one and a half times the
            average.
        fold_effects: What the procedure takes folds for.
    """

    replicates: int
    units: int
    folds: int
    chips: int
    largest: float | None = None
    spread: float = 0.0
    fold_effects: Folds = "random"


SMALL, MIDDLE, LARGE = SIZES = (Size(6, 12, 3, 30), Size(8, 28, 3, 60), Size(12, 80, 4, 30))


@dataclass(frozen=True)
class Components:
    """Standard deviations on the logit scale of the margin by which a chip is classified rightly.

    The defaults are those of real predictions: PlanetScope tiles of three areas left out in turn, a quarter of the
    labels, eight replicates, a small ship ConvNet on real chips with and without classic augmentation, 82 sites. With
    all labels (:data:`MEASURED`) classifiers are nearer to the ceiling and differ less.

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
        replicate: Trainings of one arm and replicate in all folds.
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
    replicate: float = 0.0


MEASURED = {
    "three areas left out in turn, a quarter of the labels": Components(),
    "three areas left out in turn, all labels": Components(
        mean=4.78,
        positives=0.32,
        chip=2.43,
        unit=1.15,
        fold=1.0,
        arm_chip=0.17,
        arm_unit=0.18,
        quality=0.26,
        bias=0.23,
        training_unit=0.3,
        rest=0.57,
        shared_rest=0.94,
        arm_fold=0.0,
    ),
}
"""Standard deviations by the real predictions that they were estimated from."""


def unit_sizes(rng: np.random.Generator, size: Size) -> Ints:
    """Return how many chips each unit has (U,)."""
    total = size.units * size.chips
    if size.largest is not None:
        sizes: Ints = np.full(size.units, max(2, round(total * (1 - size.largest) / (size.units - 1))))
        sizes[rng.integers(size.units)] = round(total * size.largest)
        return sizes
    if size.spread:
        weight = rng.lognormal(0.0, size.spread, size.units)
        return np.asarray(np.maximum(np.rint(weight / weight.sum() * total), 2), dtype=np.int64)
    return rng.integers(max(2, size.chips // 2), size.chips * 3 // 2 + 1, size.units)


def margins(
    rng: np.random.Generator, size: Size, components: Components, effect: float
) -> tuple[Margins, Ints, Ints, Ints]:
    """Draw margins (2, R, N) of two arms, class (N,), unit (N,) and fold of each unit (U,); the second arm gains."""
    fold = np.arange(size.units) % size.folds
    unit = np.repeat(np.arange(size.units), unit_sizes(rng, size))
    chips, replicates = len(unit), size.replicates
    true = (rng.random(chips) < components.positives).astype(np.int64)
    sign = np.where(true == 1, np.float32(1), np.float32(-1))
    fold_of_unit = fold[unit]

    def normal(scale: float, *shape: int) -> Margins:
        return np.float32(scale) * rng.standard_normal(shape, np.float32)

    shared = np.float32(components.mean) + normal(components.chip, chips) + normal(components.unit, size.units)[unit]
    shared = shared + normal(components.fold, size.folds)[fold_of_unit]
    common = normal(components.shared_rest, replicates, chips)
    arms = []
    for gain in (0.0, effect):
        by_class = normal(components.arm_unit, 2, size.units)
        lasting = shared + np.float32(gain) + normal(components.arm_chip, chips) + by_class[true, unit]
        lasting = lasting + normal(components.arm_fold, size.folds)[fold_of_unit]
        training = normal(components.quality, replicates, size.folds) + normal(components.replicate, replicates, 1)
        leaning = normal(components.bias, replicates, size.folds)
        moment = (
            training[:, fold_of_unit]
            + leaning[:, fold_of_unit] * sign
            + normal(components.training_unit, replicates, size.units)[:, unit]
        )
        arms.append(lasting + common + moment + normal(components.rest, replicates, chips))
    return np.stack(arms), true, unit, fold


def estimate(predictions: pd.DataFrame, arms: tuple[str, str], background: str) -> Components:
    """Estimate the components by moments of the margins of real test predictions of two arms.

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
    summary = {
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
    summary["arm_fold"] = 0.0
    if len(by_fold) > 1:
        units = rows.groupby("fold")["unit"].nunique().mean()
        expected = summary["quality"] / replicates + (arm_unit + summary["training_unit"] / replicates) / units
        summary["arm_fold"] = by_fold["own"].var() - expected
    own = summary["quality"] + summary["bias"] + summary["training_unit"] + summary["rest"]
    summary["shared_rest"] = inflate * float(np.mean(np.square(wide["shared"]))) - own / 2
    deviations = {name: float(np.sqrt(max(variance, 0.0))) for name, variance in summary.items()}
    return Components(mean=float(rows["margin"].mean()), positives=float(true.mean()), **deviations)


def _logit(score: Floats) -> Floats:
    clipped = np.clip(score, 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def _nested(table: pd.DataFrame, groups: list[str], value: str) -> tuple[float, float]:
    """Return the variance within groups, and between them beyond what that explains."""
    summary = table.groupby(groups)[value].agg(["mean", "var", "count"])
    summary = summary[summary["count"] > 1]
    within = float((summary["var"] * (summary["count"] - 1)).sum() / (summary["count"] - 1).sum())
    between = float((summary["mean"] ** 2 - within / summary["count"]).mean())
    return within, max(between, 0.0)
