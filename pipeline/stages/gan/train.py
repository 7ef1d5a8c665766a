"""Training the conditional GAN: steps, and between them evaluations at how good the generator is.

All random numbers follow from (seed, step), and a checkpoint holds everything else, so a training that was killed and
resumed gives the bytes of one that was not.
"""

from __future__ import annotations

import copy
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...dataset.names import METRICS, SHEETS
from ...engine.progress import Progress
from ...models.device import prepare
from ...models.discriminator import build
from ...models.networks import GeneratorNetwork
from ...utils.errors import TrainingError
from ...utils.plural import plural
from . import checkpoint
from .cuda_graph import GraphedStep
from .distributed import broadcast_state, check, share_statistics
from .log import LOWER, MEASURES, Line, Log, as_text, divergence, is_better, over_trained, training_failure
from .step import Networks, StepInputs, train_step
from .training_config import TrainingConfig
from .validation import Measure, validate, write_sheet

GOOD = "good.safetensors"
"""The latest state whose evaluation found no failure; a restart goes back to it."""
LATEST = "latest.safetensors"
"""A later state whose evaluation found one."""
BEST = "best.safetensors"


def train(config: TrainingConfig, measure: Measure, progress: Progress) -> tuple[GeneratorNetwork, Log]:
    """Train, or resume from a checkpoint in ``config.folder``, and return the best generator.

    Args:
        config: Data, preset, profile, folder.
        measure: Evaluates the generator.
        progress: Where to say how far it is.

    Raises:
        TrainingError: If the training diverged more often than ``config.most_restarts``.
    """
    check(config.preset, config.ranks)
    device = prepare(config.profile)
    networks = start(config, device)
    log = agree(config, networks, resume(config, networks) if config.ranks.first else Log())
    size, steps = config.preset.batch, config.steps
    sums, since = torch.zeros(len(MEASURES), device=device), log.step
    logged, logged_at = sums.clone(), since
    while log.stopped is None:
        _set_learning_rate(networks, learning_rate(config, log))
        sums += train_step(config, networks, log.step, device)
        log.step += 1
        progress.update(log.step * size, steps * size, "images", _note(log))
        if config.logs_losses_at(log.step):
            means = config.ranks.all_reduce(sums - logged) / ((log.step - logged_at) * config.ranks.size)
            log.losses.append(_line(log.step * size, means[:2].tolist()))
            logged, logged_at = sums.clone(), log.step
        if not config.evaluates_at(log.step):
            continue
        means = config.ranks.all_reduce(sums) / ((log.step - since) * config.ranks.size)
        if config.ranks.first:
            line = _line(log.step * size, means.tolist())
            log.lines.append(validate(networks.average, config.batches, line, measure))
            reason = divergence(log.lines, config.images)
            if reason is None:
                keep(config, networks, log)
            else:
                networks, log = restart(config, log, reason, device)
            show(config, log)
        log = agree(config, networks, log)
        sums, since = torch.zeros(len(MEASURES), device=device), log.step
        logged, logged_at = sums.clone(), since
    if not config.ranks.first:
        return networks.average.eval(), log
    best = checkpoint.read(config.folder / BEST)
    assert best is not None, "every training that ends has kept one"
    checkpoint.load_module("generator", networks.average, best[0])
    return networks.average.eval(), log


def start(config: TrainingConfig, device: torch.device) -> Networks:
    """Build networks and optimisers as they are before the first step."""
    preset = config.preset
    seed = int(np.random.default_rng(config.batches.seed).integers(2**31))
    pair = build(preset, config.shape, config.classes, seed, config.layer)
    layout = config.profile.torch_format()
    generator, discriminator = (network.to(device, memory_format=layout).train() for network in pair)  # type: ignore[call-overload]

    # Several processes exchange messages within a step, which a GPU cannot record with the rest.
    recorded = device.type == "cuda" and config.ranks.size == 1

    def adam(network: nn.Module) -> torch.optim.Optimizer:
        rate = torch.tensor(preset.learning_rate, device=device) if recorded else preset.learning_rate
        betas = preset.beta1, preset.beta2
        return torch.optim.Adam(network.parameters(), rate, betas, fused=True, capturable=recorded)

    average = copy.deepcopy(generator).requires_grad_(False)
    for network in (generator, discriminator):
        share_statistics(network, config.ranks)
    graph = GraphedStep[StepInputs](device) if recorded else None
    return Networks(generator, average, discriminator, adam(generator), adam(discriminator), graph)


def keep(config: TrainingConfig, networks: Networks, log: Log) -> None:
    """Save the generator if it is the best, draw it, and write a checkpoint, after an evaluation without failure."""
    line, generator = log.lines[-1], networks.average
    if is_better(log.lines, log.best, config.images):
        log.best = line
        checkpoint.write(config.folder / BEST, checkpoint.prefixed("generator", generator), line)
    if log.step >= config.steps:
        log.stopped = "length"
    elif over_trained(log, config.patience_images):
        log.stopped = "patience"
    evaluations = len(log.lines)
    if evaluations & (evaluations - 1) == 0 or log.stopped:  # 1, 2, 4, 8 ...: most changes early
        sheet = config.folder / SHEETS / f"{line['images']:08d}.png"
        write_sheet(generator, sheet)
        checkpoint.settle(sheet)
    save(networks, log, config.folder / (GOOD if training_failure(log.lines, config.images) is None else LATEST))


