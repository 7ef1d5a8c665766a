"""Exact rewritings of the layers that halve and double a chip's side, for speed.

Convolution libraries are slow where a layer has three channels on one side: a 4 x 4 layer of stride 2 onto an RGB chip
runs at a tenth of the arithmetic that the same library reaches elsewhere. The same numbers come from a 3 x 3 layer of
stride 1 at half the side, whose twelve channels are the 2 x 2 pixels of three bands. And upsampling by nearest
neighbour before a 3 x 3 layer is a transposed layer with a 4 x 4 kernel, at less than half of the multiplications.

The functions here rewrite kernels; gradients pass through them to the kernel that is trained.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

THIN = 4
"""Layers from or to as few channels as this are computed at half the side."""


def nearest_kernel(kernel: Tensor) -> Tensor:
    """Kernel of the transposed layer that equals upsampling by nearest neighbour and a 3 x 3 layer.

    Upsampling by nearest neighbour spreads each pixel over 2 x 2, which is a transposed layer of stride 2 with a kernel
    of ones; one layer after the other has the convolution of both kernels, 2 + 3 - 1 = 4 wide.

    Args:
        kernel: (in, out, 3, 3), of a transposed convolution with stride 1 and padding 1.

    Returns:
        (in, out, 4, 4), of a transposed convolution with stride 2 and padding 1.
    """
    inward, outward = kernel.shape[:2]
    return (kernel.reshape(-1, 9) @ _spread(kernel.device, kernel.dtype)).reshape(inward, outward, 4, 4)


def double(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Transposed convolution with stride 2 and padding 1: (N, in, H, W) to (N, out, 2 H, 2 W).

    Args:
        x: (N, in, H, W).
        kernel: (in, out, 4, 4).
        bias: (out,).
    """
    inward, outward = kernel.shape[:2]
    if outward > THIN:
        return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
    # Output row 2 i + p sees input rows i + t - 1 for t in 0 to 2, by kernel row p + 3 - 2 t where that exists.
    taps = _taps(kernel.device, kernel.dtype)
    phases = torch.einsum("iokl,ptk,qsl->opqits", kernel, taps, taps).reshape(4 * outward, inward, 3, 3)
    y = F.conv2d(x, phases.contiguous(memory_format=torch.channels_last), _repeated(bias), padding=1)
    return F.pixel_shuffle(y, 2)


def halve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution with stride 2 and padding 1: (N, in, 2 H, 2 W) to (N, out, H, W).

    Args:
        x: (N, in, 2 H, 2 W).
        kernel: (out, in, 4, 4).
        bias: (out,).
    """
    outward, inward = kernel.shape[:2]
    if inward > THIN:
        return F.conv2d(x, kernel, bias, stride=2, padding=1)
    # The mirror of `double`: input row 2 i + p is seen by output rows i + 1 - t, by the same kernel row.
    taps = _taps(kernel.device, kernel.dtype).flip(1)
    phases = torch.einsum("oikl,ptk,qsl->oipqts", kernel, taps, taps).reshape(outward, 4 * inward, 3, 3)
    y = F.pixel_unshuffle(x, 2)
    return F.conv2d(y, phases.contiguous(memory_format=torch.channels_last), bias, padding=1)


@cache
def _spread(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(9, 16): 1 where an entry of a 3 x 3 kernel is part of an entry of its 4 x 4 one, along rows and columns."""
    along = torch.zeros(3, 4)
    for entry in range(3):
        along[entry, entry : entry + 2] = 1
    return torch.kron(along, along).to(device, dtype)


@cache
def _taps(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(2, 3, 4): 1 where phase p and tap t meet kernel row k = p + 3 - 2 t."""
    taps = torch.zeros(2, 3, 4)
    for phase in range(2):
        for tap in range(3):
            row = phase + 3 - 2 * tap
            if 0 <= row < 4:
                taps[phase, tap, row] = 1
    return taps.to(device, dtype)


def _repeated(bias: Tensor | None) -> Tensor | None:
    """The bias of each output channel for its four phases."""
    return None if bias is None else bias.repeat_interleave(4)
