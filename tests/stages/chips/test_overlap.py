"""Scenes that show the same ground by their pixels, and the chips of both that do."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fixtures.chip_project import scene, scene_row, write_tif
from satpipe.stages.chips.overlap import extract, search
from satpipe.stages.chips.overlap.chips import overlapping_chips
from satpipe.stages.chips.overlap.features import Features
from satpipe.stages.chips.overlap.mosaic import implied_pairs, matrices
from satpipe.stages.chips.overlap.votes import candidates

SIDE = 320


def ground(seed, side=SIDE):
    """Texture (side, side, 3) of uint8 with detail from 2 to 32 pixels."""
    rng = np.random.default_rng(seed)
    grey = sum(
        size * cv2.resize(rng.normal(size=(side // size + 2,) * 2), (side, side), interpolation=cv2.INTER_CUBIC)
        for size in (2, 4, 8, 16, 32)
    )
    grey = 110 + 35 * grey / grey.std()
    return np.clip(grey[..., None] + [0, 6, -8], 0, 255).astype(np.uint8)


def turned(pixels, angle, scale, shift, beyond):
    """The pixels under a transform, ``beyond`` where they do not reach; and the transform, from pixel edges."""
    cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    turn, middle = np.array([[cos, -sin], [sin, cos]]), np.array([SIDE / 2, SIDE / 2])
    matrix = np.column_stack([turn, middle + shift - turn @ middle])
    centres = np.column_stack([turn, matrix[:, 2] + turn @ [0.5, 0.5] - 0.5])
    moved = cv2.warpAffine(pixels, centres, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    inside = cv2.warpAffine(np.full((SIDE, SIDE), 255, np.uint8), centres, (SIDE, SIDE)) == 255
    return np.where(inside[..., None], moved, beyond), matrix


def in_other_light(pixels):
    """Darker, under haze that grows to the right, and as a JPEG of quality 70."""
    haze = np.linspace(0, 0.4, SIDE)[None, :, None]
    light = np.clip(pixels * 0.8 * (1 - haze) + 210 * haze, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR)


def rows_of(tmp_path, images):
    """Rows of scenes named a, b, ..., on grids of their own."""
    rows = []
    for name, pixels in zip("abcdefghijkl", images, strict=False):
        result = scene(write_tif(tmp_path / f"{name}.tif", pixels), pixels)
        grid = {"target_height": pixels.shape[0], "target_width": pixels.shape[1], "scale_row": 1.0, "scale_col": 1.0}
        rows.append(scene_row(result, scene_id=name) | grid)
    return pd.DataFrame(rows)


def searched(tmp_path, images, batches=1, workers=1):
    """The pairs that are found between images, and the metadata."""
    rows, folders = rows_of(tmp_path, images), []
    for batch in range(batches):
        folders.append(tmp_path / f"features-{batch}of{batches}")
        folders[-1].mkdir()
        part = rows.iloc[batch::batches]
        extract.extract_batch(part, None, tmp_path, folders[-1], workers, lambda *_: None)
    out = tmp_path / f"pairs-{batches}-{workers}"
    out.mkdir()
    metadata = search.find_scene_pairs(folders, out, workers, lambda *_: None)
    return pq.read_table(out / search.SCENE_PAIRS).to_pandas(), metadata


def names(pairs):
    return list(zip(pairs["scene_a"], pairs["scene_b"], strict=True))


def largest_error(found, true):
    """Pixels by which two transforms differ over the middle of a scene."""
    places = np.array([[100, 100, 1], [220, 100, 1], [160, 220, 1]]).T
    return np.abs(found[:2] @ places - true @ places).max()


PLANTED = {
    "a copy": (0, 1.0, (0, 0)),
    "shifted by 7 and 15 pixels": (0, 1.0, (7, -15)),
    "a tenth shared": (0, 1.0, (288, 0)),
    "turned by 3 degrees": (3, 1.0, (0, 0)),
    "turned by 90 degrees": (90, 1.0, (40, 0)),
    "turned by 137 degrees, smaller": (137, 0.8, (60, 60)),
    "turned by 200 degrees, larger": (200, 1.25, (-90, 60)),
}


@pytest.mark.parametrize("how", PLANTED)
def test_the_same_ground_is_found_where_it_is(how, tmp_path):
    angle, scale, shift = PLANTED[how]
    first = ground(1)
    second, matrix = turned(first, angle, scale, np.array(shift), ground(2))
    pairs, metadata = searched(tmp_path, [first, ground(3), in_other_light(second)])
    assert names(pairs) == [("a", "c")]
    # Where scenes share a strip at the edge, the transform holds there.
    within = 2.0 if how != "a tenth shared" else 6.0
    assert largest_error(matrices(pairs)[0], matrix) < within
    assert metadata["scenes"] == 3
    assert (metadata["seen"], metadata["implied"], metadata["plain"]) == (1, 0, [])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_scene_is_found(axis, tmp_path):
    pairs, _ = searched(tmp_path, [ground(1), in_other_light(np.flip(ground(1), axis).copy())])
    assert names(pairs) == [("a", "b")]
    matrix = np.array([[1, 0, 0], [0, -1, SIDE]] if axis == 0 else [[-1, 0, SIDE], [0, 1, 0]])
    assert largest_error(matrices(pairs)[0], matrix) < 2


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_values_of_any_range_are_compared(dtype, tmp_path):
    second, matrix = turned(ground(1), 30, 1.0, np.zeros(2), ground(2))
    pairs, _ = searched(tmp_path, [(image * 0.01 * 40).astype(dtype) * 100 for image in (ground(1), second)])
    assert names(pairs) == [("a", "b")]
    assert largest_error(matrices(pairs)[0], matrix) < 2


def test_scenes_of_other_ground_are_not_paired(tmp_path):
    pairs, metadata = searched(tmp_path, [in_other_light(ground(seed)) for seed in range(12)])
    assert names(pairs) == []
    assert metadata["seen"] == 0


def test_a_place_seen_in_a_dozen_scenes_is_found_in_all(tmp_path):
    # More copies than neighbours that are looked for: what a match is weighed against is the same ground, too.
    pairs, _ = searched(tmp_path, [ground(1, 160)] * 12)
    assert len(pairs) == 66


def test_waves_alike_everywhere_are_not_paired(tmp_path):
    rng = np.random.default_rng(5)
    wave = 20 * np.sin(2 * np.pi * (np.arange(SIDE)[:, None] * 0.08 + np.arange(SIDE)[None] * 0.05))
    images = [
        np.clip(90 + wave + rng.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        for _ in range(4)
    ]
    assert names(searched(tmp_path, images)[0]) == []


def test_the_outline_of_missing_data_pairs_nothing(tmp_path):
    images = [ground(seed) for seed in range(4)]
    for image in images:
        image[np.add.outer(np.arange(SIDE), 2 * np.arange(SIDE)) < SIDE] = 0
    assert names(searched(tmp_path, images)[0]) == []


def test_plain_scenes_are_named_since_nothing_can_be_seen(tmp_path):
    flat = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pairs, metadata = searched(tmp_path, [flat, ground(1), flat.copy()])
    assert names(pairs) == []
    assert metadata["plain"] == ["a", "c"]


@pytest.mark.slow
def test_a_scene_of_several_blocks_is_searched_everywhere(tmp_path):
    large = ground(1, 2400)[:1300]
    window = large[900 : 900 + SIDE, 1900 : 1900 + SIDE]
    pairs, _ = searched(tmp_path, [large, window])
    assert names(pairs) == [("a", "b")]
    assert matrices(pairs)[0] @ [1900, 900, 1] == pytest.approx([0, 0, 1], abs=0.5)
    assert matrices(pairs)[0] @ [2220, 1220, 1] == pytest.approx([SIDE, SIDE, 1], abs=0.5)


def test_batches_and_threads_change_nothing(tmp_path):
    second, _ = turned(ground(1), 50, 1.1, np.array([30, 0]), ground(2))
    images = [ground(1), ground(3), second, ground(4)]
    item, _ = searched(tmp_path, images)
    other, _ = searched(tmp_path, images, batches=2, workers=2)
    pd.testing.assert_frame_equal(item, other)
    assert names(item) == [("a", "c")]


def test_of_too_many_keypoints_the_strongest_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "MOST_KEYPOINTS", 600)
    pairs, metadata = searched(tmp_path, [ground(1), ground(1)])
    assert names(pairs) == [("a", "b")]
    assert metadata["keypoints"] == pytest.approx(600, abs=2)
    assert 0 < metadata["keypoint_share"] < 1


def test_matches_by_chance_do_not_hide_true_ones():
    # Four keypoints of scene 0 lie in scene 1 as they are, three others turned by 90 degrees and larger.
    places = np.array([[0, 0], [50, 0], [0, 70], [80, 80], [200, 0], [260, 0], [200, 40]], np.float32)
    turned_places = np.float32(1.4) * places[4:, ::-1] * np.array([-1, 1], np.float32)
    angles = np.zeros(14, np.float32)
    angles[11:] = np.pi / 2
    sizes = np.where(np.arange(14) < 11, 5, 7).astype(np.float32)
    points = Features(np.concatenate([places, places[:4], turned_places]), sizes, angles, np.zeros((14, 128), np.uint8))
    scene = np.repeat(np.array([0, 1], np.int32), 7)
    matches = np.stack([np.arange(7), np.arange(7, 14)], axis=1)
    result = candidates(scene, points, points, matches, np.ones(7, np.float32))
    assert [candidate.from_first.tolist() for candidate in result] == [[0, 1, 2, 3], [4, 5, 6]]


def shifts(rows):
    """Pairs of scenes that are shifted by some columns and rows."""
    return search.pair_table(
        [(a, b, np.array([[1.0, 0, right], [0, 1.0, down]]), 9, 0.5) for a, b, right, down in rows]
    )


def test_overlaps_follow_from_others(tmp_path):
    # Of 100 x 100: 1 begins 60 right of 0, 2 begins 30 right of 1, so that 0 and 2 share the last ten columns of 0;
    # 3 begins 50 further right and shares nothing with 0. 4 and 5 are elsewhere.
    seen = shifts([(0, 1, -60, 0), (1, 2, -30, 0), (2, 3, -50, 0), (4, 5, 0, 0)])
    result = implied_pairs(seen, np.full((6, 2), 100))
    assert names(result) == [(0, 2), (1, 3)]
    assert matrices(result)[:, :2, 2].tolist() == [[-90, 0], [-80, 0]]
    assert result.dtypes.to_dict() == seen.dtypes.to_dict()


def test_chips_overlap_where_their_scenes_do(tmp_path):
    chips = pd.DataFrame({"scene_id": ["a", "a", "b", "b", "c"], "row": [0, 40, 0, 10, 0], "col": [0, 0, 0, 50, 0]})
    # What is at column 50, row 30 of a is at column 0, row 0 of b, turned by 90 degrees: right there is down here.
    pairs = pd.DataFrame(
        {"scene_a": ["a"], "scene_b": ["b"]}
        | dict(zip(search.MATRIX, ([v] for v in (0, 1, -30, 1, 0, 0)), strict=True))
    )
    result, share = overlapping_chips(chips, pairs, 16)
    # Chip 1 of a covers columns 0 to 16 and rows 40 to 56: columns 10 to 26 and rows 0 to 16 of b.
    assert result.tolist() == [[1, 2]]
    assert share == pytest.approx([6 / 16])
