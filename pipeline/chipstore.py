"""Chips on disk: shards of ``.npy`` arrays (N, H, W, C) read by memory map, and a table that indexes them.

Real and synthetic chips have the same format, so whatever reads one reads the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import StoreError

Chips = npt.NDArray[Any]
"""Chips (N, H, W, C) in the scene's own dtype."""

LOCAL = "."
"""Prefix of a shard that lies in the same part as the table that names it."""


def write_shard(chips: Chips, folder: Path, name: str = "chips") -> str:
    """Write chips as one shard in ``folder`` and return the shard name for the index.

    The name starts with ``./``: a part does not know its own digest while it is made. :func:`qualify` turns it into
    the name that other parts use.
    """
    if chips.ndim != 4:
        raise ValueError(f"chips have shape (N, H, W, C), got {chips.shape}")
    np.save(folder / f"{name}.npy", np.ascontiguousarray(chips), allow_pickle=False)
    return f"{LOCAL}/{name}.npy"


def qualify(index: pd.DataFrame, part: Path) -> pd.DataFrame:
    """The index of a committed part with its own shards named relative to the store: ``stage/digest/file``."""
    prefix = f"{part.parent.name}/{part.name}/"
    shard = index["shard"].str.replace(r"^\./", prefix, regex=True)
    return index.assign(shard=shard.astype("string"))


@lru_cache(maxsize=256)
def _map(path: str) -> Chips:
    chips: Chips = np.load(path, mmap_mode="r", allow_pickle=False)
    return chips


@dataclass(frozen=True)
class ChipStore:
    """An index of chips and the store its shards lie in.

    Attributes:
        index: Rows of the ``CHIPS`` or ``SYNTHETIC`` table.
        store: Root of the committed parts.
    """

    index: pd.DataFrame
    store: Path

    @classmethod
    def open(cls, table: Callable[[Path], pd.DataFrame], path: Path, store: Path) -> ChipStore:
        """Open the index at ``path`` (in a committed part) with ``table``, e.g. ``tables.CHIPS.read``."""
        return cls(qualify(table(path), path.parent), store)

    def where(self, chosen: npt.NDArray[np.bool_] | pd.Series[bool]) -> ChipStore:
        """The store of the chips for which ``chosen`` is true."""
        return ChipStore(self.index[np.asarray(chosen, dtype=bool)].reset_index(drop=True), self.store)

    def of(self, chip_ids: Sequence[str] | pd.Series[str]) -> ChipStore:
        """The store of the named chips, in the order of the names."""
        rows = self.index.set_index("chip_id", drop=False).loc[list(chip_ids)]
        return ChipStore(rows.reset_index(drop=True), self.store)

    def __len__(self) -> int:
        """How many chips."""
        return len(self.index)

    def read(self, rows: npt.ArrayLike | None = None) -> Chips:
        """Chips (N, H, W, C) of the given positions in the index, or all of them, in that order.

        Raises:
            StoreError: If a shard is missing or chips differ in shape or dtype.
        """
        frame = self.index if rows is None else self.index.iloc[np.asarray(rows)]
        if frame.empty:
            raise StoreError("no chips to read: the selection is empty")
        shards = frame["shard"].to_numpy(dtype=str)
        positions = frame["position"].to_numpy(dtype=np.int64)
        out: Chips | None = None
        for shard in dict.fromkeys(shards):
            here = np.flatnonzero(shards == shard)
            chips = self._shard(shard)
            if out is None:
                out = np.empty((len(frame), *chips.shape[1:]), chips.dtype)
            if chips.shape[1:] != out.shape[1:] or chips.dtype != out.dtype:
                raise StoreError(
                    f"chips of {shard} are {chips.dtype} {chips.shape[1:]}, others {out.dtype} {out.shape[1:]};"
                    " cut them with one configuration"
                )
            out[here] = chips[positions[here]]
        assert out is not None
        return out

    def _shard(self, shard: str) -> Chips:
        path = self.store / shard
        if not path.is_file():
            raise StoreError(f"chip shard {path} is missing; `satpipe run chips` makes it again")
        return _map(str(path))
