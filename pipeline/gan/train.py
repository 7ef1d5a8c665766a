"""Training the conditional GAN, to be read from top to bottom.

One step shows the discriminator a batch of real and a batch of generated chips, then lets the generator learn from a
discriminator that is frozen meanwhile. All random numbers follow from (seed, step), and a checkpoint holds everything
else, so a training that was killed and resumed gives the bytes of one that was not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..compute import Profile, prepare
from ..generator import GeneratorNetwork, latents, sample
from ..progress import Progress
from . import checkpoint
from .augment import augment, draw
from .batches import CHANGES, Batches
from .losses import discriminator_loss, generator_loss, gradient_penalty
from .networks import DiscriminatorNetwork, build
from .presets import Preset
from .sheets import write_sheet

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
SETTLE_STEPS = 16
"""Batches over which the averaged generator's batch norm statistics are taken anew."""
SHEET_COLUMNS = 10
EMA_RAMP = 10
"""The average forgets its first weights: its decay in step t is at most (1 + t) / (EMA_RAMP + t)."""

Measure = Callable[[GeneratorNetwork, int], dict[str, Any]]
"""Called with the settled generator and the images so far; returns what to log. `score`: lower is better."""


@dataclass
class Networks:
    """What is trained, and what it is trained with."""

    generator: GeneratorNetwork
    average: GeneratorNetwork
    discriminator: DiscriminatorNetwork
    generator_adam: torch.optim.Optimizer
    discriminator_adam: torch.optim.Optimizer


