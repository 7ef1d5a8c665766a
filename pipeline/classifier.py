"""The ship ConvNet, and a trained classifier on disk: what training writes and what detection and screening read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
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

from .compute import Profile
from .errors import ConfigError, StoreError
from .scaling import Scaling

WEIGHTS = "classifier.safetensors"
CARD = "classifier.json"
SHIP_CONVNET = "ship-convnet"
BLOCK = 256
"""Chips of one forward pass, so that memory stays bounded."""

Factory = Callable[[int, int, int], nn.Module]
"""What ``classify.model`` names: ``factory(bands, classes, size_px)`` returns a module from chips (N, bands, size_px,
size_px) in [-1, 1] to logits (N, classes)."""


@dataclass(frozen=True)
class Architecture:
    """What decides the shape of the network's weights.

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
    """A small convolutional network for chips of any size that is a multiple of 16.

    A strided 5 x 5 convolution halves the chip first, which saves three quarters of the work where chips are large
    against what they show. Stages of convolution, batch normalisation and ReLU follow, each half as high and wide and
    twice as deep, until four to seven pixels are left on a side. Global average and maximum pooling make it
    independent of where the object lies: the average tells the surroundings, the maximum tells the object.
    """

    def __init__(self, bands: int, classes: int, size_px: int, base_channels: int) -> None:
        """Build the network.

        Args:
            bands: Bands of a chip.
            classes: Number of classes.
            size_px: Height and width of the chips it is meant for; decides the number of stages.
            base_channels: Channels of the first stage.
        """
        super().__init__()
        stages = max(2, int(math.log2(size_px / 4)))
        widths = [min(base_channels * 2**stage, base_channels * 16) for stage in range(stages)]
        layers: list[nn.Module] = [nn.Conv2d(bands, widths[0], 5, stride=2, padding=2, bias=False)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for narrow, wide in pairwise(widths):
            layers += [nn.MaxPool2d(2), nn.Conv2d(narrow, wide, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(wide), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * widths[-1], classes)

    def features(self, chips: Tensor) -> Tensor:
        """Chips (N, bands, H, W) in [-1, 1] to pooled features (N, D)."""
        maps: Tensor = self.body(chips)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)

    def forward(self, chips: Tensor) -> Tensor:
        """Chips (N, bands, H, W) in [-1, 1] to logits (N, classes)."""
        logits: Tensor = self.head(self.features(chips))
        return logits


def build(architecture: Architecture, seed: int) -> nn.Module:
    """A network with the initial weights of ``seed``, without touching the global random state.

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
    """The user's network, tried on one batch."""
    name = architecture.name
    module_name, _, function = name.partition(":")
    try:
        factory: Factory = getattr(import_module(module_name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"classify.model: {name} cannot be imported ({error}); name it package.module:factory"
        ) from None
    if not callable(factory):
        raise ConfigError(f"classify.model: {name} is no function; it is called with (bands, classes, size_px)")
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
    """The network on its device and in the profile's memory format."""
    placed: nn.Module = network.to(device, memory_format=profile.torch_format())  # type: ignore[call-overload]
    return placed


def to_tensor(scaled: npt.NDArray[np.float32]) -> Tensor:
    """Scaled chips (N, H, W, C) as (N, C, H, W) without a copy; that is torch's channels-last already."""
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
    """

    architecture: Architecture
    network: nn.Module
    scaling: Scaling
    temperature: float
    threshold: float
    card: dict[str, Any]

    def logits(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Raw logits (N, K) of chips (N, H, W, C) in their own dtype."""
        return run_blocks(self.network, self.scaling, chips)

    def probabilities(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Calibrated class probabilities (N, K) of chips (N, H, W, C) in their own dtype."""
        return softmax(self.logits(chips), self.temperature)

    def scores(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Calibrated probability (N,) that a chip is not background."""
        return 1.0 - self.probabilities(chips)[:, 0]

    def predict(self, chips: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Class numbers (N,) by the threshold, and scores (N,)."""
        probabilities = self.probabilities(chips)
        return decide(probabilities, self.threshold), 1.0 - probabilities[:, 0]

    def save(self, folder: Path) -> None:
        """Write weights and card into ``folder``."""
        save_weights(self.network, folder / WEIGHTS)
        facts = {
            "architecture": self.architecture.name,
            "bands": self.architecture.bands,
            "classes": list(self.architecture.classes),
            "size_px": self.architecture.size_px,
            "base_channels": self.architecture.base_channels,
            "scaling": {"low": self.scaling.low, "high": self.scaling.high, "dtype": self.scaling.dtype},
            "temperature": self.temperature,
            "threshold": self.threshold,
        }
        text = json.dumps({**self.card, **facts}, indent=1, sort_keys=True, allow_nan=False)
        (folder / CARD).write_text(text + "\n", "utf-8")


def load(folder: Path, device: str | torch.device = "cpu", model: str = SHIP_CONVNET) -> Classifier:
    """A classifier that :meth:`Classifier.save` wrote.

    Args:
        folder: Where weights and card lie.
        device: Where to run it.
        model: The architecture that the caller trusts. A card can name any function of any importable module, so it
            is followed only where the caller's own configuration names the same one.

    Raises:
        StoreError: If the folder holds no classifier, a damaged one, or one of an architecture the caller did not name.
    """
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text("utf-8"))
        names = tuple(str(name) for name in card["classes"])
        architecture = Architecture(
            str(card["architecture"]), int(card["bands"]), names, int(card["size_px"]), int(card["base_channels"])
        )
        raw = card["scaling"]
        scaling = Scaling(tuple(map(float, raw["low"])), tuple(map(float, raw["high"])), str(raw["dtype"]))
        temperature, threshold = float(card["temperature"]), float(card["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder} holds no classifier that can be read ({error}); `satpipe run all` makes one"
        ) from None
    if architecture.name not in (SHIP_CONVNET, model):
        raise StoreError(
            f"the classifier in {folder} was made by {architecture.name}; name it as classify.model if you trust it"
        )
    network = build(architecture, seed=0)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{folder / WEIGHTS} does not fit its card ({reason}); `satpipe run all` makes both") from None
    network.to(device).eval()
    return Classifier(architecture, network, scaling, temperature, threshold, card)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, path)


def run_blocks(network: nn.Module, scaling: Scaling, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Logits (N, K) of chips (N, H, W, C), in blocks of a fixed size so that memory stays bounded."""
    device = next(network.parameters()).device
    parts: list[Tensor] = []
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(chips), BLOCK):
            block = to_tensor(scaling.apply(chips[start : start + BLOCK])).to(device)
            parts.append(network(block).float().cpu())
    if not parts:
        return np.zeros((0, 0), np.float32)
    logits: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def softmax(logits: npt.NDArray[np.floating[Any]], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities (N, K) of logits (N, K) divided by a temperature."""
    probabilities: npt.NDArray[np.float64] = functional.softmax(
        torch.from_numpy(np.asarray(logits, np.float64)) / temperature, dim=1
    ).numpy()
    return probabilities


def decide(probabilities: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.int64]:
    """Class numbers (N,): background unless the score exceeds the threshold, else the likeliest other class."""
    foreground = 1 + probabilities[:, 1:].argmax(axis=1)
    return np.where(1.0 - probabilities[:, 0] > threshold, foreground, 0).astype(np.int64)
