"""Growth: time, memory, files and bytes of every stage with more scenes and more chips.

    python benchmarks/scale.py growth [--most-scenes 1000] [--most-chips 1000000] [--docs docs/scale.md]

`growth` makes scenes in a temporary folder (1 GB for a million chips of 16 x 16 pixels, and as much for the chips) and
runs every stage on them, each size in a process of its own. Trainings have the same few steps at every size: what
grows is then the data's. It ends with what a country-sized archive would need, projected from the largest sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from satpipe.config.run import RunConfig
from satpipe.engine.runner import Runner, Selection
from satpipe.engine.stages import NAMES
from section import processor, write_section

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
        """Ignore whatever is to be shown."""
        return lambda *_: None


# ------------------------------------------------------------------------------------------------------- data


def write_scenes(folder: Path, count: int, side: int, labels: int) -> None:
    """Write scenes of calm water with bright patterns for ships, and their labels in one CSV; all scenes differ."""
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
        # Rows of scenes, none of which touches another, near enough to the meridian that all have one pixel size.
        down, along = divmod(number, 32)
        place = rasterio.Affine(3, 0, 500_000 + along * 4 * side, 0, -3, 4_000_000 - down * 4 * side)
        path = folder / f"{number:05d}.tif"
        with rasterio.open(path, "w", driver="GTiff", transform=place, photometric="RGB", **profile) as file:
            file.write(np.clip(pixels, 1, 255).astype(np.uint8).transpose(2, 0, 1))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def configuration(scenes: Path, chips: dict[str, Any], workers: int) -> RunConfig:
    """Return the configuration of a run with one split and the final one, and trainings of a few steps."""
    return RunConfig.model_validate(
        {
            "name": "growth",
            "ingest": {"sources": [{"type": "csv", "path": f"{scenes}/*.tif", "labels": f"{scenes}/labels.csv"}]},
            "chips": chips,
            "split": {
                "scheme": "holdout",
                "replicates": 1,
                "random_replicates": 0,
                "validation_fraction": 0.1,
                "test_fraction": 0.2,
            },
            "gan": {"images": 400, "base_channels": 8, "checkpoint_images": 400},
            "synth": {"per_class": 64, "screen": True},
            "classify": {
                "arms": ["classic", "classic+gan"],
                "steps": 50,
                "validate_every": 50,
                "orientations": 1,
                "base_channels": 8,
            },
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
    """Return the ids of this process and of all processes below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    pids, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        pids.append(pid)
        todo += parents.get(pid, [])
    return pids


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
    """Count the files below a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def run_one(series: str, size: int, folder: Path, last: str = NAMES[-1]) -> dict[str, Any]:
    """Run every stage on one size; a row for each."""
    config = prepare(series, size, folder)
    root = folder / "root"
    runner = Runner(root, Quiet())
    result: dict[str, Any] = {"series": series, "size": size, "stages": {}}
    for stage in NAMES[: NAMES.index(last) + 1]:
        memory = Memory()
        memory.start()
        began = time.monotonic()
        outcome = runner.run(config, Selection(last=stage))
        seconds = time.monotonic() - began
        memory.over.set()
        memory.join()
        tasks, size_bytes = files_below(root / "data" / "parts" / stage)
        records = [(record.name.partition("-")[0], record.seconds) for record in runner.store.records(stage)]
        work: dict[str, float] = {}
        for name, taken in records:
            work[name] = round(work.get(name, 0.0) + taken, 2)
        result["stages"][stage] = {
            "seconds": round(seconds, 2),
            "work": work,
            "parts": len(records),
            "own_mb": round(memory.own, 1),
            "worker_mb": round(memory.worker, 1),
            "files": tasks,
            "bytes": size_bytes,
        }
        print(json.dumps({"stage": stage} | result["stages"][stage]), file=sys.stderr, flush=True)
        result["made"] = outcome.total
    began = time.monotonic()
    runner.plan(config)
    result["plan_seconds"] = round(time.monotonic() - began, 2)
    metadata = {
        record.name: json.loads((runner.store.folder(record.ref) / "metadata.json").read_text())
        for record in runner.store.records("chips")
        if record.name in ("index", "duplicates")
    }
    if metadata:
        result["chips"] = sum(metadata["index"]["chips"].values())
        result["textured"] = metadata["duplicates"]["compared"]
    return result


# -------------------------------------------------------------------------------------------------- reporting


def measure(series: str, sizes: Sequence[int], results: Path, known_only: bool) -> list[dict[str, Any]]:
    """Run the sizes that ``results`` does not hold yet, each in a process and a folder of its own."""
    stored: list[dict[str, Any]] = json.loads(results.read_text()) if results.exists() else []
    for size in () if known_only else sizes:
        if any((row["series"], row["size"]) == (series, size) for row in stored):
            continue
        with tempfile.TemporaryDirectory(prefix="satpipe-scale-") as folder:
            command = [sys.executable, str(HERE), "one", series, str(size), f"{folder}/x"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        stored.append(json.loads(done.stdout.splitlines()[-1]))
        results.write_text(json.dumps(stored, indent=1))
    return sorted((row for row in stored if row["series"] == series), key=lambda row: row["size"])


def said(*pieces: str) -> str:
    """Join pieces of text into one line."""
    return " ".join(pieces)


def machine() -> str:
    """Describe this machine."""
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def growth_table(results: Sequence[dict[str, Any]], what: str) -> list[str]:
    """Return a Markdown table: stages down, sizes along."""
    sizes = [f"{result['size']:,}" for result in results]
    lines = []
    units = {
        "seconds": ("s, with 2 workers", lambda row: f"{row['seconds']:.1f}"),
        "memory": ("MB of the largest worker", lambda row: f"{row['worker_mb']:.0f}"),
        "files": ("files", lambda row: f"{row['files']:,}"),
        "bytes": ("MB on disk", lambda row: f"{row['bytes'] / MB:.1f}"),
    }
    for title, (unit, shown) in units.items():
        lines += [f"| {title} ({unit}) | " + " | ".join(f"{size} {what}" for size in sizes) + " |"]
        lines += ["|---|" + "---:|" * len(sizes)]
        for stage in NAMES:
            cells = [shown(result["stages"][stage]) if stage in result["stages"] else "" for result in results]
            lines.append(f"| {stage} | " + " | ".join(cells) + " |")
        lines.append("")
    own = ", ".join(f"{max(row['own_mb'] for row in result['stages'].values()):.0f}" for result in results)
    plans = ", ".join(f"{result['plan_seconds']:.1f}" for result in results if result["plan_seconds"] is not None)
    lines.append(
        f"Memory of the planning process: {own} MB. Planning the whole run again with nothing to do: {plans} s."
    )
    return lines


def slope(results: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> float:
    """Return the cost of one more scene or chip, between the two largest sizes."""
    last = results[-1]
    per = "chips" if last["series"] == "chips" else "size"
    if len(results) == 1:
        return value(last) / float(last[per])
    before = results[-2]
    return max(0.0, (value(last) - value(before)) / (last[per] - before[per]))


def projection(scenes: Sequence[dict[str, Any]], chips: Sequence[dict[str, Any]]) -> list[str]:
    """Return lines that project the cost of an archive of a country, from the slopes at the largest sizes."""
    wanted_scenes, wanted_chips, machines, workers = 100_000, 100_000_000, 16, 32
    chip_bytes = CHIP_SIDE * CHIP_SIDE * 3

    def seconds(*tasks: str) -> Callable[[dict[str, Any]], float]:
        return lambda result: sum(
            taken for stage in result["stages"].values() for name, taken in stage["work"].items() if name in tasks
        )

    def of(stage: str, name: str) -> Callable[[dict[str, Any]], float]:
        return lambda result: float(result["stages"][stage][name])

    rows = [
        ("cutting chips (`cut`)", slope(chips, seconds("cut")) * wanted_chips, True),
        ("planning windows (`windows`)", slope(chips, seconds("windows")) * wanted_chips, False),
        ("one table of all chips (`index`)", slope(chips, seconds("index")) * wanted_chips, False),
        ("one split (`split`)", slope(chips, seconds("split")) / 2 * wanted_chips, False),
    ]
    if scenes:
        rows.insert(
            0, ("reading scenes whole (`catalogue`)", slope(scenes, seconds("catalogue")) * wanted_scenes, True)
        )
    across = machines * workers
    lines = [
        said(
            f"{wanted_scenes:,} scenes and {wanted_chips:,} chips of 80 x 80 pixels in three bytes, on {machines}",
            f"machines of {workers} cores like this one's, extrapolated from the cost of another scene or chip at the",
            "largest sizes.",
        ),
        "",
        f"| task | core hours | hours on {across} cores |",
        "|---|---:|---:|",
    ]
    for name, total, shared in rows:
        hours = total / 3600
        lines.append(f"| {name} | {hours:,.1f} | {hours / (across if shared else 1):,.2f} |")
    growing = {stage: slope(chips, of(stage, "worker_mb")) for stage in NAMES}
    hungry = max(growing, key=lambda stage: growing[stage])
    memory = {stage: growing[stage] * wanted_chips / 1e3 for stage in ("chips", hungry)}
    table = (slope(chips, of("chips", "bytes")) - chip_bytes) * wanted_chips / 1e9
    most = 64e3 / max(growing[hungry], 1e-9) / 1e6
    planner = slope(chips, lambda result: max(row["own_mb"] for row in result["stages"].values())) * wanted_chips / 1e3
    pictures = (scenes or chips)[-1]
    pairs_s = seconds("duplicates")(pictures) / max(pictures["textured"] ** 1.5, 1)
    textured = wanted_chips // 100
    lines += [
        "",
        f"- Bytes: {wanted_chips * 80 * 80 * 3 / 1e12:,.2f} TB of pixels, {max(table, 0):,.0f} GB of tables.",
        said(
            "- Memory is the first limit: the tasks of `chips` that hold one table of all chips need",
            f"{memory['chips']:,.0f} GB by then, and `{hungry}`, which needs most, {memory[hungry]:,.0f} GB.",
            f"A host with 64 GB can process {most:,.0f} million chips in all stages.",
            f"The planning process grows to {planner:,.1f} GB." if planner >= 0.1 else "The planner does not grow.",
        ),
        said(
            "- The search for near-duplicates grows with the 1.5th power of the textured chips at most:",
            f"{seconds('duplicates')(pictures):,.0f} s for {pictures['textured']:,} of them. If one chip in a hundred",
            f"is textured, {textured:,} of them take {pairs_s * textured**1.5 / 3600:,.1f} hours of one core.",
        ),
        said(
            "- Training time does not grow: the number of steps is configured, and above 512 MB of chips each batch is",
            "read from its shards.",
        ),
    ]
    return lines


def growth(given: argparse.Namespace) -> None:
    """Measure what is not known yet, and write the sections."""
    rest = given.results, given.known
    # The largest first: they tell most, also where there was time for no more.
    chips = measure("chips", [size for size in (1_000_000, 100_000, 10_000) if size <= given.most_chips], *rest)
    scenes = measure("scenes", [size for size in (1000, 100, 10) if size <= given.most_scenes], *rest)
    command = "`python benchmarks/scale.py growth`"
    if scenes:
        about = f"Scenes of {SCENE_SIDE} x {SCENE_SIDE} pixels with {LABELS_PER_SCENE} labels each, chips of 32 x 32."
        lines = [said(about, f"{command}; {machine()}."), "", *growth_table(scenes, "scenes")]
        write_section("More scenes", lines, given.docs)
    write_section(
        "More chips",
        [
            said(
                f"Chips of {CHIP_SIDE} x {CHIP_SIDE} pixels, every window of a grid over 4 to 64 scenes.",
                f"{command}; {machine()}.",
            ),
            "",
            *growth_table(chips, "chips"),
        ],
        given.docs,
    )
    write_section("An archive of a country", projection(scenes, chips), given.docs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("one", help="one size, for `growth`; prints JSON")
    one.add_argument("series", choices=["scenes", "chips"])
    one.add_argument("size", type=int)
    one.add_argument("folder", type=Path)
    one.add_argument("--last", choices=NAMES, default=NAMES[-1])
    many = commands.add_parser("growth", help="all sizes, and what they mean for an archive")
    many.add_argument("--most-scenes", type=int, default=1000)
    many.add_argument("--most-chips", type=int, default=1_000_000)
    many.add_argument("--results", type=Path, default=Path("scale.json"), help="sizes measured so far; extended")
    many.add_argument("--docs", type=Path)
    many.add_argument("--known", action="store_true", help="measure nothing: write what the results hold")
    given = parser.parse_args(arguments)
    if given.command == "one":
        print(json.dumps(run_one(given.series, given.size, given.folder, given.last)))
    else:
        growth(given)


if __name__ == "__main__":
    main()
