"""Metadata of this stage's artifacts."""

from __future__ import annotations

from ...engine.metadata import Count, Counts, Number, Numbers, Schema


class Profile(Schema):
    """Device and precision of a training."""

    device: str
    precision: str
    memory_format: str
    threads: Count


class Classifier(Schema):
    """A classifier: its arm, the step that was kept, its calibration, and the chips it was trained on by class."""

    arm: str
    profile: Profile
    steps: Count
    best_step: Count
    temperature: Number
    threshold: Number
    validation: Numbers
    training: Counts
    synthetic: Counts
    note: str = ""


SCHEMAS = {"": Classifier}
