"""Ship ConvNet, and a trained classifier on disk: what training writes and what detection and screening read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ..dataset.orientations import BY_FLIPS, STEPS
from ..dataset.scaling import Scaling
from ..utils.bounded_files import read_json
from ..utils.errors import ConfigError, StoreError, first_line
from .device import Profile

WEIGHTS = "classifier.safetensors"
CARD = "classifier.json"
SHIP_CONVNET = "ship-convnet"
CONTRAST_FLOOR = 0.1
"""Added to a chip's standard deviation before dividing by it; a twentieth of the range of [-1, 1]."""
BLOCK = 256
"""Chips of one forward pass, so that memory stays bounded."""

Factory = Callable[[int, int, int], nn.Module]
"""What ``classify.model`` names: ``factory(bands, classes, size_px)`` returns a module from chips (N, bands, size_px,
size_px) in [-1, 1] to logits (N, classes)."""


@dataclass(frozen=True)
class Architecture:
    """Settings that decide the shape of the network's weights.

    Attributes:
        name: :data:`SHIP_CONVNET`, or the user's ``package.module:factory``.
        bands: Bands of a chip.
        classes: Class names; the position is the class number, the first is the background.
        size_px: Height and width of a chip.
        base_channels: Channels of the ship ConvNet's first layer.
    """

    name: str
    bands: int
    classes: tuple[str, ...]
    size_px: int
    base_channels: int


class ShipConvNet(nn.Module):
    """A small convolutional network for chips whose side is a multiple of 16.

    Each chip is standardised first, so that haze, sun and season of a scene matter less than what the chip shows. A
    strided 5 x 5 convolution then halves it, which saves three quarters of the work where chips are large against what
    they show. Stages of maximum, batch normalisation, ReLU and convolution follow, each half as high and wide and twice
    as deep, until four to seven pixels are left on a side. All positions of the last maps enter the decision, each with
    weights of its own: a labelled chip is centred on its object, so where something lies matters.
    """

    def __init__(self, bands: int, classes: int, size_px: int, base_channels: int) -> None:
        """Build the network.

        Args:
            bands: Bands of a chip.
            classes: Number of classes.
            size_px: Height and width of a chip, a multiple of 16; decides the number of stages.
            base_channels: Channels of the first stage.
        """
        super().__init__()
        widths, side = layout(size_px, base_channels)
        layers: list[nn.Module] = [nn.Conv2d(bands, widths[0], 5, stride=2, padding=2, bias=False)]
        for narrow, wide in pairwise(widths):
            # The maximum comes first: normalisation and ReLU then have a quarter of the values to work on.
            layers += [nn.MaxPool2d(2), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(narrow, wide, 3, padding=1, bias=False)]
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
        self.head = nn.Linear(widths[-1] * side**2, classes)

    def classify(self, maps: Tensor) -> Tensor:
        """Map last feature maps (N, D, side, side) to logits (N, classes)."""
        # The weights follow the maps, channels last: gradients of maps in another order slow down what comes before.
        weights = self.head.weight.view(-1, *maps.shape[1:]).permute(0, 2, 3, 1).flatten(1)
        return functional.linear(maps.permute(0, 2, 3, 1).flatten(1), weights, self.head.bias)

    def of_standardised(self, chips: Tensor) -> Tensor:
        """Map what :func:`standardised` returns to logits (N, classes)."""
        return self.classify(self.body(chips))

    def forward(self, chips: Tensor) -> Tensor:
        """Map chips (N, bands, size_px, size_px) in [-1, 1] to logits (N, classes)."""
        return self.of_standardised(standardised(chips))


def layout(size_px: int, base_channels: int) -> tuple[list[int], int]:
    """Return the channels of each stage of the ship ConvNet, and the side of its last maps."""
    stages = max(2, int(math.log2(size_px / 4)))
    return [min(base_channels * 2**stage, base_channels * 16) for stage in range(stages)], size_px // 2**stages


def least_weights(architecture: Architecture) -> int:
    """Return how many weights a ship ConvNet has at least: those of its convolutions and of its linear layer.

    Raises:
        ValueError: If a size is no positive number.
    """
    if min(architecture.size_px, architecture.bands, architecture.base_channels) < 1:
        raise ValueError("a size in the card is not a positive number")
    widths, side = layout(architecture.size_px, architecture.base_channels)
    inner = sum(9 * narrow * wide for narrow, wide in pairwise(widths))
    return 25 * architecture.bands * widths[0] + inner + len(architecture.classes) * widths[-1] * side**2


