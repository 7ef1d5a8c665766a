"""What a step sees: a function of (seed, step); and the augmentation the generator learns through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.dataset.scaling import Scaling
from satpipe.stages.gan.augment import Changes, augment, colour, draw, slightly_changed, translate
from satpipe.stages.gan.batches import Batches


def batches(
    per_class: tuple[int, ...] = (7, 3), size: int = 4, balanced: bool = True, symmetries: bool = False, seed: int = 1
) -> Batches:
    labels = np.repeat(np.arange(len(per_class)), per_class)
    chips = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    return Batches(chips, labels, Scaling((0.0,) * 3, (255.0,) * 3, "uint8"), size, (seed, 0), balanced, symmetries)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_classes_share_a_balanced_batch_equally_and_in_order(per_class: list[int], size: int, step: int) -> None:
    drawn = batches(tuple(per_class), size)
    labels = drawn.labels[drawn.choose(step)]
    counts = np.bincount(labels, minlength=len(per_class))
    assert counts.max() - counts.min() <= 1
    assert (np.diff(labels) >= 0).all()


@pytest.mark.parametrize("balanced", [True, False])
def test_each_chip_is_shown_once_before_any_is_shown_again(balanced: bool) -> None:
    drawn = batches((6, 6), size=4, balanced=balanced)
    for epoch in range(3):
        seen = np.concatenate([drawn.choose(step) for step in range(3 * epoch, 3 * epoch + 3)])
        assert sorted(seen) == list(range(12))


def test_without_balance_a_batch_has_the_shares_of_the_data() -> None:
    drawn = batches((90, 10), size=10, balanced=False)
    labels = np.concatenate([drawn.labels[drawn.choose(step)] for step in range(10)])
    assert labels.mean() == pytest.approx(0.1)


def test_a_step_follows_from_the_seed_and_its_number() -> None:
    drawn = batches(symmetries=True)
    late, early = drawn.real(9), drawn.real(2)
    again = batches(symmetries=True)
    np.testing.assert_array_equal(again.real(2)[0], early[0])
    np.testing.assert_array_equal(again.real(9)[0], late[0])
    np.testing.assert_array_equal(again.latents(5, 8), drawn.latents(5, 8))
    assert not np.array_equal(batches(seed=2).latents(5, 8), drawn.latents(5, 8))
    assert not np.array_equal(drawn.latents(6, 8), drawn.latents(5, 8))


def chips(count: int = 3, bands: int = 3) -> torch.Tensor:
    return torch.rand(count, bands, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_colour_is_brightness_then_saturation_then_contrast() -> None:
    x = chips()
    b, s, c = (torch.tensor(v) for v in ([0.3, -0.2, 0.0], [0.0, 1.7, 1.0], [0.6, 1.0, 1.4]))
    found = colour(x, Changes(b, s, c, torch.zeros(3, 2, dtype=torch.int64)))
    tb, ts, tc = (v[:, None, None, None] for v in (b, s, c))
    step = x + tb
    grey = step.mean(1, keepdim=True)
    step = grey + ts * (step - grey)
    mean = step.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, mean + tc * (step - mean))


def test_translation_fills_with_the_middle_of_the_range() -> None:
    x = chips(2)
    moved = translate(x, torch.tensor([[3, -2], [0, 0]]))
    torch.testing.assert_close(moved[0, :, 3:, :-2], x[0, :, :-3, 2:])
    assert float(moved[0, :, :3].abs().max()) == 0
    assert float(moved[0, :, :, -2:].abs().max()) == 0
    torch.testing.assert_close(moved[1], x[1])


def test_gradients_pass_through_the_changes() -> None:
    x = chips().double().requires_grad_(True)
    changes = draw(np.random.default_rng(1), 3, (16, 16), 1.0, 0.25)
    weights = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def weighed(y: torch.Tensor) -> torch.Tensor:
        return (augment(y, changes) * weights).sum((2, 3))

    assert torch.autograd.gradcheck(weighed, (x,))
    assert torch.autograd.gradgradcheck(lambda y: weighed(y.square()), (x,))


def test_strengths_of_zero_change_nothing() -> None:
    x = chips()
    assert draw(np.random.default_rng(1), 3, (16, 16), 0.0, 0.0) is None
    assert augment(x, None) is x
    only_shift = draw(np.random.default_rng(1), 3, (16, 16), 0.0, 0.25)
    assert only_shift is not None
    torch.testing.assert_close(colour(x, only_shift), x)


@given(st.floats(0, 1), st.floats(0, 0.5), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_changes_stay_within_their_strengths(strength: float, translation: float, seed: int) -> None:
    changes = draw(np.random.default_rng(seed), 20, (32, 32), strength, translation)
    if changes is None:
        return
    assert changes.brightness.abs().max() <= 0.5 * strength + 1e-6
    assert (changes.saturation - 1).abs().max() <= strength + 1e-6
    assert (changes.contrast - 1).abs().max() <= 0.5 * strength + 1e-6
    assert changes.shift_px.abs().max() <= round(translation * 32)


def test_one_band_has_no_saturation_to_change() -> None:
    x = chips(bands=1)
    changes = Changes(torch.zeros(3), torch.zeros(3), torch.ones(3), torch.zeros(3, 2, dtype=torch.int64))
    torch.testing.assert_close(colour(x, changes), x)


def test_a_slightly_changed_chip_is_nearly_the_same() -> None:
    smooth = np.full((4, 32, 32, 3), 0.2, np.float32)
    smooth[:, 8:24, 8:24] = 0.6
    changed = slightly_changed(smooth, 1)
    assert np.abs(changed - smooth).mean() < 0.15
    assert not np.array_equal(changed, smooth)
