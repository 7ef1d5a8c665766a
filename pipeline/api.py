"""Access to a run from Python: its chips, its final generator, its final classifier.

Each function takes the name of a run (without one, the only run there is) and the folder that holds ``data/``::

    from satpipe import load_chips
    chips = load_chips("demo", role="train")
    images, labels = chips.tensors()            # (N, C, H, W) float32 in [-1, 1], (N,) int64

All of them raise a :class:`~satpipe.utils.errors.SatpipeError` with one sentence where there is no such run, or
where it has not made what is asked for; the sentence names the command that makes it.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .dataset import scaling as scalings
from .dataset.chip_store import ChipStore, LazyChips
from .dataset.names import FINAL
from .dataset.scaling import Scaling
from .dataset.split_chips import labelled
from .dataset.tables import CHIPS, SPLIT, SYNTHETIC
from .engine.runs import Run, find_run
from .inference.generate import loaded as sources
from .inference.generate import make, sample
from .inference.generate.loaded import LoadedGenerator
from .models import classifier as classifiers
from .models import generator as generators
from .models.classifier import SHIP_CONVNET, Classifier, to_tensor
from .models.device import cores, threads
from .models.quality import generator_verdict
from .utils.errors import ConfigError, SatpipeError, StoreError
from .utils.plural import plural
from .utils.section import as_json

__all__ = ["ChipGenerator", "LabelledChips", "load_chips", "load_classifier", "load_generator"]

Chips = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
P = ParamSpec("P")
T = TypeVar("T")

ROLES = ("train", "validation", "test", "unused", "dropped")
SPLITS_NAMED = 5
"""Splits that a message names at most."""
_OPTION = re.compile(r"`[^`]*`|--[a-z-]+")
_IN_PYTHON = {"--run": "run=", "--root": "root=", "--no-screen": "screen=False"}


def _python_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Have errors name arguments in place of options; what stands in backticks is a command and stays."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SatpipeError as error:
            message = _OPTION.sub(lambda match: _IN_PYTHON.get(match[0], match[0]), str(error))
            error.args = (message, *error.args[1:])
            raise

    return call


@dataclass(frozen=True, repr=False)
class LabelledChips(Dataset[tuple[Tensor, int]]):
    """Chips with their labels; a map-style dataset of torch, so that a ``DataLoader`` takes it as it is.

    ``chips[5]`` is the image and the class number of one chip; ``chips[:100]``, ``chips[::2]`` and ``chips[array]`` are
    :class:`LabelledChips` again; ``real + synthetic`` is a dataset of both.

    Attributes:
        table: A row for each chip. Of a run: chip_id, class, scene_id, kind, row and col (of the chip's top left pixel
            in its scene at the chips' pixel size), footprint (WKT in longitude and latitude), groups, and `role` in the
            split. Of synthetic chips also seed, label_score, nearest_distance.
        classes: Class names; the position is the class number.
        scaling: From chip values to [-1, 1].
        pixels: The chips (N, H, W, C), or what reads them by memory map when it is indexed.
        title: Where they come from.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    scaling: Scaling
    pixels: Chips | LazyChips
    title: str = "chips"

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.table)

    @overload
    def __getitem__(self, position: int) -> tuple[Tensor, int]: ...
    @overload
    def __getitem__(self, position: slice | npt.NDArray[Any] | Sequence[int]) -> LabelledChips: ...
    def __getitem__(
        self, position: int | slice | npt.NDArray[Any] | Sequence[int]
    ) -> tuple[Tensor, int] | LabelledChips:
        """Return image (C, H, W) float32 in [-1, 1] and class number of one chip, or several chips as a dataset."""
        if isinstance(position, int | np.integer):
            row = range(len(self))[position]
            return self._scaled(self.read([row]))[0], self.classes.index(self.table["class"].iloc[row])
        rows = np.arange(len(self))[position if isinstance(position, slice) else np.asarray(position)]
        pixels = _part(self.pixels, rows)
        return LabelledChips(
            self.table.iloc[rows].reset_index(drop=True), self.classes, self.scaling, pixels, self.title
        )

    def __repr__(self) -> str:
        """Return what the chips are, and how many there are of each class."""
        height, width, bands = self.pixels.shape[1:]
        counts = Counter(self.table["class"])
        of_each = ", ".join(f"{counts[name]:,} {name}" for name in self.classes)
        size = f"{height} x {width} pixels, {plural(bands, 'band')}, {self.pixels.dtype}"
        return f"LabelledChips: {len(self):,} {self.title}, {size}\n  {of_each}"

    def read(self, positions: Sequence[int] | None = None) -> Chips:
        """Read chips (N, H, W, C) in their own dtype, of the given positions or all."""
        rows = np.arange(len(self)) if positions is None else np.asarray(positions, np.int64)
        return self.pixels[rows]

    def labels(self) -> Labels:
        """Return class numbers (N,)."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[name] for name in self.table["class"]], np.int64)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return all images (N, C, H, W) float32 in [-1, 1], and labels (N,) int64."""
        return self._scaled(self.read()), torch.from_numpy(self.labels())

    def _scaled(self, chips: Chips) -> Tensor:
        return to_tensor(self.scaling.apply(chips))


