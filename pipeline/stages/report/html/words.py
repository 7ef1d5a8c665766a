"""Verdict and its figures in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ....dataset.arms import ARMS
from ....utils.plural import plural
from ..stats.metrics import METRICS
from ..stats.statistics import MIN_EFFECTIVE_UNITS, MIN_REPLICATES, MIN_UNITS, POWER, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..stats.question import Question

MINUS = "−"
NOT_ABOUT_GANS = "The verdict is about it, not about GANs."
"""Follows in a verdict's sentence on how the generator failed."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a proper minus sign, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return MINUS + text[1:] if text.startswith("-") and float(text) else text.lstrip("-")


def points(value: float | None, digits: int = 1) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    if value is None or not math.isfinite(value):
        return "–"
    text = number(100 * value, digits)
    return text if text.startswith(MINUS) or not float(text) else f"+{text}"


def ends(row: Mapping[Any, Any]) -> str:
    """Return the ends of an interval (`low` and `high`) in percentage points, or that there is none."""
    if row["low"] is None or not math.isfinite(row["low"]):
        return "no interval"
    return f"{points(row['low'])} to {points(row['high'])}"


def unit_name(column: str) -> str:
    """Return what a test unit is called: ``scene`` for ``scene_id``, else the column's own name."""
    return "scene" if column == "scene_id" else column


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return names without folder and ending, where they stay different: scenes are named by path."""
    short = {name: name.rsplit("/", 1)[-1].rsplit(".", 1)[0] or name for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


def arm_name(arm: str) -> str:
    """Return what an arm trains on: ``classic augmentation``, ``GAN chips``; a folder has its own name."""
    return " and ".join(ARMS[name].title if name in ARMS else f"{name} chips" for name in arm.split("+"))


def action(treatment: str, baseline: str) -> str:
    """Return what the question is about: ``adding GAN chips to classic augmentation``."""
    added = treatment.removeprefix(f"{baseline}+")
    if added != treatment:
        return f"adding {arm_name(added)} to {arm_name(baseline)}"
    if baseline == "real" and "+" not in treatment and treatment not in ("classic", "shuffled"):
        return f"adding {arm_name(treatment)} to {arm_name(baseline)}"
    return f"{arm_name(treatment)} instead of {arm_name(baseline)}"


def sentence(verdict: Verdict, question: Question, values: Mapping[str, float]) -> str:
    """Return the verdict in one sentence, with the figures that it rests on."""
    name, what = METRICS[question.metric], action(question.treatment, question.baseline)
    difference = verdict.interval
    unit = unit_name(question.unit)
    basis = f"{plural(verdict.replicates, 'replicate')}, {plural(verdict.units, f'test {unit}')}"
    figures = f"{name} {number(values[question.treatment])} instead of {number(values[question.baseline])}"
    reach = (
        f"{points(difference.estimate)} points, {100 * difference.confidence:g} % interval"
        f" {points(difference.low)} to {points(difference.high)}; {basis}"
    )
    if verdict.answer == "too little data to tell":
        worth = needed = ""
        if verdict.effective_units < MIN_EFFECTIVE_UNITS <= verdict.units:
            worth = f", one with so many of the chips that all are worth {number(verdict.effective_units, 1)}"
            needed = f" worth {MIN_EFFECTIVE_UNITS:g} of equal size"
        return (
            f"Too little data to tell whether {what} helps: {basis}{worth}, where a verdict needs"
            f" {MIN_REPLICATES} and {MIN_UNITS}{needed} (so far {figures})."
        )
    if verdict.answer == "no detectable difference":
        limit = (
            f"; a true difference of {number(100 * verdict.detectable, 1)} points would have been detected"
            f" with {100 * POWER:g} % probability"
            if math.isfinite(verdict.detectable)
            else ""
        )
        return f"No detectable difference from {what}: {figures} ({reach}){limit}."
    return f"{what[:1].upper() + what[1:]} {verdict.answer}: {figures} ({reach})."
