"""One training over several processes that torchrun started: who is who, and what they tell each other.

A training asks :func:`training_ranks` for its :class:`Ranks`. Outside torchrun that is one rank, whose collectives do
nothing. Which processes take part and when is :mod:`satpipe.engine.torchrun`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..utils.errors import ConfigError, TrainingError, first_line

if TYPE_CHECKING:
    import torch

TALK_S = 10 * 86400
"""How long a collective may take: longer than the first rank ever evaluates alone. The watch finds out who has died."""
STORE_S = 20
"""How long the store of torchrun's first host may take to answer."""


class RankLostError(TrainingError):
    """Another rank of the same training is gone."""


@dataclass(frozen=True)
class Place:
    """This process among those that torchrun started.

    Attributes:
        rank: 0 to ``size`` - 1 over all hosts.
        size: Number of processes.
        local: 0 to one less than the processes of this host.
    """

    rank: int
    size: int
    local: int


def place() -> Place | None:
    """Return this process's place, or None where torchrun did not start it or started it alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    return Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


def open_store() -> Any:
    """Open the key-value store that torchrun keeps on its first host, with a name space for this attempt."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]
    from torch.distributed.distributed_c10d import PrefixStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=STORE_S))
    return PrefixStore(f"satpipe/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


@dataclass(frozen=True)
class Ranks:
    """Processes that train one network together, seen from one of them.

    Attributes:
        rank: This one's number; the first evaluates, decides and writes for all.
        size: How many there are.
        blame: Says in words which rank was lost, for errors.
    """

    rank: int = 0
    size: int = 1
    blame: Callable[[str], str] = str

    @property
    def first(self) -> bool:
        """Return whether this one evaluates, decides and writes."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Return this rank's rows of a batch of ``count``, which must be a multiple of ``size``.

        Raises:
            ConfigError: If it is not.
        """
        share, rest = divmod(count, self.size)
        if rest:
            raise ConfigError(
                f"a batch of {count} cannot be divided equally among {self.size} ranks; set gan.batch to a multiple of"
                " torchrun's processes"
            )
        return slice(self.rank * share, (self.rank + 1) * share)

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up a contiguous tensor over the ranks, in place, and return it."""
        if self.size > 1:
            import torch.distributed as dist

            with self._speaking():
                dist.all_reduce(tensor)
        return tensor

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Fill contiguous tensors with the first rank's, in place."""
        if self.size > 1:
            import torch.distributed as dist

            with self._speaking():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def agree(self, value: Any) -> Any:
        """Broadcast the first rank's ``value``, of JSON types, to every rank."""
        if self.size == 1:
            return value
        import torch

        text = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(text)])
        self.broadcast([length])
        data = torch.frombuffer(bytearray(text or bytes(int(length))), dtype=torch.uint8)
        self.broadcast([data])
        return json.loads(data.numpy().tobytes())

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RankLostError(self.blame(first_line(error))) from None


ALONE = Ranks()
"""A training in one process."""


@dataclass
class _Session:
    """State that :mod:`satpipe.engine.torchrun` set up for this process."""

    place: Place | None = None
    store: Any = None
    part: int = 0
    title: str = ""


session = _Session()


@contextmanager
def training_ranks(device: str) -> Iterator[Ranks]:
    """Yield the ranks that make the current artifact together; :data:`ALONE` where this process makes it alone.

    Args:
        device: ``cpu`` or ``cuda``; with CUDA each rank takes the device of its local number.

    Raises:
        ConfigError: If the device cannot be shared so.
    """
    mine = session.place
    if mine is None:
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore

    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"torchrun cannot distribute training on {device}; set compute.device=cpu, or run without torchrun"
        )
    if device == "cuda":
        torch.cuda.set_device(mine.local % torch.cuda.device_count())

    def blame(reason: str) -> str:
        return (
            f"{session.title}: rank {mine.rank} of {mine.size} lost another one ({reason});"
            " run the same command again to resume from the latest checkpoint"
        )

    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=PrefixStore(f"part{session.part}", session.store),
            rank=mine.rank,
            world_size=mine.size,
            timeout=timedelta(seconds=TALK_S),
        )
    except RuntimeError as error:
        raise RankLostError(blame(first_line(error))) from None
    try:
        yield Ranks(mine.rank, mine.size, blame)
    finally:
        dist.destroy_process_group()
