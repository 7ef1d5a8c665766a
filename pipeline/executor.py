"""Where makers run: processes of this machine or workers of a Dask cluster, as ``concurrent.futures`` executors.

Every part is made by :func:`make_part` in a worker process, never in the calling one, with as many threads as the
profile says, so that neither the number of workers nor what the caller did before can change a byte.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import codehash, keys, ranks
from .compute import Profile
from .config import ComputeConfig
from .durable import make_folder
from .errors import HostError, InputError, PartFailedError, SatpipeError, StoreError, one_line, trouble
from .parts import FACTS, Job, Part, Ref
from .progress import Progress
from .store import Record, Store, canonical, sha256_file, stamp_of

PROGRESS = "progress.json"
_ONE_AT_A_TIME = threading.Lock()
"""Threads and deterministic algorithms are settings of a whole process: a Dask worker of several threads makes one
part after the other all the same."""
PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>: the signal that this process gets when its parent dies."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


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
    codehash.remember_in(order.store / "cache" / codehash.FILE)
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
    mine = keys.components(order.part, order.profile)
    for kind in ("code", "resources", "libraries"):
        if mine[kind] != order.components[kind]:
            first = keys.difference({kind: order.components[kind]}, {kind: mine[kind]}, {})[0]
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


def _start_worker(threads: int, parent: int, memory_gb: float | None = None) -> None:
    """Prepare a worker: threads, a cap on its memory, no interrupts, no life without its parent."""
    import signal

    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if memory_gb is not None:
        cap_memory(memory_gb)
    if sys.platform == "linux":
        # At once, whatever this process is doing when its parent dies; the thread below is for other systems.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cap_memory(memory_gb: float) -> None:
    """Keep this process from taking more than this many GiB of memory of its own; a request beyond is a MemoryError.

    Files that are mapped to be read do not count. Only Linux enforces it.
    """
    if sys.platform == "linux":
        import resource

        most = int(memory_gb * 2**30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


@contextmanager
def process_pool(workers: int, threads: int, memory_gb: float | None = None) -> Iterator[Executor]:
    """A pool of ``workers`` processes of ``threads`` threads and at most ``memory_gb`` GiB of memory each.

    Workers end with this process, also when it is killed. On an exception they are stopped where they are: what they
    had not committed is made again by the next run.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, os.getpid(), memory_gb))
    before = {variable: os.environ.get(variable) for variable in THREAD_VARIABLES}
    # Set here too: a spawned worker may load a numerical library before its initialiser runs.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None) if value is None else os.environ.update({variable: value})
        pool.shutdown(wait=True, cancel_futures=True)


def open_executor(compute: ComputeConfig, workers: int) -> AbstractContextManager[Executor]:
    """The executor that the configuration names; under torchrun, one that shares what its ranks can share."""
    if ranks.place() is not None:
        from .torchrun import sharing_executor

        return sharing_executor(compute, workers)
    if compute.executor == "dask":
        from .cluster import dask_cluster

        return dask_cluster(compute.scheduler, workers, compute.threads, compute.memory_gb)
    return process_pool(workers, compute.threads, compute.memory_gb)
