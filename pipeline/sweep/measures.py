"""Measures of a point, from the metadata of its artifacts. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A measure of a point.

    Attributes:
        text: What it is, for people.
        higher: Whether more is better.
        of_gan: Whether it measures generators alone.
        neutral: The value that is neither good nor bad, drawn as a line; None where there is none.
    """

    text: str
    higher: bool
    of_gan: bool
    neutral: float | None = None


MEASURES = {
    "kid": Measure("kernel distance above its floor", higher=False, of_gan=True, neutral=0.0),
    "coverage": Measure("coverage, as a share of its floor", higher=True, of_gan=True, neutral=1.0),
    "copies": Measure("share of copies", higher=False, of_gan=True),
    "usefulness": Measure(
        "average precision on real chips after training on synthetic ones, over that after training on real ones",
        higher=True,
        of_gan=True,
        neutral=1.0,
    ),
    "difference": Measure("treatment minus baseline, on the metric of the verdict", True, False, neutral=0.0),
}
"""Each is a mean over classes and splits; `<measure> of <class>` is the mean of one class."""

Values = dict[str, float | str | None]


def of_generator(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Return the measures of one generator; those that its validation chips do not allow are left out."""
    measures: dict[str, dict[str, float]] = {name: {} for name, measure in MEASURES.items() if measure.of_gan}
    for label, values in metadata.get("quality", {}).items():
        measures["kid"][label] = values["kid"] - values["kid_floor"]
        if values["coverage_floor"] > 0:
            measures["coverage"][label] = values["coverage"] / values["coverage_floor"]
        measures["copies"][label] = values["copies"]
    useful = metadata.get("usefulness", {})
    if useful:
        by_real, by_synthetic = (useful[name]["average_precision"] for name in ("real_to_real", "synthetic_to_real"))
        for label, value in by_synthetic.items():
            if by_real.get(label):
                measures["usefulness"][label] = value / by_real[label]
    of_class = {f"{name} of {label}": value for name, by_class in measures.items() for label, value in by_class.items()}
    return {name: fmean(by_class.values()) for name, by_class in measures.items() if by_class} | of_class


def of_generators(all_metadata: Sequence[Mapping[str, Any]], seconds: Sequence[float]) -> Values:
    """Return means over a point's generators, the spread of the overall measures, and how the trainings went.

    Args:
        all_metadata: Metadata of each generator.
        seconds: How long each took.
    """
    generators = [of_generator(metadata) for metadata in all_metadata]
    means: Values = {}
    for name in dict.fromkeys(name for values in generators for name in values):
        values = [values[name] for values in generators if name in values]
        means[name] = _short(fmean(values))
        if name in MEASURES and len(values) > 1:
            means[f"{name} sd"] = _short(stdev(values))
    if all_metadata:
        means["generators"] = float(len(all_metadata))
        means["restarts"] = float(sum(len(metadata.get("restarts", ())) for metadata in all_metadata))
        best = [float(metadata["best_images"]) for metadata in all_metadata if "best_images" in metadata]
        if best:
            means["best images"] = _short(fmean(best))
        means["seconds"] = _short(fmean(seconds))
    return means


def of_answer(answer: Mapping[str, Any]) -> Values:
    """Return the measures of a full run, from the data of the verdict."""
    interval = answer["difference"]
    return {
        "difference": _finite(interval["estimate"]),
        "low": _finite(interval["low"]),
        "high": _finite(interval["high"]),
        "verdict": str(answer["verdict"]),
    }


def _finite(value: Any) -> float | None:
    return _short(float(value)) if value is not None and math.isfinite(value) else None


def _short(value: float) -> float:
    return float(f"{value:.4g}")
