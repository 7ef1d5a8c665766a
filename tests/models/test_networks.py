"""Networks for any chip size, bands and classes; sampling chip by chip; the losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from satpipe.config.gan_presets import PRESETS, Preset
from satpipe.models.discriminator import build, minibatch_deviation
from satpipe.models.generator import Generator, generate, load, save
from satpipe.models.networks import BLOCK, latents, pyramid
from satpipe.stages.gan.losses import LOSSES, gradient_penalty
from satpipe.stages.gan.step import discriminate
from satpipe.utils.errors import StoreError
from torch import nn


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((16, 16), ((4, 4), [4, 8])),
        ((32, 32), ((4, 4), [4, 8, 16])),
        ((48, 48), ((6, 6), [4, 8, 16])),
        ((64, 64), ((4, 4), [4, 8, 16, 32])),
        ((80, 80), ((5, 5), [4, 8, 16, 32])),
        ((160, 160), ((5, 5), [4, 8, 16, 32, 32])),
        ((176, 176), ((11, 11), [4, 8, 16, 32])),
        ((256, 256), ((4, 4), [4, 8, 16, 32, 32, 32])),
        ((32, 80), ((2, 5), [4, 8, 16, 32])),
        ((24, 40), ((3, 5), [4, 8, 16])),
    ],
)
def test_pyramid_ends_at_a_small_map(sides: tuple[int, int], expected: object) -> None:
    assert pyramid(sides, 4) == expected


@pytest.mark.parametrize("sides", [(0, 0), (8, 8), (40, 40), (-16, -16), (20, 40), (8, 32)])
def test_other_sizes_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of"):
        pyramid(sides, 4)


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(("size_px", "bands", "classes"), [(16, 1, 2), (48, 4, 5), (80, 3, 2)])
def test_networks_take_any_chip(name: str, upsampling: str, size_px: int, bands: int, classes: int) -> None:
    preset = replace(PRESETS[name], base_channels=2, upsampling=upsampling)
    generator, discriminator = build(preset, (size_px, size_px, bands), classes, seed=1)
    labels = torch.arange(8) % classes
    chips = generator(torch.randn(8, preset.z_dim), labels)
    assert chips.shape == (8, bands, size_px, size_px)
    assert chips.dtype == torch.float32
    assert float(chips.detach().abs().max()) <= 1
    assert discriminator(chips, labels).shape == (8,)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_label_matters_to_both_networks(name: str) -> None:
    preset = replace(PRESETS[name], base_channels=4)
    generator, discriminator = build(preset, (32, 32, 3), 2, seed=1)
    with torch.no_grad():
        for parameter in (*generator.parameters(), *discriminator.parameters()):
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    z, chips = torch.randn(4, preset.z_dim), torch.rand(4, 3, 32, 32)
    zeros, ones = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    generator.eval()
    assert not torch.allclose(generator(z, zeros), generator(z, ones))
    assert not torch.allclose(discriminator(chips, zeros), discriminator(chips, ones))


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (build(PRESETS["dcgan"], (32, 32, 3), 2, seed)[0].state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first["entry.weight"], second["entry.weight"])
    assert not torch.equal(first["entry.weight"], other["entry.weight"])


def small() -> Preset:
    return replace(PRESETS["dcgan-lowdata"], base_channels=8, z_dim=16)


def trained(preset: Preset) -> Generator:
    network, _ = build(preset, (32, 32, 3), 2, seed=1)
    with torch.no_grad():
        network(torch.randn(64, preset.z_dim), torch.arange(64) % 2)
    return Generator(network.eval().to(memory_format=torch.channels_last), ("sea", "ship"), {}, (0, 1))


@pytest.mark.parametrize("preset", [small(), replace(small(), upsampling="transposed")], ids=["resize", "transposed"])
def test_a_chip_is_the_same_whatever_is_generated_with_it(preset: Preset) -> None:
    generator = trained(preset)
    labels, seeds = np.arange(70) % 2, np.arange(100, 170)
    together = generate(generator, labels, seeds)
    alone = np.concatenate([generate(generator, labels[at : at + 1], seeds[at : at + 1]) for at in (0, 33, 69)])
    np.testing.assert_array_equal(together[[0, 33, 69]], alone)
    order = np.random.default_rng(0).permutation(70)
    np.testing.assert_array_equal(together[order], generate(generator, labels[order], seeds[order]))


def test_truncation_scales_the_latents_and_zero_chips_are_none() -> None:
    np.testing.assert_allclose(latents([3], 8, 0.5), 0.5 * latents([3], 8), rtol=1e-6)
    assert generate(trained(small()), [], []).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(("labels", "seeds", "words"), [([0, 2], [1, 2], "0 to 1"), ([0], [1, 2], "one length")])
def test_wrong_labels_are_refused(labels: list[int], seeds: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generate(trained(small()), labels, seeds)


def test_a_saved_generator_gives_the_same_chips(tmp_path: Path) -> None:
    generator = trained(small())
    save(generator.network, generator.classes, {"note": 1}, tmp_path)
    again = load(tmp_path)
    assert (again.classes, again.shape, again.card["note"]) == (("sea", "ship"), (32, 32, 3), 1)
    labels, seeds = np.zeros(BLOCK + 1, int), np.arange(BLOCK + 1)
    np.testing.assert_array_equal(generate(generator, labels, seeds), generate(again, labels, seeds))


@pytest.mark.parametrize("damage", ["nothing", "card", "weights"])
def test_a_folder_without_a_readable_generator_is_one_sentence(tmp_path: Path, damage: str) -> None:
    if damage != "nothing":
        generator = trained(small())
        save(generator.network, generator.classes, {}, tmp_path)
        name = {"card": "generator.json", "weights": "generator.safetensors"}[damage]
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(StoreError, match=r"the generator in .* cannot be read"):
        load(tmp_path)


def test_minibatch_deviation_is_that_of_each_group() -> None:
    x = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    out = minibatch_deviation(x, 4)
    expected = [group.std(0, unbiased=False).mean() for group in (x[:4], x[4:])]
    assert out.shape == (8, 4, 2, 2)
    assert out[:, 3, 0, 0].tolist() == pytest.approx([float(expected[0])] * 4 + [float(expected[1])] * 4, abs=1e-3)
    torch.testing.assert_close(out[:, :3], x)


@pytest.mark.parametrize("count", [8, 10])
def test_real_and_generated_chips_are_never_of_one_group(count: int) -> None:
    preset = replace(PRESETS["dcgan-lowdata"], base_channels=4, discriminator_norm="none", deviation_group=4)
    _, discriminator = build(preset, (32, 32, 3), 2, seed=1)
    real, fake = torch.rand(2, count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(count, dtype=torch.long)
    with torch.no_grad():
        found = discriminate(discriminator, real, fake, labels)
        apart = discriminator(real, labels), discriminator(fake, labels)
    torch.testing.assert_close(found, apart, rtol=1e-4, atol=1e-5)


def test_losses_are_binary_cross_entropy_of_the_logits() -> None:
    real, fake = torch.randn(9), torch.randn(9)
    cross = F.binary_cross_entropy_with_logits
    loss = LOSSES["logistic"]
    torch.testing.assert_close(loss.discriminator(real, fake), cross(real, torch.ones(9)) + cross(fake, torch.zeros(9)))
    torch.testing.assert_close(loss.generator(fake), cross(fake, torch.ones(9)))


def test_gradient_penalty_of_a_linear_discriminator() -> None:
    weight = torch.randn(3 * 4 * 4)

    class Linear(nn.Module):
        def forward(self, chips: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return chips.flatten(1) @ weight

    penalty = gradient_penalty(Linear(), torch.randn(5, 3, 4, 4), torch.zeros(5, dtype=torch.long))  # type: ignore[arg-type]
    torch.testing.assert_close(penalty, weight.square().sum())
