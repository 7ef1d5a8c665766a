"""Chip stores: chips read at once or batch by batch, object masks, and shards that are damaged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.dataset import chip_store
from satpipe.dataset.chip_store import (
    ChipStore,
    LazyChips,
    ShardWriter,
    is_lazy,
    subsample,
    with_store_after,
    write_masks,
    write_shard,
)
from satpipe.dataset.tables import CHIPS
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
def test_a_store_is_appended_to_lazy_chips_as_to_others(tmp_path: Path) -> None:
    real, made = store(tmp_path), store(tmp_path, (4,), first=7)
    expected = np.concatenate([real.read(), made.read()])
    joined = with_store_after(real.pixels(), made)
    assert is_lazy(joined)
    np.testing.assert_array_equal(joined[np.arange(12)], expected)
    np.testing.assert_array_equal(with_store_after(real.read(), made), expected)


@pytest.mark.usefixtures("lazily")
def test_lazy_chips_of_several_sizes_are_refused(tmp_path: Path) -> None:
    item, other = store(tmp_path), store(tmp_path, (2,), side=6, first=5)
    with pytest.raises(StoreError, match="differ in size"):
        ChipStore(pd.concat([item.index, other.index]), tmp_path).pixels()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 300))
def test_subsamples_keep_to_their_bytes_and_to_every_class(counts: list[int], most: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip_store, "FITTED_BYTES", most * 4 * 12)
        rows = subsample(labels, (2, 2, 3))
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


def chips_with_masks(root: Path) -> tuple[ChipStore, np.ndarray]:
    """An artifact with four chips, of which the first and the last have masks, written and opened again."""
    folder = root / "chips" / "d1"
    folder.mkdir(parents=True)
    masks = np.random.default_rng(0).integers(0, 256, (2, 4, 4), dtype=np.uint8)
    shard = write_shard(np.zeros((4, 4, 4, 3), np.uint8), folder)
    mask_shard = write_masks(masks, folder)
    rows: list[dict[str, object]] = [
        dict.fromkeys(CHIPS.columns)
        | {"chip_id": f"c{number}", "class": "ship", "valid_fraction": 1.0, "shard": shard, "position": number}
        | {"mask_shard": mask_shard if number in (0, 3) else None, "mask_position": {0: 1, 3: 0}.get(number)}
        | {"mask_reason": "too small" if number == 1 else None, "angle_deg": -30.0 if number == 3 else None}
        for number in range(4)
    ]
    CHIPS.write(rows, folder / "index.parquet")
    return ChipStore.open(CHIPS.read, folder / "index.parquet", root), masks


def test_masks_are_read_by_row_like_chips(tmp_path: Path) -> None:
    chips, masks = chips_with_masks(tmp_path)
    assert chips.has_masks.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(chips.masks([3, 0, 3]), masks[[0, 1, 0]])
    np.testing.assert_array_equal(chips.where(chips.has_masks).masks(), masks[[1, 0]])
    assert chips.index["mask_reason"].fillna("").tolist() == ["", "too small", "", ""]
    assert chips.index["angle_deg"].isna().tolist() == [True, True, True, False]


def test_masks_of_chips_without_one_are_refused(tmp_path: Path) -> None:
    chips, _ = chips_with_masks(tmp_path)
    with pytest.raises(StoreError, match="2 of 4 chips have no object mask"):
        chips.masks()


def test_a_mask_shard_of_another_shape_is_refused(tmp_path: Path) -> None:
    chips, _ = chips_with_masks(tmp_path)
    swapped = ChipStore(chips.index.assign(mask_shard=chips.index["shard"]), tmp_path)
    with pytest.raises(StoreError, match=r"shape \(4, 4, 4, 3\) where \(N, H, W\) is expected"):
        swapped.masks([0])


def test_masks_written_one_by_one_close_their_gaps(tmp_path: Path) -> None:
    folder = tmp_path / "chips" / "d1"
    folder.mkdir(parents=True)
    masks = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    with ShardWriter(folder, 5, (4, 4), np.uint8, "masks") as writer:
        for place, mask in zip((0, 2, 4), masks, strict=True):
            writer.write(place, mask[None])
        assert writer.finish().tolist() == [0, -1, 1, -1, 2]
    index = pd.DataFrame({"mask_shard": ["chips/d1/masks.npy"] * 3, "mask_position": [2, 1, 0]})
    np.testing.assert_array_equal(ChipStore(index, tmp_path).masks(), masks[::-1])


def test_an_index_without_mask_columns_has_no_masks(tmp_path: Path) -> None:
    chips_with_masks(tmp_path)
    path = tmp_path / "chips" / "d1" / "index.parquet"
    pd.read_parquet(path)[list(CHIPS.columns)].to_parquet(path)
    for read in (CHIPS.read, CHIPS.read_bare, lambda path: CHIPS.read_columns(path, ["chip_id", "mask_shard"])):
        old = ChipStore.open(read, path, tmp_path)
        assert not old.has_masks.any()
        assert old.index["mask_shard"].isna().all()


def test_chips_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    chips, _ = chips_with_masks(tmp_path)
    assert chips.of(["c3", "c0", "c3"]).index["position"].tolist() == [3, 0, 3]
    assert chips.positions(chips.index["chip_id"]).tolist() == [0, 1, 2, 3]
    assert len(chips.of([])) == 0
    with pytest.raises(StoreError, match="chip c9 is not in the index"):
        chips.of(["c0", "c9"])


def test_texts_that_many_chips_share_are_read_as_categories(tmp_path: Path) -> None:
    chips, masks = chips_with_masks(tmp_path)
    path = tmp_path / "chips" / "d1" / "index.parquet"
    columns, texts = ["chip_id", "class", "shard", "position", *CHIPS.optional], ["class", "shard", "mask_shard"]
    light = ChipStore.open(lambda path: CHIPS.read_columns(path, columns, texts), path, tmp_path)
    assert light.index.memory_usage().sum() < chips.index.memory_usage().sum()
    assert light.index["class"].tolist() == ["ship"] * 4
    np.testing.assert_array_equal(light.read([2, 0]), chips.read([2, 0]))
    np.testing.assert_array_equal(light.where(light.has_masks).masks(), masks[[1, 0]])
