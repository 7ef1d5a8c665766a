"""Near-duplicates and overlaps between scenes."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.dataset.orientations import oriented
from satpipe.stages.chips.duplicates import near_duplicates
from satpipe.stages.chips.duplicates.candidates import canonical, low_frequencies, oriented_frequencies
from satpipe.stages.chips.duplicates.pictures import grey
from satpipe.stages.chips.overlap.outlines import overlaps
from scipy.ndimage import gaussian_filter


def picture(seed, size=64, smooth=3.0):
    """A textured chip (H, W, 3) of uint8."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size, 3)), (smooth, smooth, 0))
    return np.clip(128 + noise / noise.std() * 40, 0, 255).astype(np.uint8)


def stored(tmp_path, chips, scenes=None, footprints=None):
    folder = tmp_path / "chips" / "abc"
    folder.mkdir(parents=True)
    write_shard(np.stack(chips), folder)
    count = len(chips)
    index = pd.DataFrame(
        {
            "chip_id": [f"c{number:03d}" for number in range(count)],
            "scene_id": scenes or [f"s{number}" for number in range(count)],
            "shard": "chips/abc/chips.npy",
            "position": range(count),
            "footprint": footprints or [None] * count,
        }
    )
    return ChipStore(index, tmp_path)


def pairs(found):
    return set(zip(found["chip_a"], found["chip_b"], strict=True))


