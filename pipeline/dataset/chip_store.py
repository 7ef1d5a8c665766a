"""Chips on disk: shards of ``.npy`` arrays (N, H, W, C) read by memory map, and a table that indexes them.

Real and synthetic chips have the same format, so whatever reads one reads the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib import format as npy

from ..utils.bounded_files import has_link
from ..utils.errors import StoreError, first_line

Chips = npt.NDArray[Any]
"""Chips (N, H, W, C) in the scene's own dtype."""
Masks = npt.NDArray[np.uint8]
"""Object masks (N, H, W): the share of each pixel that the object covers, 0 (nothing) to 255 (all of it)."""

_SHARD = re.compile(r"[^./\\:][^/\\:]*/[^./\\:][^/\\:]*/[^./\\:][^/\\:]*\.npy")
"""Stage, digest and file: an index cannot point anywhere else, neither upwards nor to an absolute path."""
SHARD_COLUMNS = ("shard", "mask_shard", "window_shard", "window_mask_shard")
"""Columns of an index that name shards."""
LOCAL = "."
"""Prefix of a shard that lies in the same artifact as the table that names it."""


CHIP_AXES, MASK_AXES = "(N, H, W, C)", "(N, H, W)"

IN_MEMORY_BYTES = 512 << 20
"""Chips of one training up to this size are read into memory at once; larger sets stay in their shards, and each batch
reads its own chips. A training sees the same bytes."""
FITTED_BYTES = 256 << 20
FITTED_CHIPS = 16_384
"""What is fitted on all chips of a split at once, such as features, is fitted on at most so many bytes of chips as
float32, and so many chips: some of it compares all pairs."""


def write_shard(chips: Chips, folder: Path, name: str = "chips") -> str:
    """Write chips as one shard in ``folder`` and return the shard name for the index.

    The name starts with ``./``: an artifact does not know its own digest while it is written. :func:`qualify` turns
    it into the name that other artifacts use.
    """
    if chips.ndim != 4:
        raise ValueError(f"chips have shape (N, H, W, C), got {chips.shape}")
    return _save(chips, folder, name)


def write_masks(masks: Masks, folder: Path, name: str = "masks") -> str:
    """Write object masks as one shard in ``folder`` and return its name for the index, as :func:`write_shard` does."""
    if masks.ndim != 3 or masks.dtype != np.uint8:
        raise ValueError(f"masks are uint8 of shape (N, H, W), got {masks.dtype} {masks.shape}")
    return _save(masks, folder, name)


def _save(array: npt.NDArray[Any], folder: Path, name: str) -> str:
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    return f"{LOCAL}/{name}.npy"


class ShardWriter:
    """Writes a shard chip by chip, in any order, to places that are known beforehand; nothing stays in memory.

    Use as a context manager and end with :meth:`finish`, which closes the gaps that unwritten places left.
    """

    def __init__(self, folder: Path, places: int, shape: tuple[int, ...], dtype: npt.DTypeLike, name: str) -> None:
        """Begin a shard ``name`` in ``folder`` with ``places`` chips of ``shape``, (H, W, C), or masks (H, W)."""
        self.path = folder / f"{name}.npy"
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._written = np.zeros(places, dtype=bool)
        self._file = self.path.open("w+b")
        self._start = self._header(self._file, places)

    def _header(self, file: BinaryIO, count: int) -> int:
        description = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (count, *self._shape)}
        npy.write_array_header_1_0(file, description)
        return file.tell()

    def __enter__(self) -> ShardWriter:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def write(self, place: int, chips: Chips) -> None:
        """Write chips (N, H, W, C) to ``place`` and the places after it, replacing what was there."""
        if chips.shape[1:] != self._shape or chips.dtype != self._dtype:
            raise StoreError(
                f"chips of {chips.dtype} {chips.shape[1:]} do not fit a shard of {self._dtype} {self._shape};"
                " cut them with one configuration"
            )
        self._file.seek(self._start + place * self._bytes)
        self._file.write(np.ascontiguousarray(chips).data)
        self._written[place : place + len(chips)] = True

    @property
    def _bytes(self) -> int:
        return math.prod(self._shape) * self._dtype.itemsize

    def finish(self) -> npt.NDArray[np.int64]:
        """Close the gaps; return each place's position in the shard (N,), -1 where nothing was written."""
        written = np.flatnonzero(self._written)
        if len(written) < len(self._written):
            temporary = self.path.with_suffix(".part")
            with temporary.open("wb") as whole:
                self._header(whole, len(written))
                for place in written:
                    self._file.seek(self._start + int(place) * self._bytes)
                    whole.write(self._file.read(self._bytes))
            self._file.close()
            temporary.replace(self.path)
        else:
            self._file.close()
        positions = np.full(len(self._written), -1, np.int64)
        positions[written] = np.arange(len(written))
        return positions


