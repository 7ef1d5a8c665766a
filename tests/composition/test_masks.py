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
    masks = []
    for number in range(8):
        chip, _, box = scene(angle_deg=20 * number, seed=number)
        masks.append(object_mask(chip, box))
    form = learn_form(masks)
    assert form is not None
    assert form.log_aspect == pytest.approx(math.log(10 / 44), abs=0.25)
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
    assert mask.reason in {TOO_SMALL, TOO_LARGE, "nothing stands out from its surroundings"}


def test_the_same_chip_gives_the_same_bytes() -> None:
    chip, _, box = scene()
    first = object_mask(chip, box).alpha
    object_mask(scene(seed=5)[0], box)
    np.testing.assert_array_equal(object_mask(chip, box).alpha, first)