@dataclass(frozen=True)
class Setting:
    """A training's fixed surroundings.

    Attributes:
        preset: What to train and how.
        batches: Where chips and latents come from.
        shape: (H, W, C) of a chip.
        classes: Number of classes.
        profile: Device, precision, memory format, threads.
        every_images: Images between checkpoints, each with a look at the generator.
        folder: Where checkpoints and sheets go; survives a kill.
    """

    preset: Preset
    batches: Batches
    shape: tuple[int, int, int]
    classes: int
    profile: Profile
    every_images: int
    folder: Path

    @property
    def steps(self) -> int:
        """Steps in all."""
        return -(-self.preset.images // self.preset.batch)

    @property
    def steps_between(self) -> int:
        """Steps between checkpoints."""
        return max(1, round(self.every_images / self.preset.batch))


@dataclass
class Log:
    """What a training has seen so far; part of every checkpoint.

    Attributes:
        step: Steps done.
        lines: One per checkpoint, as `metrics.jsonl` gets them.
        best: The line of the best generator so far, or None.
    """

    step: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None


def train(setting: Setting, measure: Measure, progress: Progress) -> tuple[GeneratorNetwork, Log]:
    """Train, or go on where a checkpoint in ``setting.folder`` ends, and return the best generator.

    Args:
        setting: Data, preset, profile, folder.
        measure: Judges the generator at each checkpoint.
        progress: Where to say how far it is.
    """
    device = prepare(setting.profile)
    networks = start(setting, device)
    log = resume(networks, setting.folder / CHECKPOINT)
    size, steps = setting.preset.batch, setting.steps
    sums = torch.zeros(4, device=device)
    since = log.step
    while log.step < steps:
        sums += train_step(setting, networks, log.step, device)
        log.step += 1
        progress.update(log.step * size, steps * size, "images", _note(log))
        if log.step % setting.steps_between == 0 or log.step == steps:
            losses = (sums / (log.step - since)).tolist()
            look(setting, networks, log, losses, measure)
            save(networks, log, setting.folder / CHECKPOINT)
            sums.zero_()
            since = log.step
    best = checkpoint.read(setting.folder / BEST)
    assert best is not None, "the first look writes it"
    checkpoint.load_module("generator", networks.average, best[0])
    return networks.average.eval(), log


def start(setting: Setting, device: torch.device) -> Networks:
    """Networks and optimisers before the first step."""
    preset = setting.preset
    seed = int(np.random.default_rng(setting.batches.seed).integers(2**31))
    pair = build(preset, setting.shape, setting.classes, seed)
    layout = setting.profile.torch_format()
    generator, discriminator = (network.to(device, memory_format=layout).train() for network in pair)  # type: ignore[call-overload]

    def adam(network: nn.Module) -> torch.optim.Optimizer:
        betas = (preset.beta1, preset.beta2)
        return torch.optim.Adam(network.parameters(), preset.learning_rate, betas, fused=True)

    average = copy.deepcopy(generator).requires_grad_(False)
    return Networks(generator, average, discriminator, adam(generator), adam(discriminator))


def train_step(setting: Setting, networks: Networks, step: int, device: torch.device) -> Tensor:
    """One step of both networks; returns both losses and the mean logits of real and generated chips, (4,)."""
    preset, profile = setting.preset, setting.profile
    chips, numbers = setting.batches.real(step)
    real = torch.from_numpy(chips).to(device, non_blocking=True).permute(0, 3, 1, 2)
    if profile.memory_format == "contiguous":
        real = real.contiguous()
    labels = torch.from_numpy(numbers).to(device, non_blocking=True)
    z = torch.from_numpy(setting.batches.latents(step, preset.z_dim)).to(device, non_blocking=True)
    rng = setting.batches.rng(CHANGES, step)
    size_px = setting.shape[0]
    changes = [draw(rng, len(chips), size_px, preset.colour, preset.translation) for _ in range(3)]

    with profile.autocast():
        fake = networks.generator(z, labels)

    # The discriminator learns; the generated chips are data to it.
    networks.discriminator.requires_grad_(True)
    shown = augment(real, changes[0]), augment(fake.detach(), changes[1])
    with profile.autocast():
        real_logits, fake_logits = judge_both(networks.discriminator, *shown, labels)
    loss_d = discriminator_loss(real_logits, fake_logits)
    if preset.r1 and step % preset.r1_every == 0:
        penalty = gradient_penalty(networks.discriminator, shown[0], labels)
        torch.autograd.backward(loss_d + 0.5 * preset.r1 * preset.r1_every * penalty)
    else:
        torch.autograd.backward(loss_d)
    networks.discriminator_adam.step()
    networks.discriminator_adam.zero_grad(set_to_none=True)

    # The generator learns; the discriminator is frozen.
    networks.discriminator.requires_grad_(False)
    with profile.autocast():
        logits = networks.discriminator(augment(fake, changes[2]), labels)
    loss_g = generator_loss(logits)
    torch.autograd.backward(loss_g)
    networks.generator_adam.step()
    networks.generator_adam.zero_grad(set_to_none=True)
    update_average(networks, preset.ema, step)
    return torch.stack([loss_d.detach(), loss_g.detach(), real_logits.detach().mean(), fake_logits.detach().mean()])


def judge_both(
    discriminator: DiscriminatorNetwork, real: Tensor, fake: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits of real and generated chips, in one pass where no batch norm would mix their statistics."""
    if discriminator.has_batch_norm:
        return discriminator(real, labels), discriminator(fake, labels)
    both = discriminator(torch.cat([real, fake]), torch.cat([labels, labels]))
    return both[: len(real)], both[len(real) :]


@torch.no_grad()
def update_average(networks: Networks, decay: float, step: int) -> None:
    """Move the averaged weights towards the generator's: average <- d average + (1 - d) weights."""
    decay = min(decay, (1 + step) / (EMA_RAMP + step))
    average: list[Tensor] = list(networks.average.parameters())
    weights: list[Tensor] = list(networks.generator.parameters())
    torch._foreach_lerp_(average, weights, 1 - decay)


@torch.no_grad()
def settle(network: GeneratorNetwork, setting: Setting) -> GeneratorNetwork:
    """Take the batch norm statistics of averaged weights anew, over fixed batches, and go to evaluation mode.

    Statistics gathered while the weights moved belong to other weights (standing statistics of Brock et al. 2019,
    arXiv:1809.11096, section 4.1).
    """
    device = next(network.parameters()).device
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for step in range(SETTLE_STEPS):
        labels = torch.from_numpy(setting.batches.labels[setting.batches.choose(step)]).to(device)
        z = torch.from_numpy(setting.batches.latents(step, setting.preset.z_dim)).to(device)
        network(z, labels)
    return network.eval()


def look(setting: Setting, networks: Networks, log: Log, losses: list[float], measure: Measure) -> None:
    """Judge the generator, log it, draw it, and keep it where it is the best so far."""
    images = log.step * setting.preset.batch
    generator = settle(networks.average, setting)
    names = ("loss_discriminator", "loss_generator", "logit_real", "logit_fake")
    line = {"images": images, **{name: float(f"{loss:.6g}") for name, loss in zip(names, losses, strict=True)}}
    line |= measure(generator, images)
    log.lines.append(line)
    number = len(log.lines)
    if number & (number - 1) == 0 or log.step == setting.steps:
        draw_sheet(generator, setting.folder / "sheets" / f"{images:08d}.png")
    if log.best is None or line.get("score", 0.0) <= log.best.get("score", 0.0):
        log.best = line
        checkpoint.write(setting.folder / BEST, checkpoint.prefixed("generator", generator), line)


def draw_sheet(generator: GeneratorNetwork, path: Path) -> None:
    """Two rows of chips per class; the latents are the same in every sheet, so that sheets can be compared."""
    path.parent.mkdir(exist_ok=True)
    classes = generator.architecture.classes
    labels = np.repeat(np.arange(classes), 2 * SHEET_COLUMNS)
    z = latents(range(len(labels)), generator.architecture.z_dim)
    chips = np.concatenate([sample(generator, z[at : at + 20], labels[at : at + 20]) for at in range(0, len(z), 20)])
    write_sheet(chips, SHEET_COLUMNS, path)


def save(networks: Networks, log: Log, path: Path) -> None:
    """Write everything that a later step depends on."""
    tensors = checkpoint.prefixed("generator", networks.generator)
    tensors |= checkpoint.prefixed("average", networks.average)
    tensors |= checkpoint.prefixed("discriminator", networks.discriminator)
    tensors |= checkpoint.optimiser_tensors("generator_adam", networks.generator_adam)
    tensors |= checkpoint.optimiser_tensors("discriminator_adam", networks.discriminator_adam)
    checkpoint.write(path, tensors, {"step": log.step, "lines": log.lines, "best": log.best})


def resume(networks: Networks, path: Path) -> Log:
    """Fill the networks from a checkpoint; without one, nothing has happened yet."""
    found = checkpoint.read(path)
    if found is None:
        return Log()
    tensors, state = found
    checkpoint.load_module("generator", networks.generator, tensors)
    checkpoint.load_module("average", networks.average, tensors)
    checkpoint.load_module("discriminator", networks.discriminator, tensors)
    checkpoint.load_optimiser("generator_adam", networks.generator_adam, tensors)
    checkpoint.load_optimiser("discriminator_adam", networks.discriminator_adam, tensors)
    return Log(state["step"], state["lines"], state["best"])


def _note(log: Log) -> str:
    """What to show beside the progress."""
    if not log.lines or "score" not in log.lines[-1]:
        return ""
    best = log.best or log.lines[-1]
    return f"score {log.lines[-1]['score']:.3g}, best {best['score']:.3g} at {best['images']:,}"
