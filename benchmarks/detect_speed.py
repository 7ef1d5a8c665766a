"""Processor seconds of detection per 100 megapixels, beside a plain sliding window with the same network.

    satpipe run all --root FOLDER
    python benchmarks/detect_speed.py FOLDER [--name demo] [--side 2048] [--scene my.tif] [--crop 2048]

The plain ways read the scene with rasterio, cut every window on the same grid, and score each in the orientations that
the classifier was calibrated with: as the network is, and compiled by `torch.compile` in channels-last memory. Scores
become objects in the same way. Without `--scene`, one of simulated harbours of `--side` pixels is made. Contenders take
turns and the best of each counts; objects above the usual score are compared. With `--crop` they scan a part of so many
pixels from the middle of the scene, and satpipe also all of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.windows import Window
from satpipe.config.sources import SimulatedSource
from satpipe.engine.runs import find_run
from satpipe.inference.detect.make import LEAST, STRIDES_PER_SIDE, load, usual_score
from satpipe.inference.detect.merge import Objects, merge
from satpipe.inference.detect.scan import Scorer, scan
from satpipe.inference.detect.scenes import Wanted, open_scenes, reading_of
from satpipe.models.classifier import Classifier, oriented, softmax, to_tensor
from satpipe.models.device import threads
from satpipe.stages.chips.windows import starts
from satpipe.stages.ingest.simulator.scene import write_scene
from section import processor, write_section

BATCH = 64


def plain(path: Path, classifier: Classifier, stride: int, compiled: bool) -> Objects:
    """Score every window of a scene in every orientation, batch by batch."""
    size, network = classifier.architecture.size_px, classifier.network
    if compiled:
        network = torch.compile(network.to(memory_format=torch.channels_last))
    with rasterio.open(path) as scene:
        values = classifier.scaling.apply(scene.read().transpose(1, 2, 0))
    height, width = values.shape[:2]
    grid = np.meshgrid(starts(height, size, stride), starts(width, size, stride), indexing="ij")
    windows = np.stack(grid, axis=-1).reshape(-1, 2)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(windows), BATCH):
            some = windows[start : start + BATCH]
            chips = to_tensor(np.stack([values[row : row + size, col : col + size] for row, col in some]))
            views = (oriented(chips, number) for number in range(classifier.orientations))
            # Always of one memory format, or each orientation would be compiled anew.
            logits = [network(view.contiguous(memory_format=torch.channels_last)).float() for view in views]
            parts.append(torch.stack(logits).mean(dim=0).numpy())
    probabilities = softmax(np.concatenate(parts), classifier.temperature)
    return merge(windows, probabilities, size, stride, LEAST)


def ours(path: Path, classifier: Classifier, stride: int, wanted: Wanted) -> Objects:
    """Scan a scene as `satpipe detect` does."""
    (scene,) = open_scenes([path], wanted)
    workers = 1
    with threads(workers) as pool:
        seen = scan(scene, Scorer(classifier, pool), stride, 0.5, workers, lambda *_: None, lambda *_: None)
    return merge(seen.windows, seen.probabilities, classifier.architecture.size_px, stride, LEAST)


def same(objects: Objects, others: Objects, score: float) -> str:
    """Return how many objects above a score both have, within two pixels."""
    mine, theirs = objects.above(score), others.above(score)
    if not len(mine) or not len(theirs):
        return f"0 of {len(theirs)}"
    apart = np.abs(mine.centres[:, None] - theirs.centres[None]).max(axis=2)
    return f"{int((apart.min(axis=0) <= 2).sum())} of {len(theirs)}"


def simulated(folder: Path, side: int, gsd_m: float) -> Path:
    """Write a simulated scene of so many pixels, resampled to the chips' GSD, so that all contenders read the same."""
    write_scene(SimulatedSource(size_px=side, seed=99), 0, folder)
    to = folder / "resampled.tif"
    with rasterio.open(next(folder.glob("*.tif"))) as scene:
        ratio = gsd_m / scene.res[0]
        height, width = (round(pixels / ratio) for pixels in scene.shape)
        pixels = scene.read(out_shape=(scene.count, height, width), resampling=Resampling.average)
        profile = scene.profile | {"height": height, "width": width}
        profile["transform"] = scene.transform * scene.transform.scale(scene.width / width, scene.height / height)
    with rasterio.open(to, "w", **profile) as resampled:
        resampled.write(pixels)
    return to


