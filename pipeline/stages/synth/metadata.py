"""Metadata of this stage's artifacts."""

from __future__ import annotations

from pydantic import Field

from ...engine.metadata import Count, Counts, Number, Numbers, Schema


class Grade(Schema):
    """Scores of a classifier of the chips alone on real ones; empty where they were not measured."""

    average_precision: Numbers = Field(default_factory=dict)
    balanced_accuracy: Number | None = None


class Chips(Schema):
    """Synthetic chips of a split: made and accepted by class, and rejected by reason."""

    accepted: Counts
    candidates: Counts
    reasons: Counts
    screened: bool
    wanted: Count = 0
    composites: Count = 0
    tstr: Grade = Field(default_factory=Grade)
    whole: dict[str, str] = Field(default_factory=dict)
    note: str = ""


class Screening(Schema):
    """Standards for candidates: the share of unseen real chips of each class that they would accept."""

    unseen_real_accepted: Numbers = Field(default_factory=dict)
    note: str = ""


SCHEMAS: dict[str, type[Schema]] = {"": Chips, "screening-": Screening}
