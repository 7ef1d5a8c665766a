"""Worth of the synthetic chips in labels: the learning curve, and how many labels would do as much."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..gather import ReportData
from ..html import blocks, figures
from ..html.drawing import number_of
from ..stats.curves import labels_needed
from ..stats.metrics import Floats
from ..stats.predictions import PredictionArrays, prediction_arrays
from ..stats.statistics import mean_of_replicates, percentile_interval, replicate_weights, unit_weights

DRAWS = 2000


@dataclass(frozen=True)
class Gain:
    """Number of further labels with which the baseline would do as well as the treatment at one real fraction.

    Attributes:
        fraction: Real fraction.
        labels: Labelled objects that a split of it has, mean over splits.
        gain: How many more the baseline needs; infinite if more than there are, minus infinity if it is better with the
            fewest that were measured.
        low: Lower end of the bootstrap interval.
        high: Upper end.
    """

    fraction: float
    labels: float
    gain: float
    low: float
    high: float


def labels_of(data: ReportData) -> dict[float, float]:
    """Return labelled objects that a split of each real fraction has for training and validation, mean over splits."""
    results: dict[float, list[int]] = {}
    for split in data.splits.values():
        counts = split.metadata.get("counts", {})
        labelled = sum(
            counts.get(role, {}).get(name, 0) for role in ("train", "validation") for name in data.classes[1:]
        )
        results.setdefault(float(split.metadata["fraction"]), []).append(labelled)
    return {fraction: float(np.mean(values)) for fraction, values in sorted(results.items())}


def gains(data: ReportData, labels: dict[float, float]) -> list[Gain]:
    """Return the gain in labels at every fraction, with intervals from one crossed bootstrap over all of them."""
    question, arms = data.answer["question"], data.two_arms
    views = [prediction_arrays(data.predictions, data.classes, arms, fraction) for fraction in labels]
    numbers = list(labels.values())
    if any(view.units != views[0].units or len(view.replicates) != len(views[0].replicates) for view in views):
        return []
    rng = np.random.default_rng([data.config["seed"], 7])
    units = np.vstack([np.ones(len(views[0].units)), unit_weights(views[0].stratum, DRAWS, rng)])
    count = len(views[0].replicates)
    replicates = np.vstack([np.ones(count), replicate_weights(count, DRAWS, rng)])

    def curve(arm: str) -> Floats:
        def values(view: PredictionArrays) -> Floats:
            return mean_of_replicates(view.scorer(arm, question["metric"])(units), replicates)

        return np.stack([values(view) for view in views], axis=1)

    before, after = curve(arms[0]), curve(arms[1])
    results = []
    for position, (fraction, labelled) in enumerate(labels.items()):
        needed = labels_needed(numbers, before, after[:, position]) - labelled
        low, high = _ends(needed[1:], question["confidence"])
        results.append(Gain(fraction, labelled, float(needed[0]), low, high))
    return results


def _ends(draws: Floats, confidence: float) -> tuple[float, float]:
    """Return percentiles of draws that may be infinite: with those put beyond all others."""
    finite = draws[np.isfinite(draws)]
    least, most = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    bounded = np.nan_to_num(draws, nan=math.nan, posinf=most + 1, neginf=least - 1)

    def shown(end: float) -> float:
        return math.inf if end > most else -math.inf if end < least else end

    low, high = percentile_interval(bounded, confidence)
    return shown(low), shown(high)


def section_labels(data: ReportData) -> blocks.Section | None:
    """Return the learning curve over real fractions, and the gain in labels."""
    labels = labels_of(data)
    fractions = sorted(float(value) for value in data.metrics["fraction"].unique())
    if len(fractions) < 2 or set(fractions) - set(labels) or not all(labels.values()):
        return None
    labels = {fraction: labels[fraction] for fraction in fractions}
    question, arms = data.answer["question"], data.arms
    rows = data.metrics
    rows = rows[(rows["kind"] == "arm") & rows["fold"].isna() & (rows["metric"] == question["metric"])]
    lines = []
    for arm in arms:
        curve = rows[rows["arm"] == arm].sort_values("fraction")
        shaded = arm in data.two_arms
        lines.append(
            figures.Line(
                arm,
                list(labels.values()),
                curve["estimate"].tolist(),
                number_of(arm, arms),
                curve["low"].tolist() if shaded else (),
                curve["high"].tolist() if shaded else (),
                marked=True,
            )
        )
    objects = " or ".join(data.classes[1:])
    axis = f"labels of class {objects}"
    section = blocks.Section("labels", "What it is worth in labels")
    section.blocks = [
        blocks.figure(
            "learning-curve",
            figures.lines(
                "learning-curve", "Learning curve", lines, axis, f"{question['title']}, %", log_x=True, percent=True
            ),
            f"{question['title'].capitalize()} over the number of labels that a user would have, including validation"
            " labels. Shaded: the intervals of the two arms of the verdict.",
        )
    ]
    results = gains(data, labels)
    if results:
        section.blocks.insert(0, blocks.text(gain_sentence(data, results, objects)))
        section.blocks += [_gain_table(data, results, objects)]
        section.data = {"gains": [asdict(gain) | {"loss": gain.gain == -math.inf} for gain in results]}
    return section


def labels_text(gain: float) -> str:
    """Return a gain in labels with its sign, or on which side the curve of the baseline does not reach so far."""
    if math.isinf(gain):
        return "more than there are" if gain > 0 else "a loss"
    return f"{gain:+,.0f}".replace("-", "−")


def gain_sentence(data: ReportData, results: list[Gain], objects: str) -> str:
    """Return the gain in labels at the smallest real fraction, where it matters most."""
    baseline, treatment = data.two_arms
    gain = min(results, key=lambda result: result.fraction)
    beginning = f"With {gain.labels:,.0f} labels of class {objects}, {treatment} does"
    if gain.gain == -math.inf:
        return f"{beginning} less well than {baseline} with as many."
    more = "more" if gain.gain >= 0 else "fewer"
    shown = "more than there are" if gain.gain == math.inf else f"about {abs(gain.gain):,.0f} {more}"
    return f"{beginning} as well as {baseline} would with {shown}."


def _gain_table(data: ReportData, results: list[Gain], objects: str) -> blocks.Block:
    baseline, treatment = data.two_arms

    def ends(gain: Gain) -> str:
        certain = math.isinf(gain.low) and gain.low == gain.high
        return "" if certain else f"{labels_text(gain.low)} to {labels_text(gain.high)}"

    rows: list[dict[str, Any]] = [
        blocks.row(
            [f"{100 * gain.fraction:g} %", f"{gain.labels:,.0f}", blocks.cell(labels_text(gain.gain), ends(gain))]
        )
        for gain in results
    ]
    caption = (
        f"How many more labels of class {objects} {baseline} would need to do as well as {treatment}, read off the"
        " curve of the former; below it the interval of the crossed bootstrap. Beyond the end of the curve, a gain can"
        " only be given as more than there are, and before its beginning, as a loss. Exploratory."
    )
    return blocks.table("Gain in labels", caption, ["Real fraction", "labels", "worth"], rows)
