"""The tables of the benchmark of chips: each function runs contenders, and says what has to be reached and what is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from chips_scenes import LAYOUTS, SIZE, make_scene, scene_path
from satpipe.stages.chips.windows import grid

HERE = Path(__file__).parent

Best = dict[tuple[str, int], float]
"""Seconds by job and workers."""


class Bench:
    """Runs contenders in processes of their own."""

    def __init__(self, folder: Path, torchgeo: str | None, turns: int) -> None:
        self.folder, self.torchgeo, self.turns = folder, torchgeo, turns
        self.versions = {"rasterio": rasterio.__version__, "GDAL": rasterio.__gdal_version__}

    def ours(self, context: str, scene: Path, windows: Path, workers: int, cache: int = 0) -> dict[str, float]:
        """Run a job of ours once."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            words = [str(HERE / "chips_jobs.py"), context, str(scene), str(windows), out, str(workers), str(cache)]
            found = self._run([sys.executable, *words])
            if context == "cut":
                (Path(out) / "ours.npy").replace(self.folder / "ours.npy")
        return found

    def best(self, jobs: list[tuple[str, int]], scene: Path, windows: Path) -> Best:
        """Return the best of several turns of each job, run alternately."""
        best: Best = {}
        for _ in range(self.turns):
            for context, workers in jobs:
                seconds = self.ours(context, scene, windows, workers)["seconds"]
                best[context, workers] = min(seconds, best.get((context, workers), seconds))
        return best

    def peer(self, mode: str, scene: Path, windows: Path, cache: int = 0) -> tuple[float, bool] | None:
        """Return the seconds of a peer, and whether its chips are ours; None where it cannot be run."""
        python = self.torchgeo if mode == "torchgeo" else sys.executable
        if python is None:
            return None
        out = self.folder / "theirs.npy"
        script = str(HERE / "chips_peers.py")
        found = self._run([python, script, mode, str(scene), str(windows), str(out), str(cache)])
        self.versions |= found["versions"]
        theirs, chips = np.load(out, mmap_mode="r"), np.load(self.folder / "ours.npy", mmap_mode="r")
        tasks = [slice(start, start + 1024) for start in range(0, len(chips), 1024)]
        same = all((theirs[task].transpose(0, 2, 3, 1) == chips[task]).all() for task in tasks)
        return found["seconds"], same

    def _run(self, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent, env=_environment())
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(f"{found['seconds']:8.2f} s  {Path(command[3]).stem}: {command[2]}, {command[-2:]}", file=sys.stderr)
        return found


def _environment() -> dict[str, str]:
    """Return a contender's environment: all GDAL drivers, though importing satpipe refuses some for good."""
    return {name: value for name, value in os.environ.items() if name not in {"GDAL_SKIP", "OGR_SKIP"}}


@dataclass
class Bar:
    """What has to be reached.

    Attributes:
        name: What is measured.
        wanted: What it has to be at least (or at most).
        found: What it is with one worker, and with all cores.
        met: Whether it is reached, for both.
    """

    name: str
    wanted: str
    found: tuple[str, str]
    met: bool

    def row(self) -> str:
        """Return the bar as a row of its table."""
        return f"| {self.name} | {self.wanted} | {self.found[0]} | {self.found[1]} | {'yes' if self.met else 'NO'} |"


OURS = {
    "cut": "satpipe, into memory",
    "store": "satpipe, chip store written and synced",
}
PEERS = {
    "torchgeo": "torchgeo GridGeoSampler",
    "boundless": "rasterio, boundless read per chip",
    "plain": "rasterio, read per chip in row order",
}
"""The last one is no loop that anybody is told to write; it shows what of the gain is the order of the windows."""


