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
    """

    name: str
    does: str
    plan: str


STAGES = (
    Stage("ingest", "read scenes and labels into tables", "pipeline.ingest.stage:plan"),
    Stage("chips", "cut chips and deal them into splits", "pipeline.chips.stage:plan"),
    Stage("gan", "train a conditional generator on each split", "pipeline.gan.stage:plan"),
    Stage("synth", "make labelled synthetic chips for each split", "pipeline.synth.stage:plan"),
    Stage("classify", "train the classifier on each arm of each split", "pipeline.classify.stage:plan"),
    Stage("report", "answer the question and write the report", "pipeline.report.stage:plan"),
)

NAMES = tuple(stage.name for stage in STAGES)
