"""Trainings by two processes, for the tests of what they share."""

from __future__ import annotations

import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gan_toy import toy_chips
from safetensors.torch import save_file
from torch.distributed import FileStore

from pipeline import ranks, scaling
from pipeline.compute import Profile
from pipeline.gan.batches import Batches
from pipeline.gan.presets import resolve
from pipeline.gan.setting import Setting
from pipeline.gan.train import train
from pipeline.progress import Progress
from pipeline.ranks import ALONE, Ranks

BATCH = 16
LOSSES = ("loss_discriminator", "loss_generator", "logit_real", "logit_fake")
CASES: dict[str, dict[str, Any]] = {
    "dcgan": {"preset": "dcgan"},  # batch norm in both networks
    "dcgan-r1": {"preset": "dcgan", "r1": 0.1},  # batch norm differentiated twice
    "lowdata": {"preset": "dcgan-lowdata"},  # class-conditional batch norm, deviation of groups, R1, augmentation
    "lowdata-bf16": {"preset": "dcgan-lowdata", "precision": "bf16"},
}


class Killed(Exception):
    """A training ends here."""


def setting(folder: Path, among: Ranks = ALONE, images: int = 6 * BATCH, **section: Any) -> Setting:
    """A short training with a look at every step."""
    profile = Profile(section.pop("device", "cpu"), section.pop("precision", "fp32"))
    preset = resolve({"images": images, "batch": BATCH, "base_channels": 4} | section)
    chips, labels = toy_chips(40)
    batches = Batches(chips, labels, scaling.fit(chips), preset.batch, (1, 0), preset.balanced, preset.symmetries)
    return Setting(preset, batches, (16, 16, 3), 2, profile, preset.batch, None, 0, folder, "toy", among)


def run(made: Setting, killed_at: int | None = None) -> list[dict[str, Any]]:
    """Train; the lines of the log."""
    seen = 0

    def measure(_: Any) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        if seen == killed_at:
            raise Killed
        return {}

    network, log = train(made, measure, Progress())
    made.folder.mkdir(exist_ok=True)
    save_file({name: one.contiguous() for name, one in network.state_dict().items()}, made.folder / "end.safetensors")
    (made.folder / "log.json").write_text(json.dumps({"lines": log.lines, "ranks": log.ranks}))
    return log.lines


def together(size: int, work: Callable[[Path], None], folder: Path) -> list[int | None]:
    """Run ``work`` in ``size`` processes that torchrun might have started; their exit codes."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_rank, args=(rank, size, work, folder)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    return [process.exitcode for process in processes]


def _rank(rank: int, size: int, work: Callable[[Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    ranks.session.place, ranks.session.title = ranks.Place(rank, size, rank), "gan/toy"
    ranks.session.store = FileStore(str(folder / "store"), size)
    try:
        work(folder)
    except Exception:
        (folder / f"error{rank}.txt").write_text(traceback.format_exc())
        sys.exit(1)
