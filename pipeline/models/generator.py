"""The conditional generator p(x|y): its network, its files, and sampling from it.

Training (:mod:`satpipe.stages.gan`) writes a folder with ``generator.safetensors``, ``generator.json`` (the card) and
``scaling.json``; whoever needs synthetic chips reads that folder with :func:`load` and calls :func:`generate`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..utils.errors import StoreError, first_line
from .layers import double, nearest_kernel

WEIGHTS = "generator.safetensors"
CARD = "generator.json"
SCALING = "scaling.json"
INITIAL = 0.02
"""Standard deviation of the initial weights (Radford et al. 2016, section 4)."""
BLOCK = 32
"""Chips computed at once. Fixed: the last bits of a convolution depend on the number of chips in it."""


@dataclass(frozen=True)
class Architecture:
    """What decides the shape of a generator.

    Attributes:
        size_px: Height and width of a chip, a multiple of 16.
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


def pyramid(size_px: int, base_channels: int) -> tuple[int, list[int]]:
    """Side of the smallest feature map, and the channels of each map from half the chip's side down to it.

    The side is halved while it is even and at least 8, which ends at 4 to 7 for most multiples of 16: 32 -> 4 in three
    steps, 64 -> 4 and 80 -> 5 in four, 160 -> 5 in five. A smaller map would have most of the weights for few pixels.

    Raises:
        ValueError: If ``size_px`` is not a positive multiple of 16.
    """
    if size_px < 16 or size_px % 16:
        raise ValueError(f"chips must have a side that is a multiple of 16, got {size_px}")
    side, channels = size_px, list[int]()
    while side % 2 == 0 and side >= 8:
        side //= 2
        channels.append(base_channels * min(8, 2 ** len(channels)))
    return side, channels


def least_weights(architecture: Architecture) -> int:
    """How many weights a generator has at least: those of its linear layer and of its convolutions, 3 x 3 or more.

    Raises:
        ValueError: If a size is no positive number.
    """
    if min(architecture.size_px, architecture.bands, architecture.classes, architecture.base_channels) < 1:
        raise ValueError("a size in the card is no positive number")
    start, channels = pyramid(architecture.size_px, architecture.base_channels)
    layers = sum(9 * wide * narrow for wide, narrow in pairwise(channels)) + 9 * channels[0] * architecture.bands
    return architecture.z_dim * channels[-1] * start**2 + layers


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are looked up by class (de Vries et al. 2017, eq. 4)."""

    def __init__(self, channels: int, classes: int) -> None:
        """Gain 1 and bias 0 for every class."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) and labels (N,) to (N, C, H, W)."""
        gain = self.gain[labels][:, :, None, None]
        bias = self.bias[labels][:, :, None, None]
        normal = self.norm(x)
        return torch.addcmul(bias.to(normal.dtype), normal, gain.to(normal.dtype))


class PlainBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that is handed the labels and ignores them."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, H, W) to (N, C, H, W)."""
        return super().forward(x)


class Doubling(nn.Module):
    """A layer that doubles height and width: a transposed convolution, or nearest neighbour and a convolution."""

    def __init__(self, inward: int, outward: int, upsampling: str, bias: bool) -> None:
        """Weights from N(0, 0.02) as in DCGAN, drawn from torch's default generator."""
        super().__init__()
        self.resize = upsampling == "resize"
        side = 3 if self.resize else 4
        self.weight = nn.Parameter(torch.empty(inward, outward, side, side))
        nn.init.normal_(self.weight, 0.0, INITIAL)
        self.bias = nn.Parameter(torch.zeros(outward)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, 2 H, 2 W)."""
        return double(x, nearest_kernel(self.weight) if self.resize else self.weight, self.bias)


class GeneratorNetwork(nn.Module):
    """Latent and label to a chip: a linear layer to the smallest map, then layers that double it (DCGAN, fig. 1)."""

    def __init__(self, architecture: Architecture) -> None:
        """Weights from N(0, 0.02) as in DCGAN, drawn from torch's default generator."""
        super().__init__()
        self.architecture = architecture
        self.start, channels = pyramid(architecture.size_px, architecture.base_channels)
        self.by_input = architecture.condition == "input"
        entry = architecture.z_dim + (architecture.classes if self.by_input else 0)
        self.entry = nn.Linear(entry, channels[-1] * self.start**2, bias=False)

        def norm(width: int) -> nn.Module:
            return PlainBatchNorm(width) if self.by_input else ConditionalBatchNorm(width, architecture.classes)

        down = channels[::-1]
        self.norms = nn.ModuleList([norm(width) for width in down])
        layers = [Doubling(wide, narrow, architecture.upsampling, bias=False) for wide, narrow in pairwise(down)]
        layers.append(Doubling(down[-1], architecture.bands, architecture.upsampling, bias=True))
        self.layers = nn.ModuleList(layers)
        nn.init.normal_(self.entry.weight, 0.0, INITIAL)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Latents (N, z_dim) float32 and labels (N,) int64 to chips (N, bands, H, W) in [-1, 1]."""
        if self.by_input:
            z = torch.cat([z, F.one_hot(labels, self.architecture.classes).to(z.dtype)], dim=1)
        x = self.entry(z).view(len(z), self.start, self.start, -1).permute(0, 3, 1, 2)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(F.relu(norm(x, labels), inplace=True))
        return torch.tanh(x.float())


@dataclass(frozen=True)
class Generator:
    """A trained generator, ready to sample from.

    Attributes:
        network: In evaluation mode, fp32.
        classes: Class names; the position is the class number.
        card: What ``generator.json`` says.
    """

    network: GeneratorNetwork
    classes: tuple[str, ...]
    card: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a chip."""
        architecture = self.network.architecture
        return architecture.size_px, architecture.size_px, architecture.bands


