"""A run's networks as ONNX, each compared with torch before anybody gets to see it.

What the networks take and give are values of chips as in the scenes, so that no one needs to know how they were scaled.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...dataset.orientations import BY_FLIPS
from ...dataset.scaling import Scaling
from ...models.classifier import Classifier, oriented
from ...models.generator import Generator
from ...models.layers import nearest_kernel
from ...models.networks import Doubling, GeneratorNetwork, latents
from ...utils.errors import ConfigError, TrainingError, first_line

TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and torch, relative to the range of what is computed."""
CHECKED = 16
"""Chips that both compute."""
MISSING = (
    "a model as ONNX needs the packages onnx, onnxscript and onnxruntime (the extra `interop` of satpipe); without"
    " them, --no-onnx writes only the weights"
)


class ChipValues(nn.Module):
    """A generator's network whose chips, or premultiplied layers, are in the chips' own values."""

    def __init__(self, network: GeneratorNetwork, scaling: Scaling) -> None:
        super().__init__()
        self.network = _fixed(network)
        self.is_layer = network.architecture.layer
        low, high = (torch.tensor(ends)[:, None, None] for ends in (scaling.low, scaling.high))
        self.gain, self.middle = nn.Buffer((high - low) / 2), nn.Buffer((high + low) / 2)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Return chips (N, C, H, W), or layers (N, C + 1, H, W) with alpha last, of z (N, z_dim) and label (N,)."""
        values: Tensor = self.network(z, label)
        if not self.is_layer:
            return values * self.gain + self.middle
        bands, alpha = values[:, :-1], values[:, -1:]
        return torch.cat([bands * self.gain + alpha * self.middle, alpha], dim=1)


class Probabilities(nn.Module):
    """A classifier from chip values to calibrated probabilities, as :meth:`Classifier.probabilities` gives them."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(classifier.network).cpu()
        scaling = classifier.scaling
        low, high = (torch.tensor(ends)[:, None, None] for ends in (scaling.low, scaling.high))
        self.low, self.gain = nn.Buffer(low), nn.Buffer(2 / (high - low))
        self.temperature, self.orientations = classifier.temperature, BY_FLIPS[: classifier.orientations]

    def forward(self, chips: Tensor) -> Tensor:
        """Return probabilities (N, K) of chips (N, C, H, W), float32 in chip values."""
        scaled = ((chips - self.low) * self.gain - 1).clamp(-1, 1)
        logits = torch.stack([self.network(oriented(scaled, number)) for number in self.orientations]).mean(dim=0)
        return torch.softmax(logits / self.temperature, dim=1)


@dataclass(frozen=True)
class OnnxModel:
    """A network and what an ONNX file of it must say.

    Attributes:
        module: Takes and gives tensors whose first axis is the chip.
        inputs: An example of each input, :data:`CHECKED` chips, by name.
        output: Name of the output.
        unit: Range of the output, which the tolerance is relative to.
        about: What is written into the file's metadata.
    """

    module: nn.Module
    inputs: Mapping[str, npt.NDArray[Any]]
    output: str
    unit: float
    about: Mapping[str, str]


def of_generator(generator: Generator, scaling: Scaling) -> dict[str, OnnxModel]:
    """Return the networks of a generator by the stem of their file: ``generator``, and ``layers`` if it has them."""
    names = generator.classes
    networks = {"generator": (generator.network, [names[label] for label in generator.whole])}
    if generator.layers is not None:
        networks["layers"] = (generator.layers.network, [names[label] for label in generator.layers.classes])
    models = {}
    for stem, (network, classes) in networks.items():
        labels = np.arange(CHECKED, dtype=np.int64) % len(classes)
        z = latents(np.arange(CHECKED), network.architecture.z_dim)
        inputs: dict[str, npt.NDArray[Any]] = {"z": z, "label": labels}
        about = {"classes": "\n".join(classes), "dtype": scaling.dtype}
        unit = float(np.max(np.subtract(scaling.high, scaling.low))) / 2
        models[stem] = OnnxModel(
            ChipValues(network, scaling), inputs, "layers" if stem == "layers" else "chips", unit, about
        )
    return models


def of_classifier(classifier: Classifier) -> OnnxModel:
    """Return the network of a classifier, with its scaling, orientations and calibration."""
    shape, scaling = classifier.architecture, classifier.scaling
    low, high = (np.asarray(ends, np.float32)[:, None, None] for ends in (scaling.low, scaling.high))
    noise = np.random.default_rng(0).random((CHECKED, shape.bands, shape.size_px, shape.size_px), np.float32)
    about = {"classes": "\n".join(shape.classes), "threshold": repr(classifier.threshold), "dtype": scaling.dtype}
    return OnnxModel(Probabilities(classifier), {"chips": low + noise * (high - low)}, "probabilities", 1.0, about)


def write_onnx(model: OnnxModel, path: Path) -> float:
    """Write a network as an ONNX file with a free number of chips.

    Returns:
        Largest difference between ONNX Runtime and torch on the example, relative to the output's range.

    Raises:
        ConfigError: If the packages for ONNX are not installed, or the network cannot be expressed in ONNX.
        TrainingError: If ONNX Runtime computes something else than torch.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - what torch exports with
    except ImportError:
        raise ConfigError(MISSING) from None
    module = model.module.eval()
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in model.inputs.values())
    proto = _exported(module, tensors, tuple(model.inputs), model.output)
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # stack traces with the paths of this machine
    onnx.helper.set_model_props(proto, dict(model.about))
    content = proto.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    # One chip less than the graph was traced with: their number must be free.
    (from_onnx,) = session.run(None, {name: array[1:] for name, array in model.inputs.items()})
    with torch.inference_mode():
        expected = module(*(tensor[1:] for tensor in tensors)).numpy()
    difference = float(np.abs(from_onnx - expected).max()) / model.unit
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"{path.name}: ONNX Runtime differs from torch by {difference:.2g} of the range, where {TOLERANCE:g} is"
            " allowed; --no-onnx writes only the weights"
        )
    path.write_bytes(content)
    return difference


def _exported(module: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], output: str) -> Any:
    """Return the ONNX model of a module, without what the exporter says on the way."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    chips = torch.export.Dim("chips", min=1)
    try:
        log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                verbose=False,
                input_names=list(names),
                output_names=[output],
                dynamic_shapes=tuple({0: chips} for _ in inputs),
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(
            f"the network cannot be expressed in ONNX ({first_line(error)}); --no-onnx writes only the weights"
        ) from None
    finally:
        log.setLevel(level)
    assert program is not None
    return program.model_proto


def _fixed(network: GeneratorNetwork) -> GeneratorNetwork:
    """Return a copy on the CPU in which upsampling and convolution are one kernel, computed beforehand."""
    network = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for layer in network.layers:
        if isinstance(layer, Doubling) and layer.resize:
            layer.weight = nn.Parameter(nearest_kernel(layer.weight).detach())
            layer.resize = False
    return network
