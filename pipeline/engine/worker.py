"""Run one task in a worker process and commit what it wrote."""

from __future__ import annotations

import importlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.device import Profile
from ..utils.atomic_files import make_folder
from ..utils.errors import HostError, InputError, PartFailedError, SatpipeError, StoreError, one_line, trouble
from . import cache_key, code_digest
from .progress import Progress
from .store import Record, Store, canonical, sha256_file, stamp_of
from .task import FACTS, Job, Part, Ref

PROGRESS = "progress.json"


_ONE_AT_A_TIME = threading.Lock()
"""Threads and deterministic algorithms are settings of a whole process: a Dask worker of several threads makes one
part after the other all the same."""


@dataclass(frozen=True)
class Order:
    """A part to make, with its key already known."""

    part: Part
    key: str
    components: dict[str, Any]
    store: Path
    profile: Profile
    behind: tuple[Ref, ...] = ()
    """Parts that the inputs were made from: an index of chips names shards of other parts, a scene table scenes."""
    stamps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Size and times of each of the user's files when its digest was taken: while they stay, so does the content."""
    memory_gb: float | None = None
    """Memory that a worker may take, for messages."""


def resolve(make: str) -> Any:
    """The function that ``package.module:function`` names."""
    module, _, function = make.partition(":")
    return getattr(importlib.import_module(module), function)


def make_part(order: Order) -> Record:
    """Make one part and commit it; runs in a worker.

    Raises:
        SatpipeError: What the maker raised, if that is a user's error.
        PartFailedError: Anything else, with the last line of its traceback in the sentence.
    """
    part, store = order.part, Store(order.store)
    with _ONE_AT_A_TIME, _sentences(order):
        started = time.perf_counter()
        inputs = _open_inputs(order, store)
        scratch = store.work(order.key)
        make_folder(scratch)
        with store.staging(order.key) as staged, _threads(order.profile.threads):
            progress = Progress(scratch / PROGRESS)
            job = Job(part, staged, scratch, store.parts, inputs, order.profile, progress)
            facts = resolve(part.make)(job)
            _check_same_files(order)
            (staged / FACTS).write_bytes(canonical(facts) + b"\n")
            return store.commit(staged, part, order.key, order.components, time.perf_counter() - started)


def take_part(order: Order) -> None:
    """Help another process to make a part that several can share, and write nothing.

    Raises:
        SatpipeError: As :func:`make_part`.
    """
    part, store = order.part, Store(order.store)
    with _sentences(order):
        inputs = _open_inputs(order, store)
        with _threads(order.profile.threads):
            job = Job(
                part, store.work(order.key), store.work(order.key), store.parts, inputs, order.profile, Progress()
            )
            resolve(part.make)(job)


def _open_inputs(order: Order, store: Store) -> dict[str, Any]:
    """The folder of each input, verified with what it refers to; refuses code that is not what was ordered."""
    code_digest.remember_in(order.store / "cache" / code_digest.FILE)
    _check_same_code(order)
    for ref in order.behind:
        store.open(ref)
    return {
        name: tuple(store.open(one) for one in ref) if isinstance(ref, tuple) else store.open(ref)
        for name, ref in order.part.inputs.items()
    }


@contextmanager
def _sentences(order: Order) -> Iterator[None]:
    """What a maker raises that no user can cause becomes a :class:`PartFailedError`, which names the part."""
    try:
        yield
    except SatpipeError:
        raise
    except Exception as error:
        raise _explained(error, order) from None


def _explained(error: Exception, order: Order) -> SatpipeError:
    """What a maker raised, in one sentence."""
    import traceback

    title = order.part.title
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        cap = order.memory_gb
        limit = "" if cap is None else f" than the {cap:g} GiB of compute.memory_gb; raise that, or"
        return StoreError(f"part {title} needs more memory{limit or ' than there is;'} lower compute.workers")
    _check_same_files(order)  # a file that vanished explains more than what its absence led to
    if (said := trouble(error)) is not None:
        return StoreError(f"part {title} could not be made: {said}, then `satpipe run all` goes on")
    if isinstance(error, FileNotFoundError) and str(order.store) in str(error.filename):
        return StoreError(f"part {title} could not be made: {error.filename} vanished; run again, nothing else is lost")
    detail = traceback.format_exc()
    return PartFailedError(f"part {title} failed: {type(error).__name__}: {one_line(str(error))}\n{detail}")


def _check_same_files(order: Order) -> None:
    """Refuse a part whose files of the user's are not those that its key was made from.

    Raises:
        InputError: If one vanished or was changed while it was read.
    """
    for name, file in order.part.files.items():
        try:
            if order.stamps.get(name) == stamp_of(Path(file.path)) or sha256_file(Path(file.path)) == file.sha256:
                continue
            what = "was changed while it was read"
        except OSError as error:
            what = f"could be read no more ({error.strerror}) before part {order.part.title} was made"
        raise InputError(f"{file.path} {what}; leave the files alone until the run has ended, and run again")


def _check_same_code(order: Order) -> None:
    """Refuse to make a part with other code or libraries than its key says.

    Raises:
        HostError: If this worker's host has another satpipe, or its code was edited since the run began.
    """
    mine = cache_key.components(order.part, order.profile)
    for kind in ("code", "resources", "libraries"):
        if mine[kind] != order.components[kind]:
            first = cache_key.difference({kind: order.components[kind]}, {kind: mine[kind]}, {})[0]
            raise HostError(
                f"part {order.part.title} was ordered from other {kind} than {socket.gethostname()} has ({first});"
                " use one version of satpipe and its libraries everywhere, and run again"
            )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Numerical libraries use this many threads inside."""
    import numpy as np  # noqa: F401 - loads the library that is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(number):
        yield
