"""Conditional generator p(x|y): its files, and sampling from it.

Training (:mod:`satpipe.stages.gan`) writes a folder with ``generator.safetensors``, ``generator.json`` (the card) and
``scaling.json``, and for classes of objects ``layers.safetensors`` and ``layers.json``; whoever needs synthetic chips
reads that folder with :func:`load` and calls :func:`generate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..composition.compose import Composer, Settings
from ..composition.pose import Alpha
from ..composition.surroundings import Backgrounds
from ..dataset.scaling import Scaling
from ..utils.bounded_files import read_json
from ..utils.errors import StoreError, first_line
from . import layered
from .layered import LayerGenerator
from .networks import BLOCK, Architecture, GeneratorNetwork, latents, least_weights, sample

WEIGHTS = "generator.safetensors"
CARD = "generator.json"
SCALING = "scaling.json"
POOL = 256
"""Generated backgrounds that a saved generator composes on."""
POOL_LAYERS = 64
"""Generated layers that stand beside the object of a chip."""


@dataclass(frozen=True)
class Generator:
    """A trained generator, ready to sample from.

    Attributes:
        network: Makes the chips of the classes ``whole``; in evaluation mode, fp32.
        classes: Class names of the run; the position is the class index.
        card: What ``generator.json`` says.
        whole: Class indices that are generated whole; class k of the network is ``whole[k]``.
        layers: Makes the layers of the other classes; None where there are none.
    """

    network: GeneratorNetwork
    classes: tuple[str, ...]
    card: dict[str, Any]
    whole: tuple[int, ...]
    layers: LayerGenerator | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape (H, W, C) of a chip."""
        architecture = self.network.architecture
        return (*architecture.sides, architecture.bands)

    @property
    def z_dim(self) -> int:
        """Return the length of a latent vector."""
        return self.network.architecture.z_dim

    @cached_property
    def composers(self) -> Mapping[int, Composer]:
        """Return what composes layers on generated backgrounds, by class index."""
        if self.layers is None:
            return {}
        scaling = self.layers.scaling
        grounds = _in_blocks(self.network, np.zeros(POOL, np.int64), np.arange(POOL))
        backgrounds = Backgrounds.of(scaling.invert(grounds))
        composers = {}
        for label, law in self.layers.laws.items():
            pool = self.layers.draw(label, np.arange(POOL_LAYERS))
            usual = law.unusual(pool) <= 1
            composers[label] = Composer(
                law, backgrounds, pool[usual] if usual.any() else pool, Settings(value_range=scaling.width), seed=0
            )
        return composers

    def sample(self, z: npt.ArrayLike, labels: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> Values:
        """Return chips (N, H, W, C) in [-1, 1] of at most a block of latents; see :meth:`sample_objects`."""
        return self.sample_objects(z, labels, numbers)[0]

    def sample_objects(
        self,
        z: npt.ArrayLike,
        labels: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64],
        most_unusual: float = math.inf,
    ) -> tuple[Values, list[list[Alpha]], npt.NDArray[np.float64]]:
        """Return chips (N, H, W, C) in [-1, 1] of at most a block of latents, and what is known of their objects.

        That is the alphas (H, W) of the objects of each chip, which are of its class, the farthest back first; and how
        unusual its main object is (N,), see :meth:`~satpipe.composition.compose.Law.unusual`, or NaN without
        ``most_unusual``. A chip that is generated whole has no object, and NaN.

        Args:
            z: Latents (N, z_dim).
            labels: Class indices (N,).
            numbers: Pose and background of a composite follow from its number (N,); whole chips do not need one.
            most_unusual: Composites whose main object is more unusual stay blank and show no object.
        """
        objects: list[list[Alpha]] = [[] for _ in labels]
        unusual = np.full(len(objects), np.nan)
        z = np.asarray(z, np.float32)
        is_whole = np.isin(labels, self.whole)
        own = np.array([self.whole.index(label) if label in self.whole else 0 for label in labels.tolist()], np.int64)
        values = sample(self.network, z, own) if is_whole.any() else np.zeros((len(z), *self.shape), np.float32)
        if self.layers is not None and not is_whole.all():
            rows = np.flatnonzero(~is_whole)
            composed, unusual[rows] = self.layers.compose(
                self.composers, z[rows], labels[rows], numbers[rows], most_unusual
            )
            for some, composites in composed.values():
                values[rows[some]] = self.layers.scaling.apply(composites.chips)
                for row, others, alpha in zip(rows[some], composites.neighbours, composites.alphas, strict=True):
                    objects[row] = [*others, alpha]
        return values, objects, unusual


