"""Evaluate the generator while it trains: settle its statistics, measure it, draw it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...dataset.contact_sheet import draw_sheet, to_rgb
from ...models.networks import BLOCK, GeneratorNetwork, latents, sample
from .batches import Batches
from .log import Line

SETTLE_STEPS = 16
"""Batches over which batch norm statistics are taken anew."""
SHEET_COLUMNS = 10
SHEET_ROWS = 2
"""Rows of each class in a sample sheet."""

Measure = Callable[[GeneratorNetwork], dict[str, Any]]
"""Judges a settled generator: what to log, with `score` (lower is better) where there is something to compare with."""


@torch.no_grad()
def settle(network: GeneratorNetwork, batches: Batches) -> GeneratorNetwork:
    """Take the batch norm statistics of averaged weights anew, over fixed batches, and go to evaluation mode.

    Statistics gathered while the weights moved belong to other weights (standing statistics of Brock et al. 2019,
    arXiv:1809.11096, section 4.1).
    """
    device = next(network.parameters()).device
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
    network.train()
    for step in range(SETTLE_STEPS):
        labels = torch.from_numpy(batches.labels[batches.choose(step)]).to(device)
        z = torch.from_numpy(batches.latents(step, network.architecture.z_dim)).to(device)
        network(z, labels)
    return network.eval()


def validate(network: GeneratorNetwork, batches: Batches, line: Line, measure: Measure) -> Line:
    """Settle the generator and complete the log's ``line``; one whose losses are no numbers is not evaluated."""
    losses = line["loss_discriminator"], line["loss_generator"]
    if not np.isfinite(losses).all():
        return line
    return line | measure(settle(network, batches))


def write_sheet(network: GeneratorNetwork, path: Path) -> None:
    """Write rows of chips of each class as PNG, of the same latents in every sheet, so that they can be compared."""
    path.parent.mkdir(exist_ok=True)
    labels = np.repeat(np.arange(network.architecture.classes), SHEET_ROWS * SHEET_COLUMNS)
    z = latents(range(len(labels)), network.architecture.z_dim)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(z), BLOCK)]
    values = np.concatenate([sample(network, z[block], labels[block]) for block in blocks])
    draw_sheet([to_rgb(values)], SHEET_COLUMNS).save(path)
