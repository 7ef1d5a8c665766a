"""Scaling between chip values and the networks' range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from satpipe.dataset import scaling
from satpipe.dataset.scaling import Scaling


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4)))
def test_uint8_comes_back_exactly(chips: np.ndarray) -> None:
    fitted = scaling.fit(chips)
    there = fitted.apply(chips)
    assert there.dtype == np.float32
    assert there.min() >= -1
    assert there.max() <= 1
    np.testing.assert_array_equal(fitted.invert(there), chips)


@given(st.sampled_from(["uint16", "int16", "float32", "float64"]), st.integers(0, 2**32))
def test_other_dtypes_come_back_within_a_step(dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    chips = (random.normal(500, 100, (3, 8, 8, 2))).astype(dtype)
    fitted = scaling.fit(chips)
    back = fitted.invert(fitted.apply(chips))
    assert back.dtype == np.dtype(dtype)
    inside = (chips >= np.asarray(fitted.low)) & (chips <= np.asarray(fitted.high))
    assert np.abs(back.astype(float) - chips.astype(float))[inside].max() <= 1
    assert inside.mean() > 0.95


def test_range_is_fitted_per_band_between_percentiles() -> None:
    ramp = np.linspace(0, 1000, 10_001, dtype=np.float64).reshape(1, -1, 1, 1)
    fitted = scaling.fit(np.concatenate([ramp, 2 * ramp], axis=-1), (1, 99))
    assert fitted.low == pytest.approx((10, 20))
    assert fitted.high == pytest.approx((990, 1980))


def test_range_is_fitted_per_band_from_mean_and_deviation() -> None:
    chips = np.random.default_rng(0).normal([100.0, 1000.0], [5.0, 20.0], (40, 16, 16, 2)).astype(np.float32)
    fitted = scaling.fit(chips, method="deviation", deviations=2.0)
    assert fitted.low == pytest.approx((90, 960), rel=1e-2)
    assert fitted.high == pytest.approx((110, 1040), rel=1e-2)
    assert (fitted.apply(chips) == 1).mean() == pytest.approx(0.0228, abs=0.003)  # beyond two deviations


def test_bytes_are_stretched_where_percentiles_are_asked_for() -> None:
    chips = np.arange(100, 151, dtype=np.uint8).reshape(1, -1, 1, 1)
    assert scaling.fit(chips) == Scaling((0.0,), (255.0,), "uint8")
    assert scaling.fit(chips, (0, 100), "percentiles") == Scaling((100.0,), (150.0,), "uint8")


def test_constant_band_is_no_division_by_zero() -> None:
    fitted = scaling.fit(np.full((2, 4, 4, 1), 7, np.uint16))
    assert np.isfinite(fitted.apply(np.full((2, 4, 4, 1), 7, np.uint16))).all()


def test_saved_scaling_loads_as_itself(tmp_path: Path) -> None:
    fitted = Scaling((0.5, 1.25), (10.0, 1e5), "uint16")
    fitted.save(tmp_path / "scaling.json")
    assert Scaling.load(tmp_path / "scaling.json") == fitted


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (0, 1)])
def test_no_chips_are_scaled_to_no_chips(shape: tuple[int, ...]) -> None:
    bands = shape[-1]
    fitted = Scaling((0.0,) * bands, (255.0,) * bands, "uint8")
    assert fitted.apply(np.empty((*shape[:-1], 4, bands), np.uint8)).shape == (*shape[:-1], 4, bands)
    assert fitted.invert(np.empty((*shape[:-1], 4, bands), np.float32)).shape == (*shape[:-1], 4, bands)
