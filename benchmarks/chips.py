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
from chips_tables import Bar, Bench, all_windows, ceiling, growth, random_windows
from satpipe.models import device
from section import processor, write_section

TABLES = ("grid", "ceiling", "random", "growth")


def main() -> None:
    """Run the tables that were asked for, and print a section of each for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a scene of 2,560 pixels: a minute instead of twelve")
    parser.add_argument("--only", choices=TABLES, action="append", help="this table alone; may be repeated")
    parser.add_argument("--torchgeo-python", help="Python of an environment with torchgeo")
    parser.add_argument("--folder", type=Path, help="where scenes are made and kept; default: temporary")
    parser.add_argument("--scenes-only", action="store_true", help="make the scenes in --folder and stop")
    parser.add_argument("--turns", type=int, default=3, help="turns of ours and of the ceiling")
    parser.add_argument("--docs", type=Path, help="file whose sections are replaced by the result")
    asked = parser.parse_args()
    side, count, sides = (2560, 400, [2560, 5120]) if asked.small else (10_240, 4000, [10_240, 20_480, 40_000])
    cores = device.cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.scenes_only:
            for layout, profile in LAYOUTS.items():
                for one in sides if layout == "tiled raw" else [side]:
                    make_scene(scene_path(folder, layout, one), one, profile)
            return
        bench = Bench(folder, asked.torchgeo_python, asked.turns)
        for name in asked.only or TABLES:
            bars: list[Bar] = []
            table = {
                "grid": lambda: all_windows(bench, side, (1, cores), bars),  # noqa: B023 - called at once
                "ceiling": lambda: ceiling(bench, side, (1, cores), bars),  # noqa: B023
                "random": lambda: random_windows(bench, side, count, (1, cores), bars),  # noqa: B023
                "growth": lambda: growth(bench, sides, (1, cores), bars),  # noqa: B023
            }[name]()
            said = machine(cores) + "".join(f", {library} {version}" for library, version in bench.versions.items())
            title, text = SECTIONS[name]
            words = text.format(size=SIZE, side=side, count=count, turns=asked.turns, cores=cores)
            command = f"`python benchmarks/chips.py{' --small' if asked.small else ''} --only {name}`"
            write_section(title, [f"{command}: {said}.", "", words, "", *_reached(bars), "", *table], asked.docs)


SECTIONS = {
    "grid": (
        "Chips: all windows of a scene",
        (
            "All windows of {size} x {size} pixels at stride {size} of a {side:,} x {side:,} x 3 uint8 scene, in blocks"
            " of 512 x 512 pixels or in strips. Each contender runs in a process of its own; its chips are compared"
            " byte for byte. satpipe is the best of {turns} turns, the peers run once. Where two ratios stand together,"
            " satpipe has 1 worker / all {cores} cores; a peer's loop has one."
        ),
    ),
    "ceiling": (
        "Chips: the reader and the machine's ceiling",
        (
            "The ceiling is the time to read every block once through GDAL and throw it away, plus the time to copy as"
            " many bytes as the chips have from memory into a fresh array, with as many workers: all windows of {size}"
            " x {size} pixels at stride {size} of a {side:,} x {side:,} x 3 uint8 scene. Each is the best of {turns}"
            " turns, taken alternately. satpipe can be above the ceiling: it copies a block while that is still in the"
            " processor's caches."
        ),
    ),
    "random": (
        "Chips: windows at random places",
        (
            "{count:,} windows of {size} x {size} pixels at random places of a {side:,} x {side:,} x 3 uint8 scene,"
            " tiled and deflated, cut into memory; the peers read them in random order. A peer with one handle and a"
            " cache that holds the whole decoded scene decodes each block once, as satpipe does with 16 MiB: there"
            " only more workers can gain anything."
        ),
    ),
    "growth": (
        "Chips: time and memory as a scene grows",
        (
            "All windows of {size} x {size} pixels at stride {size} of tiled raw scenes, chips written to the chip"
            " store and synced, the scene read once before; best of {turns} turns, of two for the largest scene."
        ),
    ),
}


def _reached(bars: list[Bar]) -> list[str]:
    head = ["| what has to be reached | | 1 worker | all cores | reached |", "|---|---:|---:|---:|---|"]
    return [*head, *(bar.row() for bar in bars)]


def machine(cores: int) -> str:
    """Return the processor by its name, where the system tells it, and its cores."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{processor()}, {cores} cores, {platform.system()}{load} at the end, {python}"


if __name__ == "__main__":
    main()