Values = npt.NDArray[np.float32]
"""Chips (N, H, W, C) in [-1, 1]."""


def save(
    network: GeneratorNetwork,
    classes: tuple[str, ...],
    card: dict[str, Any],
    folder: Path,
    layers: LayerGenerator | None = None,
) -> None:
    """Write weights and card; the card gets the architecture and the classes beside what is in ``card``."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    full = {"format": 1, "architecture": asdict(network.architecture), "classes": list(classes), **card}
    (folder / CARD).write_text(json.dumps(full, indent=1) + "\n", "utf-8")
    if layers is not None:
        layered.save(layers, classes, folder)


def load(folder: Path, device: str | torch.device = "cpu") -> Generator:
    """Read a folder that :func:`save` wrote; with layers it also holds the scaling.

    Raises:
        StoreError: If the folder holds no generator, or one of another version.
    """
    try:
        card = read_json(folder / CARD)
        tensors = load_file(folder / WEIGHTS, device=str(device))
        architecture = Architecture(**card["architecture"])
        if not 0 < least_weights(architecture) <= sum(tensor.numel() for tensor in tensors.values()):
            raise ValueError("its weights do not match its card")  # a card can claim a network of any size
        network = GeneratorNetwork(architecture).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.load_state_dict(tensors)
        classes = tuple(card["classes"])
        has_layers = (folder / layered.CARD).exists()
        layers = layered.load(folder, classes, Scaling.load(folder / SCALING), device) if has_layers else None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = first_line(error)
        raise StoreError(
            f"the generator in {folder} cannot be read ({reason}); train one with `satpipe run gan`"
        ) from None
    whole = tuple(label for label in range(len(classes)) if layers is None or label not in layers.classes)
    return Generator(network.eval(), classes, card, whole, layers)


def generate(generator: Generator, labels: npt.ArrayLike, seeds: npt.ArrayLike, truncation: float = 1.0) -> Values:
    """Return chips (N, H, W, C) float32 in [-1, 1].

    A chip depends on its own label and seed, not on the others: it has the same bytes in any call on one machine.

    Args:
        generator: From :func:`load`.
        labels: Class indices (N,).
        seeds: Non-negative integers (N,).
        truncation: Standard deviation of z; below 1 trades variety for typical chips.

    Raises:
        ValueError: If labels and seeds differ in number, or a label is no class index.
    """
    numbers, wanted = np.asarray(labels, np.int64), np.asarray(seeds, np.int64)
    if numbers.shape != wanted.shape or numbers.ndim != 1:
        raise ValueError(f"labels {numbers.shape} and seeds {wanted.shape} must be two lists of one length")
    classes = len(generator.classes)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < classes:
        raise ValueError(f"labels must be 0 to {classes - 1}, got {numbers.min()} to {numbers.max()}")
    chips = np.empty((len(numbers), *generator.shape), np.float32)
    for start in range(0, len(numbers), BLOCK):
        rows = slice(start, min(start + BLOCK, len(numbers)))
        z = latents(wanted[rows], generator.z_dim, truncation)
        chips[rows] = generator.sample(z, numbers[rows], wanted[rows])
    return chips


def _in_blocks(network: GeneratorNetwork, labels: npt.NDArray[np.int64], seeds: npt.NDArray[np.int64]) -> Values:
    z = latents(seeds, network.architecture.z_dim)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(seeds), BLOCK)]
    return np.concatenate([sample(network, z[block], labels[block]) for block in blocks])
