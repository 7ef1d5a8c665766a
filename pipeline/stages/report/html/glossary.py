"""Glossary of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stats.metrics import METRICS
from ..stats.statistics import MIN_EFFECTIVE_UNITS, MIN_REPLICATES, MIN_UNITS
from . import blocks
from .words import unit_name

MEANINGS = {
    "accuracy": "Share of the test chips that are classified correctly.",
    "balanced_accuracy": "Share of each class's test chips that are classified correctly, mean over classes: a class"
    " with many chips counts no more than one with few. Guessing gives one over the number of classes.",
    "recall": "Share of the objects that are found.",
    "precision": "Share of the chips classified as objects that are objects.",
    "f1": "Harmonic mean of precision and recall.",
    "average_precision": "Precision averaged over the recall of all thresholds: how well scores rank chips.",
    "calibration_error": (
        "Difference between scores and the share of objects among chips with such scores. Lower is better."
    ),
}
"""One sentence for each metric."""


def arm_meaning(arm: str) -> str:
    """Return what a classifier of an arm is trained on, in a sentence."""
    if arm == "real":
        return "Trained on real chips without augmentation."
    if arm == "classic":
        return "Trained on real chips, augmented: rotated, shifted, changed in brightness and colour."
    source = arm.removeprefix("classic+")
    chips = {
        "gan": "synthetic chips of the GAN",
        "cutpaste": "real objects cut out and pasted onto other backgrounds, without a GAN",
        "shuffled": "synthetic chips of the GAN with shuffled labels, a control that should not help",
    }.get(source, f"the chips of the folder {source}")
    return f"Trained on real chips and {chips}{', all of them augmented' if source != arm else ''}."


def section_words(answer: Mapping[str, Any], arms: Sequence[str]) -> blocks.Section:
    """Return the words of a page with these arms."""
    question = answer["question"]
    unit = unit_name(question["unit"])
    entries = [
        ("Chip", "A small square image cut from a scene, with one class."),
        (
            "Arm",
            (
                "One of the training sets compared. All arms have the same network, optimiser steps, batch size"
                " and class balance."
            ),
        ),
        *((f"Arm {arm}", arm_meaning(arm)) for arm in arms),
        (
            "Replicate",
            (
                "One repetition of everything random: the choice of labels, the GAN, its chips, the"
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
        ("Fold", "One choice of test chips; other folds may train on them."),
        ("Labels", "A real fraction of 25 % simulates having a quarter of the labels, for validation too."),
        (
            "Interval",
            (
                f"Contains the true value in {100 * question['confidence']:g} of 100 such experiments."
                " The verdict depends on whether the interval of the one difference is on one side of zero."
            ),
        ),
        (
            "Exploration",
            (
                "Everything but the one question: among many comparisons some differ by chance. Use it to plan the"
                " next experiment."
            ),
        ),
        *((METRICS[name].capitalize() if name != "f1" else "F1", text) for name, text in MEANINGS.items()),
        ("Points", "Percentage points: from 0.80 to 0.85 is +5.0 points."),
    ]
    return blocks.Section("words", "Glossary", [blocks.terms("Terms on this page", entries)])
