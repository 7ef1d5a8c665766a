"""Losses of the two networks. Logits are float32 (N,); a positive logit means real.

:data:`LOSSES` is the table that a preset's `loss` names. A new loss is a pair of functions and a line there, and a
name in :data:`satpipe.config.gan_presets.LossName`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...config.gan_presets import LossName
from ...models.discriminator import DiscriminatorNetwork


class Loss(NamedTuple):
    """Loss functions of both networks.

    Attributes:
        discriminator: Of the logits of real and of generated chips.
        generator: Of the logits of generated chips.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return -log s(D(x)) - log(1 - s(D(G(z)))) (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1).

    softplus(-l) is the binary cross-entropy of the logit l with target 1 and softplus(l) with target 0, so this is
    the article's binary cross-entropy without its rounding at the ends.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """Return the non-saturating -log s(D(G(z))) (Goodfellow et al. 2014, section 3): cross-entropy with target 1."""
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Return -D(G(z)) (Miyato et al. 2018, arXiv:1802.05957, eq. 17)."""
    return -fake.mean()


LOSSES: dict[LossName, Loss] = {
    "logistic": Loss(logistic_discriminator, logistic_generator),
    "hinge": Loss(hinge_discriminator, hinge_generator),
}


def gradient_penalty(discriminator: DiscriminatorNetwork, real: Tensor, labels: Tensor) -> Tensor:
    """Return R1 without its weight: the mean of |grad_x D(x, y)|^2 over real chips (Mescheder et al. 2018, eq. 9).

    Args:
        discriminator: The network.
        real: Chips (N, C, H, W) float32; the gradient is taken in fp32, where its square does not lose digits.
        labels: (N,).
    """
    chips = real.detach().requires_grad_(True)
    logits = discriminator(chips, labels)
    (gradient,) = torch.autograd.grad(logits.sum(), chips, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
