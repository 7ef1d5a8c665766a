"""Generating labelled chips: chips a second, files written, beside the plain way with torch and Pillow.

    python benchmarks/generate.py [--small] [--docs docs/benchmarks.md]

The generator has the architecture of the default preset for 80 x 80 RGB chips and weights drawn at random, wide enough
that chips are noisier than trained ones: the harder case for PNG. Everything that `satpipe generate` does is timed:
chips, table, card, pictures. The plain way makes batches of 64 with all threads and saves each chip with Pillow; its
bytes depend on the batch. Contenders take turns and the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from satpipe.config.gan_presets import PRESETS
from satpipe.config.run import ComputeConfig, RunConfig
from satpipe.dataset.scaling import Scaling
from satpipe.engine.digests import canonical, digest_of
from satpipe.engine.results import Result, Results
from satpipe.engine.runs import Run, find_run
from satpipe.engine.store import Store
from satpipe.engine.task import METADATA, Task
from satpipe.inference.generate.make import Wish, make
from satpipe.models import generator as generators
from satpipe.models import networks
from satpipe.models.device import Profile, cores, resolve_profile
from satpipe.utils.section import as_json
from section import write_section
from torch import nn

CLASSES = ("non-ship", "ship")
SIZE, BANDS = 80, 3
PRESET = "dcgan-lowdata"
UNMEASURED: dict[str, object] = {key: {} for key in ("train", "validation", "quality", "usefulness")}
UNMEASURED |= {"preset": PRESET, "images": 0, "best_images": 0, "stopped": "length", "restarts": []}
"""Metadata of a generator of which nothing was measured."""


def make_run(root: Path, name: str, profile: Profile) -> Run:
    """Make a run that has nothing but a final generator."""
    store = Store(root / "data")
    store.create()
    preset = PRESETS[PRESET]
    shape = networks.Architecture(
        SIZE, BANDS, len(CLASSES), preset.z_dim, preset.base_channels, preset.condition, preset.upsampling
    )
    torch.manual_seed(0)
    network = networks.GeneratorNetwork(shape)
    nn.init.normal_(network.entry.weight, 0.0, 0.3)
    for layer in network.layers:
        nn.init.normal_(layer.weight, 0.0, 0.05)
    components = {"benchmark": name}
    key = digest_of(components)
    with store.staging(key) as folder:
        generators.save(network, CLASSES, {"preset": PRESET, "profile": profile.as_json()}, folder)
        Scaling((0.0,) * BANDS, (255.0,) * BANDS, "uint8").save(folder / generators.SCALING)
        (folder / METADATA).write_bytes(canonical(UNMEASURED))
        record = store.commit(folder, Task("gan", "final", "satpipe:nothing"), key, components, 1.0)
    config = RunConfig.model_validate({"name": name, "ingest": {"sources": [{"type": "simulated"}]}})
    result = Result(
        name=name,
        version=0,
        last="gan",
        sentence="complete up to gan",
        config=as_json(config),
        keys={"gan/final": key},
        digests={"gan/final": record.digest},
        started=0.0,
    )
    Results(store.root).record(result)
    return find_run(name, root)


def ours(run: Run, file_format: str, workers: int) -> Callable[[int, Path], None]:
    """Run `satpipe generate` with so many threads."""

    def work(count: int, to: Path) -> None:
        make(run, Wish((), count, file_format, 1, 1.0, False), to, lambda done, total: None, workers)

    return work


def plain(run: Run) -> Callable[[int, Path], None]:
    """Generate batches of 64 with all threads; save each chip with Pillow."""
    task = run.artifact("gan/final", "generator", "gan")
    generator = generators.load(task.path)

    def work(count: int, to: Path) -> None:
        to.mkdir()
        torch.set_num_threads(cores())
        with torch.inference_mode():
            for start in range(0, count, 64):
                labels = torch.arange(start, min(start + 64, count)) % 2
                values = generator.network(torch.randn(len(labels), 64), labels).permute(0, 2, 3, 1).numpy()
                chips = np.rint((values + 1) * 127.5).astype(np.uint8)
                for number, chip in enumerate(chips, start):
                    Image.fromarray(chip).save(to / f"{number:06d}.png")

    return work


def best(contenders: dict[str, Callable[[int, Path], None]], count: int, turns: int) -> dict[str, tuple[float, int]]:
    """Return chips per second, the best of several turns, and bytes of a chip with all that lies beside it."""
    fastest: dict[str, tuple[float, int]] = {}
    for turn in range(turns):
        for name, work in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                to = Path(folder) / "out"
                started = time.perf_counter()
                work(count, to)
                rate = count / (time.perf_counter() - started)
                size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file()) // count
            if turn:  # the first one builds kernels and fills caches
                fastest[name] = max(fastest.get(name, (0.0, 0)), (rate, size))
    return fastest


def main() -> None:
    """Run everything and print the section for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="fewer chips: seconds instead of a minute")
    parser.add_argument("--docs", type=Path, help="file whose section is replaced by the result")
    asked = parser.parse_args()
    count, turns = (320, 2) if asked.small else (1600, 3)
    number = cores()
    with tempfile.TemporaryDirectory() as folder:
        profile = resolve_profile(ComputeConfig(), Path(folder) / "profile.json")
        runs = {
            precision: make_run(Path(folder), precision, Profile(precision=precision)) for precision in ("fp32", "bf16")
        }
        contenders: dict[str, Callable[[int, Path], None]] = {}
        for workers in sorted({1, number}):
            for precision, run in runs.items():
                contenders[f"satpipe, png, {precision}, {workers} thread(s)"] = ours(run, "png", workers)
        for other in ("tif", "npy", "parquet"):
            contenders[f"satpipe, {other}, {profile.precision}, {number} thread(s)"] = ours(
                runs[profile.precision], other, number
            )
        reference = f"torch and Pillow, png, fp32, {number} thread(s)"
        contenders[reference] = plain(runs["fp32"])
        fastest = best(contenders, count, turns)
    lines = ["| contender | chips/s | bytes a chip | times the plain way |", "|---|---:|---:|---:|"]
    for name, (rate, size) in fastest.items():
        lines.append(f"| {name} | {rate:,.0f} | {size:,} | {rate / fastest[reference][0]:.1f} |")
    small = " --small" if asked.small else ""
    system = f"{platform.machine()}, {platform.system()}"
    command = f"`python benchmarks/generate.py{small}` on {number} cores ({system}), torch {torch.__version__}"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    what = (
        f"{count:,} chips of {SIZE} x {SIZE} x {BANDS} with the default preset ({PRESET}), everything that `satpipe"
        f" generate` writes included. The precision that this machine's trainings use is {profile.precision}."
    )
    text = [f"{command}; load at the end {load}.", "", what, "", *lines]
    write_section("Generating chips", text, asked.docs)


if __name__ == "__main__":
    main()
