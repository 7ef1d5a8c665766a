"""One GAN trained by several ranks: each takes its rows of every batch, and what rows share is summed over all.

Data-parallel as torch's DistributedDataParallel, by hand: its wrapper wants one forward and one backward pass per step,
and a step here has two networks, one of them frozen in turn, and a penalty that is differentiated twice. With
batch norm statistics and gradients summed over the ranks, a step is the step of one process with the whole batch, up to
the order in which numbers are added.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ...config.gan_presets import Preset
from ...models.ranks import Ranks
from ...utils.errors import ConfigError
from ...utils.plural import plural
from .augment import Changes


def check(preset: Preset, ranks: Ranks) -> None:
    """Refuse what would not be the step of one process.

    Raises:
        ConfigError: If the batch is no multiple of the ranks, or a rank's rows no multiple of ``deviation_group``.
    """
    share = len(range(*ranks.rows(preset.batch).indices(preset.batch)))
    if ranks.size > 1 and preset.deviation_group and share % preset.deviation_group:
        raise ConfigError(
            f"a batch of {preset.batch} over {ranks.size} ranks gives each {plural(share, 'chip')}, not a"
            f" multiple of gan.deviation_group = {preset.deviation_group}; set gan.batch to a multiple of"
            f" {preset.deviation_group * ranks.size}"
        )


def rows_of(changes: Changes | None, rows: slice) -> Changes | None:
    """Return the changes of some of a batch's chips."""
    return None if changes is None else changes.each(lambda tensor: tensor[rows])


class _Sum(torch.autograd.Function):
    """Sum of a tensor over the ranks; its gradient is summed over them too, as each rank's loss depends on it."""

    @staticmethod
    def forward(context: Any, x: Tensor, ranks: Ranks) -> Tensor:
        context.ranks = ranks
        return ranks.all_reduce(x.detach().clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # By itself and not in place, so that it can be differentiated once more (R1).
        return _Sum.apply(gradients[0], context.ranks), None  # type: ignore[no-untyped-call]


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all ranks' rows; torch's SyncBatchNorm needs a GPU."""

    def __init__(self, norm: nn.BatchNorm2d, ranks: Ranks) -> None:
        """Take over parameters, statistics and settings of ``norm``."""
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        for name, parameter in norm.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.train(norm.training)
        self.ranks = ranks

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) of this rank to the same shape; labels are ignored, as by the layers it replaces."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = self.ranks.size * wide[:, 0].numel()
        mean: Tensor = _Sum.apply(wide.sum(dim=(0, 2, 3)), self.ranks) / count  # type: ignore[no-untyped-call]
        centred = wide - mean[:, None, None]
        # In two passes: the mean of squares minus the square of the mean would lose the digits that they share.
        variance: Tensor = _Sum.apply(centred.square().sum(dim=(0, 2, 3)), self.ranks) / count  # type: ignore[no-untyped-call]
        normal = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normal = normal * self.weight[:, None, None] + self.bias[:, None, None]
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        return normal.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as batch norm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def share_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Let the batch norms of a network see all ranks' rows; names of weights and buffers stay."""
    if ranks.size == 1:
        return
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, SharedBatchNorm(child, ranks))
        else:
            share_statistics(child, ranks)


@torch.no_grad()
def average_gradients(network: nn.Module, ranks: Ranks) -> None:
    """Replace each gradient by its mean over the ranks, in one message."""
    if ranks.size == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    flat = ranks.all_reduce(torch.cat([gradient.reshape(-1) for gradient in gradients])).div_(ranks.size)
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def broadcast_state(tensors: dict[str, Tensor], log: Any, ranks: Ranks) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Broadcast the first rank's tensors and log to every rank.

    Args:
        tensors: What a checkpoint holds, on the first rank; what the others give does not matter.
        log: The training's log, a dataclass of JSON types.
        ranks: Who takes part.

    Returns:
        Tensors on the CPU by name, and the log as a dictionary.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()} if ranks.first else {}
    agreed = ranks.agree(
        {
            "log": asdict(log),
            "tensors": {
                name: [list(value.shape), str(value.dtype).removeprefix("torch.")] for name, value in on_cpu.items()
            },
        }
    )
    if not ranks.first:
        on_cpu = {
            name: torch.empty(shape, dtype=getattr(torch, kind)) for name, (shape, kind) in agreed["tensors"].items()
        }
    ranks.broadcast(list(on_cpu.values()))
    return on_cpu, agreed["log"]
