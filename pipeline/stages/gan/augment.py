"""Augmentation that the generator learns through (Zhao et al. 2020, DiffAugment, arXiv:2006.10738).

Real and generated chips pass the same random changes before the discriminator sees them, so it cannot learn the few
training chips by heart, and the generator does not learn to make shifted or tinted chips. Random numbers are drawn on
the host from a NumPy generator: the same seed gives the same changes on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Changes:
    """Random changes to each chip of a batch; float32 and int64 tensors.

    Attributes:
        brightness: Added, (N,).
        saturation: Factor on the distance from the grey of the pixel, (N,).
        contrast: Factor on the distance from the mean of the chip, (N,).
        shift_px: (N, 2) rows and columns that the content moves down and right.
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift_px: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply ``change`` to every tensor, such as taking some rows or a copy on a device."""
        return type(self)(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def draw(
    rng: np.random.Generator, count: int, sides: tuple[int, int], colour: float, translation: float
) -> Changes | None:
    """Return changes for ``count`` chips of ``sides`` (height, width) in pixels, or None where both strengths are 0.

    At strength 1: brightness from U(-0.5, 0.5), saturation from U(0, 2), contrast from U(0.5, 1.5), as in DiffAugment.
    """
    if colour == 0 and translation == 0:
        return None
    unit = rng.random((3, count), dtype=np.float32)
    down, across = (round(translation * side) for side in sides)
    reach = down if down == across else np.array([down, across])
    return Changes(
        torch.from_numpy(np.float32(colour) * (unit[0] - np.float32(0.5))),
        torch.from_numpy(1 + np.float32(colour) * (2 * unit[1] - 1)),
        torch.from_numpy(1 + np.float32(colour) * (unit[2] - np.float32(0.5))),
        torch.from_numpy(rng.integers(-reach, reach + 1, (count, 2))),
    )


def augment(chips: Tensor, changes: Changes | None, layer: bool = False) -> Tensor:
    """Return chips (N, C, H, W) float32 changed; differentiable.

    What moves in at an edge is 0: the middle of a chip's range, and nothing of a layer.
    """
    if changes is None:
        return chips
    return translate((layer_colour if layer else colour)(chips, changes), changes.shift_px)


def colour(chips: Tensor, changes: Changes) -> Tensor:
    """Change brightness, then saturation, then contrast, in one pass.

    With m the mean of a pixel's bands and M the mean of a chip, x + b becomes m + b + s (x - m) and that becomes
    M + b + c (m + s (x - m) - M), which is c s x + c (1 - s) m + (1 - c) M + b.
    """
    b, s, c = (change[:, None, None, None] for change in (changes.brightness, changes.saturation, changes.contrast))
    grey = chips.mean(dim=1, keepdim=True)
    rest = c * (1 - s) * grey + ((1 - c) * grey.mean(dim=(2, 3), keepdim=True) + b)
    return torch.addcmul(rest, chips, c * s)


def layer_colour(layers: Tensor, changes: Changes) -> Tensor:
    """Change brightness, saturation and contrast of the object in layers (N, C + 1, H, W).

    With x = l / a an object's colour, :func:`colour` makes c s x + c (1 - s) m + (1 - c) M + b of it, with M its mean
    over the object; times alpha a, that is c s l + c (1 - s) grey + a ((1 - c) M + b), grey the mean of the bands of l.
    """
    b, s, c = (change[:, None, None, None] for change in (changes.brightness, changes.saturation, changes.contrast))
    bands, alpha = layers[:, :-1], layers[:, -1:]
    grey = bands.mean(dim=1, keepdim=True)
    middle = grey.sum(dim=(2, 3), keepdim=True) / alpha.sum(dim=(2, 3), keepdim=True).clamp_min(1.0)
    return torch.cat([c * s * bands + c * (1 - s) * grey + alpha * ((1 - c) * middle + b), alpha], dim=1)


def translate(chips: Tensor, shift_px: Tensor) -> Tensor:
    """Move each chip by its own whole number of rows and columns, less than its side."""
    if not chips.is_cuda:
        if not shift_px.any():
            return chips
        moved: Tensor = _Copied.apply(chips, shift_px.tolist())  # type: ignore[no-untyped-call]
    else:
        moved = _Gathered.apply(chips, shift_px)  # type: ignore[no-untyped-call]
    return moved


class _Copied(torch.autograd.Function):
    """One copy per chip; padding and stacking, with their gradients, copy each several times in another layout."""

    @staticmethod
    def forward(ctx: Any, chips: Tensor, shifts: list[list[int]]) -> Tensor:
        """Copy what stays inside."""
        ctx.shifts = shifts
        moved = torch.zeros_like(chips)
        height, width = chips.shape[2:]
        for place, chip, (row, col) in zip(moved.unbind(0), chips.unbind(0), shifts, strict=True):
            inside = chip[:, max(-row, 0) : height - max(row, 0), max(-col, 0) : width - max(col, 0)]
            place[:, max(row, 0) : height + min(row, 0), max(col, 0) : width + min(col, 0)] = inside
        return moved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Move the gradient back: the transpose of a shift is the opposite shift."""
        back: Tensor = _Copied.apply(gradient, [[-row, -col] for row, col in ctx.shifts])  # type: ignore[no-untyped-call]
        return back, None


class _Gathered(torch.autograd.Function):
    """All chips at once, by indices that never leave the device: on a GPU a copy per chip is mostly waiting."""

    @staticmethod
    def forward(ctx: Any, chips: Tensor, shift_px: Tensor) -> Tensor:
        """Take each pixel from where it was."""
        ctx.save_for_backward(shift_px)
        count, _, height, width = chips.shape
        rows = (torch.arange(height, device=chips.device) - shift_px[:, :1]).view(count, 1, height, 1)
        cols = (torch.arange(width, device=chips.device) - shift_px[:, 1:]).view(count, 1, 1, width)
        moved = chips.gather(2, rows.clamp(0, height - 1).expand_as(chips))
        moved = moved.gather(3, cols.clamp(0, width - 1).expand_as(chips))
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        return torch.where(inside, moved, moved.new_zeros(()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Move the gradient back: the transpose of a shift is the opposite shift."""
        (shift_px,) = ctx.saved_tensors
        back: Tensor = _Gathered.apply(gradient, -shift_px)  # type: ignore[no-untyped-call]
        return back, None


def slightly_changed(chips: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """Move chips by up to one pixel, and change their light and noise a little: copies to anyone's eye."""
    rng = np.random.default_rng([seed, len(chips)])
    count = len(chips)
    changes = Changes(
        torch.from_numpy(np.float32(0.05) * rng.standard_normal(count, dtype=np.float32)),
        torch.ones(count),
        torch.from_numpy(1 + np.float32(0.05) * rng.standard_normal(count, dtype=np.float32)),
        torch.from_numpy(rng.integers(-1, 2, (count, 2))),
    )
    changed = augment(torch.from_numpy(np.ascontiguousarray(chips)).permute(0, 3, 1, 2), changes)
    noise = np.float32(0.02) * rng.standard_normal(chips.shape, dtype=np.float32)
    out: npt.NDArray[np.float32] = np.clip(changed.permute(0, 2, 3, 1).numpy() + noise, -1, 1)
    return out
