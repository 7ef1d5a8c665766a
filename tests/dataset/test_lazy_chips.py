"""Chips that stay in their shards: the same bytes as chips in memory, for whoever trains on them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.dataset import chip_store
from satpipe.dataset.chip_store import ChipStore, LazyChips, enough, followed_by, is_lazy, write_shard
from satpipe.utils.errors import StoreError


def store(root: Path, sizes: tuple[int, ...] = (5, 3), side: int = 4, first: int = 0) -> ChipStore:
    """Shards of distinct chips; the index names them in a mixed order."""
    rows = []
    for number, size in enumerate(sizes):
        folder = root / "chips" / f"p{first + number}"
        folder.mkdir(parents=True)
        chips = np.arange(size * side * side * 3).reshape(size, side, side, 3) + 1000 * (first + number)
        write_shard(chips.astype(np.uint16), folder)
        rows += [(f"chips/p{first + number}/chips.npy", position) for position in range(size)]
    index = pd.DataFrame(rows, columns=["shard", "position"]).sample(frac=1, random_state=1).reset_index(drop=True)
    return ChipStore(index, root)


@pytest.fixture
def lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip_store, "IN_MEMORY_BYTES", 0)


def test_chips_that_fit_are_read_at_once_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chips = store(tmp_path)
    assert not is_lazy(chips.pixels())
    monkeypatch.setattr(chip_store, "IN_MEMORY_BYTES", 8 * 4 * 4 * 3 * 2 - 1)
    assert is_lazy(chips.pixels())


@pytest.mark.usefixtures("lazily")
def test_lazy_chips_answer_as_an_array_does(tmp_path: Path) -> None:
    chips = store(tmp_path)
    whole, lazy = chips.read(), chips.pixels()
    assert (lazy.shape, lazy.dtype, len(lazy)) == (whole.shape, whole.dtype, len(whole))
    mask = np.arange(8) % 3 == 0
    for rows in (slice(None), slice(2, 5), slice(6, 99), np.array([7, 0, 0, 3]), mask, np.array([], np.int64)):
        np.testing.assert_array_equal(lazy[rows], whole[rows])


@pytest.mark.usefixtures("lazily")
def test_lazy_chips_need_few_bytes_each(tmp_path: Path) -> None:
    lazy: object = store(tmp_path, (2000, 2000), side=1).pixels()
    assert isinstance(lazy, LazyChips)
    assert lazy.which.nbytes + lazy.positions.nbytes == 12 * 4000
    assert all(isinstance(shard, np.memmap) for shard in lazy.shards)
    assert sys.getsizeof(lazy) < 100


@pytest.mark.usefixtures("lazily")
def test_chips_of_another_store_come_after_lazy_ones_as_after_others(tmp_path: Path) -> None:
    real, made = store(tmp_path), store(tmp_path, (4,), first=7)
    expected = np.concatenate([real.read(), made.read()])
    joined = followed_by(real.pixels(), made)
    assert is_lazy(joined)
    np.testing.assert_array_equal(joined[np.arange(12)], expected)
    np.testing.assert_array_equal(followed_by(real.read(), made), expected)


@pytest.mark.usefixtures("lazily")
def test_lazy_chips_of_several_sizes_are_refused(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path, (2,), side=6, first=5)
    with pytest.raises(StoreError, match="differ in size"):
        ChipStore(pd.concat([one.index, other.index]), tmp_path).pixels()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 300))
def test_what_is_learned_from_keeps_to_its_bytes_and_to_every_class(counts: list[int], most: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip_store, "LEARNED_BYTES", most * 4 * 12)
        rows = enough(labels, (2, 2, 3))
    assert len(rows) <= max(most, 0)
    assert (np.diff(rows) > 0).all()
    if sum(counts) <= most:
        assert len(rows) == sum(counts)
    kept = np.bincount(labels[rows], minlength=len(counts))
    assert (kept >= np.minimum(counts, most // (2 * len(counts)))).all()


@pytest.mark.parametrize("header", [b"{'descr': ('|u2', (", b"{'descr': '<u2', 'shape': ", b"\x00\x01\x02"])
def test_a_shard_whose_header_is_broken_is_named(tmp_path: Path, header: bytes) -> None:
    chips = store(tmp_path, (5,))
    path = tmp_path / "chips" / "p0" / "chips.npy"
    text = header.ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(200))
    with pytest.raises(StoreError, match=r"chips\.npy"):
        chips.read()
