"""Exact rewritings of the layers that halve and double a chip's side, for speed.

Convolution libraries are slow where a layer has three channels on one side. A 4 x 4 layer of stride 2 takes whole
blocks of 2 x 2 pixels once its input has an edge of one pixel: with the pixels of a block as channels it is a 2 x 2
layer of stride 1 with four times the channels, as many multiplications, and nothing strided for the gradients to undo.
And upsampling by nearest neighbour before a 3 x 3 layer is a transposed layer with a 4 x 4 kernel, at less than half of
the multiplications.

The functions here rewrite kernels; gradients pass through them to the kernel that is trained.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

THIN = 4
"""Layers from or to as few channels as this are computed block by block."""


def nearest_kernel(kernel: Tensor) -> Tensor:
    """Return the kernel of the transposed layer that equals nearest-neighbour upsampling and a 3 x 3 layer.

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
    """Convolve, transposed, with stride 2 and padding 1: (N, in, H, W) to (N, out, 2 H, 2 W).

    Args:
        x: (N, in, H, W).
        kernel: (in, out, 4, 4).
        bias: (out,).
    """
    inward, outward = kernel.shape[:2]
    if outward > THIN:
        return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
    # Row p of block b, of a result with an edge of one pixel, is seen by input row b - 1 through kernel row p + 2 and
    # by input row b through kernel row p.
    taps = kernel.reshape(inward, outward, 2, 2, 2, 2).flip(2, 4)
    phases = taps.permute(1, 3, 5, 0, 2, 4).reshape(4 * outward, inward, 2, 2)
    blocks = F.conv2d(x, phases.contiguous(memory_format=torch.channels_last), _repeated(bias), padding=1)
    return F.pixel_shuffle(blocks, 2)[:, :, 1:-1, 1:-1]


def halve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with stride 2 and padding 1: (N, in, 2 H, 2 W) to (N, out, H, W).

    Args:
        x: (N, in, 2 H, 2 W).
        kernel: (out, in, 4, 4).
        bias: (out,).
    """
    outward, inward = kernel.shape[:2]
    if inward > THIN:
        return F.conv2d(x, kernel, bias, stride=2, padding=1)
    phases = kernel.reshape(outward, inward, 2, 2, 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(outward, 4 * inward, 2, 2)
    return F.conv2d(_blocks(F.pad(x, (1, 1, 1, 1))), phases.contiguous(memory_format=torch.channels_last), bias)


def _blocks(x: Tensor) -> Tensor:
    """Move blocks of 2 x 2 pixels to channels: (N, C, 2 H, 2 W) to (N, 4 C, H, W), pixel by pixel, not band by band.

    The pixels of a block's row stay together then, and are copied together; `pixel_unshuffle` has the other order.
    """
    count, bands, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, bands)
    return rows.transpose(2, 3).reshape(count, height // 2, width // 2, 4 * bands).permute(0, 3, 1, 2)


@cache
def _spread(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a matrix (9, 16): 1 where an entry of a 3 x 3 kernel is part of an entry of its 4 x 4 kernel."""
    along = torch.zeros(3, 4)
    for entry in range(3):
        along[entry, entry : entry + 2] = 1
    return torch.kron(along, along).to(device, dtype)


def _repeated(bias: Tensor | None) -> Tensor | None:
    """Repeat the bias of each output channel for its four phases."""
    return None if bias is None else bias.repeat_interleave(4)