def all_windows(bench: Bench, side: int, counts: tuple[int, int], bars: list[Bar]) -> list[str]:
    """Measure all windows at stride 80, layout by layout."""
    lines = [
        "| scene | contender | s | chips/s | satpipe in memory is faster | satpipe stored is faster | same bytes |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    windows = bench.folder / "grid.npy"
    np.save(windows, grid(side, side, SIZE, SIZE))
    chips = len(np.load(windows))
    for layout, profile in LAYOUTS.items():
        scene = scene_path(bench.folder, layout, side)
        make_scene(scene, side, profile)
        best = bench.best([(context, n) for n in dict.fromkeys(counts) for context in ("cut", "store")], scene, windows)
        for (context, n), seconds in best.items():
            shown = f"{OURS[context]}, {workers_said(n)}"
            lines.append(f"| {layout} | {shown} | {seconds:.2f} | {chips / seconds:,.0f} | | | |")
        for mode, name in PEERS.items():
            peer = bench.peer(mode, scene, windows)
            if peer is None:
                lines.append(f"| {layout} | {name} | not installed | | | | |")
                continue
            seconds, same = peer
            gains = {context: [seconds / best[context, n] for n in counts] for context in ("cut", "store")}
            shown = " | ".join(" / ".join(f"{gain:.1f} x" for gain in gains[context]) for context in ("cut", "store"))
            lines.append(
                f"| {layout} | {name} | {seconds:.2f} | {chips / seconds:,.0f} | {shown} | {'yes' if same else 'NO'} |"
            )
            if mode != "plain":
                least = (50 if mode == "torchgeo" else 40) if layout == "tiled raw" else 15
                for context, wanted in (("cut", least), ("store", 10)):
                    said = tuple(f"{gain:.1f} x" for gain in gains[context])
                    met = same and min(gains[context]) >= wanted
                    bars.append(Bar(f"{layout}: {OURS[context]}, against {name}", f"{wanted} x", said, met))
    return lines


def ceiling(bench: Bench, side: int, counts: tuple[int, int], bars: list[Bar]) -> list[str]:
    """Measure the reader beside what this machine can do at best, layout by layout."""
    lines = ["| scene | workers | ceiling, s | satpipe, into memory, s | share |", "|---|---:|---:|---:|---:|"]
    windows = bench.folder / "grid.npy"
    np.save(windows, grid(side, side, SIZE, SIZE))
    for layout, profile in LAYOUTS.items():
        scene = scene_path(bench.folder, layout, side)
        make_scene(scene, side, profile)
        best = bench.best(
            [(context, n) for n in dict.fromkeys(counts) for context in ("ceiling", "cut")], scene, windows
        )
        shares = [best["ceiling", n] / best["cut", n] for n in counts]
        for n in dict.fromkeys(counts):
            share = best["ceiling", n] / best["cut", n]
            lines.append(f"| {layout} | {n} | {best['ceiling', n]:.2f} | {best['cut', n]:.2f} | {share:.0%} |")
        said = f"{shares[0]:.0%}", f"{shares[1]:.0%}"
        bars.append(Bar(f"{layout}: share of the machine's ceiling", "80%", said, min(shares) >= 0.8))
    return lines


def workers_said(count: int) -> str:
    """Return the number of workers in words."""
    return "1 worker" if count == 1 else f"{count} workers"


RANDOM = {
    "opened": "rasterio, file opened for each window, as data sets for training do",
    "boundless": "rasterio, boundless read per window",
    "plain": "rasterio, one handle, read per window",
}
CACHES = (16, 1024)


def random_windows(bench: Bench, side: int, count: int, counts: tuple[int, int], bars: list[Bar]) -> list[str]:
    """Measure labelled windows anywhere in the tiled deflate scene, with two sizes of GDAL's cache."""
    scene, windows = scene_path(bench.folder, "tiled deflate", side), bench.folder / "random.npy"
    np.save(windows, np.random.default_rng(1).integers(0, side - SIZE, (count, 2)))
    lines = [
        "| contender | GDAL cache | s | satpipe is faster | same bytes |",
        "|---|---:|---:|---:|---|",
    ]
    ours: dict[tuple[int, int], float] = {}
    for turn in range(bench.turns):
        for workers in dict.fromkeys(counts):
            for mebibytes in CACHES[:: 1 if turn % 2 else -1]:
                seconds = bench.ours("cut", scene, windows, workers, mebibytes << 20)["seconds"]
                ours[workers, mebibytes] = min(seconds, ours.get((workers, mebibytes), seconds))
    for (workers, mebibytes), seconds in sorted(ours.items()):
        lines.append(f"| satpipe, {workers_said(workers)} | {mebibytes} MiB | {seconds:.2f} | | |")
    for mode, name in RANDOM.items():
        for mebibytes in CACHES if mode == "plain" else CACHES[1:]:
            peer = bench.peer(mode, scene, windows, mebibytes << 20)
            assert peer is not None
            gains = [peer[0] / ours[n, mebibytes] for n in counts]
            said = tuple(f"{gain:.1f} x" for gain in gains)
            same = "yes" if peer[1] else "NO"
            lines.append(f"| {name} | {mebibytes} MiB | {peer[0]:.2f} | {' / '.join(said)} | {same} |")
            met = peer[1] and min(gains) >= 5
            bars.append(Bar(f"random windows, against {name}, GDAL cache {mebibytes} MiB", "5 x", said, met))
    spread = [max(ours[n, cache] for cache in CACHES) / min(ours[n, cache] for cache in CACHES) - 1 for n in counts]
    said = tuple(f"{share:.0%}" for share in spread)
    bars.append(
        Bar(f"random windows: satpipe with {CACHES[0]} or {CACHES[1]} MiB of cache", "10%", said, max(spread) <= 0.1)
    )
    return lines


def warm(path: Path) -> None:
    """Read a file once, so that the first contender too finds it in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def growth(bench: Bench, sides: list[int], counts: tuple[int, int], bars: list[Bar]) -> list[str]:
    """Time and memory as a scene grows, chips written to disk."""
    lines = ["| scene | workers | chips | s | Mpixel/s | peak memory, MiB |", "|---|---:|---:|---:|---:|---:|"]
    peaks: dict[int, list[float]] = {n: [] for n in counts}
    rates: dict[int, list[float]] = {n: [] for n in counts}
    for side in sides:
        scene, windows = scene_path(bench.folder, "tiled raw", side), bench.folder / "grown.npy"
        make_scene(scene, side, LAYOUTS["tiled raw"])
        np.save(windows, grid(side, side, SIZE, SIZE))
        warm(scene)
        for workers in dict.fromkeys(counts):
            # The largest one takes two turns: what disturbs it for a moment is small beside it.
            turns = 2 if side == sides[-1] else bench.turns
            runs = [bench.ours("store", scene, windows, workers) for _ in range(turns)]
            best_run = min(runs, key=lambda run: run["seconds"]) | {"peak_mib": max(run["peak_mib"] for run in runs)}
            chips, rate = len(np.load(windows)), side * side / best_run["seconds"] / 1e6
            peaks[workers].append(best_run["peak_mib"])
            rates[workers].append(rate)
            lines.append(
                f"| {side:,} x {side:,} | {workers} | {chips:,} | {best_run['seconds']:.1f} | {rate:.0f} |"
                f" {best_run['peak_mib']:.0f} |"
            )
    said = tuple(f"{max(peaks[n]):.0f} MiB" for n in counts)
    most = max(max(peak) for peak in peaks.values())
    bars.append(Bar(f"peak memory up to {sides[-1]:,} x {sides[-1]:,} pixels", "under 1,024 MiB", said, most < 1024))
    slower = [rates[n][0] / rates[n][-1] for n in counts]
    said = tuple(f"{ratio:.2f} x" for ratio in slower)
    name = f"time per pixel at {sides[-1]:,} x {sides[-1]:,}, against {sides[0]:,} x {sides[0]:,}"
    bars.append(Bar(name, "at most 1.25 x", said, max(slower) <= 1.25))
    return lines
