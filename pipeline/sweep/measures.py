"""What a point is measured by, from the facts of its parts. Pure logic."""

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
        does: What it is, for people.
        higher: Whether more is better.
        of_gan: Whether generators alone have it.
        neutral: The value at which there is nothing to choose, drawn as a line; None where there is no such value.
    """

    does: str
    higher: bool
    of_gan: bool
    neutral: float | None = None


MEASURES = {
    "kid": Measure("kernel distance above its floor", higher=False, of_gan=True, neutral=0.0),
    "coverage": Measure("coverage, as a share of its floor", higher=True, of_gan=True, neutral=1.0),
    "copies": Measure("share of copies", higher=False, of_gan=True),
    "usefulness": Measure(
        "average precision taught by synthetic chips over that by real ones", higher=True, of_gan=True, neutral=1.0
    ),
    "difference": Measure("treatment minus baseline, on the metric of the verdict", True, False, neutral=0.0),
}
"""Each is a mean over classes and splits; `<measure> of <class>` is that of one class."""

Values = dict[str, float | str | None]


def of_generator(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Measures of one generator, from its part's facts; those that its validation chips did not allow are left out."""
    found: dict[str, dict[str, float]] = {name: {} for name, measure in MEASURES.items() if measure.of_gan}
    for label, values in metadata.get("quality", {}).items():
        found["kid"][label] = values["kid"] - values["kid_floor"]
        if values["coverage_floor"] > 0:
            found["coverage"][label] = values["coverage"] / values["coverage_floor"]
        found["copies"][label] = values["copies"]
    useful = metadata.get("usefulness", {})
    if useful:
        by_real, by_synthetic = (useful[name]["average_precision"] for name in ("real_to_real", "synthetic_to_real"))
        for label, value in by_synthetic.items():
            if by_real.get(label):
                found["usefulness"][label] = value / by_real[label]
    values_of = {f"{name} of {label}": value for name, by in found.items() for label, value in by.items()}
    return {name: fmean(by.values()) for name, by in found.items() if by} | values_of


def of_generators(all_facts: Sequence[Mapping[str, Any]], seconds: Sequence[float]) -> Values:
    """Means over a point's generators, the spread of the overall ones, and how the trainings went.

    Args:
        all_facts: Facts of each generator's part.
        seconds: How long each took.
    """
    each = [of_generator(metadata) for metadata in all_facts]
    found: Values = {}
    for name in dict.fromkeys(name for values in each for name in values):
        values = [values[name] for values in each if name in values]
        found[name] = _short(fmean(values))
        if name in MEASURES and len(values) > 1:
            found[f"{name} sd"] = _short(stdev(values))
    if all_facts:
        found["generators"] = float(len(all_facts))
        found["restarts"] = float(sum(len(metadata.get("restarts", ())) for metadata in all_facts))
        best = [float(metadata["best_images"]) for metadata in all_facts if "best_images" in metadata]
        if best:
            found["best images"] = _short(fmean(best))
        found["seconds"] = _short(fmean(seconds))
    return found


def of_answer(answer: Mapping[str, Any]) -> Values:
    """Measures of a full run, from the verdict's data."""
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
