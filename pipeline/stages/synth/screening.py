"""Screening of a split's candidates: what its training chips tell about them, kept as files.

It is learned once for all synthetic chips of a split, those of the generator and real objects that are pasted, and the
final split's is what `satpipe generate` screens with, without any training chip.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...config.run import SynthConfig
from ...dataset import scaling as scalings
from ...dataset.chip_store import subsample
from ...dataset.scaling import Scaling
from ...dataset.split_chips import Labels, RealChips
from ...engine.task import TaskContext
from ...models.classifier import SHIP_CONVNET, Architecture, ShipConvNet, build
from ...models.device import Profile, prepare
from ...utils.bounded_files import read_json
from ...utils.errors import StoreError, TooLittleDataError, first_line
from .filters import Chips, Limits, Measures, copy_correlation, reasons, shrunk, unit_vectors
from .scorer import BASE_CHANNELS, Ensemble, Scorer, train_ensemble
from .seeds import first_seed

WEIGHTS = "screening.safetensors"
CARD = "screening.json"
_OF_SCORER = ("features", "labels", "mean", "width", "typical")

MIN_TEXTURE = 0.02
"""Chips flatter than this share of the value range are never called copies: flat water resembles all water."""


@dataclass(frozen=True)
class Screening:
    """Screening model and limits, as candidates are compared with them.

    Attributes:
        ensemble: Networks that were trained on the training chips, or None where they were too few.
        limits: What a candidate must keep to.
        thumbnails: Training chips (M, s, s, C) in [-1, 1], as small as copies are compared.
        size_px: Height and width of a chip.
        min_texture: Standard deviation, as a share of the value range, below which a candidate is never a copy.
    """

    ensemble: Ensemble | None
    limits: Limits
    thumbnails: npt.NDArray[np.float32]
    size_px: int
    min_texture: float = MIN_TEXTURE

    @cached_property
    def training(self) -> npt.NDArray[np.float32]:
        """Return the training chips as vectors (M, D) that copies are found with."""
        return unit_vectors(self.thumbnails.astype(np.float64))

    def screen(
        self,
        values: npt.NDArray[np.float32],
        labels: Labels,
        unusual: npt.NDArray[np.float64],
        real_backgrounds: bool = False,
    ) -> tuple[Measures, npt.NDArray[np.object_]]:
        """Measure candidates (N, S, S, C) in [-1, 1], with the reason against each (N,), empty if it is accepted.

        Args:
            values: The candidates.
            labels: Their class indices (N,).
            unusual: How unusual the composed object of each is (N,); NaN where it was generated whole.
            real_backgrounds: Whether composites lie on real chips: then they are no copies, and not compared.
        """
        nothing = np.full(len(labels), np.nan)
        score, distance = self.ensemble.measure(values, labels) if self.ensemble else (nothing, nothing)
        compared = np.isnan(unusual) if real_backgrounds else np.ones(len(labels), bool)
        correlation = nothing.copy()
        if compared.any():
            correlation[compared] = copy_correlation(values[compared], self.training, self.min_texture, 2.0)
        measures = Measures(score, distance, correlation, unusual)
        return measures, reasons(measures, labels, self.limits)


def train(
    chips: Chips,
    labels: Labels,
    classes: Sequence[str],
    scaling: Scaling,
    config: SynthConfig,
    profile: Profile,
    seed: int,
) -> Screening:
    """Learn from the training chips what real chips of each class look like to a network that has not seen them.

    Args:
        chips: Training chips (N, S, S, C) in their own dtype.
        labels: Class indices (N,).
        classes: Class names.
        scaling: From chip values to [-1, 1].
        config: Section `synth`.
        profile: Device, precision, memory format, threads.
        seed: Seed of folds, weights and order.
    """
    ensemble = train_ensemble(chips, labels, tuple(classes), scaling, profile, seed)
    farthest = [np.inf] * len(classes)
    if ensemble is not None:
        away = ensemble.real_distance
        farthest = [
            float(np.quantile(away[labels == label], config.distance_quantile)) for label in range(len(classes))
        ]
    limits = Limits(config.min_label_score, farthest, config.copy_correlation)
    return Screening(ensemble, limits, shrunk(scaling.apply(chips)).astype(np.float32), int(chips.shape[1]))


def run(context: TaskContext) -> dict[str, Any]:
    """Learn what candidates of a split are compared with; writes screening.safetensors and screening.json.

    Raises:
        TooLittleDataError: If the split has no training chips.
    """
    prepare(context.profile)
    config = SynthConfig.model_validate(context.config["synth"])
    classes = context.config["classes"]
    store, labels = RealChips.open(context.folder("index"), context.folder("split"), context.store, classes).of("train")
    if not len(store):
        raise TooLittleDataError(
            f"split {context.config['split']} has no training chips; use more labels or fewer folds"
        )
    scaling = scalings.fit(store.pixels(), **context.config["scaling"])
    rows = subsample(labels, store.read([0]).shape[1:])
    seed = first_seed(context.config, len(classes))
    learned = train(store.read(rows), labels[rows], classes, scaling, config, context.profile, seed)
    save(learned, context.out)
    if learned.ensemble is None:
        return {"note": "too few training chips to check labels and distances; only copies are screened out"}
    return {"unseen_real_accepted": _accepted_real(learned.ensemble, learned.limits, classes)}


def no_training_chips(context: TaskContext) -> TooLittleDataError:
    """Return the error for a split without training chips."""
    return TooLittleDataError(f"split {context.config['split']} has no training chips; use more labels or fewer folds")


def _accepted_real(ensemble: Ensemble, limits: Limits, classes: list[str]) -> dict[str, float]:
    """Return which share of unseen real chips of each class screening would accept."""
    farthest = np.asarray(limits.max_distance)[ensemble.labels]
    accepted = (ensemble.real_score >= limits.min_label_score) & (ensemble.real_distance <= farthest)
    return {name: round(float(accepted[ensemble.labels == label].mean()), 4) for label, name in enumerate(classes)}


def save(screening: Screening, folder: Path) -> None:
    """Write what was learned into ``folder``."""
    tensors = {"thumbnails": torch.from_numpy(screening.thumbnails)}
    scorers = screening.ensemble.scorers if screening.ensemble else ()
    for number, scorer in enumerate(scorers):
        for name in _OF_SCORER:
            array = np.asarray(getattr(scorer, name))
            tensors[f"{number}.{name}"] = torch.from_numpy(array if array.dtype.kind == "i" else array.astype("f4"))
        for name, tensor in scorer.network.state_dict().items():
            tensors[f"{number}.network.{name}"] = tensor.detach().cpu().contiguous()
    save_file(tensors, folder / WEIGHTS)
    limits = screening.limits
    card = {
        "scorers": len(scorers),
        "size_px": screening.size_px,
        "bands": int(screening.thumbnails.shape[3]),
        "base_channels": BASE_CHANNELS,
        "min_texture": screening.min_texture,
        "min_label_score": limits.min_label_score,
        "max_distance": [float(limit) if math.isfinite(limit) else None for limit in limits.max_distance],
        "max_correlation": limits.max_correlation,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy the files of :func:`save` from one folder to another."""
    for name in (WEIGHTS, CARD):
        shutil.copyfile(source / name, target / name)


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
        farthest = [math.inf if limit is None else float(limit) for limit in card["max_distance"]]
        names = tuple(str(number) for number in range(len(farthest)))
        size = Architecture(SHIP_CONVNET, card["bands"], names, card["size_px"], card["base_channels"])
        scorers = tuple(_scorer(tensors, number, size, device) for number in range(card["scorers"]))
        limits = Limits(float(card["min_label_score"]), farthest, float(card["max_correlation"]))
        thumbnails, min_texture = tensors["thumbnails"].numpy(), float(card["min_texture"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = first_line(error)
        raise StoreError(
            f"the screening model in {folder} cannot be read ({reason}); `satpipe run synth` makes it"
        ) from None
    nobody = np.zeros(0)
    ensemble = Ensemble(scorers, np.zeros(0, np.int64), nobody, nobody) if scorers else None
    return Screening(ensemble, limits, thumbnails, int(card["size_px"]), min_texture)


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
