"""Training of one classifier, to be read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from ...config.run import ClassifyConfig
from ...dataset.chip_store import is_lazy
from ...dataset.scaling import Scaling
from ...models.classifier import Architecture, build, place, run_blocks, to_tensor
from ...models.device import Profile, prepare
from ...utils.errors import TrainingError
from .augment import Views
from .calibrate import balanced_accuracy, nll
from .sampling import Rows, schedule, synthetic_shares

Chips = npt.NDArray[Any]


@dataclass(frozen=True)
class ChipSet:
    """Chips with what a training must know of them.

    Attributes:
        chips: (N, S, S, C) in their own dtype.
        labels: Class numbers (N,).
        synthetic: Whether each is synthetic (N,).
    """

    chips: Chips
    labels: Rows
    synthetic: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trained:
    """Result of a training.

    Attributes:
        network: The moving average of the weights at the chosen step.
        step: That step.
        history: One row for each evaluation on the validation chips.
    """

    network: nn.Module
    step: int
    history: list[dict[str, float]]


def train(
    training: ChipSet,
    validation: ChipSet,
    architecture: Architecture,
    scaling: Scaling,
    config: ClassifyConfig,
    profile: Profile,
    *,
    augmentation: str | None,
    seed: int,
    report: Callable[[int], None] = lambda step: None,
) -> Trained:
    """Train one classifier and keep the weights that do best on the validation chips.

    The training stops early where they have not improved for ``config.patience`` steps.

    Args:
        training: Real chips, and synthetic ones where the arm has them.
        validation: Real chips that choose the step; may be empty, then the last step is taken.
        architecture: The network.
        scaling: From chip values to the network's range.
        config: Steps, batch, rates.
        profile: Device, precision, memory format, threads.
        augmentation: Name of the online augmentation in :data:`.augment.AUGMENTATIONS`, or None.
        seed: Seed of weights, order and augmentation.
        report: Told the number of steps done.

    Raises:
        TrainingError: If the loss is not finite.
    """
    device = prepare(profile)
    network, average = (place(build(architecture, seed), device, profile) for _ in range(2))
    average.eval()
    optimiser, rates = _optimiser(network, config)

    shares = synthetic_shares(config.synthetic_use, config.synthetic_share, config.steps)
    batches = schedule(training.labels, training.synthetic, shares, config.batch, seed)
    labels = torch.from_numpy(training.labels)
    batch_of = loader(training.chips, scaling, config, augmentation, seed)

    history: list[dict[str, float]] = []
    best: tuple[float, int, dict[str, torch.Tensor]] | None = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for dropout and the like in a network of the user's
        for step, rows in enumerate(batches, start=1):
            chips = batch_of(step, rows).to(device, memory_format=profile.torch_format())
            loss = _loss(network, chips, labels[rows].to(device), config.label_smoothing, profile)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            rates.step()
            _follow(average, network, decay=min(config.ema, step / (step + 9)))
            report(step)
            if step % config.validate_every and step != config.steps:
                continue
            row = {"step": step, "loss": _finite(loss, step), **_evaluate(average, scaling, validation)}
            history.append(row)
            measured = row.get("validation_loss", -float(step))
            if best is None or measured < best[0]:
                best = (measured, step, {name: value.clone() for name, value in average.state_dict().items()})
            elif config.patience and step - best[1] >= config.patience:
                break
    assert best is not None  # the last step always evaluates
    average.load_state_dict(best[2])
    return Trained(average, best[1], history)


def _optimiser(
    network: nn.Module, config: ClassifyConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Build AdamW (Loshchilov and Hutter 2019) with one cycle of the rate; no decay of biases and normalisation."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, config.learning_rate, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=max(config.steps, 2), pct_start=0.15
    )
    return optimiser, rates


def loader(
    chips: Chips, scaling: Scaling, config: ClassifyConfig, augmentation: str | None, seed: int
) -> Callable[[int, Rows], torch.Tensor]:
    """Return a function from (step, rows) to the step's batch (B, C, S, S) in [-1, 1], float32, channels-last.

    All chips stay in memory: as bytes where they are images over the whole byte range, else scaled to [0, 1] once.
    Lazy ones stay where they are, and each batch reads its own: then every view is used once.
    """
    as_bytes = chips.dtype == np.uint8 and set(scaling.low) == {0.0} and set(scaling.high) == {255.0}
    lazy, factor = is_lazy(chips), 2 / 255 if as_bytes else 2.0

    def ready(some: Chips) -> Chips:
        return some if as_bytes else (scaling.apply(some) + np.float32(1)) / np.float32(2)

    pool = chips if lazy else ready(chips)
    views = Views(pool, config.augment, seed, augmentation) if augmentation and not lazy else None

    def batch(step: int, rows: Rows) -> torch.Tensor:
        if lazy:
            values = ready(pool[rows])
            if augmentation:
                values = Views(values, config.augment, seed, augmentation).batch(step, np.arange(len(rows)))
        else:
            values = pool[rows] if views is None else views.batch(step, rows)
        return to_tensor(values).float().mul_(factor).sub_(1)

    return batch


def _loss(
    network: nn.Module, chips: torch.Tensor, targets: torch.Tensor, smoothing: float, profile: Profile
) -> torch.Tensor:
    """Return the cross-entropy of a batch in training mode, in the profile's precision."""
    network.train()
    with profile.autocast():
        logits = network(chips)
    return functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average's weights towards the network's; batch statistics are taken over, they are averages already."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        for mean, now in zip(average.buffers(), network.buffers(), strict=True):
            mean.copy_(now)


def _evaluate(network: nn.Module, scaling: Scaling, validation: ChipSet) -> dict[str, float]:
    """Evaluate loss and balanced accuracy on the validation chips; nothing if there are none."""
    if not len(validation.labels):
        return {}
    logits = run_blocks(network, scaling, validation.chips)
    accuracy = balanced_accuracy(logits.argmax(axis=1).astype(np.int64), validation.labels)
    return {"validation_loss": nll(logits, validation.labels), "validation_balanced_accuracy": accuracy}


def _finite(loss: torch.Tensor, step: int) -> float:
    value = float(loss.detach())
    if not np.isfinite(value):
        raise TrainingError(f"the classifier's loss is {value} at step {step}; lower classify.learning_rate")
    return value
