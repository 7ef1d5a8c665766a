"""Generator's network: a conditional DCGAN of chips, or of layers, and sampling from it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import double, nearest_kernel

INITIAL = 0.02
"""Standard deviation of the initial weights (Radford et al. 2016, section 4)."""
BLOCK = 32
"""Chips computed at once. Fixed: the last bits of a convolution depend on the number of chips in it."""


@dataclass(frozen=True)
class Architecture:
    """Settings that decide the shape of a generator.

    Attributes:
        size_px: Height of what it makes: of a chip a multiple of 16, of a layer one of 8.
        bands: Bands of a chip.
        classes: Number of classes.
        z_dim: Length of the latent vector.
        base_channels: Channels at half the chip's resolution; each halving doubles them, up to eight times.
        condition: Where the label goes in: beside z at the ``input``, or into each ``batchnorm``'s gain and bias
            (de Vries et al. 2017, arXiv:1707.00683).
        upsampling: ``transposed`` convolution, or ``resize`` (nearest) and convolution (Odena et al. 2016,
            doi:10.23915/distill.00003).
    """

    size_px: int
    bands: int
    classes: int
    z_dim: int
    base_channels: int
    condition: Literal["input", "batchnorm"]
    upsampling: Literal["transposed", "resize"]
    width_px: int | None = None
    """Width of what it makes; None is as wide as high."""
    layer: bool = False
    """Whether it makes layers: bands premultiplied by alpha, which is one more channel, see
    :mod:`satpipe.composition.layers`."""

    @property
    def sides(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.size_px, self.width_px or self.size_px

    @property
    def channels(self) -> int:
        """Return the channels of what it makes: the bands, and the alpha of a layer."""
        return self.bands + self.layer


def pyramid(sides: tuple[int, int], base_channels: int) -> tuple[tuple[int, int], list[int]]:
    """Return the sides of the smallest feature map, and the channels of each map from half the sides down to it.

    Both sides are halved while they are even and the larger is at least 8, which ends at 4 to 7 for most chips: 32 -> 4
    in three steps, 64 -> 4 and 80 -> 5 in four, 160 -> 5 in five, and a layer of 32 x 80 at 2 x 5. A smaller map would
    have most of the weights for few pixels.

    Raises:
        ValueError: If a side is less than 16, or a square is no multiple of 16 or another shape none of 8.
    """
    rows, cols = sides
    multiple = 16 if rows == cols else 8
    if min(sides) < 16 or rows % multiple or cols % multiple:
        raise ValueError(f"sides must be multiples of {multiple} and at least 16, got {rows} x {cols}")
    channels = list[int]()
    while rows % 2 == 0 and cols % 2 == 0 and max(rows, cols) >= 8:
        rows, cols = rows // 2, cols // 2
        channels.append(base_channels * min(8, 2 ** len(channels)))
    return (rows, cols), channels


def least_weights(architecture: Architecture) -> int:
    """Return how many weights a generator has at least: its linear layer, and its convolutions of 3 x 3 or more.

    Raises:
        ValueError: If a size is no positive number.
    """
    if min(architecture.size_px, architecture.bands, architecture.classes, architecture.base_channels) < 1:
        raise ValueError("a size in the card is not a positive number")
    (rows, cols), channels = pyramid(architecture.sides, architecture.base_channels)
    layers = sum(9 * wide * narrow for wide, narrow in pairwise(channels)) + 9 * channels[0] * architecture.bands
    return architecture.z_dim * channels[-1] * rows * cols + layers


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are looked up by class (de Vries et al. 2017, eq. 4)."""

    def __init__(self, channels: int, classes: int) -> None:
        """Begin with gain 1 and bias 0 for every class."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Map (N, C, H, W) and labels (N,) to (N, C, H, W)."""
        gain = self.gain[labels][:, :, None, None]
        bias = self.bias[labels][:, :, None, None]
        normal = self.norm(x)
        return torch.addcmul(bias.to(normal.dtype), normal, gain.to(normal.dtype))


class PlainBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that is handed the labels and ignores them."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """Map (N, C, H, W) to (N, C, H, W)."""
        return super().forward(x)


class Doubling(nn.Module):
    """A layer that doubles height and width: a transposed convolution, or nearest neighbour and a convolution."""

    def __init__(self, inward: int, outward: int, upsampling: str, bias: bool) -> None:
        """Draw weights from N(0, 0.02) as in DCGAN, with torch's default generator."""
        super().__init__()
        self.resize = upsampling == "resize"
        side = 3 if self.resize else 4
        self.weight = nn.Parameter(torch.empty(inward, outward, side, side))
        nn.init.normal_(self.weight, 0.0, INITIAL)
        self.bias = nn.Parameter(torch.zeros(outward)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, 2 H, 2 W)."""
        return double(x, nearest_kernel(self.weight) if self.resize else self.weight, self.bias)


class GeneratorNetwork(nn.Module):
    """Latent and label to a chip: a linear layer to the smallest map, then layers that double it (DCGAN, fig. 1)."""

    def __init__(self, architecture: Architecture) -> None:
        """Draw weights from N(0, 0.02) as in DCGAN, with torch's default generator."""
        super().__init__()
        self.architecture = architecture
        self.start, channels = pyramid(architecture.sides, architecture.base_channels)
        self.by_input = architecture.condition == "input"
        entry = architecture.z_dim + (architecture.classes if self.by_input else 0)
        self.entry = nn.Linear(entry, channels[-1] * self.start[0] * self.start[1], bias=False)

        def norm(width: int) -> nn.Module:
            return PlainBatchNorm(width) if self.by_input else ConditionalBatchNorm(width, architecture.classes)

        down = channels[::-1]
        self.norms = nn.ModuleList([norm(width) for width in down])
        layers = [Doubling(wide, narrow, architecture.upsampling, bias=False) for wide, narrow in pairwise(down)]
        layers.append(Doubling(down[-1], architecture.channels, architecture.upsampling, bias=True))
        self.layers = nn.ModuleList(layers)
        nn.init.normal_(self.entry.weight, 0.0, INITIAL)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Map latents (N, z_dim) float32 and labels (N,) int64 to chips (N, bands, H, W) in [-1, 1].

        Layers have one channel more, alpha from 0 to 1, and bands from -alpha to alpha.
        """
        if self.by_input:
            z = torch.cat([z, F.one_hot(labels, self.architecture.classes).to(z.dtype)], dim=1)
        x = self.entry(z).unflatten(1, (*self.start, -1)).permute(0, 3, 1, 2)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(F.relu(norm(x, labels), inplace=True))
        x = x.float()
        if not self.architecture.layer:
            return torch.tanh(x)
        x = x.contiguous()  # bands first: three of four channels beside each other take several times as long
        alpha = torch.sigmoid(2 * x[:, -1:])
        return torch.cat([torch.tanh(x[:, :-1]) * alpha, alpha], dim=1)


def latents(seeds: npt.ArrayLike, z_dim: int, truncation: float = 1.0) -> npt.NDArray[np.float32]:
    """Draw latents (N, z_dim) float32, each row from N(0, truncation^2) by its own seed."""
    rows = [np.random.default_rng(int(seed)).standard_normal(z_dim, dtype=np.float32) for seed in np.asarray(seeds)]
    return np.stack(rows) * np.float32(truncation) if rows else np.zeros((0, z_dim), np.float32)


@torch.no_grad()
def sample(
    network: GeneratorNetwork, z: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Generate at most :data:`BLOCK` chips (N, H, W, C) of latents (N, z_dim) and labels (N,), in a full block."""
    device = next(network.parameters()).device
    missing = BLOCK - len(z)
    full_z = torch.from_numpy(np.pad(z, ((0, missing), (0, 0)))).to(device)
    full_labels = torch.from_numpy(np.pad(labels, (0, missing))).to(device)
    chips = network(full_z, full_labels)[: len(z)]
    out: npt.NDArray[np.float32] = chips.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return out
