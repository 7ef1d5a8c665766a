"""What screening learned of a split's training chips, as files: so that chips can be screened later without them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...models.classifier import SHIP_CONVNET, Architecture, ShipConvNet, build
from ...utils.bounded_files import read_json
from ...utils.errors import StoreError, first_line
from .filters import Limits, Measures, copy_correlation, reasons, shrunk
from .scorer import BASE_CHANNELS, Ensemble, Scorer

if TYPE_CHECKING:
    from .model import ScreeningModel

Labels = npt.NDArray[np.int64]

WEIGHTS = "screening.safetensors"
CARD = "screening.json"
_OF_SCORER = ("features", "labels", "mean", "width", "typical")


@dataclass(frozen=True)
class Screening:
    """What candidates are held against.

    Attributes:
        ensemble: Networks that were trained on the training chips, or None where they were too few.
        limits: What a candidate must keep to.
        thumbnails: Training chips (M, s, s, C) in [-1, 1], as small as copies are compared.
        min_texture: Standard deviation, as a share of the value range, below which a candidate is never a copy.
    """

    ensemble: Ensemble | None
    limits: Limits
    thumbnails: npt.NDArray[np.float32]
    min_texture: float

    def screen(
        self, values: npt.NDArray[np.float32], labels: Labels, unusual: npt.NDArray[np.float64]
    ) -> tuple[Measures, npt.NDArray[np.object_]]:
        """Measure candidates (N, S, S, C) in [-1, 1], with the reason against each (N,), empty if it is accepted.

        Args:
            values: The candidates.
            labels: Their class indices (N,).
            unusual: How unusual the composed object of each is (N,); NaN where it was generated whole.
        """
        nothing = np.full(len(labels), np.nan)
        score, distance = self.ensemble.measure(values, labels) if self.ensemble else (nothing, nothing)
        correlation = copy_correlation(values, self.thumbnails, self.min_texture, value_range=2.0)
        measures = Measures(score, distance, correlation, unusual)
        return measures, reasons(measures, labels, self.limits)


def save(teacher: ScreeningModel, min_texture: float, folder: Path) -> None:
    """Write what ``teacher`` learned into ``folder``."""
    tensors = {"thumbnails": torch.from_numpy(shrunk(teacher.scaling.apply(teacher.chips)).astype(np.float32))}
    ensemble = teacher.ensemble
    scorers = ensemble.scorers if ensemble else ()
    for number, scorer in enumerate(scorers):
        for name in _OF_SCORER:
            array = np.asarray(getattr(scorer, name))
            tensors[f"{number}.{name}"] = torch.from_numpy(array if array.dtype.kind == "i" else array.astype("f4"))
        for name, tensor in scorer.network.state_dict().items():
            tensors[f"{number}.network.{name}"] = tensor.detach().cpu().contiguous()
    save_file(tensors, folder / WEIGHTS)
    limits = teacher.limits
    card = {
        "scorers": len(scorers),
        "size_px": int(teacher.chips.shape[1]),
        "bands": int(teacher.chips.shape[3]),
        "base_channels": BASE_CHANNELS,
        "min_texture": min_texture,
        "min_label_score": limits.min_label_score,
        "max_distance": [float(one) if math.isfinite(one) else None for one in limits.max_distance],
        "max_correlation": limits.max_correlation,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def load(folder: Path, device: str | torch.device = "cpu") -> Screening | None:
    """Load what :func:`save` wrote into ``folder``; None where there is nothing.

    Raises:
        StoreError: If it is damaged.
    """
    if not (folder / CARD).is_file():
        return None
    try:
        card: dict[str, Any] = read_json(folder / CARD)
        tensors = load_file(folder / WEIGHTS)
        farthest = [math.inf if one is None else float(one) for one in card["max_distance"]]
        names = tuple(str(number) for number in range(len(farthest)))
        size = Architecture(SHIP_CONVNET, card["bands"], names, card["size_px"], card["base_channels"])
        scorers = tuple(_scorer(tensors, number, size, device) for number in range(card["scorers"]))
        limits = Limits(float(card["min_label_score"]), farthest, float(card["max_correlation"]))
        thumbnails, min_texture = tensors["thumbnails"].numpy(), float(card["min_texture"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = first_line(error)
        raise StoreError(
            f"{folder} holds no screening that can be read ({reason}); `satpipe run synth` makes it"
        ) from None
    nobody = np.zeros(0)
    ensemble = Ensemble(scorers, np.zeros(0, np.int64), nobody, nobody) if scorers else None
    return Screening(ensemble, limits, thumbnails, min_texture)


def _scorer(
    tensors: dict[str, torch.Tensor], number: int, architecture: Architecture, device: str | torch.device
) -> Scorer:
    """Return one network of the ensemble with the chips it was trained on."""
    network = build(architecture, seed=0)
    assert isinstance(network, ShipConvNet)
    start = f"{number}.network."
    network.load_state_dict(
        {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
    )
    network.to(device).eval()
    features, labels, mean, width, typical = (tensors[f"{number}.{name}"].numpy() for name in _OF_SCORER)
    floats = (array.astype(np.float64) for array in (mean, width, typical))
    return Scorer(network, features.astype(np.float64), labels, *floats)