def save(network: GeneratorNetwork, classes: tuple[str, ...], card: dict[str, Any], folder: Path) -> None:
    """Write weights and card; the card gets the architecture and the classes beside what is in ``card``."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    full = {"format": 1, "architecture": asdict(network.architecture), "classes": list(classes), **card}
    (folder / CARD).write_text(json.dumps(full, indent=1) + "\n", "utf-8")


def load(folder: Path, device: str | torch.device = "cpu") -> Generator:
    """Read a folder that :func:`save` wrote.

    Raises:
        StoreError: If the folder holds no generator, or one of another version.
    """
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
        tensors = load_file(folder / WEIGHTS, device=str(device))
        architecture = Architecture(**card["architecture"])
        if not 0 < least_weights(architecture) <= sum(tensor.numel() for tensor in tensors.values()):
            raise ValueError("its weights are not those of its card")  # a card can claim a network of any size
        network = GeneratorNetwork(architecture).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.load_state_dict(tensors)
        classes = tuple(card["classes"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = first_line(error)
        raise StoreError(
            f"{folder} holds no generator that can be read ({reason}); train one with `satpipe run gan`"
        ) from None
    return Generator(network.eval(), classes, card)


def latents(seeds: npt.ArrayLike, z_dim: int, truncation: float = 1.0) -> npt.NDArray[np.float32]:
    """Latents (N, z_dim) float32, each row from N(0, truncation^2) by its own seed."""
    rows = [np.random.default_rng(int(seed)).standard_normal(z_dim, dtype=np.float32) for seed in np.asarray(seeds)]
    return np.stack(rows) * np.float32(truncation) if rows else np.zeros((0, z_dim), np.float32)


def generate(
    generator: Generator, labels: npt.ArrayLike, seeds: npt.ArrayLike, truncation: float = 1.0
) -> npt.NDArray[np.float32]:
    """Chips (N, H, W, C) float32 in [-1, 1].

    A chip depends on its own label and seed, not on the others: it has the same bytes in any call on one machine.

    Args:
        generator: From :func:`load`.
        labels: Class numbers (N,).
        seeds: Non-negative integers (N,).
        truncation: Standard deviation of z; below 1 trades variety for typical chips.

    Raises:
        ValueError: If labels and seeds differ in number, or a label is no class number.
    """
    numbers, wanted = np.asarray(labels, np.int64), np.asarray(seeds)
    architecture = generator.network.architecture
    if numbers.shape != wanted.shape or numbers.ndim != 1:
        raise ValueError(f"labels {numbers.shape} and seeds {wanted.shape} must be two lists of one length")
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < architecture.classes:
        raise ValueError(f"labels must be 0 to {architecture.classes - 1}, got {numbers.min()} to {numbers.max()}")
    out = np.empty((len(numbers), *generator.shape), np.float32)
    for start in range(0, len(numbers), BLOCK):
        rows = slice(start, min(start + BLOCK, len(numbers)))
        z = latents(wanted[rows], architecture.z_dim, truncation)
        out[rows] = sample(generator.network, z, numbers[rows])
    return out


@torch.no_grad()
def sample(
    network: GeneratorNetwork, z: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """At most :data:`BLOCK` chips (N, H, W, C) of latents (N, z_dim) and labels (N,), padded to a full block."""
    device = next(network.parameters()).device
    missing = BLOCK - len(z)
    full_z = torch.from_numpy(np.pad(z, ((0, missing), (0, 0)))).to(device)
    full_labels = torch.from_numpy(np.pad(labels, (0, missing))).to(device)
    chips = network(full_z, full_labels)[: len(z)]
    out: npt.NDArray[np.float32] = chips.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return out