def _part(pixels: Chips | LazyChips, rows: Labels) -> Chips | LazyChips:
    """Return some chips; those that are read by memory map stay on disk."""
    if isinstance(pixels, LazyChips):
        return LazyChips(pixels.shards, pixels.which[rows], pixels.positions[rows])
    return pixels[rows]


@dataclass(frozen=True, repr=False)
class ChipGenerator:
    """A run's final generator p(x|y), ready to sample from.

    A chip follows from the seed, its class and its number: more chips leave the first ones as they were, and the same
    call gives the same bytes on one machine, those of `satpipe generate` with the same settings.
    """

    _loaded: LoadedGenerator

    @property
    def classes(self) -> tuple[str, ...]:
        """Return class names; the position is the class number."""
        return self._loaded.generator.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (H, W, C) of a chip."""
        return self._loaded.generator.shape

    @property
    def licences(self) -> tuple[str, ...]:
        """Return the licences of the imagery that it learned from; what it makes carries them."""
        return self._loaded.licences

    @property
    def card(self) -> dict[str, Any]:
        """Return what training wrote about it."""
        return self._loaded.generator.card

    def __repr__(self) -> str:
        """Return what it generates, and of which classes."""
        height, width, bands = self.shape
        size = f"{height} x {width} pixels, {plural(bands, 'band')}, {self._loaded.scaling.dtype}"
        return f"ChipGenerator of {self._loaded.name}: chips of {size}\n  classes: {', '.join(self.classes)}"

    @_python_errors
    def sample(
        self,
        count: int,
        label: str | None = None,
        seed: int = 1,
        screen: bool | None = None,
        truncation: float | None = None,
    ) -> LabelledChips:
        """Return synthetic chips with their labels, seeds and scores.

        Warns where fewer chips pass screening than are asked for.

        Args:
            count: Chips in all.
            label: Their class; None divides them evenly among all classes, in the order of the classes.
            seed: What they follow from.
            screen: Whether to leave out chips that look like another class, unlike any real chip, or like a copy of
                one. None does as the run did; by default runs screen.
            truncation: Standard deviation of z; below 1 gives more typical and less varied chips. None takes the run's.

        Raises:
            ConfigError: If there is no such class, or screening is asked for and there is nothing to screen with.
        """
        loaded = self._loaded
        numbers = make.class_numbers(() if label is None else (label,), self.classes)
        screening = loaded.screening(screen)
        if (note := loaded.unscreened(screen)) is not None:
            warnings.warn(note, stacklevel=2)
        tally = sample.Tally(sample.shares(count, numbers))
        spread = loaded.truncation if truncation is None else truncation
        workers = cores()
        with threads(workers) as pool:
            blocks = list(sample.kept(loaded.generator, tally.wanted, seed, spread, screening, pool, workers, tally))
        for short in tally.short:
            kept, wanted, name = tally.kept[short], tally.wanted[short], self.classes[short]
            warnings.warn(
                f"only {kept:,} of {wanted:,} {name} chips passed screening, out of {tally.candidates[short]:,}"
                " candidates; screen=False skips screening",
                stacklevel=3,
            )
        columns = {
            "class": [self.classes[block.label] for block in blocks for _ in range(len(block))],
            "seed": _joined([block.seeds for block in blocks], np.int64),
            "label_score": _joined([block.label_score for block in blocks], np.float64),
            "nearest_distance": _joined([block.distance for block in blocks], np.float64),
        }
        none = np.zeros((0, *self.shape), loaded.scaling.dtype)
        chips = np.concatenate([none, *(loaded.scaling.invert(block.values) for block in blocks)])
        return LabelledChips(pd.DataFrame(columns), self.classes, loaded.scaling, chips, "synthetic chips")

    def tensors(
        self,
        count: int,
        label: str | None = None,
        seed: int = 1,
        screen: bool | None = None,
        truncation: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return images (N, C, H, W) float32 in [-1, 1] and labels (N,) int64 of what :meth:`sample` gives."""
        return self.sample(count, label, seed, screen, truncation).tensors()


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _folder(run: str | Path | None, card: str) -> Path | None:
    """Return the folder of an exported model that ``run`` names, or None where it names a run."""
    if isinstance(run, Path):
        return run
    return Path(run) if run is not None and (Path(run) / card).is_file() else None


