"""Pipeline as a table of six rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage: its name and its planners.

    Attributes:
        name: Name on the command line and in the store, and of its package.
        does: What it does, in one line.
        then: Planners that follow the stage's own, where it needs a task of another stage between two of its own.
    """

    name: str
    does: str
    then: tuple[str, ...] = ()

    @property
    def planners(self) -> tuple[str, ...]:
        """Return its planners in order, as ``package.module:function``."""
        return (f"satpipe.stages.{self.name}.stage:plan", *self.then)

    @property
    def forecast(self) -> str:
        """Return the function that forecasts the number and seconds of its tasks before they can be planned."""
        return f"satpipe.stages.{self.name}.stage:forecast"


STAGES = (
    Stage("ingest", "read scenes and labels into tables"),
    Stage("chips", "cut chips and assign them to splits"),
    Stage("gan", "train a conditional generator on each split"),
    Stage("synth", "make labelled synthetic chips for each split"),
    Stage("classify", "train the classifier on each arm of each split"),
    Stage(
        "report",
        "answer the question and write the report",
        # The verdict says which arm the final classifier is trained with, and the page says how that went.
        then=("satpipe.stages.classify.stage:plan_final", "satpipe.stages.report.stage:plan_page"),
    ),
)

NAMES = tuple(stage.name for stage in STAGES)