def cropped(path: Path, side: int, folder: Path) -> Path:
    """Write the middle of a scene, of so many pixels."""
    with rasterio.open(path) as scene:
        row, col = (max(0, (pixels - side) // 2) for pixels in scene.shape)
        window = Window(col, row, min(side, scene.width), min(side, scene.height))
        pixels, profile = scene.read(window=window), scene.profile
        profile |= {"height": pixels.shape[1], "width": pixels.shape[2], "transform": scene.window_transform(window)}
    with rasterio.open(folder / "crop.tif", "w", **profile) as crop:
        crop.write(pixels)
    return folder / "crop.tif"


def megapixels_of(path: Path) -> float:
    """Return the size of a scene."""
    with rasterio.open(path) as scene:
        return float(scene.height * scene.width / 1e6)


def table(contenders: dict[str, Callable[[], Objects]], megapixels: float, turns: int, score: float) -> list[str]:
    """Time the contenders in turn; return the rows of the table, the first contender being the reference."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    objects: dict[str, Objects] = {}
    for _ in range(turns):
        for name, contender in contenders.items():
            started = time.process_time()
            objects[name] = contender()
            seconds[name].append(time.process_time() - started)
    reference = next(iter(contenders))
    rows = []
    for name, took in seconds.items():
        per = 100 * min(took) / megapixels
        ratio = min(seconds[reference]) / min(took)
        rows.append(f"| {name} | {per:.0f} | {ratio:.2f} | {same(objects[name], objects[reference], score)} |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of a project with a finished run")
    parser.add_argument("--name", default="demo", help="the run")
    parser.add_argument("--scene", type=Path, help="a scene of the chips' GSD, bands and type")
    parser.add_argument("--side", type=int, default=2048, help="height and width of the simulated scene")
    parser.add_argument("--crop", type=int, help="height and width of the part that the sliding windows scan")
    parser.add_argument("--turns", type=int, default=2, help="turns; the first one also compiles")
    parser.add_argument("--docs", type=Path, help="Markdown file to put the section into")
    options = parser.parse_args()
    run = find_run(options.name, options.root)
    classifier, gsd_m = load(run)
    stride = max(2, classifier.architecture.size_px // STRIDES_PER_SIDE)
    wanted = Wanted(
        classifier.architecture.bands,
        classifier.scaling.dtype,
        gsd_m,
        run.config.chips.resampling,
        replace(reading_of(run.config, None, None), nodata=None),  # the plain ways know no missing pixels
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = options.scene or simulated(Path(scratch), options.side, gsd_m or 1.0)
        part = cropped(path, options.crop, Path(scratch)) if options.crop else path
        megapixels = megapixels_of(path)
        torch.set_num_threads(1)  # threads that wait for each other would count as work
        contenders = {
            "sliding window": lambda: plain(part, classifier, stride, compiled=False),
            "sliding window, compiled, channels last": lambda: plain(part, classifier, stride, compiled=True),
            "satpipe detect": lambda: ours(part, classifier, stride, wanted),
        }
        rows = table(contenders, megapixels_of(part), options.turns, usual_score(classifier))
        if options.crop:
            started = time.process_time()
            found = len(ours(path, classifier, stride, wanted).above(usual_score(classifier)))
            per = 100 * (time.process_time() - started) / megapixels
            rows.append(f"| satpipe detect, all of the scene | {per:.0f} | | {found} there |")
    where = f" (sliding windows: {options.crop} pixels in the middle)" if options.crop else ""
    head = (
        f"`python benchmarks/detect_speed.py` on {processor()}, one thread, torch {torch.__version__}: a scene of"
        f" {megapixels:.1f} megapixels{where}, windows of {classifier.architecture.size_px} pixels every {stride}, in"
        f" {classifier.orientations} orientations."
    )
    lines = [
        head,
        "",
        "| way | processor s per 100 Mpixel | times as fast | objects of the sliding window |",
        "|---|---|---|---|",
        *rows,
    ]
    write_section("Detection beside a sliding window", lines, options.docs)


if __name__ == "__main__":
    main()