@_python_errors
def load_generator(run: str | Path | None = None, root: Path | str = ".") -> ChipGenerator:
    """Return the final generator of a run, or one that `satpipe export model` wrote; needs no chips and no scenes.

    Warns where measurements say that it did not learn.

    Args:
        run: Name of the run, or folder of an exported generator; None takes the only run there is.
        root: Folder that holds ``data/``; of no account for an exported generator.

    Raises:
        ConfigError: If there is no such run, or it has no generator yet.
        StoreError: If the generator's files are damaged.
    """
    folder = _folder(run, generators.CARD)
    loaded = sources.of_run(find_run(cast(str | None, run), root)) if folder is None else sources.of_folder(folder)
    if (warning := generator_verdict(loaded.measured).sentence) is not None:
        warnings.warn(warning, stacklevel=3)
    return ChipGenerator(loaded)


@_python_errors
def load_classifier(
    run: str | Path | None = None,
    root: Path | str = ".",
    device: str | torch.device = "cpu",
    model: str | None = None,
) -> Classifier:
    """Return the final classifier of a run, trained on all labelled chips with the arm that the verdict favours.

    ``load_classifier("demo").scores(chips)`` gives the calibrated probability (N,) that each of chips (N, H, W, C), in
    the dtype of the run's chips, is not background.

    Args:
        run: Name of the run, or folder that `satpipe export model` wrote; None takes the only run there is.
        root: Folder that holds ``data/``; of no account for an exported classifier.
        device: Where it computes.
        model: Function that builds the network, as ``package.module:function``, for a run whose ``classify.model`` is
            not bundled. It is called; what the run's own record names never is.

    Raises:
        ConfigError: If there is no such run, or it has no classifier yet.
        StoreError: If the classifier's files are damaged.
    """
    folder = _folder(run, classifiers.CARD)
    if folder is None:
        finished = find_run(cast(str | None, run), root)
        folder = finished.artifact(f"classify/{FINAL}", "classifier", "all").path
    return classifiers.load(folder, device, model or SHIP_CONVNET)


