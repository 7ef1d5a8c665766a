"""Conditional discriminator; the generator is in :mod:`satpipe.models.generator`."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..config.gan_presets import Preset
from .layers import halve
from .networks import INITIAL, Architecture, GeneratorNetwork, pyramid


def architecture(preset: Preset, shape: tuple[int, int, int], classes: int, layer: bool = False) -> Architecture:
    """Return the generator's architecture for chips (H, W, C) or layers (rows, cols, C + 1)."""
    height, width, channels = shape
    return Architecture(
        size_px=height,
        bands=channels - layer,
        classes=classes,
        z_dim=preset.z_dim,
        base_channels=preset.base_channels,
        condition=preset.condition,
        upsampling=preset.upsampling,
        width_px=None if width == height else width,
        layer=layer,
    )


class Halving(nn.Module):
    """A convolution that halves height and width."""

    def __init__(self, inward: int, outward: int, bias: bool) -> None:
        """Leave the weights to the network."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outward, inward, 4, 4))
        self.bias = nn.Parameter(torch.zeros(outward)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, 2 H, 2 W) to (N, out, H, W)."""
        return halve(x, self.weight, self.bias)


class DiscriminatorNetwork(nn.Module):
    """A chip and its label to a logit: positive is real (DCGAN's discriminator with a label)."""

    def __init__(self, preset: Preset, shape: tuple[int, int, int], classes: int, layer: bool = False) -> None:
        """Draw weights from torch's default generator: N(0, 0.02) as in DCGAN where batch norm rescales them.

        Without it logits would start and stay at nothing, so the weights keep the variance instead (He et al. 2015,
        arXiv:1502.01852, eq. 15).
        """
        super().__init__()
        height, width, bands = shape
        (rows, cols), channels = pyramid((height, width), preset.base_channels)
        self.classes = classes
        self.layer = layer
        self.group = preset.deviation_group
        self.by_planes = preset.discriminator_condition == "planes"
        self.has_batch_norm = batch_norm = preset.discriminator_norm == "batch"
        first = bands + (classes if self.by_planes else 0)
        self.layers = nn.ModuleList([Halving(first, channels[0], bias=True)])
        self.norms = nn.ModuleList([nn.Identity()])  # DCGAN: no batch norm on the discriminator's input layer
        for narrow, wide in pairwise(channels):
            self.layers.append(Halving(narrow, wide, bias=not batch_norm))
            self.norms.append(nn.BatchNorm2d(wide) if batch_norm else nn.Identity())
        features = channels[-1] + (1 if self.group else 0)
        # Column 0 scores the chip, column 1 + y how well it goes with the label y: psi(h) + <v_y, h>, Miyato and Koyama
        # 2018, eq. 3. By planes the label is in h already.
        self.exit = nn.Linear(features * rows * cols, 1 + (0 if self.by_planes else classes))
        for module in [module for module in self.modules() if isinstance(module, Halving | nn.Linear)]:
            if batch_norm:
                nn.init.normal_(module.weight, 0.0, INITIAL)
            else:
                nn.init.kaiming_normal_(module.weight, 0.2)
            if preset.discriminator_norm == "spectral":
                spectral_norm(module)

    def forward(self, chips: Tensor, labels: Tensor) -> Tensor:
        """Map chips (N, C, H, W) in [-1, 1], or layers (N, C + 1, H, W), and labels (N,) to logits (N,) float32."""
        x = torch.cat([chips[:, :-1], 2 * chips[:, -1:] - 1], dim=1) if self.layer else chips  # alpha as wide as bands
        if self.by_planes:
            planes = F.one_hot(labels, self.classes).to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, planes], dim=1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.leaky_relu(norm(layer(x)), 0.2, inplace=True)
        if self.group:
            x = minibatch_deviation(x, self.group)
        out: Tensor = self.exit(x.flatten(1)).float()
        if self.by_planes:
            return out[:, 0]
        return out[:, 0] + out.gather(1, labels[:, None] + 1)[:, 0]


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append one channel with how much the chips of a group differ (Karras et al. 2018, arXiv:1710.10196, section 3).

    Batches come ordered by class, so that neighbours form groups of one class where its share allows: a class that
    collapses is seen even while the other does not.

    Args:
        x: Features (N, C, H, W).
        group: Chips in a group; one group of all where N is no multiple of it.

    Returns:
        (N, C + 1, H, W): the standard deviation over the group, averaged over channels and positions.
    """
    count, channels, height, width = x.shape
    size = group if count % group == 0 else count
    groups = x.float().reshape(count // size, size, channels, height, width)
    # By hand: torch's var over a leading dimension of a channels-last tensor takes ten times as long.
    centred = groups - groups.mean(dim=1, keepdim=True)
    deviation = (centred.square().mean(dim=1) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    plane = deviation.to(x.dtype).repeat_interleave(size)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, plane], dim=1)


def build(
    preset: Preset, shape: tuple[int, int, int], classes: int, seed: int, layer: bool = False
) -> tuple[GeneratorNetwork, DiscriminatorNetwork]:
    """Build both networks with weights that follow from ``seed`` alone; torch's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = GeneratorNetwork(architecture(preset, shape, classes, layer))
        return generator, DiscriminatorNetwork(preset, shape, classes, layer)
