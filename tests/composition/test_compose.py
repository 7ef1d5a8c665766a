"""Layers and composites of objects whose pixels are known."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from satpipe.composition.compose import Composer, Law, Objects, Settings
from satpipe.composition.layers import (
    canvas_size,
    cut_layer,
    from_canvas,
    from_range,
    length_of,
    place,
    to_range,
)
from satpipe.composition.masks import Pose
from satpipe.composition.removal import remove_object
from satpipe.composition.surroundings import Backgrounds, edge_share

SIZE, COUNT = 48, 12
PLAIN = Settings(in_place=0.0, scale=0.0, colour=0.0, neighbours=0.0)


def bar(pose: Pose, shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    """Alpha of a rectangle, with edges of one pixel."""
    rows, cols = (index + 0.5 for index in np.indices(shape, np.float32))
    along = math.cos(pose.angle) * (cols - pose.col) + math.sin(pose.angle) * (rows - pose.row)
    across = math.cos(pose.angle) * (rows - pose.row) - math.sin(pose.angle) * (cols - pose.col)
    over = np.maximum(abs(along) - pose.length / 2, abs(across) - pose.width / 2)
    return np.clip(0.5 - over, 0, 1).astype(np.float32)


def labelled(bands: int = 3, dtype: type = np.uint8) -> Objects:
    """Chips of one bright bar each, on dark noise, with their surrounding windows."""
    rng = np.random.default_rng(0)
    poses, windows, alphas = [], [], []
    for number in range(COUNT):
        pose = Pose(SIZE / 2 + 2, SIZE / 2 - 3, 0.25 * number - 1.4, 20 + number % 3, 6, True)
        alpha = bar(pose.moved(SIZE // 2, SIZE // 2), (2 * SIZE, 2 * SIZE))
        ground = rng.normal(50, 4, (2 * SIZE, 2 * SIZE, bands))
        windows.append((ground * (1 - alpha[..., None]) + 200 * alpha[..., None]).astype(dtype))
        poses.append(pose)
        alphas.append(alpha)
    windows, alphas = np.stack(windows), np.stack(alphas)
    middle = slice(SIZE // 2, -SIZE // 2)
    inside = np.ascontiguousarray(windows[:, middle, middle])
    return Objects(inside, alphas[:, middle, middle], poses, np.zeros(COUNT, int), windows, alphas)


def composer(settings: Settings = PLAIN, bands: int = 3, dtype: type = np.uint8) -> Composer:
    grounds = np.random.default_rng(1).normal(50, 4, (20, SIZE, SIZE, bands)).astype(dtype)
    objects = labelled(bands, dtype)
    return Composer.fit(objects, Backgrounds.of(grounds), canvas_size(objects.poses, SIZE), 1, settings)


def test_a_layer_put_back_gives_the_chip() -> None:
    objects = labelled()
    canvas = canvas_size(objects.poses, SIZE)
    chip, alpha, pose = objects.chips[3], objects.alphas[3], objects.poses[3]
    layer = cut_layer(chip, alpha, pose, canvas)
    empty = remove_object(chip, alpha, np.random.default_rng(0))
    back, shown = place(empty, layer, from_canvas(pose.row, pose.col, pose.angle, 1.0, False, canvas))
    assert np.abs(shown - alpha).mean() < 0.02
    assert np.abs(back - chip)[alpha > 0.95].mean() < 8


def test_a_removed_object_leaves_its_surroundings() -> None:
    objects = labelled()
    empty = remove_object(objects.chips[0], objects.alphas[0], np.random.default_rng(0))
    assert empty.max() < 90
    untouched = objects.alphas[0] == 0
    far = np.abs(np.indices((SIZE, SIZE)) - SIZE / 2).max(0) > 18
    np.testing.assert_allclose(empty[untouched & far], objects.chips[0][untouched & far], atol=1e-3)


def test_ranges_are_exact_inverses() -> None:
    layers = composer().layers
    low, high = (10.0, 0.0, 5.0), (250.0, 255.0, 200.0)
    np.testing.assert_allclose(from_range(to_range(layers, low, high), low, high), layers, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 8])
def test_composites_show_an_object_where_they_say(bands: int, dtype: type) -> None:
    made = composer(bands=bands, dtype=dtype).compose(range(30))
    assert made.chips.dtype == dtype
    assert made.chips.shape == (30, SIZE, SIZE, bands)
    for chip, alpha, box in zip(made.chips, made.alphas, made.boxes, strict=True):
        assert chip[alpha > 0.95].mean() > 170
        assert chip[alpha == 0].mean() < 70
        bright = np.argwhere(chip.mean(-1) > 125)
        np.testing.assert_allclose([*bright.min(0), *(bright.max(0) + 1)], box, atol=2)


def test_sizes_and_offsets_are_those_of_the_labels() -> None:
    made = composer()
    composites = made.compose(range(60))
    middle = SIZE / 2
    for alpha, pose, source in zip(composites.alphas, composites.poses, composites.sources, strict=True):
        own = made.law.poses[source]
        assert math.hypot(pose.row - middle, pose.col - middle) == pytest.approx(
            math.hypot(own.row - middle, own.col - middle), abs=1e-6
        )
        assert alpha.sum() == pytest.approx(own.length * own.width, rel=0.25)


def test_in_place_keeps_the_rest_of_the_chip() -> None:
    made = composer(Settings(in_place=1.0, scale=0.0, colour=0.0))
    composites = made.compose(range(10))
    assert composites.in_place.all()
    far = np.abs(np.indices((SIZE, SIZE)) - SIZE / 2).max(0) > 20
    for chip, source in zip(composites.chips, composites.sources, strict=True):
        np.testing.assert_array_equal(chip[far], labelled().chips[source][far])


def test_a_composite_follows_from_seed_and_number() -> None:
    whole = composer().compose(range(8)).chips
    some = composer().compose([5, 2]).chips
    np.testing.assert_array_equal(some, whole[[5, 2]])
    other = Composer.fit(labelled(), composer().backgrounds, composer().canvas, 2, PLAIN).compose(range(8)).chips
    assert (other != whole).any()


def test_backgrounds_are_like_what_surrounds_the_labels() -> None:
    dark = np.random.default_rng(1).normal(50, 4, (10, SIZE, SIZE, 3))
    light = np.random.default_rng(2).normal(150, 4, (10, SIZE, SIZE, 3))
    grounds = Backgrounds.of(np.concatenate([dark, light]).astype(np.uint8))
    objects = labelled()
    made = Composer.fit(objects, grounds, canvas_size(objects.poses, SIZE), 1, PLAIN).compose(range(30))
    assert (made.grounds < 10).all()


def test_neighbours_come_at_the_labelled_rate() -> None:
    many = Settings(in_place=0.0, scale=0.0, colour=0.0, neighbours=2.0)
    bright = (composer(many).compose(range(40)).chips.mean(-1) > 125).mean()
    assert bright > 1.3 * (composer().compose(range(40)).chips.mean(-1) > 125).mean()


def test_a_law_is_read_back() -> None:
    law = composer().law
    again = Law.from_json(law.as_json())
    assert again.poses == law.poses
    np.testing.assert_allclose(again.around, law.around)
    with pytest.raises(ValueError, match="poses"):
        Law.from_json({"poses": [], "around": [], "neighbour_rate": 0})


def test_objects_larger_than_the_canvas_are_made_smaller() -> None:
    pose = Pose(SIZE, SIZE, 0.0, 80, 10, True)
    alpha = bar(pose, (2 * SIZE, 2 * SIZE))
    layer = cut_layer((200 * alpha[..., None]).astype(np.uint8), alpha, pose, (16, 48))
    assert length_of(layer) <= 46
    assert layer[..., -1][:, [0, -1]].max() < 0.1


def test_objects_beside_structures_stay_in_place() -> None:
    objects = labelled()
    chips = objects.chips.copy()
    chips[::2, ::6] = chips[::2, 2::6] = 255
    striped = replace(objects, chips=chips)
    grounds = np.random.default_rng(1).normal(50, 4, (20, SIZE, SIZE, 3)).astype(np.uint8)
    settings = Settings(in_place=0.0, in_place_crowded=1.0, neighbours=0.0)
    composer = Composer.fit(striped, Backgrounds.of(grounds), canvas_size(objects.poses, SIZE), 1, settings)
    assert composer.crowded.tolist() == [True, False] * (COUNT // 2)
    made = composer.compose(range(60))
    np.testing.assert_array_equal(made.in_place, made.sources % 2 == 0)


@pytest.mark.parametrize("bands", [1, 8])
def test_the_share_of_edges_of_a_step_is_exact(bands: int) -> None:
    chip = np.full((SIZE, SIZE, bands), 1000, np.uint16)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[20:28, 10:38] = 1
    assert edge_share(chip, alpha, 10_000) == 0
    chip[:, ::2] += np.uint16(5000)
    assert edge_share(chip, alpha, 1_000_000) == 0
    assert edge_share(chip, np.ones_like(alpha), 10_000) == 1


def test_what_lies_behind_a_composite_shows_no_object() -> None:
    made = composer(Settings(in_place=0.5, in_place_crowded=0.5, neighbours=2.0))
    behind = made.without_objects(range(40))
    assert behind.max() < 100
    composites = made.compose(range(40))
    assert (composites.chips.reshape(40, -1).max(axis=1) > 150).all()
    in_place = composites.in_place
    assert 5 < in_place.sum() < 35
    near = np.stack([cv2.dilate(alpha, np.ones((7, 7))) for alpha in composites.alphas])
    clear = (near == 0) & in_place[:, None, None]
    np.testing.assert_array_equal(behind[clear], composites.chips[clear])


def test_a_chip_with_two_objects_is_no_chip_without_objects() -> None:
    objects = replace(labelled(), neighbours=np.ones(COUNT, int))
    grounds = np.random.default_rng(1).normal(150, 4, (20, SIZE, SIZE, 3)).astype(np.uint8)
    settings = Settings(in_place=1.0, in_place_crowded=1.0)
    made = Composer.fit(objects, Backgrounds.of(grounds), canvas_size(objects.poses, SIZE), 1, settings)
    assert made.compose(range(10)).in_place.all()
    assert made.without_objects(range(10)).min() > 120
