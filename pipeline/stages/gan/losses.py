"""What the two networks minimise. Logits are float32 (N,); a positive logit says real."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.discriminator import DiscriminatorNetwork


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss -log s(D(x)) - log(1 - s(D(G(z)))) (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1).

    softplus(-l) is the binary cross-entropy of the logit l with target 1 and softplus(l) with target 0, so this is
    the article's binary cross-entropy without its rounding at the ends.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss -log s(D(G(z))) (Goodfellow et al. 2014, section 3): cross-entropy with target 1."""
    return F.softplus(-fake).mean()


def gradient_penalty(discriminator: DiscriminatorNetwork, real: Tensor, labels: Tensor) -> Tensor:
    """R1 without its weight: the mean of |grad_x D(x, y)|^2 over real chips (Mescheder et al. 2018, eq. 9).

    Args:
        discriminator: The network.
        real: Chips (N, C, H, W) float32; the gradient is taken in fp32, where its square does not lose digits.
        labels: (N,).
    """
    chips = real.detach().requires_grad_(True)
    logits = discriminator(chips, labels)
    (gradient,) = torch.autograd.grad(logits.sum(), chips, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
