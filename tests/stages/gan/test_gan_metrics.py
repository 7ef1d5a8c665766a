"""Each measure against an independent implementation on the same features, or a closed form."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.stages.gan import metrics
from satpipe.stages.gan.augment import slightly_changed
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import polynomial_kernel

SHAPES = [(40, 60, 8), (12, 9, 3), (30, 200, 16)]


def samples(n: int, m: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, d)), rng.normal(0.5, 1.5, (m, d))


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_frechet_distance_equals_that_by_scipys_matrix_root(n: int, m: int, d: int) -> None:
    real, fake = samples(n, m, d)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    difference = real.mean(0) - fake.mean(0)
    expected = difference @ difference + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert metrics.frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_two_normals_in_one_dimension() -> None:
    real, fake = np.array([[0.0], [2.0]]), np.array([[3.0], [9.0]])  # means 1 and 6, deviations sqrt(2) and 3 sqrt(2)
    assert metrics.frechet_distance(real, fake) == pytest.approx(25 + (2 * np.sqrt(2)) ** 2)


def test_frechet_distance_of_few_chips_is_finite() -> None:
    real, fake = samples(5, 4, 32)
    assert metrics.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(real, fake) > 0


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_kernel_distance_equals_that_by_sklearns_kernel(n: int, m: int, d: int) -> None:
    real, fake = samples(n, m, d)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return polynomial_kernel(a, b, degree=3, gamma=1 / d, coef0=1)

    among = [kernel(x, x)[~np.eye(len(x), dtype=bool)].mean() for x in (real, fake)]
    expected = sum(among) - 2 * kernel(real, fake).mean()
    assert metrics.kernel_distance(real, fake) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [metrics.kernel_distance(rng.normal(size=(10, 4)), rng.normal(size=(10, 4))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(400)


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
@pytest.mark.parametrize("k", [1, 5])
def test_neighbourhood_equals_the_prdc_package(n: int, m: int, d: int, k: int) -> None:
    real, fake = samples(n, m, d)
    expected = prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    found = metrics.neighbourhood(real, fake, k)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected)


def test_a_collapsed_generator_has_no_recall_and_diversity() -> None:
    real, _ = samples(50, 1, 6)
    fake = np.repeat(real[:1], 50, axis=0)
    assert metrics.neighbourhood(real, fake).recall <= 0.02
    assert metrics.diversity(real, fake) == pytest.approx(0, abs=1e-6)


def test_diversity_of_the_same_law_is_one() -> None:
    rng = np.random.default_rng(0)
    assert metrics.diversity(rng.normal(size=(300, 8)), rng.normal(size=(300, 8))) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("function", [metrics.frechet_distance, metrics.kernel_distance, metrics.neighbourhood])
def test_a_single_chip_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="at least two chips"):
        function(np.zeros((1, 3)), np.zeros((9, 3)))  # type: ignore[operator]


def picture(count: int, seed: int, size: int = 32) -> np.ndarray:
    """Smooth random pictures (count, size, size, 3) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)
    return coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)


@given(st.integers(0, 3), st.booleans(), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_copy_is_found_under_every_flip_and_turn(turns: int, mirrored: bool, seed: int) -> None:
    known = picture(6, seed)
    changed = slightly_changed(known, seed)
    disguised = np.rot90(changed[:, ::-1] if mirrored else changed, turns, axes=(1, 2))
    strangers = picture(6, seed + 5000)
    assert metrics.nearest(disguised, known).max() < 0.6
    assert metrics.nearest(strangers, known).min() > 0.6
    assert metrics.nearest(known, known).max() == pytest.approx(0, abs=1e-6)


def test_thumbnail_distance_is_a_correlation() -> None:
    a, b = picture(2, 1)
    r = np.corrcoef(a[::4, ::4].ravel(), b[::4, ::4].ravel())[0, 1]
    first, second = metrics.thumbnails(np.stack([a, b]))
    assert np.linalg.norm(first - second) == pytest.approx(np.sqrt(2 - 2 * r), abs=1e-3)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=12),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_neighbourhood_with_ties_equals_the_prdc_package(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    real, fake = np.array(first, float), np.array(second, float)
    expected = prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=2)
    found = metrics.neighbourhood(real, fake, 2)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_diversity_is_the_ratio_of_mean_distances(n: int, m: int, d: int) -> None:
    real, fake = samples(n, m, d)
    assert metrics.diversity(real, fake) == pytest.approx(pdist(fake).mean() / pdist(real).mean())


def test_nearest_is_the_least_distance_over_eight_symmetries() -> None:
    chips, known = picture(5, 1), picture(7, 2)
    views = [np.rot90(chip, turn, axes=(1, 2)) for chip in (chips, chips[:, :, ::-1]) for turn in range(4)]
    expected = [cdist(metrics.thumbnails(view), metrics.thumbnails(known)).min(1) for view in views]
    np.testing.assert_allclose(metrics.nearest(chips, known), np.min(expected, axis=0), atol=1e-6)


def test_texture_is_the_deviation_of_the_grey_over_the_range() -> None:
    half = np.ones((1, 32, 32, 3), np.float32)
    half[:, :16] = -1
    assert metrics.texture(half) == pytest.approx([0.5])
