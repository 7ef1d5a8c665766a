"""Memory and time of what holds tables of all chips: planning windows, the index, one split, and its training chips.

    python benchmarks/tables.py [--chips 10000 100000 1000000 10000000] [--docs docs/scale.md]

No pixel is read: the tables of scenes, and what cutting would write of each batch, are made up, and all chips share one
shard. Each task of each size runs in a process of its own, whose largest resident memory is told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from satpipe.config.run import RunConfig
from satpipe.dataset.split_chips import RealChips
from satpipe.dataset.tables import CHIPS, LABELS, SCENES
from satpipe.utils.section import as_json
from section import processor, write_section

HERE = Path(__file__)
TASKS = ("windows", "index", "split", "training chips")
SIDE, CHIP = 4000, 16
"""Pixels of a scene's side and of a chip's."""
CLASSES = ["non-ship", "ship"]


def scene_tables(folder: Path, chips: int) -> None:
    """Write scenes for about so many windows of a grid, with an object for each thousand of them, a site for eight."""
    folder.mkdir(parents=True)
    scenes = max(16, round(chips / (SIDE // CHIP) ** 2))
    side = min(SIDE, CHIP * round((chips / scenes) ** 0.5))
    names = [f"archive/region-{number // 100:03d}/scene-{number:06d}.tif" for number in range(scenes)]
    columns = dict.fromkeys(SCENES.columns) | {
        "scene_id": names, "source": "archive", "path": names, "width": side, "height": side, "gsd_m": 3.0,
        "bands": "[1, 2, 3]", "dtype": "uint8", "sha256": "0" * 64, "licence": "CC0-1.0", "simulated": True,
        "group_site": [f"site-{number // 8:05d}" for number in range(scenes)],
    }  # fmt: skip
    SCENES.write(pd.DataFrame(columns), folder / "scenes.parquet")
    rng = np.random.default_rng(0)
    count = max(4 * scenes, chips // 1000)
    corner = rng.integers(0, side - CHIP, (count, 2)).astype(float)
    owner = np.arange(count) % scenes
    labels = dict.fromkeys(LABELS.columns) | {
        "label_id": [f"{names[scene]}/label-{number:07d}" for number, scene in enumerate(owner)],
        "scene_id": np.array(names)[owner], "class": "ship", "kind": "box", "origin": "labels.csv",
        "row_min": corner[:, 0], "col_min": corner[:, 1], "row_max": corner[:, 0] + 10, "col_max": corner[:, 1] + 12,
    }  # fmt: skip
    LABELS.write(pd.DataFrame(labels), folder / "labels.parquet")


def fake_cuts(windows: Path, store: Path) -> None:
    """Write for each batch what cutting would: an index whose chips are all the first one of a shared shard."""
    shared = store / "chips" / "shared"
    shared.mkdir(parents=True)
    np.save(shared / "chips.npy", np.zeros((1, CHIP, CHIP, 3), np.uint8))
    for path in sorted(windows.glob("windows-*.parquet")):
        frame = pd.read_parquet(path).drop_duplicates("slot")
        frame = frame.assign(valid_fraction=1.0, shard="chips/shared/chips.npy", position=0, footprint=None)
        folder = store / "chips" / path.stem.replace("windows", "cut")
        folder.mkdir()
        CHIPS.write(frame[list(CHIPS.columns)], folder / "index.parquet")


def run_task(task: str, folder: Path) -> dict[str, Any]:
    """Run one task on what the tasks before it left in ``folder``; returns seconds and megabytes."""
    from satpipe.stages.chips.batches import plan_batches
    from satpipe.stages.chips.index import build
    from satpipe.stages.chips.leaks import PAIRS, make_roles

    settings = {"size_px": CHIP, "negatives": {"method": "grid"}}
    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated"}]}, "chips": settings})
    out = folder / task
    out.mkdir()
    began = time.process_time()
    if task == "windows":
        chips = as_json(config.chips)
        plan_batches(folder / "tables", {"chips": chips, "classes": CLASSES, "seed": 1}, folder, out)
    elif task == "index":
        scenes = SCENES.read(folder / "tables" / "scenes.parquet")
        build(sorted((folder / "chips").glob("cut-*")), scenes, CLASSES, folder, out, 1)
    elif task == "training chips":
        RealChips.open(folder / "index", folder / "split", folder, CLASSES).of("train")
    else:
        pairs = pd.DataFrame(columns=["chip_a", "chip_b", "kind", "score"]).astype({"score": "float64"})
        pairs.astype(dict.fromkeys(("chip_a", "chip_b", "kind"), "string")).to_parquet(out / PAIRS)
        sites = pd.read_parquet(folder / "tables" / "scenes.parquet")["group_site"].unique()
        split = {
            "by": "site", "unit": "site", "test": sites[: len(sites) // 4].tolist(), "join": True, "size_px": CHIP,
            "fraction": 0.5, "smallest": 0.25, "validation_fraction": 0.2, "background": CLASSES[0], "seed": 1,
            "replicate": 0, "fold": 0, "test_share": None,
        }  # fmt: skip
        make_roles(folder / "index", out, split, out)
    seconds = time.process_time() - began
    return {"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def measure(chips: int) -> dict[str, Any]:
    """Run all tasks on one size, each in a process of its own."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="satpipe-tables-") as name:
        folder = Path(name)
        scene_tables(folder / "tables", chips)
        for task in TASKS:
            command = [sys.executable, str(HERE), "--task", task, "--folder", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[task] = json.loads(done.stdout.splitlines()[-1])
            print(f"{chips:,} chips, {task}: {results[task]}", file=sys.stderr, flush=True)
            if task == "windows":
                fake_cuts(folder / "windows", folder)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sizes and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chips", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task:
        print(json.dumps(run_task(options.task, options.folder)))
        return
    results = {chips: measure(chips) for chips in options.chips}
    machine = f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        "Tables without pixels: largest resident memory of each task's process, and its processor time.",
        f"`python benchmarks/tables.py`; {machine}.",
        "",
        "| task | " + " | ".join(f"{chips:,} chips" for chips in results) + " |",
        "|---|" + "---:|" * len(results),
    ]
    for task in TASKS:
        cells = [f"{row[task]['mb']:,.0f} MB, {row[task]['seconds']:.1f} s" for row in results.values()]
        lines.append(f"| `{task}` | " + " | ".join(cells) + " |")
    write_section("Tables of all chips", lines, options.docs)


if __name__ == "__main__":
    main()
