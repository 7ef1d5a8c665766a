"""A small network whose features tell chips apart, trained on a split's training chips and nothing else.

It learns two things at once: a chip's class, and to find the other view of the same chip among all chips of a batch
(Chen et al. 2020, arXiv:2002.05709, eq. 1). Views differ only by what a chip of the same quality may differ in: a
flip or turn, a small shift, light. Blur, texture and shape stay, so that features notice a generator's.

A chip's features are the mean and the deviation of every map of every layer, not what the last layer makes of them. The
last layer has learned to overlook what real chips do not show, such as a checkerboard; the first ones have not. The
principal components of the training chips' values, each with variance 1, make them few and comparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...dataset.orientations import ORIENTATIONS, orient_each
from ...models.device import Profile
from ...models.probe import drawn_equally
from .augment import augment, draw
from .metrics import Features

WIDTHS = (16, 32, 64, 64)
DIMENSIONS = 64
"""Most features of a chip."""
CHIPS_A_DIMENSION = 4
"""Training chips for each feature, or there are fewer: components that few chips fix are noise."""
STEPS = 100
BATCH = 48
TEMPERATURE = 0.2
LEARNING_RATE = 2e-3
CLASS_WEIGHT = 0.3
"""More, and features of training chips part from those of other real chips of their class."""
VIEW_COLOUR = 0.3
VIEW_TRANSLATION = 0.06
BLOCK = 128
"""Chips computed at once; padded, so that a chip's features do not depend on how many are asked for."""


class FeatureNetwork(nn.Module):
    """Strided convolutions, mean and deviation of each map over the chip, and a linear layer."""

    def __init__(self, bands: int, classes: int) -> None:
        """Draw weights by torch's default rules, with its default generator."""
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((bands, *WIDTHS)):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers)
        self.exit = nn.Linear(2 * WIDTHS[-1], DIMENSIONS)
        self.classes = nn.Linear(DIMENSIONS, classes)
        self.views = nn.Sequential(nn.ReLU(), nn.Linear(DIMENSIONS, DIMENSIONS))

    def forward(self, chips: Tensor) -> Tensor:
        """Map chips (N, C, H, W) in [-1, 1] to features that tell classes and views apart, (N, DIMENSIONS)."""
        features: Tensor = self.exit(statistics(self.body(chips)))
        return features

    def every_layer(self, chips: Tensor) -> Tensor:
        """Map chips (N, C, H, W) in [-1, 1] to mean and deviation of every map of each layer, (N, 2 sum(WIDTHS))."""
        outputs = []
        for module in self.body:
            chips = module(chips)
            if isinstance(module, nn.LeakyReLU):
                outputs.append(statistics(chips))
        return torch.cat(outputs, dim=1)


def statistics(maps: Tensor) -> Tensor:
    """Return the mean and deviation over the chip of each of the maps (N, C, H, W), float32 (N, 2 C)."""
    flat = maps.float().flatten(2)
    mean = flat.mean(2)
    deviation = ((flat - mean[:, :, None]).square().mean(2) + 1e-5).sqrt()
    return torch.cat([mean, deviation], dim=1)


