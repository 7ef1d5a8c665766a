"""Predictions as the arrays that the statistics work on: arms by replicates by test units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ....utils.errors import StoreError
from .metrics import (
    FORMULAS,
    Floats,
    Formula,
    Ints,
    Scorer,
    average_precision,
    calibration_counts,
    calibration_error,
    class_recall,
    confusion_counts,
    counted,
)
from .statistics import strata


@dataclass(frozen=True)
class PredictionArrays:
    """Test predictions of one real fraction.

    A *case* is a test chip in its fold. Every arm has predicted the same cases in the same replicates, which is what
    makes differences between arms paired.

    Attributes:
        classes: Class names; the first is background.
        arms: Arms in the order of the experiment.
        replicates: Replicate numbers (R,).
        units: Names of the test units (U,).
        fold: Fold of each unit (U,).
        unit: Unit number of each case (N,).
        true: True class number of each case (N,).
        predicted: Predicted class numbers (A, R, N).
        score: Probability of not being background (A, R, N).
        present: Which cases each replicate tested (R, N).
        chip_id: Chip of each case (N,).
    """

    classes: tuple[str, ...]
    arms: tuple[str, ...]
    replicates: Ints
    units: tuple[str, ...]
    fold: Ints
    unit: Ints
    true: Ints
    predicted: npt.NDArray[np.int8]
    score: Floats
    present: npt.NDArray[np.bool_]
    chip_id: npt.NDArray[np.object_]

    @property
    def stratum(self) -> Ints:
        """Return the stratum of each unit (U,)."""
        return strata(self.fold)

    @property
    def share(self) -> Floats:
        """Return the share of the test chips that each unit holds (U,), mean over the classes that occur."""
        counts = np.zeros((len(self.units), len(self.classes)))
        np.add.at(counts, (self.unit, self.true), 1)
        counts = counts[:, counts.any(0)]
        share: Floats = (counts / counts.sum(0)).mean(1)
        return share

    def scorer(self, arm: str, metric: str) -> Scorer:
        """Return the scorer of an arm: a name in :data:`~.metrics.METRICS`, or ``recall of <class>``."""
        number = self.arms.index(arm)
        if metric == "average_precision":
            return average_precision(self.true > 0, self.score[number], self.unit, self.present)
        if metric == "calibration_error":
            return counted(self._calibration(number), calibration_error)
        return counted(self.confusion(arm), self._formula(metric))

    def _formula(self, metric: str) -> Formula:
        if metric.startswith("recall of "):
            return class_recall(self.classes.index(metric.removeprefix("recall of ")))
        return FORMULAS[metric]

    def confusion(self, arm: str) -> Floats:
        """Return the confusion counts (R, U, K * K) of an arm, true class major."""
        number, units, classes = self.arms.index(arm), len(self.units), len(self.classes)
        return np.stack(
            [
                confusion_counts(self.true[rows], values[rows].astype(np.int64), self.unit[rows], units, classes)
                for values, rows in zip(self.predicted[number], self.present, strict=True)
            ]
        )

    def _calibration(self, number: int) -> Floats:
        return np.stack(
            [
                calibration_counts(self.true[rows] > 0, values[rows], self.unit[rows], len(self.units))
                for values, rows in zip(self.score[number], self.present, strict=True)
            ]
        )


def tested(predictions: pd.DataFrame, fraction: float) -> pd.DataFrame:
    """Return the predictions of test chips at one real fraction."""
    return predictions[(predictions["role"] == "test") & np.isclose(predictions["fraction"], fraction)]


def prediction_arrays(
    predictions: pd.DataFrame, classes: Sequence[str], arms: Sequence[str], fraction: float
) -> PredictionArrays:
    """Return the predictions of one real fraction as arrays.

    Args:
        predictions: Rows of the ``PREDICTIONS`` table; only those of role ``test`` and of ``fraction`` count.
        classes: Class names, background first.
        arms: Arms to take, in this order.
        fraction: Real fraction.

    Raises:
        StoreError: If arms were tested on different chips, so that they cannot be compared in pairs, or a class of the
            predictions is none of ``classes``.
    """
    rows = tested(predictions, fraction)
    rows = rows[rows["arm"].isin(list(arms))]
    if rows.empty:
        raise StoreError(f"no test predictions of the arms {', '.join(arms)} at real fraction {fraction:g}")
    cases = rows[["fold", "unit", "chip_id", "class"]].drop_duplicates().sort_values(["fold", "unit", "chip_id"])
    cases = cases.reset_index(drop=True)
    # A unit that several folds test is still one unit: it is resampled as a whole, in the fold that tests it first.
    units = cases.drop_duplicates("unit")
    unit_number = {name: number for number, name in enumerate(units["unit"])}
    class_number = {name: number for number, name in enumerate(classes)}
    keys = pd.MultiIndex.from_frame(cases[["fold", "chip_id"]].astype({"fold": "int64", "chip_id": object}))
    case = keys.get_indexer(pd.MultiIndex.from_arrays([rows["fold"].astype("int64"), rows["chip_id"].astype(object)]))
    replicates: Ints = np.unique(rows["replicate"].to_numpy(np.int64))
    arm_number = rows["arm"].map({name: number for number, name in enumerate(arms)}).to_numpy(np.int64)
    position = (arm_number, np.searchsorted(replicates, rows["replicate"].to_numpy(np.int64)), case)
    shape = (len(arms), len(replicates), len(cases))
    times = np.zeros(shape, dtype=np.int64)
    np.add.at(times, position, 1)
    if times.max() > 1:
        raise StoreError("a test chip is predicted twice by one arm and replicate; were two runs mixed?")
    if not (times == times[:1]).all():
        raise StoreError("the arms were tested on different chips, so their differences are not paired")
    predicted = np.zeros(shape, dtype=np.int8)
    predicted[position] = _numbers(rows["predicted"], class_number).astype(np.int8)
    score = np.zeros(shape)
    score[position] = rows["score"].to_numpy(np.float64)
    return PredictionArrays(
        tuple(classes),
        tuple(arms),
        replicates,
        tuple(units["unit"].astype(str)),
        units["fold"].to_numpy(np.int64),
        cases["unit"].map(unit_number).to_numpy(np.int64),
        _numbers(cases["class"], class_number),
        predicted,
        score,
        times[0] > 0,
        cases["chip_id"].to_numpy(object),
    )


def _numbers(names: pd.Series[str], numbers: dict[str, int]) -> Ints:
    """Return the class numbers of class names."""
    unknown = sorted(set(names) - set(numbers))
    if unknown:
        raise StoreError(f"predictions of class {', '.join(unknown)}, which is not among {', '.join(numbers)}")
    return np.asarray(names.map(numbers), dtype=np.int64)