def standardised(chips: Tensor) -> Tensor:
    """Subtract each band's mean from chips (N, C, H, W), and divide by the chip's contrast.

    The floor keeps the noise of flat water from being blown up to the contrast of a harbour.
    """
    # Whole rows at a time: over an axis of few bands, as chips have it in memory, it takes twice as long.
    rows = chips.permute(0, 2, 3, 1)
    centred = rows.flatten(2) - chips.mean((2, 3)).repeat(1, rows.shape[2])[:, None]
    contrast = torch.linalg.vector_norm(centred, dim=(1, 2), keepdim=True) / math.sqrt(chips[0].numel())
    result: Tensor = (centred / (contrast + CONTRAST_FLOOR)).view(rows.shape).permute(0, 3, 1, 2)
    return result


def build(architecture: Architecture, seed: int) -> nn.Module:
    """Build a network with the initial weights of ``seed``, without touching the global random state.

    Raises:
        ConfigError: If the user's factory cannot be imported, is no function, or returns something of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture.name == SHIP_CONVNET:
            return ShipConvNet(
                architecture.bands, len(architecture.classes), architecture.size_px, architecture.base_channels
            )
        return _users_network(architecture)


def _users_network(architecture: Architecture) -> nn.Module:
    """Build the user's network, and try it on one batch."""
    name = architecture.name
    module_name, _, function = name.partition(":")
    try:
        factory: Factory = getattr(import_module(module_name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"classify.model: {name} cannot be imported ({error}); name it package.module:factory"
        ) from None
    if not callable(factory):
        raise ConfigError(f"classify.model: {name} is not a function; it is called with (bands, classes, size_px)")
    size, classes = architecture.size_px, len(architecture.classes)
    network = factory(architecture.bands, classes, size)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"classify.model: {name} returned {type(network).__name__}, not a torch.nn.Module")
    network.eval()
    with torch.no_grad():
        shape = tuple(network(torch.zeros(2, architecture.bands, size, size)).shape)
    if shape != (2, classes):
        raise ConfigError(f"classify.model: {name} gives logits {shape} for two chips, expected {(2, classes)}")
    return network


def place(network: nn.Module, device: torch.device, profile: Profile) -> nn.Module:
    """Move the network to its device, in the profile's memory format."""
    placed: nn.Module = network.to(device, memory_format=profile.torch_format())  # type: ignore[call-overload]
    return placed


