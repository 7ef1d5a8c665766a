"""What a run left, from Python: its chips, its final generator, its final classifier.

Each function takes the name of a run (without one, the only run there is) and the folder that holds ``data/``::

    from satpipe import load_chips
    chips = load_chips("demo", role="train")
    images, labels = chips.tensors()            # (N, C, H, W) float32 in [-1, 1], (N,) int64

All of them raise a :class:`~satpipe.utils.errors.SatpipeError` with one sentence where there is no such run, or
where it has not made what is asked for; the sentence names the command that makes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .dataset import scaling as scalings
from .dataset.chip_store import ChipStore
from .dataset.names import FINAL
from .dataset.scaling import Scaling
from .dataset.tables import CHIPS, SPLIT, SYNTHETIC
from .engine.runs import find_run
from .inference.generate import make, sample
from .models import classifier as classifiers
from .models.classifier import SHIP_CONVNET, Classifier, to_tensor
from .models.device import cores, threads
from .models.generator import Generator
from .models.quality import generator_verdict
from .utils.errors import ConfigError
from .utils.section import as_json

__all__ = ["ChipGenerator", "LabelledChips", "load_chips", "load_classifier", "load_generator"]

Chips = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChipGenerator:
    """A run's final generator p(x|y), ready to sample from.

    A chip follows from the seed, its class and its number: more chips leave the first ones as they were, and the same
    call gives the same bytes on one machine.

    Attributes:
        classes: Class names; the position is the class number.
        shape: (H, W, C) of a chip.
        licences: Licences of the imagery that it learned from; what it makes carries them.
        card: What training wrote about it.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    licences: tuple[str, ...]
    card: dict[str, Any]
    _generator: Generator
    _scaling: Scaling

    def values(
        self, count: int, label: str | None = None, seed: int = 1, truncation: float = 1.0
    ) -> tuple[npt.NDArray[np.float32], Labels]:
        """Return chips (N, H, W, C) float32 in [-1, 1], and class numbers (N,).

        Args:
            count: Chips in all.
            label: Their class; None deals them evenly to all classes, in the order of the classes.
            seed: What they follow from.
            truncation: Standard deviation of z; below 1 gives more typical and less varied chips.

        Raises:
            ConfigError: If there is no such class.
        """
        numbers = make.class_numbers(() if label is None else (label,), self.classes)
        tally = sample.Tally(sample.shares(count, numbers))
        workers = cores()
        with threads(workers) as pool:
            blocks = list(sample.kept(self._generator, tally.wanted, seed, truncation, None, pool, workers, tally))
        values = [block.values for block in blocks] or [np.zeros((0, *self.shape), np.float32)]
        return np.concatenate(values), np.repeat(list(tally.wanted), list(tally.wanted.values())).astype(np.int64)

    def chips(
        self, count: int, label: str | None = None, seed: int = 1, truncation: float = 1.0
    ) -> tuple[Chips, Labels]:
        """Sample as :meth:`values` does; chips (N, H, W, C) have the dtype of the training chips."""
        values, labels = self.values(count, label, seed, truncation)
        return self._scaling.invert(values), labels

    def tensors(
        self, count: int, label: str | None = None, seed: int = 1, truncation: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Sample as :meth:`values` does: torch images (N, C, H, W) float32 in [-1, 1], labels (N,) int64."""
        values, labels = self.values(count, label, seed, truncation)
        return to_tensor(values), torch.from_numpy(labels)


@dataclass(frozen=True)
class LabelledChips(Dataset[tuple[Tensor, int]]):
    """Chips of a run with their labels; a map-style dataset of torch, so that a ``DataLoader`` takes it as it is.

    Attributes:
        table: A row for each chip: chip_id, class, scene_id, kind, footprint (WKT in longitude and latitude), groups,
            and `role` where a split was named. For synthetic chips also seed, label_score, nearest_distance.
        classes: Class names; the position is the class number.
        scaling: From chip values to [-1, 1].
        store: Where the pixels are, read by memory map.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    scaling: Scaling
    store: ChipStore

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.table)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        """Return the image (C, H, W) float32 in [-1, 1] and the class index of one chip."""
        rows = range(len(self))[position]
        return self._scaled(self.store.read([rows]))[0], self.classes.index(self.table["class"].iloc[rows])

    def read(self, positions: Sequence[int] | None = None) -> Chips:
        """Return chips (N, H, W, C) in their own dtype, of the given positions or all."""
        return self.store.read(positions)

    def labels(self) -> Labels:
        """Return the class indices (N,)."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[name] for name in self.table["class"]], np.int64)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return all images (N, C, H, W) float32 in [-1, 1], and labels (N,) int64."""
        return self._scaled(self.read()), torch.from_numpy(self.labels())

    def _scaled(self, chips: Chips) -> Tensor:
        return to_tensor(self.scaling.apply(chips))


