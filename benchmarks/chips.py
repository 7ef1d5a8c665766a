"""Chips: satpipe's reader beside a rasterio read per window and torchgeo's GridGeoSampler, and beside the machine.

    python benchmarks/chips.py [--small] [--torchgeo-python PATH] [--docs docs/benchmarks.md]

Scenes are made in a temporary folder. All contenders cut the same windows in the same run, each in a process of its
own with a warm page cache, and their chips are compared byte for byte. Ours and the ceiling are the best of several
turns taken alternately; the peers, a hundred times slower, run once. torchgeo lives in an environment of its own, e.g.
`python -m venv /tmp/torchgeo && /tmp/torchgeo/bin/pip install torchgeo`; without it its rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window
from section import write_section

from pipeline.chips.windows import grid

SIZE = 80
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled raw": {"tiled": True, "blockxsize": 512, "blockysize": 512},
    "tiled deflate": {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"},
    "striped deflate": {"compress": "deflate"},
}
HERE = Path(__file__).parent


def make_scene(path: Path, side: int, profile: dict[str, Any]) -> None:
    """A scene of smooth water with sensor noise, which deflate shrinks by about a third."""
    rng = np.random.default_rng(0)
    # Patches of 512 x 160 pixels: a strip at a time, because a scene of 40,000 pixels does not fit into memory.
    levels = rng.normal(0, 25, (side // 512 + 1, side // 160 + 1)).astype(np.float32)
    noise = rng.normal(0, 3, (3, 512, side)).astype(np.float32)
    size = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB", "interleave": "pixel"}
    place = {"crs": "EPSG:32610", "transform": rasterio.Affine(3, 0, 500_000, 0, -3, 4_000_000)}
    with rasterio.open(path, "w", driver="GTiff", bigtiff="if_safer", **size, **place, **profile) as file:
        for row in range(0, side, 512):
            rows = min(512, side - row)
            shifted = np.roll(noise, row // 512 * 77, axis=2)[:, :rows]
            level = levels[row // 512].repeat(160)[:side]
            band = 90 + level + shifted + np.float32([0, 10, 20])[:, None, None]
            file.write(np.clip(band, 1, 255).astype(np.uint8), window=Window(0, row, side, rows))


class Bench:
    """Runs contenders in processes of their own."""

    def __init__(self, folder: Path, torchgeo: str | None, turns: int) -> None:
        self.folder, self.torchgeo, self.turns = folder, torchgeo, turns
        self.versions: dict[str, str] = {}

    def ours(self, job: str, scene: Path, windows: Path, workers: int, cache: int = 0) -> dict[str, float]:
        """One turn of a job of ours."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            words = [str(HERE / "chips_jobs.py"), job, str(scene), str(windows), out, str(workers), str(cache)]
            found = self._run([sys.executable, *words])
            if job == "cut":
                (Path(out) / "ours.npy").replace(self.folder / "ours.npy")
        return found

    def best(self, jobs: list[tuple[str, int]], scene: Path, windows: Path) -> dict[tuple[str, int], float]:
        """The best of several turns of each job, taken alternately."""
        best: dict[tuple[str, int], float] = {}
        for _ in range(self.turns):
            for job, workers in jobs:
                seconds = self.ours(job, scene, windows, workers)["seconds"]
                best[job, workers] = min(seconds, best.get((job, workers), seconds))
        return best

    def peer(self, mode: str, scene: Path, windows: Path, cache: int = 0) -> tuple[float, bool] | None:
        """Seconds of a peer, and whether its chips are ours; None where it cannot be run."""
        python = self.torchgeo if mode == "torchgeo" else sys.executable
        if python is None:
            return None
        out = self.folder / "theirs.npy"
        script = str(HERE / "chips_peers.py")
        found = self._run([python, script, mode, str(scene), str(windows), str(out), str(cache)])
        self.versions |= found["versions"]
        theirs, chips = np.load(out, mmap_mode="r"), np.load(self.folder / "ours.npy", mmap_mode="r")
        parts = [slice(start, start + 1024) for start in range(0, len(chips), 1024)]
        same = all((theirs[part].transpose(0, 2, 3, 1) == chips[part]).all() for part in parts)
        return found["seconds"], same

    def _run(self, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def all_windows(bench: Bench, side: int, cores: int) -> list[str]:
    """All windows at stride 80, layout by layout."""
    lines = [
        "| scene | contender | s | chips/s | ours is faster (1 worker) | ours is faster (all cores) | same bytes |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    windows = bench.folder / "grid.npy"
    np.save(windows, grid(side, side, SIZE, SIZE))
    count = len(np.load(windows))
    counts = sorted({1, cores})
    for layout, profile in LAYOUTS.items():
        scene = bench.folder / f"{layout.replace(' ', '_')}.tif"
        if not scene.exists():
            make_scene(scene, side, profile)
        jobs = [(job, workers) for workers in counts for job in ("ceiling", "cut", "store")]
        best = bench.best(jobs, scene, windows)
        for (job, workers), seconds in sorted(best.items(), key=lambda item: (item[0][1], item[0][0])):
            name = {"cut": "satpipe, into memory", "store": "satpipe, chip store on disk, synced"}.get(job, "ceiling")
            ratio = f", {best['ceiling', workers] / seconds:.0%} of the ceiling" if job == "cut" else ""
            shown = f"{name}, {workers} worker(s){ratio}"
            lines.append(f"| {layout} | {shown} | {seconds:.2f} | {count / seconds:,.0f} | | | |")
        modes = {"boundless": "rasterio, boundless read per chip", "plain": "rasterio, read per chip in row order"}
        for mode, name in (modes | {"torchgeo": "torchgeo GridGeoSampler"}).items():
            found = bench.peer(mode, scene, windows)
            if found is None:
                lines.append(f"| {layout} | {name} | not installed | | | | |")
                continue
            seconds, same = found
            ratios = [
                f"{seconds / best['cut', n]:.1f} x (stored {seconds / best['store', n]:.1f} x)" for n in (1, cores)
            ]
            lines.append(
                f"| {layout} | {name} | {seconds:.2f} | {count / seconds:,.0f} | {ratios[0]} | {ratios[1]} |"
                f" {'yes' if same else 'NO'} |"
            )
    return lines


def random_windows(bench: Bench, side: int, count: int) -> list[str]:
    """Labelled windows anywhere in the tiled deflate scene, with two sizes of GDAL's cache."""
    scene, windows = bench.folder / "tiled_deflate.tif", bench.folder / "random.npy"
    np.save(windows, np.random.default_rng(1).integers(0, side - SIZE, (count, 2)))
    lines = [
        "| GDAL cache | satpipe, 1 worker, s | read per window, s | ratio | same bytes |",
        "|---|---:|---:|---:|---|",
    ]
    for mebibytes in (16, 1024):
        ours = min(bench.ours("cut", scene, windows, 1, mebibytes << 20)["seconds"] for _ in range(bench.turns))
        found = bench.peer("plain", scene, windows, mebibytes << 20)
        assert found is not None
        ratio, same = found[0] / ours, "yes" if found[1] else "NO"
        lines.append(f"| {mebibytes} MiB | {ours:.2f} | {found[0]:.2f} | {ratio:.1f} x | {same} |")
    found = bench.peer("boundless", scene, windows)
    assert found is not None
    lines.append(f"| default, boundless | | {found[0]:.2f} | {found[0] / ours:.1f} x | {'yes' if found[1] else 'NO'} |")
    return lines


def growth(bench: Bench, sides: list[int]) -> list[str]:
    """Time and memory as a scene grows, chips written to disk."""
    lines = ["| scene | chips | s | Mpixel/s | peak memory, MiB |", "|---|---:|---:|---:|---:|"]
    for side in sides:
        scene, windows = bench.folder / f"grown_{side}.tif", bench.folder / "grown.npy"
        make_scene(scene, side, LAYOUTS["tiled raw"])
        np.save(windows, grid(side, side, SIZE, SIZE))
        found = bench.ours("store", scene, windows, 1)
        chips = len(np.load(windows))
        rate = side * side / found["seconds"] / 1e6
        lines.append(
            f"| {side:,} x {side:,} | {chips:,} | {found['seconds']:.1f} | {rate:.0f} | {found['peak_mib']:.0f} |"
        )
        scene.unlink()
    return lines


def main() -> None:
    """Run everything and print the section for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a scene of 2,560 pixels: a minute instead of twenty")
    parser.add_argument("--torchgeo-python", help="Python of an environment with torchgeo")
    parser.add_argument("--folder", type=Path, help="where scenes are made and kept; default: temporary")
    parser.add_argument("--turns", type=int, default=5, help="turns of ours and of the ceiling")
    parser.add_argument("--docs", type=Path, help="file whose section is replaced by the result")
    asked = parser.parse_args()
    side, count, sides = (2560, 400, [2560, 5120]) if asked.small else (10_240, 4000, [10_240, 20_480, 40_000])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder, asked.torchgeo_python, asked.turns)
        table = all_windows(bench, side, cores)
        scattered = random_windows(bench, side, count)
        grown = growth(bench, sides)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(bench.versions.items()))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    system = f"{platform.machine()}, {platform.system()}"
    small = " --small" if asked.small else ""
    command = f"`python benchmarks/chips.py{small}` on {cores} cores ({system}), Python {platform.python_version()}"
    ceiling = (
        "The ceiling is the time to read every block once through GDAL and throw it away, plus the time to copy as many"
        " bytes into a fresh array, with as many workers."
    )
    text = [
        f"{command}, {versions}; load at the end {load}.",
        "",
        f"All {SIZE} x {SIZE} windows at stride {SIZE} of a {side:,} x {side:,} x 3 uint8 scene. {ceiling}",
        "",
        *table,
        "",
        f"{count:,} windows at random places of the tiled deflate scene, read in random order by the peer:",
        "",
        *scattered,
        "",
        "Growth of a tiled raw scene, chips written to the chip store, one worker:",
        "",
        *grown,
    ]
    write_section("Chips: cutting windows", text, asked.docs)


if __name__ == "__main__":
    main()