@_python_errors
def load_chips(
    run: str | None = None,
    root: Path | str = ".",
    split: str = FINAL,
    role: str | None = None,
    label: str | None = None,
    synthetic: bool = False,
) -> LabelledChips:
    """Return the labelled chips of a run.

    Args:
        run: Name of the run; None takes the only one there is.
        root: Folder that holds ``data/``.
        split: Split whose roles count, such as ``fold0-f100-r3``; by default the one of all labelled chips, which has
            no test chips. Values are scaled with what its training chips say.
        role: ``train``, ``validation``, ``test``, ``unused`` or ``dropped``; None takes all. For real chips.
        label: Class; None takes all.
        synthetic: The accepted synthetic chips that the run made for the split, instead of real ones.

    Raises:
        ConfigError: If there is no such run, split, role or class, or the run has no such chips.
        StoreError: If its files are damaged.
    """
    if synthetic and role is not None:
        raise ConfigError("synthetic chips have no role; leave out role or synthetic")
    if role is not None and role not in ROLES:
        raise ConfigError(f"there is no role {role}; roles are {', '.join(ROLES)}")
    finished = find_run(run, root)
    classes = finished.config.ingest.classes
    if label is not None:
        make.class_numbers((label,), classes)
    index = finished.artifact("chips/index", "chips", "chips").path
    real = labelled(ChipStore.open(CHIPS.read, index / "index.parquet", finished.store.artifacts))
    roles = _roles(finished, split)
    training = real.of(list(roles.index[roles == "train"]))
    fitted_on = training if len(training) else real.of(list(real.index["chip_id"][:1]))
    scaling = scalings.fit(fitted_on.pixels(), **as_json(finished.config.chips.scaling))
    if synthetic:
        folder = finished.artifact(f"synth/{split}", f"synthetic chips of split {split}", "synth").path
        store = ChipStore.open(SYNTHETIC.read, folder / "index.parquet", finished.store.artifacts)
        store = store.where(store.index["accepted"].to_numpy(bool))
    else:
        store = ChipStore(real.index.assign(role=real.index["chip_id"].map(roles)), real.store)
        store = store if role is None else store.where((store.index["role"] == role).to_numpy(bool))
        if not len(store) and role is not None:
            raise ConfigError(
                f"split {split} of run {finished.name} has no {role} chips; {_splits_with(finished, role)}"
            )
    if label is not None:
        store = store.where((store.index["class"] == label).to_numpy(bool))
    what = f"{role} chips" if role else "synthetic chips" if synthetic else "chips"
    if not len(store):
        raise ConfigError(f"run {finished.name} has no {what}{f' of class {label}' if label else ''} in split {split}")
    title = f"{what} of run {finished.name} (split {split})"
    pixels = LazyChips.of(store)
    ends = np.array([len(shard) for shard in pixels.shards])[pixels.which]
    if ((pixels.positions < 0) | (pixels.positions >= ends)).any():
        raise StoreError(
            f"the index of run {finished.name} names chips that its shards do not hold; run the stage again"
        )
    return LabelledChips(store.index, classes, scaling, pixels, title)


def _splits(run: Run) -> list[str]:
    """Return the names of a run's splits."""
    prefix = "chips/split-"
    return sorted(title.removeprefix(prefix) for title in run.keys if title.startswith(prefix))


def _roles(run: Run, split: str) -> pd.Series[str]:
    """Return the role of each chip in a split, by chip_id.

    Raises:
        ConfigError: If there is no such split.
    """
    assigned = run.find(f"chips/split-{split}")
    if assigned is None:
        raise ConfigError(f"run {run.name} has no split {split}; it has {', '.join(_splits(run)) or 'none yet'}")
    return SPLIT.read(assigned.path / "split.parquet").set_index("chip_id")["role"]


def _splits_with(run: Run, role: str) -> str:
    """Return a clause on the splits of a run that have chips of a role."""
    names = [name for name in _splits(run) if run.find(f"chips/split-{name}") and (_roles(run, name) == role).any()]
    more = f" and {len(names) - SPLITS_NAMED} more" if len(names) > SPLITS_NAMED else ""
    return f"splits that have some: {', '.join(names[:SPLITS_NAMED])}{more}" if names else "no split has any"