def restart(config: TrainingConfig, log: Log, reason: str, device: torch.device) -> tuple[Networks, Log]:
    """Go back to the latest good state and lower the learning rate.

    Raises:
        TrainingError: If that has been done as often as ``config.most_restarts`` allows.
    """
    images, done = log.lines[-1]["images"], log.restarts
    if len(done) >= config.most_restarts:
        raise TrainingError(
            f"{config.name}: the training diverged at {images:,} images ({reason}) after"
            f" {plural(len(done), 'restart')}; lower gan.learning_rate, raise gan.r1, or allow more gan.restarts"
        )
    networks = start(config, device)
    good = _load(networks, config.folder / GOOD) or Log()
    rate = config.preset.learning_rate * LOWER ** (len(done) + 1)
    good.restarts = [
        *done,
        {"images": images, "reason": reason, "resumed_from": good.step * config.preset.batch, "learning_rate": rate},
    ]
    save(networks, good, config.folder / GOOD)
    return networks, good


def show(config: TrainingConfig, log: Log) -> None:
    """Leave the log where whoever watches the training finds it; nothing is read back from there."""
    path = config.folder / METRICS
    temporary = path.with_suffix(".tmp")
    temporary.write_text(as_text(log.lines), "utf-8")
    os.replace(temporary, path)


def agree(config: TrainingConfig, networks: Networks, log: Log) -> Log:
    """Go on from the first rank's state and log on all ranks; the log also says how many there were."""
    ranks = config.ranks
    if ranks.size == 1:
        return log
    log.ranks = sorted({*log.ranks, ranks.size})
    tensors, agreed = broadcast_state(state(networks) if ranks.first else {}, log, ranks)
    if not ranks.first:
        fill(networks, tensors)
        log = Log(**agreed)
    return log


def save(networks: Networks, log: Log, path: Path) -> None:
    """Write everything that a later step depends on."""
    checkpoint.write(path, state(networks), asdict(log))


def state(networks: Networks) -> dict[str, Tensor]:
    """Return every tensor that a later step depends on."""
    tensors = checkpoint.prefixed("generator", networks.generator)
    tensors |= checkpoint.prefixed("average", networks.average)
    tensors |= checkpoint.prefixed("discriminator", networks.discriminator)
    tensors |= checkpoint.optimiser_tensors("generator_adam", networks.generator_adam)
    return tensors | checkpoint.optimiser_tensors("discriminator_adam", networks.discriminator_adam)


def resume(config: TrainingConfig, networks: Networks) -> Log:
    """Fill the networks from the latest checkpoint; without one, nothing has happened yet."""
    states = {name: checkpoint.read_state(config.folder / name) for name in (GOOD, LATEST)}
    # After a restart the good state is the later one, though it has fewer steps.
    progress_of = {name: (len(state["restarts"]), state["step"]) for name, state in states.items() if state is not None}
    latest = max(progress_of, key=lambda name: progress_of[name]) if progress_of else None
    if latest is not None and (states[latest] or {})["best"] and checkpoint.read(config.folder / BEST) is None:
        latest = None  # the best generator so far is damaged: it comes back when all is done again
    log = _load(networks, config.folder / latest) if latest else None
    return log or Log()


def _load(networks: Networks, path: Path) -> Log | None:
    content = checkpoint.read(path)
    if content is None:
        return None
    fill(networks, content[0])
    return Log(**content[1])


def fill(networks: Networks, tensors: dict[str, Tensor]) -> None:
    """Take the tensors of :func:`state`."""
    checkpoint.load_module("generator", networks.generator, tensors)
    checkpoint.load_module("average", networks.average, tensors)
    checkpoint.load_module("discriminator", networks.discriminator, tensors)
    checkpoint.load_optimiser("generator_adam", networks.generator_adam, tensors)
    checkpoint.load_optimiser("discriminator_adam", networks.discriminator_adam, tensors)


def learning_rate(config: TrainingConfig, log: Log) -> float:
    """Return the rate of the next step: the preset's, lowered by restarts and towards the end of the training."""
    preset = config.preset
    rate = float(log.restarts[-1]["learning_rate"]) if log.restarts else preset.learning_rate
    return rate * min(1.0, (config.steps - log.step) / (preset.decay * config.steps)) if preset.decay else rate


def _set_learning_rate(networks: Networks, rate: float) -> None:
    for adam in (networks.generator_adam, networks.discriminator_adam):
        for group in adam.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def _line(images: int, means: list[float]) -> Line:
    """Return the line of the first of :data:`MEASURES`."""
    return {"images": images} | {name: float(f"{value:.6g}") for name, value in zip(MEASURES, means, strict=False)}


def _note(log: Log) -> str:
    """Return what to show beside the progress."""
    if log.best is None or "score" not in log.best:
        return ""
    return f"score {log.lines[-1]['score']:.3g}, best {log.best['score']:.3g} at {log.best['images']:,}"
