"""How long tasks will take, before they run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.run import RunConfig
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


def later_stages(config: RunConfig, stages: Sequence[str]) -> list[tuple[str, int, float]]:
    """Return stage, number of tasks and seconds of each, for stages that cannot be planned yet.

    The number of folds of a leave-one-out split is known only with its groups; until then it counts as one fold.
    """
    split = config.split
    left_out = len(split.test_groups) if split.test_groups else 1
    schemes = {"holdout": 1, "folds": split.folds, "leave-one-out": left_out, "lists": len(split.test_lists or ())}
    splits = schemes[split.scheme] * split.repeats * len(split.fractions) * split.replicates
    wanted = [stage for stage in STAGES if stage.name in stages and stage.long]
    return [(stage.name, *resolve(stage.forecast)(config, splits)) for stage in wanted]


def history(record: Record) -> str:
    """Return in words when an artifact was made and from what."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.made_at))
    inputs = ", ".join(record.components.get("inputs", {})) or "the configuration"
    return f"made {when} in {record.seconds:.1f} s from {inputs}; key {record.key[:12]}"
