"""Small grey pictures of chips, by which near-duplicates are searched for; they lie in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from ....dataset.chip_store import ChipStore

Floats = npt.NDArray[np.float32]
Rows = slice | npt.NDArray[np.int64]

THUMB = 32
"""Side of a small picture."""
EDGE = 2
"""Pixels by which one small picture of a pair may be shifted: they are compared within this edge."""
INNER = THUMB - 2 * EDGE
_CHUNK = 1024
"""Chips in memory at a time, for each thread."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Pictures:
    """Textured chips as small pictures: 12 bytes of each in memory, and 2 kilobytes in a file.

    Attributes:
        rows: Position (N,) of each in the index.
        contrast: Norm (N,) of each about its mean, in the units of the chips.
        span: The range of the data.
        file: Grey pictures (N, 32, 32) of float16 with mean 0 and norm 1.
    """

    rows: npt.NDArray[np.int64]
    contrast: Floats
    span: float
    file: BinaryIO

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)

    def read(self, positions: Rows) -> Floats:
        """Read some of the pictures (M, 32, 32)."""
        # Mapped anew each time: what an older mapping has read would count as memory of the process.
        whole = np.memmap(self.file, np.float16, "r", shape=(len(self), THUMB, THUMB))
        return np.asarray(whole[positions], np.float32)


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """Yield what a function returns for each item, in their order, computed by threads of which none runs ahead."""
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, 4 * workers)):
            yield from pool.map(function, batch)


def grey(chips: npt.NDArray[Any]) -> Floats:
    """Reduce chips (N, H, W, C) to grey pictures (N, 32, 32): the mean of the bands, averaged over equal areas."""
    count, height, width, bands = chips.shape
    # Bands and columns are averaged in one product, which takes a fifth of the time of a mean over the bands.
    along = np.repeat(_areas(width) / bands, bands, axis=1)
    narrow = chips.reshape(count * height, width * bands).astype(np.float32) @ along.T
    return np.asarray(_areas(height) @ narrow.reshape(count, height, THUMB))


def _areas(side: int) -> Floats:
    """Return the matrix (32, side) that averages ``side`` pixels over 32 equal lengths."""
    edges = np.linspace(0, side, THUMB + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)[None]
    share = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return np.asarray(share / share.sum(axis=1, keepdims=True), np.float32)


def textured_pictures(chips: ChipStore, min_texture: float, file: BinaryIO, workers: int) -> Pictures:
    """Reduce the textured chips of a store for comparison.

    Args:
        chips: The chips.
        min_texture: Standard deviation, as a share of the data range, from which a chip counts as textured. The range
            is that of the type for uint8, else from the 0.1st to the 99.9th percentile of the chips.
        file: Where the small pictures are put; open for as long as the result is used.
        workers: Threads.
    """
    span = _range(chips)
    least = max(min_texture * span, 1e-12) * THUMB

    def reduced(start: int) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.float16]]:
        positions = np.arange(start, min(start + _CHUNK, len(chips)))
        small = grey(chips.read(positions))
        small -= small.mean(axis=(1, 2), keepdims=True)
        norm = np.linalg.norm(small, axis=(1, 2))
        textured = norm >= least
        kept = norm[textured]
        return positions[textured], kept, (small[textured] / kept[:, None, None]).astype(np.float16)

    rows, contrast = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for chosen, norm, small in in_order(reduced, range(0, len(chips), _CHUNK), workers):
        rows.append(chosen)
        contrast.append(norm)
        file.write(small.tobytes())
    file.flush()
    return Pictures(np.concatenate(rows), np.concatenate(contrast), span, file)


def _range(chips: ChipStore) -> float:
    sample = chips.read(np.linspace(0, len(chips) - 1, min(len(chips), 256)).astype(np.int64))
    if sample.dtype == np.uint8:
        return 255.0
    low, high = np.percentile(sample, [0.1, 99.9])
    return float(high - low) or 1.0
