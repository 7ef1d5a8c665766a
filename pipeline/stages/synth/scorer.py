"""Scores of candidates that follow from a split's training chips alone: label, and distance from the real ones.

A network that has seen a chip cannot say how it would score an unseen one. So the training chips are split into folds,
one small network is trained without each fold, and the chips left out say what scores and distances *unseen real*
chips get. Candidates are measured against that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ...dataset.orientations import ORIENTATIONS, oriented
from ...dataset.scaling import Scaling
from ...models.classifier import BLOCK, SHIP_CONVNET, Architecture, ShipConvNet, build, place, standardised, to_tensor
from ...models.device import Profile, prepare
from ...models.probe import drawn_equally

Chips = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FOLDS = 3
STEPS = 120
BATCH = 48
LEARNING_RATE = 3e-3
BASE_CHANNELS = 16
ROWS = 2048
"""Feature vectors compared with all others at a time, so that memory stays bounded."""


@dataclass(frozen=True)
class Scorer:
    """One network and the real chips it was trained on.

    Attributes:
        network: In evaluation mode.
        features: Standardised features of its training chips (M, D).
        labels: Their class numbers (M,).
        mean: Mean of the raw features (D,).
        width: Standard deviation of the raw features (D,).
        typical: Median distance of unseen real chips to the nearest training chip of their class, by class number.
    """

    network: ShipConvNet
    features: Floats
    labels: Labels
    mean: Floats
    width: Floats
    typical: Floats

    def measure(self, raw: Floats, labels: Labels) -> Floats:
        """Return the relative distance (N,) of chips with features (N, D)."""
        distance = nearest((raw - self.mean) / self.width, labels, self.features, self.labels)
        return np.asarray(distance / self.typical[labels])


@dataclass(frozen=True)
class Ensemble:
    """Networks of all folds, and how unseen real chips fare with them.

    Attributes:
        scorers: One for each fold.
        labels: Class numbers of the training chips (N,).
        real_score: Probability of its own class of each training chip, by the network that has not seen it (N,).
        real_distance: Its distance likewise (N,).
    """

    scorers: tuple[Scorer, ...]
    labels: Labels
    real_score: Floats
    real_distance: Floats

    def measure(self, chips: npt.NDArray[np.float32], labels: Labels) -> tuple[Floats, Floats]:
        """Return the mean over the networks of probability and distance (N,) of scaled chips (N, H, W, C)."""
        outputs = _forward([scorer.network for scorer in self.scorers], chips)
        scores = [probabilities[np.arange(len(labels)), labels] for _, probabilities in outputs]
        distances = [scorer.measure(raw, labels) for scorer, (raw, _) in zip(self.scorers, outputs, strict=True)]
        return np.mean(scores, axis=0), np.mean(distances, axis=0)


def train_ensemble(
    chips: Chips, labels: Labels, classes: tuple[str, ...], scaling: Scaling, profile: Profile, seed: int
) -> Ensemble | None:
    """Train one network without each fold of the training chips.

    Args:
        chips: Training chips (N, S, S, C) in their own dtype.
        labels: Class numbers (N,).
        classes: Class names.
        scaling: Fitted on these chips.
        profile: Device, precision, memory format, threads.
        seed: Seed of folds, weights and order.

    Returns:
        The ensemble, or None where a class has fewer than two chips for each fold: nothing can be learned from that.
    """
    smallest = min(int((labels == number).sum()) for number in range(len(classes)))
    folds = min(FOLDS, smallest // 2)
    if folds < 2:
        return None
    scaled, fold = scaling.apply(chips), _assign_folds(labels, folds, seed)
    architecture = Architecture(SHIP_CONVNET, chips.shape[3], classes, chips.shape[1], BASE_CHANNELS)
    scorers, score, distance = [], np.zeros(len(labels)), np.zeros(len(labels))
    for number in range(folds):
        trained_on, held_out = fold != number, fold == number
        network = _train(scaled[trained_on], labels[trained_on], architecture, profile, [seed, number])
        raw, _ = _forward([network], scaled[trained_on])[0]
        mean, width = raw.mean(axis=0), raw.std(axis=0) + 1e-6
        left_out, probabilities = _forward([network], scaled[held_out])[0]
        away = nearest((left_out - mean) / width, labels[held_out], (raw - mean) / width, labels[trained_on])
        typical = np.array([np.median(away[labels[held_out] == label]) for label in range(len(classes))]) + 1e-9
        scorers.append(Scorer(network, (raw - mean) / width, labels[trained_on], mean, width, typical))
        score[held_out] = probabilities[np.arange(int(held_out.sum())), labels[held_out]]
        distance[held_out] = away / typical[labels[held_out]]
    return Ensemble(tuple(scorers), labels, score, distance)


def _assign_folds(labels: Labels, folds: int, seed: int) -> Labels:
    """Assign each chip (N,) to a fold; each class is divided evenly."""
    rng = np.random.default_rng([seed, 1])
    fold = np.zeros(len(labels), np.int64)
    for number in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == number))
        fold[members] = np.arange(len(members)) % folds
    return fold


def nearest(features: Floats, labels: Labels, others: Floats, other_labels: Labels) -> Floats:
    """Return the Euclidean distance (N,) of each feature vector (N, D) to the nearest other (M, D) with its label."""
    distances = np.zeros(len(features))
    for number in np.unique(labels):
        theirs = others[other_labels == number]
        rows = np.flatnonzero(labels == number)
        for some in np.array_split(rows, -(-len(rows) // ROWS)):
            block = features[some]
            squares = (block**2).sum(1)[:, None] - 2 * block @ theirs.T + (theirs**2).sum(1)[None, :]
            distances[some] = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return distances


def _train(
    scaled: npt.NDArray[np.float32], labels: Labels, architecture: Architecture, profile: Profile, seed: list[int]
) -> ShipConvNet:
    """Train a small network for a few seconds on chips in random orientation and brightness."""
    device = prepare(profile)
    rng = np.random.default_rng([*seed, 2])
    network = build(architecture, int(rng.integers(2**31)))
    assert isinstance(network, ShipConvNet)
    place(network, device, profile).train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    members = [np.flatnonzero(labels == number) for number in range(len(architecture.classes))]
    for _ in range(STEPS):
        rows = drawn_equally(rng, members, BATCH)
        chips = to_tensor(np.ascontiguousarray(oriented(scaled[rows], int(rng.integers(ORIENTATIONS)))))
        gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(rows), 1, 1, 1)).astype(np.float32))
        shift = torch.from_numpy(rng.uniform(-0.2, 0.2, (len(rows), 1, 1, 1)).astype(np.float32))
        with profile.autocast():
            logits = network((chips * gain + shift).clamp_(-1, 1).to(device))
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels[rows]).to(device))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        rates.step()
    return network.eval()


def _forward(networks: Sequence[ShipConvNet], scaled: npt.NDArray[np.float32]) -> list[tuple[Floats, Floats]]:
    """Compute features (N, D), free of place, and class probabilities (N, K) of scaled chips (N, H, W, C) by each."""
    device = next(networks[0].parameters()).device
    blocks: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in networks]
    with torch.inference_mode():
        for start in range(0, len(scaled), BLOCK):
            chips = standardised(to_tensor(scaled[start : start + BLOCK]).to(device))  # once for all networks
            for network, block in zip(networks, blocks, strict=True):
                maps = network.body(chips).float()
                features = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
                block.append((features.cpu(), functional.softmax(network.classify(maps), dim=1).cpu()))
    joined = [[torch.cat(each).double().numpy() for each in zip(*block, strict=True)] for block in blocks]
    return [(features, probabilities) for features, probabilities in joined]
