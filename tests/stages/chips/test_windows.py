"""The planner's geometry: cases worked out by hand, and promises that hold for every case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from satpipe.stages.chips import windows as w

sides = st.integers(1, 60)


@pytest.mark.parametrize(
    ("length", "size", "stride", "expected"),
    [
        (10, 10, 10, [0]),
        (11, 10, 10, [0, 1]),
        (20, 10, 10, [0, 10]),
        (21, 10, 10, [0, 10, 11]),
        (29, 10, 10, [0, 10, 19]),
        (30, 10, 10, [0, 10, 20]),
        (25, 10, 5, [0, 5, 10, 15]),
        (26, 10, 5, [0, 5, 10, 15, 16]),
        (7, 10, 10, [0]),
        (1, 1, 1, [0]),
        (4, 3, 1, [0, 1]),
    ],
)
def test_starts_of_windows_worked_out_by_hand(length, size, stride, expected):
    assert w.starts(length, size, stride).tolist() == expected


@pytest.mark.parametrize(("length", "size", "stride"), [(0, 3, 1), (3, 0, 1), (3, 3, 0), (10, 3, 4)])
def test_windows_that_would_leave_gaps_or_are_empty_are_refused(length, size, stride):
    with pytest.raises(ValueError, match="stride"):
        w.starts(length, size, stride)


@given(height=sides, width=sides, size=st.integers(1, 20), step=st.floats(0.05, 1))
def test_grid_covers_every_pixel_and_stays_inside(height, width, size, step):
    stride = max(1, int(size * step))
    covered = np.zeros((height, width), bool)
    grid = w.grid(height, width, size, stride)
    for row, col in grid:
        covered[row : row + size, col : col + size] = True
    assert covered.all()
    assert (grid >= 0).all()
    assert len(np.unique(grid, axis=0)) == len(grid)
    # Not one window too many: without the last row of windows the lower edge would be open.
    if height > size:
        assert (grid[:, 0] + size).max() == height


def test_torchgeos_tile_counts():
    # ceil((H - size) / stride) + 1 along each side, as torchgeo counts tiles (tile_to_chips).
    assert len(w.grid(10240, 10240, 80, 80)) == 128 * 128
    assert len(w.grid(100, 90, 32, 24)) == 4 * 4


@pytest.mark.parametrize(
    ("box", "size", "shape", "shift", "expected"),
    [
        ((40, 40, 60, 60), 20, (100, 100), 0, (40, 40)),
        ((40, 50, 40, 50), 20, (100, 100), 0, (30, 40)),  # a point
        ((40, 40, 61, 61), 20, (100, 100), 0, (41, 41)),  # centre 50.5, half a pixel rounds down the rows
        ((0, 0, 10, 10), 20, (100, 100), 0, (-5, -5)),  # left to padding
        ((0, 0, 10, 10), 20, (100, 100), 5, (0, 0)),  # moved inside
        ((0, 0, 10, 10), 20, (100, 100), 3, (-2, -2)),  # as far as allowed
        ((90, 95, 100, 100), 20, (100, 100), 5, (80, 83)),
        ((0, 0, 80, 80), 64, (80, 80), 0, (8, 8)),  # a chip that arrived cut, larger than a window
        ((0, 0, 30, 30), 64, (30, 30), 64, (0, 0)),  # and one that is smaller
    ],
)
def test_labelled_windows_worked_out_by_hand(box, size, shape, shift, expected):
    assert w.centred(np.array([box], float), size, shape, shift=shift).tolist() == [list(expected)]


def test_jitter_moves_by_at_most_what_is_allowed_and_reaches_it():
    offsets = np.array([w.jitter(np.random.default_rng(seed), 3) for seed in range(300)])
    assert offsets.min() == -3
    assert offsets.max() == 3


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20), st.integers(0, 500))
def test_shares_sum_to_the_total_and_are_proportional(areas, total):
    shares = w.shares(areas, total)
    if sum(areas) == 0:
        assert shares.sum() == 0
        return
    assert shares.sum() == total
    assert np.abs(shares - np.array(areas) / sum(areas) * total).max() < 1 + 1e-6


@given(st.integers(0, 200), st.floats(0, 1), st.floats(0, 0.999))
def test_dither_keeps_the_share_and_is_nested(count, share, phase):
    chosen = w.dither(count, share, phase)
    assert abs(chosen.sum() - count * share) < 1 + 1e-6
    assert (w.dither(count + 7, share, phase)[:count] == chosen).all()


def test_visible_share_worked_out_by_hand():
    boxes = np.array([[10, 10, 20, 30], [50, 50, 50, 50]], float)
    windows = np.array([[0, 0], [10, 10], [15, 20], [20, 30], [45, 45], [40, 40]])
    # Window of 10: nothing; half the first box; 5 of 10 rows and 10 of 20 columns; edge to edge; the point; its corner.
    assert w.most_visible(windows, boxes, 10).tolist() == [0, 0.5, 0.25, 0, 1, 1]


def test_windows_that_share_only_an_edge_do_not_touch():
    box = np.array([[10, 10, 20, 20]], float)
    windows = np.array([[0, 10], [1, 10], [20, 10], [10, 0], [10, 1], [10, 20], [15, 15]])
    assert w.touches(windows, box, 10).tolist() == [False, True, False, False, True, False, True]


@given(
    height=st.integers(20, 80),
    width=st.integers(20, 80),
    boxes=st.lists(st.tuples(*[st.integers(0, 80)] * 2, *[st.integers(1, 15)] * 2), max_size=5),
    count=st.integers(0, 12),
    margin=st.integers(0, 4),
    seed=st.integers(0, 5),
)
def test_background_windows_lie_inside_and_keep_off_every_object(height, width, boxes, count, margin, seed):
    objects = np.array([[r, c, r + h, c + k] for r, c, h, k in boxes], float).reshape(-1, 4)
    policy = w.Policy(textured_share=0.5, near_miss_share=0.0, candidates=3, margin_px=margin)
    slots = w.background_slots((height, width), 16, objects, count, policy, np.random.default_rng(seed))
    assert (slots.windows >= 0).all()
    assert (slots.windows + 16 <= (height, width)).all()
    assert not w.touches(slots.windows, w.grown(objects, margin), 16).any()
    assert len(slots.kind) + slots.missing == count
    assert set(slots.slot) == set(range(len(slots.kind)))
    assert len(np.unique(slots.windows, axis=0)) == len(slots.windows)
    for slot in range(len(slots.kind)):
        assert slots.rank[slots.slot == slot].tolist() == list(range((slots.slot == slot).sum()))


def test_first_choices_of_one_scene_do_not_overlap_each_other():
    policy = w.Policy(textured_share=0.5, near_miss_share=0.0, candidates=2, margin_px=0)
    slots = w.background_slots((400, 400), 32, np.zeros((0, 4)), 30, policy, np.random.default_rng(3))
    first = slots.windows[slots.rank == 0]
    apart = np.abs(first[:, None] - first[None]).max(axis=2)
    assert (apart[~np.eye(len(first), dtype=bool)] >= 32).all()


def test_policy_shares_hold_over_many_scenes_with_one_slot_each():
    policy = w.Policy(textured_share=0.3, near_miss_share=0.2, candidates=2, margin_px=0)
    ship = np.array([[40, 40, 60, 50]], float)
    kinds = [
        w.background_slots((100, 100), 20, ship, 1, policy, np.random.default_rng(seed)).kind[0] for seed in range(600)
    ]
    share = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert share == pytest.approx({"textured": 0.3, "near_miss": 0.2, "random": 0.5}, abs=0.06)


def test_near_misses_hold_a_part_and_never_most_of_an_object():
    ships = np.array([[40, 40, 80, 52], [100, 20, 110, 60], [150, 150, 155, 155]], float)
    found = w.near_misses((200, 200), 40, ships, 50, np.random.default_rng(0))
    shown = w.most_visible(found, ships, 40)
    assert len(found) == 50
    assert (shown >= w.NEAR_MISS_VISIBLE[0]).all()
    assert (shown < w.NEAR_MISS_VISIBLE[1]).all()


def test_a_scene_without_ships_gets_random_windows():
    policy = w.Policy(textured_share=0.0, near_miss_share=1.0, candidates=2, margin_px=0)
    slots = w.background_slots((100, 100), 20, np.zeros((0, 4)), 5, policy, np.random.default_rng(0))
    assert slots.kind == ("random",) * 5
