"""What features tell apart, and that they follow from the training chips alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.models.device import Profile
from satpipe.stages.gan import features, metrics


def stripes(rng: np.random.Generator, count: int, size_px: int = 32) -> np.ndarray:
    """Chips with a bright bar at any angle on a darker ground, in [-1, 1]."""
    rows, cols = np.indices((size_px, size_px)) - size_px / 2
    chips = np.empty((count, size_px, size_px, 3), np.float32)
    for chip in chips:
        angle, width = rng.uniform(0, np.pi), rng.uniform(2, 5)
        bar = np.abs(rows * np.cos(angle) + cols * np.sin(angle)) < width
        chip[:] = np.where(bar[..., None], rng.uniform(0.2, 0.8, 3), rng.uniform(-0.8, -0.2, 3))
    return np.clip(chips + 0.03 * rng.standard_normal(chips.shape), -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def told() -> tuple[features.Embedding, np.ndarray, np.ndarray]:
    """Features learned on 160 chips, those chips, and others like them."""
    rng = np.random.default_rng(0)
    chips, others = stripes(rng, 160), stripes(rng, 120)
    labels = np.arange(160) % 2
    chips[labels == 0] = chips[labels == 0].mean((1, 2), keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "STEPS", 30)
        embedding = features.learn(chips, labels, 1, Profile())
    return embedding, chips, others


def test_features_are_learned_from_every_class_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.repeat(np.arange(9), 4)
    chips = np.broadcast_to(numbers[:, None, None, None] / 10, (36, 16, 16, 3)).astype(np.float32)
    seen: set[int] = set()
    view = features._view

    def watched(shown: np.ndarray, rng: np.random.Generator, device: torch.device) -> torch.Tensor:
        seen.update(np.rint(10 * shown[:, 0, 0, 0]).astype(int).tolist())
        return view(shown, rng, device)

    monkeypatch.setattr(features, "_view", watched)
    monkeypatch.setattr(features, "STEPS", 1)
    features.learn(chips, numbers, 1, Profile())
    assert seen == set(range(9))


def worse(chips: np.ndarray, how: str, strength: float) -> np.ndarray:
    """The chips with a flaw that generators have."""
    if how == "blur":
        return np.stack([cv2.GaussianBlur(chip, (0, 0), 2 * strength) for chip in chips])
    if how == "noise":
        noise = np.random.default_rng(3).standard_normal(chips.shape)
        return np.clip(chips + 0.2 * strength * noise, -1, 1).astype(np.float32)
    board = np.indices(chips.shape[1:3]).sum(0) % 2 * 2 - 1
    return np.clip(chips + 0.2 * strength * board[None, :, :, None], -1, 1).astype(np.float32)


@pytest.mark.parametrize("how", ["blur", "noise", "checkerboard"])
@pytest.mark.parametrize("distance", [metrics.kernel_distance, metrics.frechet_distance])
def test_the_stronger_a_generators_flaw_the_larger_the_distance(told, how, distance):
    embedding, _, others = told
    real, alike = embedding(others[:60]), others[60:]
    found = [distance(real, embedding(alike if not s else worse(alike, how, s))) for s in (0.0, 0.5, 1.0)]
    assert found[0] < found[1] < found[2]


def test_features_of_training_chips_are_whitened(told):
    embedding, chips, _ = told
    values = embedding(chips)
    assert values.shape == (160, 160 // features.CHIPS_A_DIMENSION)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose(values.T @ values / len(values), np.eye(values.shape[1]), atol=1e-6)


def test_a_chips_features_do_not_depend_on_the_chips_beside_it(told):
    embedding, chips, _ = told
    np.testing.assert_array_equal(embedding(chips)[[5, 150]], embedding(chips[[5, 150]]))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_whitening_leaves_variance_one_in_whatever_varies(rows, columns, dimensions, seed):
    values = np.random.default_rng(seed).standard_normal((rows, columns)) * np.arange(columns)
    components = features.whitening(values, dimensions)
    white = (values - values.mean(0)) @ components
    assert components.shape == (columns, min(dimensions, rows - 1, max(columns - 1, 0)))
    np.testing.assert_allclose(white.T @ white / rows, np.eye(white.shape[1]), atol=1e-6)
