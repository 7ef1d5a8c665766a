"""Growth: time, memory, files and bytes of every stage with more scenes and more chips; processes beside Dask.

    python benchmarks/scale.py growth [--most-scenes 1000] [--most-chips 1000000] [--docs docs/scale.md]
    python benchmarks/scale.py workers [--docs docs/scale.md]

`growth` makes scenes in a temporary folder (1 GB for a million chips of 16 x 16 pixels, and as much for the chips) and
runs every stage on them, each size in a process of its own. Trainings have the same few steps at every size: what
grows is then the data's. It ends with what a country-sized archive would need, projected from the largest sizes.
`workers` runs the same parts by one process, by two, and by two workers of a local Dask cluster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from pipeline.config import RunConfig
from pipeline.runner import Runner, Selection
from pipeline.stages import NAMES

HERE = Path(__file__)
SCENE_SIDE = 256
"""Pixels of a small scene's side."""
CHIP_SIDE = 16
LABELS_PER_SCENE = 6
SAMPLE_S = 0.05
MB = 1e6


class Quiet:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        """Whatever is to be shown."""
        return lambda *_: None


# ------------------------------------------------------------------------------------------------------- data


def write_scenes(folder: Path, count: int, side: int, labels: int) -> None:
    """Scenes of calm water with bright patterns for ships, and their labels in one CSV; all scenes differ."""
    rng = np.random.default_rng(0)
    noise = rng.normal(90, 3, (side, side)).astype(np.float32)
    folder.mkdir(parents=True)
    rows = ["file,class,x,y"]
    for number in range(count):
        pixels = np.roll(noise, (number * 37, number * 101), (0, 1))[:, :, None] + np.float32([0, 8, 15])
        centres = rng.integers(12, side - 12, (labels, 2))
        for row, col in centres:
            # Each ship is a pattern of its own: near-duplicates would be dropped.
            pattern = rng.uniform(20, 130, (4, 3, 1)).repeat(3, axis=0).repeat(4, axis=1)
            pixels[row - 6 : row + 6, col - 6 : col + 6] += pattern
            rows.append(f"{number:05d}.tif,ship,{col},{row}")
        profile = {"width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32610"}
        # A row of scenes, none of which touches another.
        place = rasterio.Affine(3, 0, 500_000 + number * 4 * side, 0, -3, 4_000_000)
        path = folder / f"{number:05d}.tif"
        with rasterio.open(path, "w", driver="GTiff", transform=place, photometric="RGB", **profile) as file:
            file.write(np.clip(pixels, 1, 255).astype(np.uint8).transpose(2, 0, 1))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def configuration(scenes: Path, chips: dict[str, Any], workers: int) -> RunConfig:
    """A run with one split and the final one, and trainings of a few steps."""
    return RunConfig.model_validate(
        {
            "name": "growth",
            "ingest": {"sources": [{"type": "csv", "path": f"{scenes}/*.tif", "labels": f"{scenes}/labels.csv"}]},
            "chips": chips,
            "split": {"scheme": "holdout", "replicates": 1, "random_replicates": 0, "validation_fraction": 0.1},
            "gan": {"images": 1600, "base_channels": 8, "checkpoint_images": 1600},
            "synth": {"per_class": 64, "screen": True},
            "classify": {"arms": ["classic", "classic+gan"], "steps": 50, "validate_every": 50, "orientations": 1},
            "report": {"bootstrap": 200},
            "compute": {"workers": workers, "precision": "fp32", "memory_format": "channels_last"},
        }
    )


def prepare(series: str, size: int, folder: Path) -> RunConfig:
    """Write the scenes of one size and return what to run on them."""
    scenes = folder / "scenes"
    if series == "scenes":
        write_scenes(scenes, size, SCENE_SIDE, LABELS_PER_SCENE)
        return configuration(scenes, {"size_px": 32}, 2)
    # Every window of a grid is a chip.
    count = max(4, min(64, size // 12_500))
    side = CHIP_SIDE * math.ceil(math.sqrt(size / count))
    write_scenes(scenes, count, side, 40)
    return configuration(scenes, {"size_px": CHIP_SIDE, "negatives": {"method": "grid"}}, 2)


# -------------------------------------------------------------------------------------------------- measuring


def children() -> list[int]:
    """Process ids of this process and of all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


class Memory(threading.Thread):
    """The largest memory of one process, pages of mapped files not counted: the system takes those back at will."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.worker = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Look often."""
        while not self.over.wait(SAMPLE_S):
            for pid in children():
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                kilobytes = next((int(line.split()[1]) for line in status.splitlines() if "RssAnon" in line), 0)
                if pid == os.getpid():
                    self.own = max(self.own, kilobytes / 1e3)
                else:
                    self.worker = max(self.worker, kilobytes / 1e3)


def files_below(folder: Path) -> tuple[int, int]:
    """How many files, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def run_one(series: str, size: int, folder: Path, last: str = NAMES[-1]) -> dict[str, Any]:
    """Run every stage on one size; a row for each."""
    config = prepare(series, size, folder)
    root = folder / "root"
    runner = Runner(root, Quiet())
    found: dict[str, Any] = {"series": series, "size": size, "stages": {}}
    for stage in NAMES[: NAMES.index(last) + 1]:
        memory = Memory()
        memory.start()
        began = time.monotonic()
        try:
            outcome = runner.run(config, Selection(last=stage))
            trouble = None
        except Exception as error:
            trouble = str(error).splitlines()[0]
        seconds = time.monotonic() - began
        memory.over.set()
        memory.join()
        parts, size_bytes = files_below(root / "data" / "parts" / stage)
        records = [(record.name.partition("-")[0], record.seconds) for record in runner.store.records(stage)]
        work: dict[str, float] = {}
        for name, taken in records:
            work[name] = round(work.get(name, 0.0) + taken, 2)
        found["stages"][stage] = {
            "seconds": round(seconds, 2),
            "work": work,
            "parts": len(records),
            "own_mb": round(memory.own, 1),
            "worker_mb": round(memory.worker, 1),
            "files": parts,
            "bytes": size_bytes,
            "trouble": trouble,
        }
        print(json.dumps({"stage": stage} | found["stages"][stage]), file=sys.stderr, flush=True)
        if trouble:
            break
        found["made"] = outcome.total
    began = time.monotonic()
    runner.plan(config)
    found["plan_seconds"] = round(time.monotonic() - began, 2)
    chips = [
        sum(json.loads((runner.store.folder(record.ref) / "facts.json").read_text())["chips"].values())
        for record in runner.store.records("chips")
        if record.name == "index"
    ]
    found["chips"] = chips[0] if chips else 0
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("one")
    one.add_argument("series", choices=["scenes", "chips"])
    one.add_argument("size", type=int)
    one.add_argument("folder", type=Path)
    one.add_argument("--last", choices=NAMES, default=NAMES[-1])
    given = parser.parse_args(arguments)
    if given.command == "one":
        print(json.dumps(run_one(given.series, given.size, given.folder, given.last)))


if __name__ == "__main__":
    main()
