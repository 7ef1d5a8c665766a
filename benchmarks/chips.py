"""Chips: satpipe's reader beside a rasterio read per window and torchgeo's GridGeoSampler, and beside the machine.

    python benchmarks/chips.py [--small] [--torchgeo-python PATH] [--folder FOLDER] [--docs docs/benchmarks.md]

All contenders cut the same windows in the same run, each in a process of its own with a warm page cache, and their
chips are compared byte for byte. Ours and the ceiling are the best of several turns taken alternately; the peers, a
hundred times slower, run once.

Scenes are made in a temporary folder, or with ``--folder`` kept there; ``--scenes-only`` makes them and stops, so that
a quiet machine need not wait for it. They take 6 GB, and the chips of the largest 5 GB while it is cut.

torchgeo lives in an environment of its own, whose Python ``--torchgeo-python`` names, for instance

    python -m venv /tmp/torchgeo && /tmp/torchgeo/bin/pip install torchgeo

Where torch is another build than torchvision's wheel was compiled for, install torchgeo and torchvision with
``--no-deps`` beside that torch: benchmarks/chips_peers.py stands in for torchvision's compiled operators, which no chip
needs. Without torchgeo its rows say that it is not installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
from chips_scenes import LAYOUTS, SIZE, make_scene, scene_path
from chips_tables import Bar, Bench, all_windows, growth, random_windows
from section import write_section


def main() -> None:
    """Run everything and print the section for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a scene of 2,560 pixels: a minute instead of twelve")
    parser.add_argument("--torchgeo-python", help="Python of an environment with torchgeo")
    parser.add_argument("--folder", type=Path, help="where scenes are made and kept; default: temporary")
    parser.add_argument("--scenes-only", action="store_true", help="make the scenes in --folder and stop")
    parser.add_argument("--turns", type=int, default=3, help="turns of ours and of the ceiling")
    parser.add_argument("--docs", type=Path, help="file whose section is replaced by the result")
    asked = parser.parse_args()
    side, count, sides = (2560, 400, [2560, 5120]) if asked.small else (10_240, 4000, [10_240, 20_480, 40_000])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts, bars = (1, cores), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.scenes_only:
            for layout, profile in LAYOUTS.items():
                for one in sides if layout == "tiled raw" else [side]:
                    make_scene(scene_path(folder, layout, one), one, profile)
            return
        bench = Bench(folder, asked.torchgeo_python, asked.turns)
        table = all_windows(bench, side, counts, bars)
        scattered = random_windows(bench, side, count, counts, bars)
        grown = growth(bench, sides, counts, bars)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(bench.versions.items()))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    small = " --small" if asked.small else ""
    named = " --torchgeo-python PYTHON" if asked.torchgeo_python else ""
    text = section(asked.turns, cores, side, count, (table, scattered, grown), bars)
    head = f"`python benchmarks/chips.py{small}{named}`: {machine(cores)}, Python {platform.python_version()}, NumPy"
    text = [f"{head} {np.__version__}, {versions}; load at the end {load}.", "", *text]
    write_section("Chips: cutting windows", text, asked.docs)


def section(turns: int, cores: int, side: int, count: int, tables: tuple[list[str], ...], bars: list[Bar]) -> list[str]:
    """The text around the tables."""
    table, scattered, grown = tables
    setting = (
        f"Windows of {SIZE} x {SIZE} pixels of a {side:,} x {side:,} x 3 uint8 scene; blocks of 512 x 512 pixels, or"
        f" strips. Ours and the ceiling are the best of {turns} turns, peers run once. Where two ratios stand together,"
        f" satpipe has 1 worker / all {cores} cores; a peer's loop has one. What has to be reached:"
    )
    grid_said = (
        "All windows at stride 80. The ceiling is the time to read every block once through GDAL and throw it away,"
        " plus the time to copy as many bytes as the chips have from memory into a fresh array, with as many workers."
        " satpipe can be above it: it copies a block while that is still in the processor's caches."
    )
    random_said = (
        f"{count:,} windows at random places of the tiled deflate scene, cut into memory; the peers read them in random"
        " order. A peer with one handle and a cache that holds the whole scene decodes each block once, as satpipe"
        " does; then there is nothing left to gain but what more workers bring."
    )
    head = ["| what | at least | 1 worker | all cores | reached |", "|---|---:|---:|---:|---|"]
    return [
        *(setting, "", *head, *(bar.row() for bar in bars), ""),
        *(grid_said, "", *table, ""),
        *(random_said, "", *scattered, ""),
        *("Growth of a tiled raw scene, chips written to the chip store and synced:", "", *grown),
    ]


def machine(cores: int) -> str:
    """The processor by its name, where the system tells it, and its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {cores} cores, {platform.system()}"


if __name__ == "__main__":
    main()