@dataclass(frozen=True)
class Embedding:
    """A trained feature network, and the principal components of the training chips' values.

    Attributes:
        network: In evaluation mode.
        mean: Of the training chips' values (V,).
        components: (V, D); the training chips' features have variance 1 and do not correlate.
    """

    network: FeatureNetwork
    mean: npt.NDArray[np.float64]
    components: npt.NDArray[np.float64]

    def __call__(self, chips: npt.NDArray[np.float32]) -> Features:
        """Map chips (N, H, W, C) in [-1, 1] to features (N, D) float64."""
        raw = _raw(self.network, chips)
        # In blocks of one size, as the network computes: the last bits of a product depend on the number of its rows.
        centred = np.zeros((-(-len(raw) // BLOCK), BLOCK, raw.shape[1]))
        centred.reshape(-1, raw.shape[1])[: len(raw)] = raw - self.mean
        products = [block @ self.components for block in centred]
        return np.concatenate(products)[: len(raw)] if products else np.empty((0, self.components.shape[1]))


def learn(chips: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], seed: int, profile: Profile) -> Embedding:
    """Train on chips (N, H, W, C) in [-1, 1] with class numbers (N,); the result follows from the arguments alone."""
    device = torch.device(profile.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FeatureNetwork(chips.shape[-1], int(labels.max()) + 1)
    network = network.to(device, memory_format=profile.torch_format())  # type: ignore[call-overload]
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2, fused=True)
    # Classes are drawn equally: with few ships among much water, features of ships would hardly be learned.
    pools = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    for step in range(STEPS):
        rng = np.random.default_rng([seed, step])
        chosen = drawn_equally(rng, pools, BATCH)
        views = [_view(chips[chosen], rng, device) for _ in range(2)]
        target = torch.from_numpy(labels[chosen]).to(device)
        with profile.autocast():
            features = network(torch.cat(views))
            logits, projected = network.classes(features).float(), network.views(features).float()
        same = torch.from_numpy(chosen[:, None] == chosen[None]).to(device)
        loss = CLASS_WEIGHT * F.cross_entropy(logits, target.repeat(2)) + contrast(projected, same)
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        adam.step()
    network.eval()
    raw = _raw(network, chips)
    return Embedding(network, raw.mean(0), whitening(raw, min(DIMENSIONS, max(1, len(raw) // CHIPS_A_DIMENSION))))


def whitening(values: npt.NDArray[np.float64], dimensions: int) -> npt.NDArray[np.float64]:
    """Return the first principal components of values (N, V), divided by their deviation: (V, at most ``dimensions``).

    Components without variance are left out.
    """
    _, scales, directions = np.linalg.svd(values - values.mean(0), full_matrices=False)
    deviations = scales[:dimensions] / np.sqrt(len(values))
    distinguishable = deviations > 1e-6 * max(float(deviations[0]), 1e-6)
    components: npt.NDArray[np.float64] = directions[:dimensions][distinguishable].T / deviations[distinguishable]
    return components


def contrast(projected: Tensor, same: Tensor) -> Tensor:
    """Compute NT-Xent: each view should be nearest to the other view of its chip (Chen et al. 2020, eq. 1).

    Args:
        projected: (2 B, D), the first views and then the second ones.
        same: (B, B) true where two places of the batch hold the same chip; those are not compared with each other.
    """
    count = len(same)
    unit = F.normalize(projected, dim=1)
    similarity = unit @ unit.T / TEMPERATURE
    partner = torch.arange(2 * count, device=unit.device).roll(count)
    excluded = same.repeat(2, 2)
    excluded[torch.arange(2 * count, device=unit.device), partner] = False
    return F.cross_entropy(similarity.masked_fill(excluded, float("-inf")), partner)


def _view(chips: npt.NDArray[np.float32], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Flip or rotate chips, shift and tint them a little; a tensor (N, C, H, W)."""
    count, sides = len(chips), (chips.shape[1], chips.shape[2])
    tensor = torch.from_numpy(orient_each(chips, rng.integers(0, ORIENTATIONS, count))).to(device).permute(0, 3, 1, 2)
    changes = draw(rng, count, sides, colour=VIEW_COLOUR, translation=VIEW_TRANSLATION)
    return augment(tensor, changes and changes.each(lambda values: values.to(device)))


@torch.no_grad()
def _raw(network: FeatureNetwork, chips: npt.NDArray[np.float32]) -> Features:
    """Compute the values of every layer (N, V), in fp32."""
    device = next(network.parameters()).device
    out = np.empty((len(chips), 2 * sum(WIDTHS)))
    for start in range(0, len(chips), BLOCK):
        part = np.ascontiguousarray(chips[start : start + BLOCK])
        full = np.concatenate([part, np.zeros((BLOCK - len(part), *part.shape[1:]), np.float32)])
        features = network.every_layer(torch.from_numpy(full).to(device).permute(0, 3, 1, 2))
        out[start : start + len(part)] = features[: len(part)].cpu().numpy()
    return out
