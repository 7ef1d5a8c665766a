"""What the words of the page mean, for somebody who meets them for the first time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stats.metrics import METRICS
from ..stats.statistics import MIN_EFFECTIVE_UNITS, MIN_REPLICATES, MIN_UNITS
from . import blocks
from .words import unit_name

MEANINGS = {
    "accuracy": "Share of the test chips that are classified rightly.",
    "balanced_accuracy": "Share of each class's test chips that are classified rightly, mean over classes: a class with"
    " many chips counts no more than one with few. Guessing gives one over the number of classes.",
    "recall": "Of the objects, the share that is found.",
    "precision": "Of what is called an object, the share that is one.",
    "f1": "Harmonic mean of precision and recall.",
    "average_precision": "Precision, averaged over the recalls that all thresholds reach: how well scores order chips.",
    "calibration_error": "How far scores are from the share of objects among chips with such a score. Lower is better.",
}
"""One sentence for each metric."""


def arm_meaning(arm: str) -> str:
    """Return what a classifier of an arm is trained on, in a sentence."""
    if arm == "real":
        return "Trained on real chips as they are."
    if arm == "classic":
        return "Trained on real chips, augmented: turned, moved, changed in brightness and colour."
    source = arm.removeprefix("classic+")
    chips = {
        "gan": "synthetic chips of the GAN",
        "cutpaste": "real objects that were cut out and pasted onto other backgrounds, without a GAN",
        "shuffled": "synthetic chips of the GAN under shuffled labels, a control that should not help",
    }.get(source, f"the chips of the folder {source}")
    return f"Trained on real chips and {chips}{', all of them augmented' if source != arm else ''}."


def section_words(answer: Mapping[str, Any], arms: Sequence[str]) -> blocks.Section:
    """Return the words of a page with these arms."""
    question = answer["question"]
    unit = unit_name(question["unit"])
    entries = [
        ("Chip", "A small square picture cut from a scene, of one class."),
        (
            "Arm",
            "A training set to compare. All arms have the same network, optimiser steps, batch size and class balance.",
        ),
        *((f"Arm {arm}", arm_meaning(arm)) for arm in arms),
        (
            "Replicate",
            (
                "One repetition of everything that chance decides: which labels are drawn, the GAN, its chips, the"
                f" classifiers. A verdict needs {MIN_REPLICATES}."
            ),
        ),
        (
            f"Test {unit}",
            (
                f"Test chips of one {unit} belong together; they are never trained on. A verdict needs {MIN_UNITS} of"
                f" them, with chips spread so that they are worth {MIN_EFFECTIVE_UNITS:g} of equal size."
            ),
        ),
        ("Fold", "One way of choosing what is tested; what one fold tests, others may train on."),
        ("Labels", "A real fraction of 25 % is what one with a quarter of the labels would have, validation too."),
        (
            "Interval",
            (
                f"Where the true value lies, {100 * question['confidence']:g} times in 100 such experiments."
                " The verdict is whether the interval of the one difference is on one side of zero."
            ),
        ),
        (
            "Exploration",
            "Everything but the one question: among many comparisons some differ by chance. A reason to ask next.",
        ),
        *((METRICS[name].capitalize() if name != "f1" else "F1", text) for name, text in MEANINGS.items()),
        ("Points", "Percentage points: from 0.80 to 0.85 is +5.0 points."),
    ]
    return blocks.Section("words", "What the words mean", [blocks.terms("Words of this page", entries)])
