"""What stands where an object was."""

from __future__ import annotations

import numpy as np
from satpipe.composition.removal import remove_object

SIZE = 96


def at_a_quay(bands: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright bar in dark water beside a striped quay: with it, without it, and its alpha."""
    rng = np.random.default_rng(0)
    ground = rng.normal(50, 4, (SIZE, SIZE, bands))
    ground[:40] = 150 + 40 * (np.arange(SIZE) // 6 % 2)[None, :, None]
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[46:54, 28:68] = 1
    image = np.where(alpha[..., None] > 0, 220, ground)
    return image, ground, alpha


def test_water_beside_a_quay_stays_water() -> None:
    image, ground, alpha = at_a_quay()
    empty = remove_object(image, alpha, np.random.default_rng(0))
    assert np.abs(empty[alpha > 0].mean() - 50) < 3
    assert 2 < empty[alpha > 0].std() < 6
    np.testing.assert_array_equal(empty[:36], ground[:36].astype(np.float32))


def test_pixels_without_data_are_never_copied() -> None:
    image, _, alpha = at_a_quay()
    image[60:] = 0
    empty = remove_object(image, alpha, np.random.default_rng(0))
    assert empty[46:54, 28:68].min() > 20
    assert not empty[60:].any()


def test_an_object_that_fills_the_image_is_left() -> None:
    image = np.full((20, 20, 1), 7, np.uint8)
    np.testing.assert_array_equal(remove_object(image, np.ones((20, 20), np.float32), np.random.default_rng(0)), image)


def test_where_no_piece_fits_the_filling_is_as_rough_as_the_rim() -> None:
    image = np.random.default_rng(1).normal(80, 5, (30, 30, 3))
    alpha = np.zeros((30, 30), np.float32)
    alpha[7:23, 7:23] = 1
    image[alpha > 0] = 200
    empty = remove_object(image, alpha, np.random.default_rng(0))
    assert np.abs(empty[alpha > 0].mean() - 80) < 5
    assert empty[alpha > 0].std() > 1
