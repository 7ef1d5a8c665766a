"""One step of both networks, to be read from top to bottom: the discriminator learns, then the generator does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from ...config.gan_presets import Preset
from ...models.discriminator import DiscriminatorNetwork
from ...models.networks import GeneratorNetwork
from .augment import Changes, augment, draw
from .batches import CHANGES
from .cuda_graph import GraphedStep
from .distributed import average_gradients, rows_of
from .losses import LOSSES, gradient_penalty, logistic_discriminator, logistic_generator
from .training_config import TrainingConfig

EMA_RAMP = 0.05
"""The average reaches back over no more than this share of the images so far, so that early weights are forgotten."""


@dataclass
class Networks:
    """Networks in training, and their optimisers.

    Attributes:
        generator: Learns.
        average: The average of its weights, which is what is kept.
        discriminator: Learns.
        generator_adam: The generator's optimiser.
        discriminator_adam: The discriminator's.
        graph: The step as it was recorded on a GPU; None where its operations are launched one by one.
    """

    generator: GeneratorNetwork
    average: GeneratorNetwork
    discriminator: DiscriminatorNetwork
    generator_adam: torch.optim.Optimizer
    discriminator_adam: torch.optim.Optimizer
    graph: GraphedStep[StepInputs] | None = None


@dataclass(frozen=True)
class StepInputs:
    """Input of both networks in a step.

    Attributes:
        chips: Real chips (B, H, W, C) float32 in [-1, 1].
        labels: (B,) int64.
        z: Latents (B, z_dim) float32.
        changes: Augmentation of the real chips, and of the generated ones in each network's turn.
        average_weight: What the generator's weights count in their average: (1,) float64, always on the host unless the
            step is recorded.
    """

    chips: Tensor
    labels: Tensor
    z: Tensor
    changes: tuple[Changes | None, ...]
    average_weight: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply ``change`` to every tensor, always in the same order."""
        return replace(
            self,
            chips=change(self.chips),
            labels=change(self.labels),
            z=change(self.z),
            changes=tuple(changes_of_layer and changes_of_layer.each(change) for changes_of_layer in self.changes),
            average_weight=change(self.average_weight),
        )


def train_step(config: TrainingConfig, networks: Networks, step: int, device: torch.device) -> Tensor:
    """Take one step of both networks.

    Returns:
        :data:`~satpipe.stages.gan.log.MEASURES` of the step, (6,).
    """
    preset = config.preset
    inputs = draw_step(config, step)
    penalised = preset.r1 > 0 and step % preset.r1_every == 0
    if networks.graph is not None:
        return networks.graph.play(inputs, penalised, lambda held: learn(config, networks, held, penalised))
    # Of float64 is the weight alone, which stays on the host: Apple's MPS has no such numbers.
    on_device = inputs.each(lambda tensor: tensor if tensor.dtype == torch.float64 else tensor.to(device))
    return learn(config, networks, on_device, penalised)


def draw_step(config: TrainingConfig, step: int) -> StepInputs:
    """Draw everything random about a step, and its chips; on the host, so that it is the same with every device."""
    preset, batches, rows = config.preset, config.batches, config.ranks.rows(config.preset.batch)
    chips, labels = batches.real(step, rows)
    rng, sides = batches.rng(CHANGES, step), config.shape[:2]
    return StepInputs(
        torch.from_numpy(chips),
        torch.from_numpy(labels),
        torch.from_numpy(batches.latents(step, preset.z_dim)[rows]),
        tuple(rows_of(draw(rng, preset.batch, sides, preset.colour, preset.translation), rows) for _ in range(3)),
        torch.tensor([average_weight(preset, step)], dtype=torch.float64),
    )


def learn(config: TrainingConfig, networks: Networks, inputs: StepInputs, penalised: bool) -> Tensor:
    """Update both networks from the step inputs; nothing in it leaves the device, so that a GPU can record it."""
    preset, profile, ranks = config.preset, config.profile, config.ranks
    labels, (of_real, of_fake, of_turn) = inputs.labels, inputs.changes
    real = inputs.chips.permute(0, 3, 1, 2)
    if profile.memory_format == "contiguous":
        real = real.contiguous()

    with profile.autocast():
        fake = networks.generator(inputs.z, labels)

    # The discriminator learns; the generated chips are data to it.
    networks.discriminator.requires_grad_(True)
    layer = config.layer
    augmented = augment(real, of_real, layer), augment(fake.detach(), of_fake, layer)
    with profile.autocast():
        real_logits, fake_logits = discriminate(networks.discriminator, *augmented, labels)
    loss = LOSSES[preset.loss]
    loss_d = loss.discriminator(real_logits, fake_logits)
    if penalised:
        penalty = gradient_penalty(networks.discriminator, augmented[0], labels)
        torch.autograd.backward(loss_d + 0.5 * preset.r1 * preset.r1_every * penalty)
    else:
        torch.autograd.backward(loss_d)
    average_gradients(networks.discriminator, ranks)
    networks.discriminator_adam.step()
    networks.discriminator_adam.zero_grad(set_to_none=True)

    # The generator learns; the discriminator is frozen.
    networks.discriminator.requires_grad_(False)
    with profile.autocast():
        logits = networks.discriminator(augment(fake, of_turn, layer), labels)
    loss_g = loss.generator(logits)
    torch.autograd.backward(loss_g)
    average_gradients(networks.generator, ranks)
    networks.generator_adam.step()
    networks.generator_adam.zero_grad(set_to_none=True)
    update_average(networks, inputs.average_weight)
    real_logits, fake_logits, logits = real_logits.detach(), fake_logits.detach(), logits.detach()
    return torch.stack(
        [
            loss_d.detach(),
            loss_g.detach(),
            real_logits.mean(),
            fake_logits.mean(),
            logistic_discriminator(real_logits, fake_logits),
            logistic_generator(logits),
        ]
    )


def discriminate(
    discriminator: DiscriminatorNetwork, real: Tensor, fake: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the logits of real and generated chips, in one pass unless batch norm or a group would mix them."""
    if discriminator.has_batch_norm or (discriminator.group and len(real) % discriminator.group):
        return discriminator(real, labels), discriminator(fake, labels)
    both = discriminator(torch.cat([real, fake]), torch.cat([labels, labels]))
    return both[: len(real)], both[len(real) :]


def average_weight(preset: Preset, step: int) -> float:
    """Return the new weights' share in their average: 1 - 2^(-batch / half), half of ``ema_images`` or of a ramp."""
    half_images = min(preset.ema_images, EMA_RAMP * (step + 1) * preset.batch)
    return 1 - (0.5 ** (preset.batch / half_images) if half_images else 0.0)


@torch.no_grad()
def update_average(networks: Networks, weight: Tensor) -> None:
    """Move the averaged weights towards the generator's."""
    average: list[Tensor] = list(networks.average.parameters())
    weights: list[Tensor] = list(networks.generator.parameters())
    if weight.is_cuda:
        way = torch._foreach_sub(weights, average)
        torch._foreach_mul_(way, weight[0])
        torch._foreach_add_(average, way)
    else:
        torch._foreach_lerp_(average, weights, float(weight))
