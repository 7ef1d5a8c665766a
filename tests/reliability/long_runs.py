"""Long runs keep to their memory: ``python tests/reliability/long_runs.py steps 10000`` and ``... parts 200``.

Prints what one process holds as it goes: resident memory in MB, open files, threads. Exits with 1 where the second half
takes more than the first.
"""

from __future__ import annotations

import gc
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GROWTH = 1.05
"""How much more the last quarter may hold than the second one; allocators round up."""


@dataclass(frozen=True)
class Held:
    """What this process holds at a moment."""

    at: int
    memory_mb: float
    files: int
    maps: int


def held(at: int) -> Held:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    maps = sum(1 for line in Path("/proc/self/maps").read_text().splitlines() if ".npy" in line or ".tif" in line)
    return Held(at, pages * resource.getpagesize() / 1e6, sum(1 for _ in Path("/proc/self/fd").iterdir()), maps)


def steps(count: int, looks: int = 20) -> list[Held]:
    """Train a small GAN for so many steps in this process, with looks and checkpoints as in a real training."""
    from satpipe.config.gan_presets import PRESETS, Preset
    from satpipe.dataset.scaling import fit
    from satpipe.engine.progress import Progress
    from satpipe.models.device import Profile
    from satpipe.stages.gan.batches import Batches
    from satpipe.stages.gan.train import train
    from satpipe.stages.gan.training_config import TrainingConfig

    preset = Preset(**{**vars(next(iter(PRESETS.values()))), "images": count * 8, "batch": 8, "base_channels": 4})
    chips = np.random.default_rng(1).integers(0, 255, (64, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(64) % 2
    batches = Batches(chips, labels, fit(chips), 8, (1, 0), True, True)
    found: list[Held] = []

    class Watch(Progress):
        def update(self, done: float, total: float, unit: str, note: str = "") -> None:
            if int(done) // 8 % max(1, count // looks) == 0:
                found.append(held(int(done) // 8))

    with tempfile.TemporaryDirectory() as folder:
        setting = TrainingConfig(preset, batches, (16, 16, 3), 2, Profile(), count * 8 // looks, None, 0, Path(folder))
        train(setting, lambda generator: {"score": 1.0}, Watch())
    return found


def tasks(count: int, looks: int = 20) -> list[Held]:
    """Make so many artifacts in this process, each of a scene that it reads whole, as a worker does."""
    import rasterio
    from rasterio.transform import from_origin
    from satpipe.config.run import RunConfig
    from satpipe.engine.plan import Planner, TaskBatch
    from satpipe.engine.stages import STAGES
    from satpipe.engine.store import Record, Store
    from satpipe.engine.worker import run_task
    from satpipe.models.device import Profile

    found: list[Held] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "in").mkdir()
        random = np.random.default_rng(1)
        for number in range(count):
            with rasterio.open(
                folder / "in" / f"{number:04d}.tif", "w", driver="GTiff", width=64, height=64, count=3, dtype="uint8",
                crs="EPSG:32610", transform=from_origin(550_000, 4_180_000 + 500 * number, 3, 3),
            ) as file:  # fmt: skip
                file.write(random.integers(1, 255, (3, 64, 64)).astype(np.uint8))
            (folder / "in" / f"{number:04d}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        config = RunConfig.model_validate(
            {
                "ingest": {"sources": [{"type": "yolo", "path": str(folder / "in")}], "scenes_per_task": 1},
            }
        )  # fmt: skip
        walk = Planner(config, Store(folder / "data"), Profile)

        def handle(batch: TaskBatch) -> list[Record]:
            records = []
            for number, spec in enumerate(batch.specs):
                records.append(run_task(spec))
                if len(batch.specs) >= count and number % max(1, count // looks) == 0:
                    found.append(held(number))
            return records

        for _ in walk.stage(STAGES[0], handle):
            pass
    return found


def is_flat(found: Sequence[Held]) -> bool:
    """Whether the last quarter holds about what the second one does, and no more files and maps."""
    quarter = max(1, len(found) // 4)
    second, last = found[quarter : 2 * quarter], found[-quarter:]
    middle: Callable[[Sequence[float]], float] = lambda values: float(np.median(values))  # noqa: E731
    return (
        middle([one.memory_mb for one in last]) <= GROWTH * middle([one.memory_mb for one in second])
        and max(one.files for one in last) <= max(one.files for one in second)
        and max(one.maps for one in last) <= max(one.maps for one in second)
    )


def main() -> int:
    """Print what is held, and say whether it is flat."""
    found = {"steps": steps, "parts": tasks}[sys.argv[1]](int(sys.argv[2]))
    for one in found:
        print(f"{sys.argv[1]} {one.at}: {one.memory_mb:.1f} MB, {one.files} files, {one.maps} maps")
    flat = is_flat(found)
    print("flat" if flat else "GROWS")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
