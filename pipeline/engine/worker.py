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
from ..utils.errors import HostError, InputError, SatpipeError, StoreError, TaskFailedError, one_line, os_error_hint
from . import cache_key, code_digest
from .progress import Progress
from .store import Record, Store, canonical, sha256_file, stamp_of
from .task import METADATA, ArtifactRef, Task, TaskContext

PROGRESS = "progress.json"


_ONE_AT_A_TIME = threading.Lock()
"""Threads and deterministic algorithms are settings of a whole process: a Dask worker of several threads makes one
part after the other all the same."""


@dataclass(frozen=True)
class TaskSpec:
    """A part to make, with its key already known."""

    task: Task
    key: str
    components: dict[str, Any]
    store: Path
    profile: Profile
    transitive_inputs: tuple[ArtifactRef, ...] = ()
    """Parts that the inputs were made from: an index of chips names shards of other parts, a scene table scenes."""
    stamps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Size and times of each of the user's files when its digest was taken: while they stay, so does the content."""
    memory_gb: float | None = None
    """Memory that a worker may take, for messages."""


def resolve(make: str) -> Any:
    """The function that ``package.module:function`` names."""
    module, _, function = make.partition(":")
    return getattr(importlib.import_module(module), function)


def run_task(spec: TaskSpec) -> Record:
    """Make one part and commit it; runs in a worker.

    Raises:
        SatpipeError: What the maker raised, if that is a user's error.
        PartFailedError: Anything else, with the last line of its traceback in the sentence.
    """
    task, store = spec.task, Store(spec.store)
    with _ONE_AT_A_TIME, _sentences(spec):
        started = time.perf_counter()
        inputs = _open_inputs(spec, store)
        scratch = store.work(spec.key)
        make_folder(scratch)
        with store.staging(spec.key) as staged, _threads(spec.profile.threads):
            progress = Progress(scratch / PROGRESS)
            context = TaskContext(task, staged, scratch, store.artifacts, inputs, spec.profile, progress)
            metadata = resolve(task.function)(context)
            _check_same_files(spec)
            (staged / METADATA).write_bytes(canonical(metadata) + b"\n")
            return store.commit(staged, task, spec.key, spec.components, time.perf_counter() - started)


def join_task(spec: TaskSpec) -> None:
    """Help another process to make a part that several can share, and write nothing.

    Raises:
        SatpipeError: As :func:`run_task`.
    """
    task, store = spec.task, Store(spec.store)
    with _sentences(spec):
        inputs = _open_inputs(spec, store)
        with _threads(spec.profile.threads):
            context = TaskContext(
                task, store.work(spec.key), store.work(spec.key), store.artifacts, inputs, spec.profile, Progress()
            )
            resolve(task.function)(context)


def _open_inputs(spec: TaskSpec, store: Store) -> dict[str, Any]:
    """The folder of each input, verified with what it refers to; refuses code that is not what was ordered."""
    code_digest.remember_in(spec.store / "cache" / code_digest.FILE)
    _check_same_code(spec)
    for ref in spec.transitive_inputs:
        store.open(ref)
    return {
        name: tuple(store.open(one) for one in ref) if isinstance(ref, tuple) else store.open(ref)
        for name, ref in spec.task.inputs.items()
    }


@contextmanager
def _sentences(spec: TaskSpec) -> Iterator[None]:
    """What a maker raises that no user can cause becomes a :class:`TaskFailedError`, which names the part."""
    try:
        yield
    except SatpipeError:
        raise
    except Exception as error:
        raise _explained(error, spec) from None


def _explained(error: Exception, spec: TaskSpec) -> SatpipeError:
    """What a maker raised, in one sentence."""
    import traceback

    title = spec.task.title
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        cap = spec.memory_gb
        limit = "" if cap is None else f" than the {cap:g} GiB of compute.memory_gb; raise that, or"
        return StoreError(f"part {title} needs more memory{limit or ' than there is;'} lower compute.workers")
    _check_same_files(spec)  # a file that vanished explains more than what its absence led to
    if (said := os_error_hint(error)) is not None:
        return StoreError(f"part {title} could not be made: {said}, then `satpipe run all` goes on")
    if isinstance(error, FileNotFoundError) and str(spec.store) in str(error.filename):
        return StoreError(f"part {title} could not be made: {error.filename} vanished; run again, nothing else is lost")
    detail = traceback.format_exc()
    return TaskFailedError(f"part {title} failed: {type(error).__name__}: {one_line(str(error))}\n{detail}")


def _check_same_files(spec: TaskSpec) -> None:
    """Refuse a part whose files of the user's are not those that its key was made from.

    Raises:
        InputError: If one vanished or was changed while it was read.
    """
    for name, file in spec.task.files.items():
        try:
            if spec.stamps.get(name) == stamp_of(Path(file.path)) or sha256_file(Path(file.path)) == file.sha256:
                continue
            what = "was changed while it was read"
        except OSError as error:
            what = f"could be read no more ({error.strerror}) before part {spec.task.title} was made"
        raise InputError(f"{file.path} {what}; leave the files alone until the run has ended, and run again")


def _check_same_code(spec: TaskSpec) -> None:
    """Refuse to make a part with other code or libraries than its key says.

    Raises:
        HostError: If this worker's host has another satpipe, or its code was edited since the run began.
    """
    mine = cache_key.components(spec.task, spec.profile)
    for kind in ("code", "resources", "libraries"):
        if mine[kind] != spec.components[kind]:
            first = cache_key.difference({kind: spec.components[kind]}, {kind: mine[kind]}, {})[0]
            raise HostError(
                f"part {spec.task.title} was ordered from other {kind} than {socket.gethostname()} has ({first});"
                " use one version of satpipe and its libraries everywhere, and run again"
            )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Numerical libraries use this many threads inside."""
    import numpy as np  # noqa: F401 - loads the library that is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(number):
        yield
