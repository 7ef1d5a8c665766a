"""A generator of layers: what it draws in front of backgrounds, and its files.

Beside the network there is a law of composition for each class (how objects lie and what surrounds them), which holds
no pixel of the chips that it was learned from. A saved generator composes on backgrounds that it generates itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from ..composition.compose import Composer, Composites, Law
from ..composition.layers import Layers, from_range
from ..dataset.scaling import Scaling
from .networks import BLOCK, Architecture, GeneratorNetwork, latents, least_weights, sample

WEIGHTS = "layers.safetensors"
CARD = "layers.json"

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LayerGenerator:
    """A trained generator of layers.

    Attributes:
        network: In evaluation mode; its class k is the run's class ``classes[k]``.
        classes: Class indices of the run.
        scaling: From chip values to [-1, 1].
        laws: How the objects of each class lie, by class index.
    """

    network: GeneratorNetwork
    classes: tuple[int, ...]
    scaling: Scaling
    laws: Mapping[int, Law]

    def layers(self, z: npt.NDArray[np.float32], labels: Labels) -> Layers:
        """Return layers (N, rows, cols, C + 1) in chip values, of at most a block of latents and class indices."""
        own = np.array([self.classes.index(label) for label in labels.tolist()], np.int64)
        return from_range(sample(self.network, z, own), self.scaling.low, self.scaling.high)

    def draw(self, label: int, seeds: Labels, truncation: float = 1.0) -> Layers:
        """Return layers (N, rows, cols, C + 1) in chip values of one class; each follows from its seed.

        Args:
            label: Class index.
            seeds: Non-negative integers (N,), at least one.
            truncation: Standard deviation of z; below 1 trades variety for typical objects.
        """
        z = latents(seeds, self.network.architecture.z_dim, truncation)
        blocks = [z[start : start + BLOCK] for start in range(0, len(z), BLOCK)]
        return np.concatenate([self.layers(block, np.full(len(block), label)) for block in blocks])

    def compose(
        self,
        composers: Mapping[int, Composer],
        z: npt.NDArray[np.float32],
        labels: Labels,
        numbers: Labels,
        most_unusual: float = math.inf,
    ) -> tuple[dict[int, tuple[Labels, Composites]], npt.NDArray[np.float64]]:
        """Compose layers of at most a block of latents.

        Args:
            composers: By class index.
            z: Latents (N, z_dim).
            labels: Class indices (N,).
            numbers: Number of each composite (N,): its pose and background follow from it.
            most_unusual: Objects that are more unusual are not composed.

        Returns:
            For each class the positions in the block of its composites, and these; and how unusual each object is (N,),
            see :meth:`~satpipe.composition.compose.Law.unusual`, or NaN without ``most_unusual``.
        """
        layers, unusual = self.layers(z, labels), np.full(len(labels), np.nan)
        composites = {}
        for label in np.unique(labels).tolist():
            rows = np.flatnonzero(labels == label)
            if most_unusual < math.inf:
                unusual[rows] = self.laws[label].unusual(layers[rows])
                rows = rows[~(unusual[rows] > most_unusual)]
            composites[label] = rows, composers[label].compose(numbers[rows], layers[rows])
        return composites, unusual


def save(generator: LayerGenerator, names: tuple[str, ...], folder: Path) -> None:
    """Write weights, architecture and laws; ``names`` are the names of all classes of the run."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    card = {
        "architecture": asdict(generator.network.architecture),
        "classes": [names[label] for label in generator.classes],
        "laws": {names[label]: law.as_json() for label, law in generator.laws.items()},
    }
    (folder / CARD).write_text(json.dumps(card) + "\n", "utf-8")


def load(folder: Path, names: tuple[str, ...], scaling: Scaling, device: str | torch.device) -> LayerGenerator | None:
    """Read what :func:`save` wrote; None where a folder holds none.

    Raises:
        OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError: If it cannot be read.
    """
    if not (folder / CARD).exists():
        return None
    card = json.loads((folder / CARD).read_text("utf-8"))
    tensors = load_file(folder / WEIGHTS, device=str(device))
    architecture = Architecture(**card["architecture"])
    if not 0 < least_weights(architecture) <= sum(tensor.numel() for tensor in tensors.values()):
        raise ValueError("the weights of its layers do not match its card")
    network = GeneratorNetwork(architecture).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_state_dict(tensors)
    classes = tuple(names.index(name) for name in card["classes"])
    laws = {names.index(name): Law.from_json(law) for name, law in card["laws"].items()}
    if set(laws) != set(classes):
        raise ValueError("its layers lack the statistics for composition")
    return LayerGenerator(network.eval(), classes, scaling, laws)
