"""Forecast of how long tasks will take, before they run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.run import RunConfig
from .progress import duration
from .stages import STAGES
from .store import Record, Store
from .worker import TaskSpec, resolve

_WHICH = ("seed", "arm", "fold", "fraction", "replicate", "number")
"""Keys of a task's configuration that say which of many similar ones it is."""


class Forecast:
    """Expected times, from the records of a store."""

    def __init__(self, store: Store) -> None:
        """Look at ``store``; records are read when the first task of their stage is asked for."""
        self.store = store
        self._seconds: dict[str, dict[str, list[float]]] = {}

    def seconds(self, spec: TaskSpec) -> float:
        """Return how long a task should take: as similar ones took in this store, else what its planner says."""
        if spec.task.stage not in self._seconds:
            seconds = self._seconds.setdefault(spec.task.stage, {})
            for record in self.store.records(spec.task.stage):
                seconds.setdefault(_kind(record.components), []).append(record.seconds)
        times = self._seconds[spec.task.stage].get(_kind(spec.components), [])
        return sum(times) / len(times) if times else spec.task.cost


def _kind(components: Mapping[str, Any]) -> str:
    """Return what tasks that take about the same time have in common: all but which split and arm they are for.

    The profile counts: times on a GPU say nothing about a CPU.
    """
    config = components.get("config") or {}
    common = {name: value for name, value in config.items() if name not in _WHICH}
    return str((components.get("function"), components.get("profile"), common))


@dataclass(frozen=True)
class Extent:
    """Amount of work in a run, as far as that is known before anything is read.

    Attributes:
        splits: Splits of the experiment: folds, fractions and replicates, without the final one.
        megapixels: Millions of pixels of all scenes.
    """

    splits: int
    megapixels: float


@dataclass(frozen=True)
class StageForecast:
    """Expected duration of a stage.

    Attributes:
        stage: Its name.
        tasks: Number of its tasks that can run side by side.
        seconds: Seconds of each.
    """

    stage: str
    tasks: int
    seconds: float

    def wall(self, workers: int) -> float:
        """Return the seconds until all tasks are done: a last one leaves the other workers idle."""
        return math.ceil(self.tasks / workers) * self.seconds

    def __str__(self) -> str:
        """Return the forecast in words."""
        several = f"{self.tasks:,} tasks of about " if self.tasks > 1 else "about "
        return f"{self.stage}: {several}{duration(self.seconds)}"


def later_stages(config: RunConfig, stages: Sequence[str], splits: int | None = None) -> list[StageForecast]:
    """Return forecasts of stages that cannot be planned yet.

    Args:
        config: The run's configuration.
        stages: Their names.
        splits: Splits of the experiment. None counts them; the number of folds of a leave-one-out split is known only
            with its groups, and until then it counts as one fold.
    """
    if not stages:
        return []
    split = config.split
    folds = {
        "holdout": 1,
        "folds": split.folds,
        "leave-one-out": len(split.test_groups or ()) or 1,
        "lists": len(split.test_lists or ()),
    }
    if splits is None:
        splits = folds[split.scheme] * split.repeats * len(split.fractions) * split.replicates
    extent = Extent(splits, resolve("satpipe.stages.ingest.stage:expected_megapixels")(config))
    wanted = [stage for stage in STAGES[1:] if stage.name in stages]
    return [StageForecast(stage.name, *resolve(stage.forecast)(config, extent)) for stage in wanted]


def history(record: Record) -> str:
    """Return in words when an artifact was made and from what."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.made_at))
    inputs = ", ".join(record.components.get("inputs", {})) or "the configuration"
    return f"made {when} in {record.seconds:.1f} s from {inputs}; key {record.key[:12]}"
