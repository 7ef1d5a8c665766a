"""Metadata of this stage's artifacts."""

from __future__ import annotations

from pydantic import Field

from ...engine.metadata import Count, Counts, Number, Numbers, Schema


class Grade(Schema):
    """Scores of a classifier: average precision by class, and balanced accuracy."""

    average_precision: Numbers
    balanced_accuracy: Number


class Restart(Schema):
    """A training that diverged and went on from an earlier checkpoint."""

    images: Count
    reason: str
    resumed_from: Count
    learning_rate: Number


class Generator(Schema):
    """A generator: how long it was trained on what, and what was measured of it."""

    preset: str
    images: Count
    best_images: Count
    train: Counts
    validation: Counts
    stopped: str
    restarts: list[Restart]
    quality: dict[str, Numbers]
    usefulness: dict[str, Grade]
    layers: list[str] = Field(default_factory=list)
    whole: dict[str, str] = Field(default_factory=dict)
    ranks: list[Count] = Field(default_factory=list)


SCHEMAS = {"": Generator}