def load_generator(run: str | None = None, root: Path | str = ".") -> ChipGenerator:
    """Return the final generator of a run; needs neither its chips nor its scenes.

    Warns where measurements say that it did not learn.

    Args:
        run: Name of the run; None takes the only one there is.
        root: Folder that holds ``data/``.

    Raises:
        ConfigError: If there is no such run, or it has no generator yet.
        StoreError: If the generator's files are damaged.
    """
    found = find_run(run, root)
    artifact, generator, scaling = make.load(found)
    if (warning := generator_verdict(artifact.metadata).sentence) is not None:
        warnings.warn(warning, stacklevel=2)
    return ChipGenerator(generator.classes, generator.shape, found.licences, generator.card, generator, scaling)


def load_classifier(
    run: str | None = None, root: Path | str = ".", device: str | torch.device = "cpu", model: str | None = None
) -> Classifier:
    """Load the final classifier of a run, trained on all labelled chips with the arm that the verdict favours.

    ``load_classifier("demo").scores(chips)`` gives the calibrated probability (N,) that each of chips (N, H, W, C), in
    the dtype of the run's chips, is not background.

    Args:
        run: Name of the run; None takes the only one there is.
        root: Folder that holds ``data/``.
        device: Where it computes.
        model: Function that builds the network, as ``package.module:function``, for a run whose ``classify.model`` is
            not bundled. It is called; what the run's own record names never is.

    Raises:
        ConfigError: If there is no such run, or it has no classifier yet.
        StoreError: If the classifier's files are damaged.
    """
    found = find_run(run, root)
    part = found.artifact(f"classify/{FINAL}", "classifier", "all")
    return classifiers.load(part.path, device, model or SHIP_CONVNET)


def load_chips(
    run: str | None = None,
    root: Path | str = ".",
    split: str = FINAL,
    role: str | None = None,
    label: str | None = None,
    synthetic: bool = False,
) -> LabelledChips:
    """Open the labelled chips of a run.

    Args:
        run: Name of the run; None takes the only one there is.
        root: Folder that holds ``data/``.
        split: Split whose roles count, such as ``fold0-f100-r3``; by default the one of all labelled chips. Values are
            scaled with what its training chips say.
        role: ``train``, ``validation``, ``test``, ``unused`` or ``dropped``; None takes all. For real chips.
        label: Class; None takes all.
        synthetic: The accepted synthetic chips that the run made for the split, instead of real ones.

    Raises:
        ConfigError: If there is no such run, split, role or class, or the run has no such chips yet.
        StoreError: If its files are damaged.
    """
    found = find_run(run, root)
    classes = found.config.ingest.classes
    index = found.artifact("chips/index", "chips", "chips").path
    real = ChipStore.open(CHIPS.read, index / "index.parquet", found.store.artifacts)
    assigned = found.find(f"chips/split-{split}")
    if assigned is None:
        splits = sorted(title.removeprefix("chips/split-") for title in found.keys if title.startswith("chips/split-"))
        raise ConfigError(f"run {found.name} has no split {split}; it has {', '.join(splits) or 'none yet'}")
    roles = SPLIT.read(assigned.path / "split.parquet").set_index("chip_id")["role"]
    training = real.of(list(roles.index[roles == "train"]))
    how = as_json(found.config.chips.scaling)
    fitted_on = training if len(training) else real.of(list(real.index["chip_id"][:1]))
    scaling = scalings.fit(fitted_on.pixels(), **how)
    store = real
    if synthetic:
        if role is not None:
            raise ConfigError("synthetic chips have no role; leave out role or synthetic")
        made = found.artifact(f"synth/{split}", f"synthetic chips of split {split}", "synth").path
        store = ChipStore.open(SYNTHETIC.read, made / "index.parquet", found.store.artifacts)
        store = store.where(store.index["accepted"].to_numpy(bool))
    else:
        known = ("train", "validation", "test", "unused", "dropped")
        if role is not None and role not in known:
            raise ConfigError(f"role {role}: roles are {', '.join(known)}")
        given = store.index["chip_id"].map(roles)
        store = ChipStore(store.index.assign(role=given), store.store)
        store = store if role is None else store.where((given == role).to_numpy(bool))
    if label is not None:
        make.class_numbers((label,), classes)
        store = store.where((store.index["class"] == label).to_numpy(bool))
    return LabelledChips(store.index, classes, scaling, store)
