"""Real chips of a split, by role."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .chip_store import SHARD_COLUMNS, ChipStore
from .tables import CHIPS, EXTRA_KINDS, SPLIT, UNLABELLED, UNLABELLED_ROLE

Labels = npt.NDArray[np.int64]


def class_indices(names: Iterable[str], classes: tuple[str, ...]) -> Labels:
    """Return the class indices (N,) of class names: their positions in ``classes``."""
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position[name] for name in names], np.int64)


def labelled(chips: ChipStore) -> ChipStore:
    """Return the chips of a run without the windows of scenes that nobody has labelled."""
    return chips.where((chips.index["class"] != UNLABELLED).to_numpy(bool))


@dataclass(frozen=True)
class RealChips:
    """Chips that a split assigns roles to.

    Attributes:
        store: All real chips of the run, without what trainings do not need, such as places and outlines.
        split: The split's table: chip_id, role, unit.
        classes: Class names; the position is the class index.
    """

    store: ChipStore
    split: pd.DataFrame
    classes: tuple[str, ...]

    @classmethod
    def open(cls, index: Path, split: Path, root: Path, classes: Sequence[str]) -> RealChips:
        """Open a run's chips and one of its splits.

        Args:
            index: Folder of the chip index.
            split: Folder of the split.
            root: Folder that the index names shards relative to.
            classes: Class names.
        """
        columns = ["chip_id", "class", "kind", "shard", "position", *CHIPS.optional]
        texts = ["class", "kind", *SHARD_COLUMNS]
        store = ChipStore.open(lambda path: CHIPS.read_columns(path, columns, texts), index / "index.parquet", root)
        return cls(store, SPLIT.read(split / "split.parquet"), tuple(classes))

    def of(self, role: str) -> tuple[ChipStore, Labels]:
        """Return the chips of a role, and their class indices (N,)."""
        chips = self._chips(role)
        return chips, class_indices(chips.index["class"], self.classes)

    @property
    def unlabelled(self) -> ChipStore:
        """Return the windows of scenes without labels, on which objects may be composed."""
        return self._windows(extra=False)

    @property
    def extra(self) -> ChipStore:
        """Return further windows of labelled scenes that show no object, on which objects may be composed."""
        return self._windows(extra=True)

    def _windows(self, extra: bool) -> ChipStore:
        windows = self._chips(UNLABELLED_ROLE)
        return windows.where(windows.index["kind"].isin(EXTRA_KINDS).to_numpy(bool) == extra)

    def _chips(self, role: str) -> ChipStore:
        return self.store.take(self.store.positions(self.split["chip_id"])[(self.split["role"] == role).to_numpy(bool)])