def qualify(index: pd.DataFrame, artifact: Path) -> pd.DataFrame:
    """Return the index of a committed artifact with its own shards relative to the store: ``stage/digest/file``."""
    prefix = f"{artifact.parent.name}/{artifact.name}/"
    named = {column: index[column].astype("category") for column in SHARD_COLUMNS if column in index}
    local = re.compile(rf"^{re.escape(LOCAL)}/")
    return index.assign(
        **{
            column: shards.cat.rename_categories({name: local.sub(prefix, name) for name in shards.cat.categories})
            for column, shards in named.items()
        }
    )


def _texts(values: Sequence[str] | pd.Series[str]) -> pa.ChunkedArray:
    texts = pa.array(values, pa.large_string())
    return texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])


@lru_cache(maxsize=256)
def _map(path: str) -> Chips:
    chips: Chips = np.load(path, mmap_mode="r", allow_pickle=False)
    return chips


@dataclass(frozen=True)
class ChipStore:
    """An index of chips and the store its shards lie in.

    Attributes:
        index: Rows of the ``CHIPS`` or ``SYNTHETIC`` table.
        store: Root of the committed artifacts.
    """

    index: pd.DataFrame
    store: Path

    @classmethod
    def open(cls, table: Callable[[Path], pd.DataFrame], path: Path, store: Path) -> ChipStore:
        """Open the index at ``path`` (in a committed artifact) with ``table``, e.g. ``tables.CHIPS.read``."""
        return cls(qualify(table(path), path.parent), store)

    def where(self, chosen: npt.NDArray[np.bool_] | pd.Series[bool]) -> ChipStore:
        """Return the store of the chips for which ``chosen`` (N,) is true."""
        return ChipStore(self.index[np.asarray(chosen, dtype=bool)].reset_index(drop=True), self.store)

    def of(self, chip_ids: Sequence[str] | pd.Series[str]) -> ChipStore:
        """Return the store of the named chips, in the order of the names."""
        return self.take(self.positions(chip_ids))

    def take(self, rows: npt.NDArray[np.int64]) -> ChipStore:
        """Return the store of the chips at some positions (N,) in the index, in that order."""
        return ChipStore(self.index.iloc[rows].reset_index(drop=True), self.store)

    def positions(self, chip_ids: Sequence[str] | pd.Series[str]) -> npt.NDArray[np.int64]:
        """Return the position in the index (N,) of each named chip.

        Raises:
            StoreError: If a chip is not in the index.
        """
        names, wanted = _texts(self.index["chip_id"]), _texts(chip_ids)
        if names.equals(wanted):  # the tables of splits are in the order of the index
            return np.arange(len(names))
        positions = pc.index_in(wanted, value_set=names)
        if positions.null_count:
            missing = wanted.filter(positions.is_null())[0]
            raise StoreError(f"chip {missing} is not in the index of chips; run the stage chips again")
        return np.asarray(positions.to_numpy(), np.int64)

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.index)

    def read(self, rows: npt.ArrayLike | None = None) -> Chips:
        """Read the chips (N, H, W, C) at the given positions of the index, or all of them, in that order.

        Raises:
            StoreError: If a shard is missing or chips differ in shape or dtype.
        """
        return self._gather("shard", "position", rows)

    @property
    def has_masks(self) -> npt.NDArray[np.bool_]:
        """Return for each chip (N,) whether it has an object mask."""
        if "mask_shard" not in self.index:
            return np.zeros(len(self), bool)
        return self.index["mask_shard"].notna().to_numpy(bool)

    def masks(self, rows: npt.ArrayLike | None = None) -> Masks:
        """Read the object masks (N, H, W) of the given positions in the index, or of all chips, in that order.

        Raises:
            StoreError: If a chip has no mask (see :attr:`has_masks`), a shard is missing or masks differ in shape.
        """
        chosen = np.arange(len(self)) if rows is None else np.arange(len(self))[np.asarray(rows)]
        without = chosen[~self.has_masks[chosen]]
        if len(without):
            raise StoreError(f"{len(without)} of {len(chosen)} chips have no object mask; select chips that have one")
        return self._gather("mask_shard", "mask_position", chosen)

    def surroundings(self, rows: npt.ArrayLike) -> tuple[Chips, Masks]:
        """Read the surrounding windows (N, 2 S, 2 S, C) of chips with an object mask, and their masks (N, 2 S, 2 S).

        Raises:
            StoreError: If a chip has none, a shard is missing or arrays differ in shape.
        """
        windows = self._gather("window_shard", "mask_position", rows)
        return windows, self._gather("window_mask_shard", "mask_position", rows)

    def _gather(self, shard_column: str, position_column: str, rows: npt.ArrayLike | None) -> npt.NDArray[Any]:
        """Read rows of the shards that two columns of the index name."""
        frame = self.index[[shard_column, position_column]]
        frame = frame if rows is None else frame.iloc[np.asarray(rows)]
        if frame.empty:
            raise StoreError("no chips to read: the selection is empty")
        codes, names = pd.factorize(frame[shard_column])
        positions = frame[position_column].to_numpy(dtype=np.int64)
        axes = MASK_AXES if "mask" in shard_column else CHIP_AXES
        first = self._shard(str(names[0]), axes)
        out = np.empty((len(frame), *first.shape[1:]), first.dtype)
        for code, name in enumerate(names):
            array, places = self._shard(str(name), axes), np.flatnonzero(codes == code)
            if array.shape[1:] != out.shape[1:] or array.dtype != out.dtype:
                raise StoreError(
                    f"chips of {name} are {array.dtype} {array.shape[1:]}, others {out.dtype} {out.shape[1:]};"
                    " cut them with one configuration"
                )
            if positions[places].min() < 0 or positions[places].max() >= len(array):
                raise StoreError(f"the index names a chip beyond the {len(array)} in {name}")
            out[places] = array[positions[places]]
        return out

    def pixels(self) -> Chips:
        """Return all chips (N, H, W, C): read, or as :class:`LazyChips` if larger than :data:`IN_MEMORY_BYTES`."""
        first = self._shard(str(self.index["shard"].iloc[0]))
        if len(self) * first[0].nbytes <= IN_MEMORY_BYTES:
            return self.read()
        # To its users an array: they use its length, shape and dtype, and index its first axis.
        return cast(Chips, LazyChips.of(self))

    def _shard(self, shard: str, axes: str = CHIP_AXES) -> npt.NDArray[Any]:
        """Map a shard, an array with the given axes."""
        if not _SHARD.fullmatch(shard):
            raise StoreError(f"the index names the shard {shard[:80]!r}, which is not a shard of a store")
        path = self.store / shard
        if has_link(path, self.store):
            raise StoreError(
                f"chip shard {path} is a link or lies behind one, and satpipe does not follow links in a store"
            )
        if not path.is_file():
            raise StoreError(f"chip shard {path} is missing; `satpipe run chips` creates it again")
        try:
            array = _map(str(path))
        except (OSError, ValueError, SyntaxError, TokenError) as error:
            raise StoreError(f"chip shard {path} cannot be read: {first_line(error, 160)}") from None
        if array.ndim != axes.count(",") + 1:
            raise StoreError(f"chip shard {path} holds an array of shape {array.shape} where {axes} is expected")
        return array


