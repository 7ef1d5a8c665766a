"""The same run by one process, by two, and by two workers of a local Dask cluster.

    python benchmarks/workers.py [--docs docs/scale.md]

Each run has a folder of its own, and every other round goes through the three in reverse.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satpipe.config.run import RunConfig
from satpipe.engine.runner import Runner, Selection
from scale import Quiet, machine, said
from section import write_section

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

CONVOLUTIONS = 150


class Clock(Quiet):
    """Takes the time between the ends of stages."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.tasks: dict[str, int] = {}

    def stage_ends(self, stage: Any, made: int, total: int, metadata: Any) -> None:
        """Note that a stage is complete."""
        now = time.monotonic()
        self.seconds[stage.name], self.tasks[stage.name], self.last = now - self.last, made, now


def machines_own(processes: int) -> float:
    """Time the same convolutions in each of so many processes, without anything of satpipe around them; seconds."""
    context = multiprocessing.get_context("spawn")
    barrier, seconds_queue = context.Barrier(processes), context.Queue()
    started = [context.Process(target=_convolve, args=(barrier, seconds_queue)) for _ in range(processes)]
    for process in started:
        process.start()
    seconds = max(seconds_queue.get() for _ in started)
    for process in started:
        process.join()
    return float(seconds)


def _convolve(barrier: Barrier, seconds_queue: Queue[float]) -> None:
    import torch

    torch.set_num_threads(1)
    layer = torch.nn.Conv2d(32, 32, 3, padding=1)
    chips = torch.ones(32, 32, 40, 40).contiguous(memory_format=torch.channels_last)
    torch.autograd.backward(layer(chips).sum())
    barrier.wait()
    began = time.monotonic()
    for _ in range(CONVOLUTIONS):
        torch.autograd.backward(layer(chips).sum())
    seconds_queue.put(time.monotonic() - began)


def _timed_run(given: argparse.Namespace, compute: dict[str, Any]) -> tuple[Clock, float]:
    """Return the seconds of each stage of a run in a folder of its own, and of all of it."""
    with tempfile.TemporaryDirectory(prefix="satpipe-scale-") as folder:
        config = RunConfig.model_validate(
            {
                "name": "workers",
                "ingest": {"sources": [{"type": "simulated", "scenes": given.scenes, "size_px": 1024}]},
                "chips": {"size_px": 32},
                "split": {"scheme": "holdout", "replicates": given.replicates, "random_replicates": 1},
                "gan": {"images": 1200, "base_channels": 8, "checkpoint_images": 1200},
                "synth": {"per_class": 16, "screen": False},
                "classify": {"arms": ["classic", "classic+gan"], "steps": 300, "base_channels": 12},
                "compute": {"precision": "fp32", "memory_format": "channels_last"} | compute,
            }
        )
        began, clock = time.monotonic(), Clock()
        Runner(Path(folder), clock).run(config, Selection(last="classify"))
        return clock, time.monotonic() - began


def measure(given: argparse.Namespace) -> list[str]:
    """Run the same thing by one process, by two, and by two workers of a local Dask cluster, there and back again."""
    alone, beside = machines_own(1), machines_own(2)
    own = 2 * alone / beside
    print("the machine's own two over one", own, file=sys.stderr, flush=True)
    places: dict[str, dict[str, Any]] = {
        "one process": {"workers": 1},
        "two processes": {"workers": 2},
        "two Dask workers": {"workers": 2, "executor": "dask"},
    }
    seconds: dict[str, dict[str, float]] = {place: {} for place in places}
    clock = Clock()
    for turn in range(given.rounds):
        for place in list(places)[:: 1 if turn % 2 == 0 else -1]:
            clock, whole = _timed_run(given, places[place])
            for stage, took in (clock.seconds | {"all of the run": whole}).items():
                seconds[place][stage] = seconds[place].get(stage, 0.0) + took / given.rounds
            print(place, clock.seconds, file=sys.stderr, flush=True)
    alone, two, dask = (seconds[place] for place in places)
    lines = [
        said(
            "One complete run, including starting and stopping workers, planning, committing, and stages with a single",
            f"task. Means of {given.rounds} rounds, every other one in reverse. Two",
            "processes that only compute convolutions do",
            f"{own:.2f} times the work of one on this machine. `python benchmarks/workers.py`; {machine()}.",
        ),
        "",
        "| stage | tasks | one process | two processes | two over one | two Dask workers | Dask over processes |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    tasks = clock.tasks | {"all of the run": sum(clock.tasks.values())}
    lines += [
        f"| {stage} | {tasks[stage]} | {alone[stage]:.1f} s | {two[stage]:.1f} s | {alone[stage] / two[stage]:.2f} x |"
        f" {dask[stage]:.1f} s | {100 * (dask[stage] / two[stage] - 1):+.0f} % |"
        for stage in alone
    ]
    return lines


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="every other one is in reverse")
    parser.add_argument("--docs", type=Path)
    given = parser.parse_args()
    write_section("Two workers, and Dask beside processes", measure(given), given.docs)


if __name__ == "__main__":
    main()
