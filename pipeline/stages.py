"""The pipeline as a table of six rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what it does, and its door.

    Attributes:
        name: Name on the command line and in the store.
        does: What it does, in one line.
        plan: Its planner as ``package.module:function``.
        forecast: What tells the number and the seconds of its parts before they can be planned, where that is much.
    """

    name: str
    does: str
    plan: str
    forecast: str | None = None


STAGES = (
    Stage("ingest", "read scenes and labels into tables", "pipeline.ingest.stage:plan"),
    Stage("chips", "cut chips and deal them into splits", "pipeline.chips.stage:plan"),
    Stage("gan", "train a conditional generator on each split", "pipeline.gan.stage:plan", "pipeline.gan.stage:forecast"),
    Stage("synth", "make labelled synthetic chips for each split", "pipeline.synth.stage:plan", "pipeline.synth.stage:forecast"),
    Stage("classify", "train the classifier on each arm of each split", "pipeline.classify.stage:plan", "pipeline.classify.stage:forecast"),
    Stage("report", "answer the question and write the report", "pipeline.report.stage:plan"),
)

NAMES = tuple(stage.name for stage in STAGES)
