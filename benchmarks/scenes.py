"""Putting objects into a scene: time and memory beyond a plain copy of it, by the size of the scene.

    python benchmarks/scenes.py [--sizes 4000 10000] [--docs docs/benchmarks.md]

The scene is a GeoTIFF of RGB noise, tiled and deflated; 200 objects of a generator of layers, of random weights, go in.
Everything that `satpipe generate --scenes` does is timed, beside a copy of the scene by the same writer (tiles,
compression and overviews alike) that puts nothing into it. Each contender runs in a process of its own. Seconds of
processor time are those of all threads: on a machine that others use they say more than the clock.
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
from pathlib import Path

import numpy as np
import rasterio
import torch
from generate import UNMEASURED
from rasterio.transform import from_origin
from satpipe.composition.compose import Law
from satpipe.composition.pose import Pose
from satpipe.composition.surroundings import Backgrounds
from satpipe.config.run import RunConfig
from satpipe.dataset.scaling import Scaling
from satpipe.engine.digests import canonical, digest_of
from satpipe.engine.results import Result, Results
from satpipe.engine.runs import find_run
from satpipe.engine.store import Store
from satpipe.engine.task import METADATA, Task
from satpipe.formats.scenes import Reading, header
from satpipe.inference.generate.scenes.geotiff import copy_scene
from satpipe.inference.generate.scenes.make import Wish, make
from satpipe.models import generator as generators
from satpipe.models.device import cores
from satpipe.models.layered import LayerGenerator
from satpipe.models.networks import Architecture, GeneratorNetwork
from satpipe.raster.gdal import scene_file
from satpipe.utils.section import as_json
from section import write_section

CLASSES, SIZE, COUNT, GSD_M = ("non-ship", "ship"), 80, 200, 3.0
CONTENDERS = ("copy", "objects")


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return pixels like those of calm water."""
    rng = np.random.default_rng(seed)
    return rng.normal(60, 4, shape).clip(1, 255).astype(np.uint8)


def make_scene(path: Path, size: int) -> None:
    """Write a scene of repeated noise, block by block."""
    rows = noise((3, 512, size), 1)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": size, "width": size, "compress": "deflate"}
    place = {"crs": "EPSG:32633", "transform": from_origin(400_000, 6_000_000, GSD_M, GSD_M)}
    with rasterio.open(path, "w", tiled=True, blockxsize=512, blockysize=512, predictor=2, **profile, **place) as file:
        for top in range(0, size, 512):
            height = min(512, size - top)
            file.write(np.roll(rows, top, axis=2)[:, :height], window=((top, top + height), (0, size)))


def make_run(root: Path) -> None:
    """Make a run that has nothing but a final generator of layers."""
    store = Store(root / "data")
    store.create()
    torch.manual_seed(0)
    whole = GeneratorNetwork(Architecture(SIZE, 3, 1, 64, 32, "batchnorm", "resize"))
    network = GeneratorNetwork(Architecture(24, 3, 1, 64, 32, "batchnorm", "resize", 72, layer=True))
    poses = [Pose(SIZE / 2, SIZE / 2, 0.1 * number - 1.5, 50 + number % 20, 12, True) for number in range(30)]
    chips = noise((30, SIZE, SIZE, 3), 2)
    law = Law(poses, Backgrounds.of(chips).surroundings(chips, poses), 0.0)
    scaling = Scaling((0.0,) * 3, (255.0,) * 3, "uint8")
    key = digest_of({"benchmark": "scenes"})
    with store.staging(key) as folder:
        layers = LayerGenerator(network.eval(), (1,), scaling, {1: law})
        generators.save(whole, CLASSES, {"preset": "layers"}, folder, layers)
        scaling.save(folder / generators.SCALING)
        (folder / METADATA).write_bytes(canonical(UNMEASURED))
        record = store.commit(folder, Task("gan", "final", "satpipe:nothing"), key, {"benchmark": "scenes"}, 1.0)
    config = RunConfig.model_validate(
        {"name": "bench", "ingest": {"sources": [{"type": "simulated"}]}, "chips": {"size_px": SIZE, "gsd_m": GSD_M}}
    )
    keys, digests = {"gan/final": key}, {"gan/final": record.digest}
    facts = {"name": "bench", "version": 0, "last": "report", "sentence": "", "started": 0.0}
    Results(store.root).record(Result(**facts, config=as_json(config), keys=keys, digests=digests))


def run_one(contender: str, root: Path, scene: Path) -> None:
    """Run one contender and print what it took as JSON."""
    started, workers = time.perf_counter(), cores()
    to = root / f"{contender}-{scene.stem}"
    placed = 0
    if contender == "copy":
        to.mkdir()
        row = header(scene, scene.name, Reading("bench", None, 10**10, None)) | {"path": str(scene)}
        copy_scene(scene_file(row, scene.parent), to / "copy.tif", lambda *_: None, {}, lambda _: None, workers)
    else:
        wish = Wish((str(scene),), count=COUNT, screen=False)
        placed = sum(make(find_run("bench", root), wish, to, lambda *_: None, workers).placed.values())
    spent = {"s": time.perf_counter() - started, "cpu_s": time.process_time(), "placed": placed}
    print(json.dumps(spent | {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Run both contenders on each size, and print a section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_000, 10_000])
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args.one[0], Path(args.one[1]), Path(args.one[2]))
        return
    lines = [f"`python benchmarks/scenes.py` on {cores()} cores ({platform.machine()}, {platform.system()});"]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_run(root)
        rows = []
        for size in args.sizes:
            scene = root / f"{size}.tif"
            make_scene(scene, size)
            spent = {}
            for contender in CONTENDERS:
                command = [sys.executable, __file__, "--one", contender, str(root), str(scene)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                spent[contender] = json.loads(done.stdout.splitlines()[-1])
            for took in spent.values():
                times = took["s"] / spent["copy"]["s"]
                what = f"with {took['placed']} objects" if took["placed"] else "plain copy"
                seconds = f"{took['s']:.1f} | {took['cpu_s']:.1f} | {times:.2f}"
                rows.append(f"| {size:,} x {size:,} | {what} | {seconds} | {took['mib']:,.0f} |")
    lines[0] += f" load at the end {os.getloadavg()[0]:.1f}."
    lines += ["", f"{COUNT} generated objects in a scene of three bands of bytes, as `satpipe generate --scenes` does."]
    lines += [
        "",
        "| scene | what | s | processor s | times the copy | peak memory, MiB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    write_section("Objects in scenes", [*lines, *rows], args.docs)


if __name__ == "__main__":
    main()
