"""Masks of objects whose place is known, and the reasons against those that cannot be cut out."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from satpipe.composition.masks import (
    CUT_OFF,
    NO_DATA,
    TINY,
    TOO_BIG,
    TOO_LARGE,
    TOO_SMALL,
    Labelled,
    learn_form,
    object_mask,
    pose_of,
    rasterise,
)

SIZE = 80


def scene(
    row: float = 40,
    col: float = 40,
    angle_deg: float = 30,
    length: float = 44,
    width: float = 10,
    bands: int = 3,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float, float]]:
    """Dark noise with a bright rectangle of 44 x 10 px: chip (80, 80, bands) uint8, its true alpha, its box."""
    rng = np.random.default_rng(seed)
    corners = cv2.boxPoints(((col * 16, row * 16), (44 * 16, 10 * 16), angle_deg))
    fine = cv2.fillPoly(np.zeros((SIZE * 16, SIZE * 16), np.uint8), [np.rint(corners).astype(np.int32)], 255)
    alpha = cv2.resize(fine.astype(np.float32) / 255, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    ground = rng.normal(60, 6, (SIZE, SIZE, bands))
    chip = ground * (1 - alpha[..., None]) + (170 + rng.normal(0, 6, (SIZE, SIZE, bands))) * alpha[..., None]
    (left, top), (right, bottom) = corners.min(0) / 16, corners.max(0) / 16
    return chip.clip(0, 255).astype(np.uint8), alpha, (float(top), float(left), float(bottom), float(right))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.minimum(first, second).sum() / np.maximum(first, second).sum())


@pytest.mark.parametrize("bands", [1, 3, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_object_is_segmented_from_its_box(bands: int, dtype: type) -> None:
    chip, alpha, box = scene(bands=bands)
    mask = object_mask((chip.astype(np.float64) * (40 if dtype is np.uint16 else 1)).astype(dtype), box)
    assert mask.reason is None
    assert overlap(mask.alpha, alpha) > 0.85


@pytest.mark.parametrize("angle_deg", [0, 30, 75, 120, 160])
def test_pose_is_that_of_the_rectangle(angle_deg: float) -> None:
    _, alpha, _ = scene(row=38, col=43, angle_deg=angle_deg)
    pose = pose_of(alpha)
    assert (pose.row, pose.col) == pytest.approx((38, 43), abs=0.2)
    assert (pose.length, pose.width) == pytest.approx((44, 10), rel=0.05)
    assert math.cos(2 * (pose.angle - math.radians(angle_deg))) > 0.999


def test_a_disc_has_no_axis() -> None:
    rows, cols = np.indices((SIZE, SIZE)) - 39.5
    assert not pose_of((np.hypot(rows, cols) < 12).astype(np.float32)).has_axis


def test_without_a_box_the_centre_is_segmented() -> None:
    chip, alpha, _ = scene()
    mask = object_mask(chip)
    assert mask.source == "centre"
    assert overlap(mask.alpha, alpha) > 0.8


def test_polygons_are_rasterised_with_soft_edges() -> None:
    alpha = rasterise([[(10.5, 10), (10.5, 30), (20, 30), (20, 10)]], (SIZE, SIZE))
    assert alpha.sum() == pytest.approx(9.5 * 20, rel=0.03)
    assert alpha[10, 20] == pytest.approx(0.5, abs=0.07)
    mask = object_mask(np.zeros((SIZE, SIZE, 3), np.uint8), polygons=[[(10.5, 10), (10.5, 30), (20, 30), (20, 10)]])
    assert (mask.source, mask.reason) == ("outline", None)


def test_long_objects_teach_a_form_that_keeps_a_neighbour_apart() -> None:
    scenes = [scene(angle_deg=20 * number, seed=number) for number in range(8)]
    form = learn_form([Labelled(chip, box) for chip, _, box in scenes])
    assert form is not None
    assert form.log_aspect == pytest.approx(math.log(10 / 44), abs=0.1)
    chip, alpha, box = scene(angle_deg=0)
    chip[48:60, 18:62] = 165  # alongside, in the same colour
    assert overlap(object_mask(chip, box, form=form).alpha, alpha) > 0.75


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((40.0, 40.0, 41.0, 41.0), TINY),
        ((60.0, 20.0, 140.0, 60.0), CUT_OFF),
    ],
)
def test_boxes_that_cannot_be_cut_out(box: tuple[float, float, float, float], reason: str) -> None:
    assert object_mask(scene()[0], box).reason == reason


def test_an_outline_beyond_the_chip_is_cut_off_or_too_big() -> None:
    chip = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert object_mask(chip, polygons=[[(30, 60), (30, 95), (50, 95), (50, 60)]]).reason == CUT_OFF
    assert object_mask(chip, polygons=[[(30, -60), (30, 140), (50, 140), (50, -60)]]).reason == TOO_BIG


def test_no_data_under_an_object_is_a_reason() -> None:
    chip, _, box = scene()
    values = chip.astype(np.float32)
    values[36:44, 36:44] = np.nan
    assert object_mask(values, box).reason == NO_DATA


def test_a_uniform_chip_has_no_usable_mask() -> None:
    mask = object_mask(np.full((SIZE, SIZE, 3), 90, np.uint8), (30.0, 20.0, 50.0, 60.0))
    assert mask.reason in {TOO_SMALL, TOO_LARGE, "nothing stands out from the surroundings"}


def test_the_same_chip_gives_the_same_bytes() -> None:
    chip, _, box = scene()
    first = object_mask(chip, box).alpha
    object_mask(scene(seed=5)[0], box)
    np.testing.assert_array_equal(object_mask(chip, box).alpha, first)


def test_a_form_is_learned_without_boxes_too() -> None:
    scenes = [scene(angle_deg=20 * number, seed=number) for number in range(8)]
    form = learn_form([Labelled(chip) for chip, _, _ in scenes])
    assert form is not None
    assert form.log_aspect == pytest.approx(math.log(10 / 44), abs=0.25)


@pytest.mark.parametrize("angle_deg", [0, 25, 50, 100, 155])
def test_a_moored_object_is_found_without_a_box(angle_deg: float) -> None:
    chip, alpha, _ = scene(angle_deg=angle_deg)
    across = math.radians(angle_deg)
    rows, cols = np.indices((SIZE, SIZE)) - 39.5
    quay = math.cos(across) * rows - math.sin(across) * cols > 7
    chip[quay] = np.random.default_rng(2).normal(150, 20, (int(quay.sum()), 3)).clip(0, 255)
    form = learn_form([Labelled(*scene(angle_deg=20 * number, seed=number)[::2]) for number in range(4)])
    assert overlap(object_mask(chip, form=form).alpha, alpha) > 0.7


def blob(radius: float = 12) -> np.ndarray:
    rows, cols = np.indices((SIZE, SIZE)) - 39.5
    return np.hypot(rows, cols) < radius


def cross() -> np.ndarray:
    rows, cols = np.indices((SIZE, SIZE)) - 39.5
    return (np.minimum(abs(rows), abs(cols)) < 3) & (np.maximum(abs(rows), abs(cols)) < 18)


@pytest.mark.parametrize("shape", [blob(), cross()])
@pytest.mark.parametrize("boxed", [True, False])
def test_round_and_crossed_objects_are_not_long(shape: np.ndarray, boxed: bool) -> None:
    rows, cols = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    box = (float(rows[0]), float(cols[0]), float(rows[-1] + 1), float(cols[-1] + 1)) if boxed else None
    chips = []
    for seed in range(5):
        chip = np.random.default_rng(seed).normal(60, 6, (SIZE, SIZE, 3))
        chip[shape] += 90
        chips.append(Labelled(chip.astype(np.uint8), box))
    assert learn_form(chips) is None


def test_an_object_beyond_the_chip_has_pose_and_mask() -> None:
    chip, _, box = scene()
    window = chip[:, 25:]
    form = learn_form([Labelled(*scene(angle_deg=20 * number, seed=number)[::2]) for number in range(4)])
    moved = (box[0], box[1] - 25, box[2], box[3] - 25)
    mask = object_mask(window, moved, form=form)
    assert mask.reason == CUT_OFF
    assert (mask.pose.row, mask.pose.col) == pytest.approx((40, 15), abs=1.5)
    assert mask.pose.length == pytest.approx(44, rel=0.1)


def test_the_other_box_is_not_the_object() -> None:
    chip, _, box = scene(angle_deg=0, row=34)
    chip[41:51, 18:62] = 170
    assert object_mask(chip, box, others=[(41.0, 18.0, 51.0, 62.0)]).alpha[43:].max() < 0.5


def test_a_single_pixel_is_tiny() -> None:
    chip = np.random.default_rng(0).normal(60, 6, (SIZE, SIZE, 3)).astype(np.uint8)
    chip[40, 40] = 255
    assert object_mask(chip, (40.0, 40.0, 41.0, 41.0)).reason == TINY
    assert object_mask(chip).reason is not None
    assert object_mask(chip, polygons=[[(40, 40), (40, 41), (41, 41), (41, 40)]]).reason == TINY


def test_a_chip_without_data_has_a_reason() -> None:
    empty = np.full((SIZE, SIZE, 3), np.nan, np.float32)
    assert object_mask(empty, (20.0, 20.0, 60.0, 60.0)).reason == NO_DATA
    assert learn_form([Labelled(empty, (20.0, 20.0, 60.0, 60.0))]) is None