@dataclass(frozen=True)
class LazyChips:
    """Chips that stay in their shards until they are indexed; 12 bytes of memory each.

    Attributes:
        shards: Mapped shards.
        which: Shard of each chip (N,).
        positions: Position in it (N,).
    """

    shards: tuple[Chips, ...]
    which: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]

    @classmethod
    def of(cls, store: ChipStore) -> LazyChips:
        """Return all chips of a store, in its order.

        Raises:
            StoreError: If a shard is missing or chips differ in shape or dtype.
        """
        codes, names = pd.factorize(store.index["shard"])
        shards = tuple(store._shard(str(name)) for name in names)
        if len({(shard.shape[1:], shard.dtype) for shard in shards}) > 1:
            raise StoreError("the chips of a split differ in size or type; cut them with one configuration")
        return cls(shards, codes.astype(np.int32), store.index["position"].to_numpy(np.int64))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""
        return (len(self), *self.shards[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of a value."""
        return self.shards[0].dtype

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.which)

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Chips:
        """Read the chips of a slice, or of positions or a boolean mask, in that order."""
        which, positions = self.which[rows], self.positions[rows]
        out = np.empty((len(which), *self.shape[1:]), self.dtype)
        for shard in np.unique(which):
            places = np.flatnonzero(which == shard)
            out[places] = self.shards[shard][positions[places]]
        return out


def with_store_after(chips: Chips, store: ChipStore) -> Chips:
    """Return chips followed by those of a store; lazy chips stay lazy."""
    lazy: object = chips
    if not isinstance(lazy, LazyChips):
        return np.concatenate([chips, store.read()])
    added = LazyChips.of(store)
    which = np.concatenate([lazy.which, added.which + np.int32(len(lazy.shards))])
    return cast(Chips, LazyChips(lazy.shards + added.shards, which, np.concatenate([lazy.positions, added.positions])))


def is_lazy(chips: Chips) -> bool:
    """Return whether chips stay in their shards."""
    return isinstance(cast(object, chips), LazyChips)


def subsample(labels: npt.NDArray[np.int64], shape: tuple[int, ...], most: int = FITTED_CHIPS) -> npt.NDArray[np.int64]:
    """Draw positions of chips to fit something on: all, or at most ``most``, or what :data:`FITTED_BYTES` hold.

    If not all, each class keeps its share, and a rare class more: half of an equal share if it has as many. The draw
    depends on the labels alone.

    Args:
        labels: Class indices (N,).
        shape: (H, W, C) of a chip.
        most: Chips at most.
    """
    most = max(1, min(most, FITTED_BYTES // (4 * math.prod(shape))))
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    least = most // (2 * len(classes))
    remaining = most - sum(min(int(count), least) for count in counts)
    over = counts.clip(least) - least
    drawn = [
        rng.choice(np.flatnonzero(labels == label), min(int(count), least) + int(remaining * more / over.sum()), False)
        for label, count, more in zip(classes, counts, over, strict=True)
    ]
    return np.sort(np.concatenate(drawn))