CHANGES = {
    "itself": lambda chip: chip,
    "quarter turn": np.rot90,
    "half turn": lambda chip: np.rot90(chip, 2),
    "mirrored": lambda chip: chip[:, ::-1],
    "mirrored and turned": lambda chip: np.rot90(chip[:, ::-1]),
    "brighter": lambda chip: np.clip(chip * 1.2 + 10, 0, 255).astype(np.uint8),
    "noisy": lambda chip: np.clip(chip + np.random.default_rng(9).normal(0, 8, chip.shape), 0, 255).astype(np.uint8),
    "moved by two pixels": lambda chip: np.roll(chip, (2, -2), axis=(0, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_picture_is_found_under(change, tmp_path):
    chips = [picture(seed) for seed in range(12)]
    chips.append(np.ascontiguousarray(CHANGES[change](chips[4])))
    result, counts = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert pairs(result) == {("c004", "c012")}
    assert counts["compared"] == 13


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("moved", [(0, 0), (0, 1), (-1, 0)])
def test_the_score_is_the_correlation_of_numpy(turn, moved, tmp_path):
    # Chips of the size at which they are compared, so nothing is averaged first.
    item = picture(1, size=32, smooth=1.5)
    noisy = item + np.random.default_rng(2).normal(0, 6, item.shape)
    other = np.roll(np.rot90(noisy if turn < 4 else noisy[:, ::-1], turn), moved, axis=(0, 1))
    other = np.clip(other, 0, 255).astype(np.uint8)
    result, _ = near_duplicates(stored(tmp_path, [item, other]), 0.5, 0.04)
    first, second = (chip.mean(axis=-1) for chip in (item, other))
    turns = [np.rot90(image, quarter) for image in (second, second[:, ::-1]) for quarter in range(4)]
    best = max(
        np.corrcoef(first[2:-2, 2:-2].ravel(), image[down : down + 28, along : along + 28].ravel())[0, 1]
        for image in turns
        for down in range(5)
        for along in range(5)
    )
    assert result["score"].tolist() == pytest.approx([best], abs=6e-5)


def test_of_many_copies_every_pair_is_found(tmp_path):
    # More of them than neighbours are looked for, each a little different and in an orientation of its own.
    rng = np.random.default_rng(3)
    noisy = [np.clip(picture(1) + rng.normal(0, 5, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(16)]
    copies = [np.rot90(copy if number < 8 else copy[:, ::-1], number).copy() for number, copy in enumerate(noisy)]
    result, _ = near_duplicates(stored(tmp_path, [*copies, *(picture(seed) for seed in range(2, 12))]), 0.95, 0.04)
    assert pairs(result) == {(f"c{item:03d}", f"c{other:03d}") for other in range(16) for item in range(other)}


def test_other_pictures_are_not(tmp_path):
    result, _ = near_duplicates(stored(tmp_path, [picture(seed, smooth=6.0) for seed in range(80)]), 0.95, 0.04)
    assert result.empty


def test_pictures_that_are_alike_at_low_frequencies_alone_are_not(tmp_path):
    rng = np.random.default_rng(4)
    # On a common slope, each has fine texture of its own: all are proposed, none correlates enough.
    slope = np.linspace(40, 200, 64)[:, None, None]
    chips = [np.clip(slope + 45 * rng.normal(size=(64, 64, 1)), 0, 255).astype(np.uint8) for _ in range(12)]
    result, counts = near_duplicates(stored(tmp_path, chips), 0.999, 0.04)
    assert result.empty
    assert counts == {"compared": 12, "undecided": 0}


@pytest.mark.parametrize("rows", range(-3, 4, 3))
@pytest.mark.parametrize("columns", range(-3, 4, 3))
def test_copies_shifted_to_any_side_are_found(rows, columns, tmp_path):
    scene = picture(20, size=96)
    chips = [picture(seed) for seed in range(40)]
    chips += [scene[16:80, 16:80], np.rot90(scene[16 + rows : 80 + rows, 16 + columns : 80 + columns]).copy()]
    result, _ = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert pairs(result) == {("c040", "c041")}


def test_pairs_do_not_depend_on_the_number_of_threads(tmp_path):
    chips = [picture(seed) for seed in range(60)] + [np.rot90(picture(seed)).copy() for seed in range(20)]
    store = stored(tmp_path, chips)
    results = [near_duplicates(store, 0.95, 0.04, workers) for workers in (1, 3)]
    assert len(results[0][0]) == 20
    pd.testing.assert_frame_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize("orientation", range(8))
def test_a_picture_has_one_canonical_orientation(orientation):
    # The first coefficients of a cosine transform are positive where brightness falls; here more so downwards.
    down, along = np.mgrid[:32, :32].astype(np.float32)
    ramp = -3 * down - along
    turned = np.rot90(ramp, orientation)[None]
    turned = turned[:, :, ::-1] if orientation >= 4 else turned
    [choices] = canonical(low_frequencies(np.ascontiguousarray(turned)))
    [choice] = np.flatnonzero(choices)
    assert oriented(turned, int(choice))[0] == pytest.approx(ramp)


def test_flat_water_resembles_all_water_and_is_not_compared(tmp_path):
    water = [np.full((64, 64, 3), 60, np.uint8) + picture(seed) // 64 for seed in range(6)]
    result, counts = near_duplicates(stored(tmp_path, water), 0.95, 0.04)
    assert result.empty
    assert counts["compared"] == 0


def ships(sea, seed, size=48):
    """Bright ships of 8 x 3 pixels in four directions, each on its own water, and their scenes."""
    rng = np.random.default_rng(seed)
    chips = []
    for number in range(16):
        chip = 50 + sea * rng.normal(size=(size, size))
        tall, wide = ((8, 3), (3, 8))[number % 2]
        chip[20 : 20 + tall, 20 : 20 + wide] = 180 + number
        chips.append(np.clip(np.rint(chip), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2))
    return chips


@pytest.mark.parametrize("jpeg", [None, 70])
@pytest.mark.parametrize("sea", [1, 2, 4])
def test_ships_of_one_size_on_water_are_no_copies(sea, jpeg, tmp_path):
    chips = ships(sea, 5)
    if jpeg:
        chips = [cv2.imdecode(cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, jpeg])[1], 1) for chip in chips]
    result, counts = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert result.empty
    assert counts["compared"] == 16


@pytest.mark.parametrize("change", ["itself", "quarter turn", "mirrored", "brighter"])
def test_a_copy_of_a_ship_on_water_is_found(change, tmp_path):
    chips = ships(3, 6)
    chips.append(np.ascontiguousarray(CHANGES[change](chips[3])))
    result, _ = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert pairs(result) == {("c003", "c016")}


def test_on_water_without_texture_nothing_can_be_told(tmp_path):
    result, counts = near_duplicates(stored(tmp_path, ships(0, 7)), 0.95, 0.04)
    assert result.empty
    assert counts["compared"] == 16
    assert counts["undecided"] >= 8, "each ship is another one's shape in some orientation"


@pytest.mark.parametrize("size", [16, 32])
def test_bright_rectangles_with_specks_around_are_no_copies(size, tmp_path):
    rng = np.random.default_rng(8)
    chips = []
    for _ in range(24):
        chip = 60 + 16 * np.kron(rng.random((size // 2, size // 2)) < 0.06, np.ones((2, 2)))
        tall, wide = rng.integers(size // 3, size // 2 + 1, 2)
        chip[size // 4 : size // 4 + tall, size // 4 : size // 4 + wide] = 200
        chips.append(chip.astype(np.uint8)[..., None].repeat(3, axis=2))
    result, _ = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert result.empty


def test_chips_of_one_scene_are_no_leak(tmp_path):
    chips = [picture(1), picture(1), picture(1)]
    result, _ = near_duplicates(stored(tmp_path, chips, scenes=["a", "a", "b"]), 0.95, 0.04)
    assert pairs(result) == {("c000", "c002"), ("c001", "c002")}


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_dtypes_are_compared_over_their_own_range(dtype, tmp_path):
    chips = (
        [(picture(seed).astype(np.float64) * 30 - 2000).astype(dtype) for seed in range(5)]
        if dtype != "uint16"
        else [picture(seed).astype(dtype) * 30 for seed in range(5)]
    )
    chips.append(chips[2][::-1])
    result, counts = near_duplicates(stored(tmp_path, chips), 0.95, 0.04)
    assert pairs(result) == {("c002", "c005")}
    assert counts["compared"] == 6


@pytest.mark.parametrize("orientation", range(8))
def test_low_frequencies_are_those_of_the_oriented_picture(orientation):
    # By the textbook sum instead of a fast transform, of the 28 x 28 pixels in the middle.
    thumbs = grey(np.stack([picture(3), picture(4)]))
    n = 28
    scale = np.sqrt(np.where(np.arange(7) == 0, 1, 2) / n)
    basis = scale[:, None] * np.array([np.cos(np.pi * (2 * np.arange(n) + 1) * k / (2 * n)) for k in range(7)])
    turned = np.stack([np.rot90(thumb, orientation) for thumb in thumbs])[:, 2:-2, 2:-2].astype(np.float64)
    turned = turned[:, :, ::-1] if orientation >= 4 else turned
    turned -= turned.mean(axis=(1, 2), keepdims=True)
    turned /= np.linalg.norm(turned, axis=(1, 2), keepdims=True)
    result = oriented_frequencies(low_frequencies(thumbs), orientation)
    assert result == pytest.approx(basis @ turned @ basis.T, abs=1e-4)


def test_grey_averages_equal_areas():
    chip = np.random.default_rng(0).integers(0, 255, (1, 80, 64, 3)).astype(np.uint8)
    # 80 rows in 32: pixel edges at 2.5; by repeating pixels, block means are exact.
    expected = chip.mean(axis=-1)[0].repeat(2, axis=0).reshape(32, 5, 32, 2).mean(axis=(1, 3))
    assert grey(chip)[0] == pytest.approx(expected, rel=1e-5)


def square(lon, lat, side=0.01):
    return f"POLYGON (({lon} {lat}, {lon + side} {lat}, {lon + side} {lat + side}, {lon} {lat + side}, {lon} {lat}))"


def test_overlaps_across_the_antimeridian(tmp_path):
    outlines = [square(179.995, 0), square(-179.999, 0), square(-179.98, 0), square(180.002, 0)]
    chips = stored(tmp_path, [picture(1)] * 4, ["a", "b", "c", "d"], outlines)
    result = overlaps(chips, pa.chunked_array([pa.array(shapely.to_wkb(shapely.from_wkt(outlines)), pa.binary())]))
    # The first ends at 180.005, which is -179.995; the last begins at -179.998.
    assert pairs(result) == {("c000", "c001"), ("c000", "c003"), ("c001", "c003")}


def test_overlaps_worked_out_by_hand(tmp_path):
    outlines = [square(0, 0), square(0.005, 0), square(0.01, 0), square(5, 5), None, square(0.001, 0)]
    scenes = ["a", "b", "c", "d", "e", "a"]
    chips = stored(tmp_path, [picture(1)] * 6, scenes, outlines)
    # In pieces, as a large table comes.
    halves = [pa.array(shapely.to_wkb(shapely.from_wkt(task)), pa.binary()) for task in (outlines[:2], outlines[2:])]
    result = overlaps(chips, pa.chunked_array(halves))
    # 0 and 2 share an edge; 0 and 5 are of one scene.
    assert pairs(result) == {("c000", "c001"), ("c001", "c002"), ("c001", "c005"), ("c002", "c005")}
    score = dict(zip(zip(result["chip_a"], result["chip_b"], strict=True), result["score"], strict=True))
    assert score["c000", "c001"] == pytest.approx(0.5)
