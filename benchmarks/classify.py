"""One training of the classifier against the usual loop, and what loading and augmentation cost in it.

The usual loop: a Dataset, a DataLoader with two workers, albumentations chip by chip, float32, contiguous memory, the
same network, optimiser, batch and transforms.

    python benchmarks/classify.py [--size 32 80] [--steps 150] [--repeats 3] [--docs docs/benchmarks.md]

Both are timed in turn in the same process, each several times; the median counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from satpipe.config.run import ClassifyConfig, ComputeConfig
from satpipe.dataset.scaling import Scaling
from satpipe.models.classifier import SHIP_CONVNET, Architecture, build
from satpipe.models.device import Profile, resolve_profile
from satpipe.stages.classify.augment import classic
from satpipe.stages.classify.sampling import schedule
from satpipe.stages.classify.train import ChipSet, loader, train
from section import write_section
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

CHIPS = 300
BYTES = Scaling((0.0,) * 3, (255.0,) * 3, "uint8")


class Chips(Dataset[tuple[torch.Tensor, int]]):
    """Chips as a tutorial would serve them: one at a time, augmented in a worker."""

    def __init__(self, chips: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], config: ClassifyConfig) -> None:
        self.chips, self.labels = chips, labels
        self.transforms = classic(config.augment)

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        chip = np.rot90(self.chips[row], np.random.default_rng().integers(4))
        chip = self.transforms(image=np.ascontiguousarray(chip))["image"]
        return torch.from_numpy(chip).permute(2, 0, 1).contiguous().float() / 127.5 - 1, int(self.labels[row])


def usual(training: ChipSet, architecture: Architecture, config: ClassifyConfig) -> float:
    """Time the usual loop, after the workers have started; seconds."""
    network = build(architecture, 1).train()
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps + 1)
    served = DataLoader(
        Chips(training.chips, training.labels, config),
        batch_size=config.batch,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    iter(served)  # starts the workers
    started, step = time.perf_counter(), 0
    while step < config.steps:
        for chips, labels in served:
            loss = functional.cross_entropy(network(chips), labels)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            rates.step()
            step += 1
            if step == config.steps:
                break
    return time.perf_counter() - started


def ours(training: ChipSet, architecture: Architecture, config: ClassifyConfig, profile: Profile) -> float:
    """Time our loop, without validation chips as the usual loop has none; seconds."""
    nothing = ChipSet(training.chips[:0], training.labels[:0], training.synthetic[:0])
    started = time.perf_counter()
    train(training, nothing, architecture, BYTES, config, profile, augmentation="classic", seed=1)
    return time.perf_counter() - started


def loading(training: ChipSet, config: ClassifyConfig) -> float:
    """Time loading and augmentation alone, for the same steps; seconds."""
    rows = schedule(training.labels, training.synthetic, np.zeros(config.steps), config.batch, seed=1)
    started = time.perf_counter()
    batch_of = loader(training.chips, BYTES, config, augmentation="classic", seed=1)
    for step, chosen in enumerate(rows, start=1):
        batch_of(step, chosen)
    return time.perf_counter() - started


def medians(tasks: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each task; all are run once in each round, after one round that does not count."""
    rounds = [{name: task() for name, task in tasks.items()} for _ in range(repeats + 1)][1:]
    return {name: statistics.median(seconds[name] for seconds in rounds) for name in tasks}


def main() -> None:
    """Print a table with one row for each chip size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[32, 80], help="chip sizes in pixels")
    parser.add_argument("--steps", type=int, default=150, help="steps of each training")
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count")
    parser.add_argument("--threads", type=int, default=1, help="threads of one training, in both loops")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section is replaced by the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profile = resolve_profile(ComputeConfig(threads=options.threads), Path(folder) / "profile.json")
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    config = ClassifyConfig(steps=options.steps, validate_every=options.steps)
    lines = [
        (
            f"`python benchmarks/classify.py --size {' '.join(map(str, options.size))} --threads {options.threads}`,"
            f" {os.cpu_count()} cores of {platform.machine()}, torch {torch.__version__}; one training in the arm"
            f" `classic`, median of {options.repeats} rounds of {options.steps} steps of {config.batch} chips."
            f" Ours: {profile.precision}, {profile.memory_format.replace('_', ' ')}, no worker process."
            " The usual loop: Dataset, DataLoader with 2 workers, albumentations chip by chip, fp32, contiguous, the"
            " same network, optimiser and transforms."
        ),
        "",
        "| chip | usual loop, ms a step | ours, ms a step | ratio | loading and augmentation, ms | share of our step |",
        "|---|---|---|---|---|---|",
    ]
    for size in options.size:
        chips = rng.integers(0, 256, (CHIPS, size, size, 3), dtype=np.uint8)
        training = ChipSet(chips, np.arange(CHIPS) % 2, np.zeros(CHIPS, bool))
        architecture = Architecture(SHIP_CONVNET, 3, ("non-ship", "ship"), size, config.base_channels)
        tasks = {
            "usual": lambda t=training, a=architecture: usual(t, a, config),
            "ours": lambda t=training, a=architecture: ours(t, a, config, profile),
            "loading": lambda t=training: loading(t, config),
        }
        seconds = medians(tasks, options.repeats)
        each = {name: 1000 * value / options.steps for name, value in seconds.items()}
        lines.append(
            f"| {size} px | {each['usual']:.1f} | {each['ours']:.1f} | {each['usual'] / each['ours']:.2f} |"
            f" {each['loading']:.2f} | {100 * each['loading'] / each['ours']:.0f} % |"
        )
    write_section("Training a classifier", lines, options.docs)


if __name__ == "__main__":
    main()