def to_tensor(scaled: npt.NDArray[np.float32]) -> Tensor:
    """View scaled chips (N, H, W, C) as (N, C, H, W) without a copy; that is torch's channels-last already."""
    return torch.from_numpy(scaled).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, ready for use.

    Attributes:
        architecture: Shape of the network.
        network: The weights, in evaluation mode.
        scaling: From chip values to the network's range, fitted on the training chips.
        temperature: Divides the logits (Guo et al. 2017, eq. 9), fitted on validation chips.
        threshold: Score above which a chip is not background, chosen on validation chips.
        card: Everything else that is known about it, as JSON types.
        orientations: Over how many of the eight flips and quarter turns of a chip its logits are averaged: 1 or 8.
    """

    architecture: Architecture
    network: nn.Module
    scaling: Scaling
    temperature: float
    threshold: float
    card: dict[str, Any]
    orientations: int = 1

    def logits(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Return raw logits (N, K) of chips (N, H, W, C) in their own dtype."""
        return run_blocks(self.network, self.scaling, chips, self.orientations)

    def probabilities(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return calibrated class probabilities (N, K) of chips (N, H, W, C) in their own dtype."""
        return softmax(self.logits(chips), self.temperature)

    def scores(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return calibrated probability (N,) that a chip is not background."""
        return 1.0 - self.probabilities(chips)[:, 0]

    def predict(self, chips: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the class indices (N,) by the threshold, and the scores (N,)."""
        probabilities = self.probabilities(chips)
        return decide(probabilities, self.threshold), 1.0 - probabilities[:, 0]

    def save(self, folder: Path) -> None:
        """Write weights and card into ``folder``."""
        save_weights(self.network, folder / WEIGHTS)
        metadata = {
            "architecture": self.architecture.name,
            "bands": self.architecture.bands,
            "classes": list(self.architecture.classes),
            "size_px": self.architecture.size_px,
            "base_channels": self.architecture.base_channels,
            "scaling": {"low": self.scaling.low, "high": self.scaling.high, "dtype": self.scaling.dtype},
            "temperature": self.temperature,
            "threshold": self.threshold,
            "orientations": self.orientations,
        }
        text = json.dumps({**self.card, **metadata}, indent=1, sort_keys=True, allow_nan=False)
        (folder / CARD).write_text(text + "\n", "utf-8")


def load(folder: Path, device: str | torch.device = "cpu", model: str = SHIP_CONVNET) -> Classifier:
    """Load a classifier that :meth:`Classifier.save` wrote.

    Args:
        folder: Where weights and card lie.
        device: Where to run it.
        model: The architecture that the caller trusts. A card can name any function of any importable module, so it
            is followed only where the caller's own configuration names the same one.

    Raises:
        StoreError: If the folder holds no classifier, a damaged one, or one of an architecture the caller did not name.
    """
    try:
        card: dict[str, Any] = read_json(folder / CARD)
        names = tuple(str(name) for name in card["classes"])
        architecture = Architecture(
            str(card["architecture"]), int(card["bands"]), names, int(card["size_px"]), int(card["base_channels"])
        )
        scaling = Scaling.from_json(card["scaling"])
        if len(scaling.low) != architecture.bands:
            raise ValueError("the scaling is for another number of bands")
        temperature, threshold = float(card["temperature"]), float(card["threshold"])
        orientations = int(card["orientations"])
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"the classifier in {folder} cannot be read ({error}); `satpipe run all` makes it again"
        ) from None
    if architecture.name not in (SHIP_CONVNET, model):
        raise StoreError(
            f"the network of the classifier in {folder} is built by {architecture.name}, which is not bundled;"
            f" if you trust that function, name it: --model {architecture.name}, in Python model="
        )
    try:
        weights = load_file(folder / WEIGHTS)
        held = sum(tensor.numel() for tensor in weights.values())
        if architecture.name == SHIP_CONVNET and not 0 < least_weights(architecture) <= held:
            raise ValueError("the weights belong to another classifier")  # a card can claim a network of any size
        network = build(architecture, seed=0)
        network.load_state_dict(weights)
    except (OSError, SafetensorError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        reason = first_line(error)
        raise StoreError(f"{folder / WEIGHTS} does not fit its card ({reason}); `satpipe run all` makes both") from None
    network.to(device).eval()
    return Classifier(architecture, network, scaling, temperature, threshold, card, orientations)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, path)


def run_blocks(
    network: nn.Module, scaling: Scaling, chips: npt.NDArray[np.generic], orientations: int = 1
) -> npt.NDArray[np.float32]:
    """Compute the logits (N, K) of chips (N, H, W, C), in blocks of a fixed size so that memory stays bounded.

    Args:
        network: Takes chips (N, C, H, W) in [-1, 1].
        scaling: From chip values to that range.
        chips: In their own dtype.
        orientations: Logits are the mean over this many of the chip's eight flips and quarter turns.
    """
    device = next(network.parameters()).device
    parts: list[Tensor] = []
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(chips), BLOCK):
            block = to_tensor(scaling.apply(chips[start : start + BLOCK])).to(device)
            parts.append(summed_logits(network, block, BY_FLIPS[:orientations]).cpu() / orientations)
    if not parts:
        return np.zeros((0, 0), np.float32)
    logits: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def summed_logits(network: nn.Module, chips: Tensor, orientations: Sequence[int]) -> Tensor:
    """Return the logits (N, K) of chips (N, C, S, S) in [-1, 1], summed over orientations."""
    forward: Callable[[Tensor], Tensor] = network
    if isinstance(network, ShipConvNet):
        # What the network begins with is the same in all orientations.
        chips, forward = standardised(chips), network.of_standardised
    return torch.stack([forward(oriented(chips, number)).float() for number in orientations]).sum(dim=0)


def oriented(chips: Tensor, orientation: int) -> Tensor:
    """Return chips (N, C, S, S) in one of the eight orientations, numbered as :mod:`..dataset.orientations` does.

    They are channels-last: rows and columns that are swapped in memory cost the network twice the time.
    """
    swapped, *flipped = STEPS[orientation]
    sides = [side for side, flip in zip((2, 3), flipped, strict=True) if flip]
    view = (chips.transpose(2, 3) if swapped else chips).contiguous(memory_format=torch.channels_last)
    return view.flip(sides) if sides else view


def softmax(logits: npt.NDArray[np.floating[Any]], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the probabilities (N, K) of logits (N, K) divided by a temperature."""
    probabilities: npt.NDArray[np.float64] = functional.softmax(
        torch.from_numpy(np.asarray(logits, np.float64)) / temperature, dim=1
    ).numpy()
    return probabilities


def decide(probabilities: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.int64]:
    """Return the class indices (N,): background up to the threshold, above it the likeliest other class."""
    foreground = 1 + probabilities[:, 1:].argmax(axis=1)
    return np.where(1.0 - probabilities[:, 0] > threshold, foreground, 0).astype(np.int64)
