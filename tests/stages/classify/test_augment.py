"""Classic augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from satpipe.config.run import AugmentConfig
from satpipe.dataset.orientations import ORIENTATIONS, oriented
from satpipe.stages.classify.augment import BandGain, Views, albumentations, classic

STILL = AugmentConfig(
    rotate_deg=0, scale=0, shift=0, brightness=0, contrast=0, colour=0, blur_share=0, noise_share=0, steps_per_view=2
)


def chips(count: int = 6, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    values = np.random.default_rng(0).random((count, 16, 16, bands))
    return (values * 255).astype("uint8") if dtype == "uint8" else values.astype("float32")


@pytest.mark.parametrize("bands", [1, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_views_keep_shape_type_and_range_for_any_number_of_bands(bands, dtype):
    batch = chips(6, bands, dtype)
    views = Views(batch, AugmentConfig(blur_share=1, noise_share=1), seed=3)
    seen = views.batch(1, np.arange(6))
    assert (seen.shape, seen.dtype) == (batch.shape, batch.dtype)
    assert seen.min() >= 0
    assert seen.max() <= (255 if dtype == "uint8" else 1)
    assert (seen != batch).mean() > 0.5


def test_views_follow_from_the_seed_alone():
    first, second = (Views(chips(), AugmentConfig(), seed=5) for _ in range(2))
    for step in (1, 2, 3):
        once = first.batch(step, np.array([0, 1, 1, 4]))
        Views(chips(), AugmentConfig(), seed=6).batch(step, np.arange(6))
        np.testing.assert_array_equal(once, second.batch(step, np.array([0, 1, 1, 4])))


def test_another_seed_gives_other_views():
    one, other = (Views(chips(), AugmentConfig(), seed=seed).batch(1, np.arange(6)) for seed in (1, 2))
    assert (one != other).any(axis=(1, 2, 3)).all()


def test_the_chips_themselves_are_not_changed():
    batch = chips()
    before = batch.copy()
    Views(batch, AugmentConfig(), seed=1).batch(1, np.arange(6))
    np.testing.assert_array_equal(batch, before)


def test_a_view_without_variation_is_one_of_eight_orientations():
    batch = chips()
    seen = Views(batch, STILL, seed=1).batch(1, np.arange(6))
    for chip, view in zip(batch, seen, strict=True):
        assert any((oriented(chip[None], number) == view).all() for number in range(ORIENTATIONS))


def test_a_view_is_drawn_anew_after_its_uses():
    config = AugmentConfig(
        rotate_deg=0, scale=0, shift=0, contrast=0, colour=0, blur_share=0, noise_share=0
    ).model_copy(update={"brightness": 0.9, "steps_per_view": 3})
    views = Views(np.full((1, 16, 16, 1), 100, np.uint8), config, seed=11)
    levels = [int(views.batch(step, np.array([0]))[0, 0, 0, 0]) for step in range(12)]
    runs = [levels[start : start + 3] for start in range(0, 12, 3)]
    assert all(len(set(run)) == 1 for run in runs)
    assert len({run[0] for run in runs}) > 1


def test_albumentations_does_the_drawing():
    names = [type(step).__name__ for step in classic(AugmentConfig()).transforms]
    assert names == ["Affine", "RandomBrightnessContrast", "BandGain", "GaussianBlur", "GaussNoise"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_band_gain_is_one_factor_for_each_band(dtype):
    batch = (chips(5, bands=3, dtype=dtype) * 0.5 + (40 if dtype == "uint8" else 0.2)).astype(dtype)
    draw = albumentations.Compose([BandGain(0.1, p=1.0)], seed=3)
    seen = draw(images=batch)["images"]
    ratio = seen.astype(float) / batch
    assert (seen.shape, seen.dtype) == (batch.shape, batch.dtype)
    gains = np.median(ratio, axis=(0, 1, 2))
    assert ((gains > 0.89) & (gains < 1.11)).all()
    assert len(set(gains.round(3))) == 3
    np.testing.assert_allclose(seen, batch * gains, atol=2 if dtype == "uint8" else 1e-5)
