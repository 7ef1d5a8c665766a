"""Device, precision, memory format and threads of a training: found or timed once, recorded, then fixed.

The profile decides bytes, so it is part of the key of whatever is trained with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Profile:
    """How a training computes.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32`` or ``bf16`` (autocast; weights and optimiser stay fp32).
        memory_format: ``contiguous`` or ``channels_last``.
        threads: Threads of one training on the CPU.
    """

    device: str = "cpu"
    precision: str = "fp32"
    memory_format: str = "channels_last"
    threads: int = 1

    def as_json(self) -> dict[str, Any]:
        """As it enters keys and records."""
        return asdict(self)

    def torch_format(self) -> torch.memory_format:
        """The torch memory format."""
        import torch

        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Forward passes inside run in the profile's precision."""
        import torch

        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            yield


def prepare(profile: Profile) -> torch.device:
    """Set threads and deterministic algorithms for this process, and return the device."""
    import torch

    torch.set_num_threads(profile.threads)
    torch.use_deterministic_algorithms(True, warn_only=profile.device != "cpu")
    return torch.device(profile.device)
