"""What the ship ConvNet is measured against in ``classifiers.py``: two larger networks, and a support vector machine.

The networks are named as a user would name one of his own, ``classify.model: classifier_networks:deeper``.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from satpipe.dataset.orientations import ORIENTATIONS, oriented
from satpipe.models.classifier import ShipConvNet, standardised
from torch import Tensor, nn

Floats = npt.NDArray[np.float64]
WIDER = 48
BLOCK_CHANNELS = 24
CELL, BINS, COLOURS = 8, 9, 16


def wider(bands: int, classes: int, size_px: int) -> nn.Module:
    """Build the ship ConvNet with three times its channels."""
    return ShipConvNet(bands, classes, size_px, WIDER)


def deeper(bands: int, classes: int, size_px: int) -> nn.Module:
    """Build a residual network with twice the convolutions of the ship ConvNet (He et al. 2016, basic blocks)."""
    return Deeper(bands, classes, size_px, BLOCK_CHANNELS)


class Residual(nn.Module):
    """Two 3 x 3 convolutions past which the input is added; halves the side where ``halve`` says so."""

    def __init__(self, narrow: int, wide: int, halve: bool) -> None:
        """Build the block."""
        super().__init__()
        self.halve = nn.MaxPool2d(2) if halve else nn.Identity()
        self.body = nn.Sequential(
            nn.Conv2d(narrow, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
        )
        self.past = nn.Conv2d(narrow, wide, 1, bias=False) if narrow != wide else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Map maps (N, narrow, H, W) to maps (N, wide, H or H / 2, W or W / 2)."""
        maps = self.halve(maps)
        summed: Tensor = self.body(maps) + self.past(maps)
        return summed.relu()


class Deeper(nn.Module):
    """Strided first convolution, residual blocks, and all places of the last maps in the decision."""

    def __init__(self, bands: int, classes: int, size_px: int, base_channels: int) -> None:
        """Build the network."""
        super().__init__()
        stages = max(2, int(math.log2(size_px / 4)))
        widths = [min(base_channels * 2**stage, base_channels * 16) for stage in range(stages)]
        first = nn.Conv2d(bands, widths[0], 5, stride=2, padding=2, bias=False)
        blocks: list[nn.Module] = [Residual(widths[0], widths[0], halve=False)]
        blocks += [Residual(narrow, wide, halve=True) for narrow, wide in pairwise(widths)]
        self.body = nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU(), *blocks)
        self.head = nn.Linear(widths[-1] * (size_px // 2**stages) ** 2, classes)

    def forward(self, chips: Tensor) -> Tensor:
        """Map chips (N, bands, size_px, size_px) in [-1, 1] to logits (N, classes)."""
        logits: Tensor = self.head(self.body(standardised(chips)).flatten(1))
        return logits


# --------------------------------------------------------------------------------------- HOG and colour with an SVM


def hog(grey: Floats) -> Floats:
    """Compute histograms of oriented gradients (Dalal and Triggs 2005): 8 x 8 cells, 9 bins, 2 x 2 blocks, L2-Hys.

    Args:
        grey: (N, S, S); S is a multiple of 8.

    Returns:
        (N, blocks * 36).
    """
    number, size = len(grey), grey.shape[1]
    down, right = np.zeros_like(grey), np.zeros_like(grey)
    down[:, 1:-1], right[:, :, 1:-1] = grey[:, 2:] - grey[:, :-2], grey[:, :, 2:] - grey[:, :, :-2]
    strength = np.hypot(down, right)
    place = (np.arctan2(down, right) % np.pi) / np.pi * BINS - 0.5
    lower = np.floor(place)
    share = place - lower
    cells = size // CELL
    counts = np.zeros((number, cells, cells, BINS))
    for bins, weight in ((lower, strength * (1 - share)), (lower + 1, strength * share)):
        for bin_index in range(BINS):
            in_bin = np.where(bins.astype(np.int64) % BINS == bin_index, weight, 0.0)
            counts[..., bin_index] += in_bin.reshape(number, cells, CELL, cells, CELL).sum((2, 4))
    blocks = np.concatenate([counts[:, i : cells - 1 + i, j : cells - 1 + j] for i in (0, 1) for j in (0, 1)], axis=-1)
    for _ in range(2):
        blocks = np.minimum(blocks / np.sqrt(np.square(blocks).sum(-1, keepdims=True) + 1e-6), 0.2)
    return blocks.reshape(number, -1)


def features(chips: npt.NDArray[Any], high: float) -> Floats:
    """Compute HOG of the grey chip, and of each band histogram, mean and deviation: (N, D) of chips (N, S, S, C)."""
    scaled = chips.astype(np.float64) / high
    bins = np.minimum((scaled * COLOURS).astype(np.int64), COLOURS - 1)
    flat = bins.reshape(len(chips), -1, chips.shape[3])
    colours = [np.sqrt((flat == colour).mean(1)) for colour in range(COLOURS)]
    return np.concatenate([hog(scaled.mean(3)), *colours, scaled.mean((1, 2)), scaled.std((1, 2))], axis=1)


def svm_decisions(
    train: tuple[npt.NDArray[Any], npt.NDArray[np.int64]],
    chosen_by: tuple[npt.NDArray[Any], npt.NDArray[np.int64]],
    evaluated: npt.NDArray[Any],
    high: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the decision values of an SVM with a Gaussian kernel, for validation chips and for test chips.

    It has what the networks have: the chips in all eight orientations to train with, the mean over them to decide, and
    its two settings from the chips that choose the networks' step and threshold.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    inputs = np.concatenate([features(oriented(train[0], number), high) for number in range(ORIENTATIONS)])
    labels = np.tile(train[1], ORIENTATIONS)

    def decisions(model: Any, chips: npt.NDArray[Any]) -> Floats:
        each = [model.decision_function(features(oriented(chips, number), high)) for number in range(ORIENTATIONS)]
        return np.asarray(np.mean(each, axis=0))

    best: tuple[float, Any] | None = None
    for penalty in (1.0, 10.0):
        for width in (0.3, 1.0):
            machine = SVC(
                C=penalty, gamma=width / inputs.shape[1], class_weight="balanced", random_state=seed, cache_size=500
            )
            model = make_pipeline(StandardScaler(), machine).fit(inputs, labels)
            reached = roc_auc_score(chosen_by[1] > 0, decisions(model, chosen_by[0]))
            if best is None or reached > best[0]:
                best = (float(reached), model)
    assert best is not None
    return decisions(best[1], chosen_by[0]), decisions(best[1], evaluated)
