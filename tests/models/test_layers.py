"""The rewritten layers give what torch's own layers give, and the same gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from satpipe.models.layers import double, halve, nearest_kernel

SHAPES = [(1, 5, 4), (3, 7, 5), (4, 6, 2), (9, 12, 3)]


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(True)


def same(found: torch.Tensor, expected: torch.Tensor, *inputs: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((found * weights).sum(), inputs)
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * weights).sum(), inputs))


@pytest.mark.parametrize(("thin", "wide", "side"), SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_double_is_a_transposed_convolution(thin: int, wide: int, side: int, with_bias: bool) -> None:
    x, kernel, bias = random(2, wide, side, side), random(wide, thin, 4, 4), random(thin)
    given = bias if with_bias else None
    inputs = (x, kernel, bias) if with_bias else (x, kernel)
    same(double(x, kernel, given), F.conv_transpose2d(x, kernel, given, 2, 1), *inputs)


@pytest.mark.parametrize(("thin", "wide", "side"), SHAPES)
def test_halve_is_a_strided_convolution(thin: int, wide: int, side: int) -> None:
    x, kernel, bias = random(2, thin, 2 * side, 2 * side), random(wide, thin, 4, 4), random(wide)
    same(halve(x, kernel, bias), F.conv2d(x, kernel, bias, 2, 1), x, kernel, bias)


@pytest.mark.parametrize(("thin", "wide", "side"), SHAPES)
def test_nearest_kernel_is_upsampling_and_convolution(thin: int, wide: int, side: int) -> None:
    x, kernel, bias = random(2, wide, side, side), random(wide, thin, 3, 3), random(thin)
    upsampled = F.conv_transpose2d(F.interpolate(x, scale_factor=2, mode="nearest"), kernel, bias, padding=1)
    same(double(x, nearest_kernel(kernel), bias), upsampled, x, kernel, bias)
