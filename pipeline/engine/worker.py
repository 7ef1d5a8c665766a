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
from ..utils.errors import HostError, InputError, SatpipeError, StoreError, TaskFailedError, one_line, os_error_hint
from . import cache_key, code_digest
from .digests import canonical, sha256_file, stamp_of
from .metadata import fault
from .progress import Progress
from .store import Record, Store
from .task import METADATA, ArtifactRef, Task, TaskContext

PROGRESS = "progress.json"
_ONE_AT_A_TIME = threading.Lock()
"""Threads and deterministic algorithms are settings of a whole process: even a Dask worker of several threads runs one
task after the other."""


@dataclass(frozen=True)
class TaskSpec:
    """A task to run, with its key.

    Attributes:
        task: The task.
        key: Digest of ``components``.
        components: What the key was made from.
        store: Root of the store.
        profile: How to train.
        transitive_inputs: Artifacts that the inputs were made from: an index of chips names shards of other artifacts.
        stamps: Size and times of each user file when its digest was taken: while they stay, so does the content.
        memory_gb: Memory that a worker may take, for messages.
        run: Run that it is made for.
    """

    task: Task
    key: str
    components: dict[str, Any]
    store: Path
    profile: Profile
    transitive_inputs: tuple[ArtifactRef, ...] = ()
    stamps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    memory_gb: float | None = None
    run: str = ""


def resolve(function: str) -> Any:
    """Return the function that ``package.module:function`` names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def run_task(spec: TaskSpec) -> Record:
    """Run one task and commit its artifact; called in a worker.

    Raises:
        SatpipeError: What the task function raised, if that is a user's error.
        TaskFailedError: Anything else, with the last line of its traceback in the sentence.
    """
    task, store = spec.task, Store(spec.store)
    with _ONE_AT_A_TIME, _sentences(spec):
        started = time.perf_counter()
        inputs = _open_inputs(spec, store)
        scratch = store.scratch(spec.key)
        with store.staging(spec.key) as staged, _threads(spec.profile.threads):
            progress = Progress(scratch / PROGRESS)
            context = TaskContext(task, staged, scratch, store.artifacts, inputs, spec.profile, progress)
            metadata = resolve(task.function)(context)
            _check_same_files(spec)
            text = canonical(metadata) + b"\n"
            if (wrong := fault(task.stage, task.name, text)) is not None:
                raise ValueError(f"its metadata are not as declared: {wrong}")
            (staged / METADATA).write_bytes(text)
            return store.commit(staged, task, spec.key, spec.components, time.perf_counter() - started, spec.run)


def join_task(spec: TaskSpec) -> None:
    """Help another process to run a task that several can share, and write nothing.

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
    """Return the folder of each input, verified with what it refers to; refuse if the code differs from the key's."""
    code_digest.remember_in(spec.store / "cache" / code_digest.FILE)
    _check_same_code(spec)
    for ref in spec.transitive_inputs:
        store.open(ref)
    return {
        name: tuple(store.open(item) for item in ref) if isinstance(ref, tuple) else store.open(ref)
        for name, ref in spec.task.inputs.items()
    }


@contextmanager
def _sentences(spec: TaskSpec) -> Iterator[None]:
    """Turn an error that no user can cause into a :class:`TaskFailedError` that names the task."""
    try:
        yield
    except SatpipeError:
        raise
    except Exception as error:
        raise _explained(error, spec) from None


def _explained(error: Exception, spec: TaskSpec) -> SatpipeError:
    """Return what a task function raised in one sentence."""
    import traceback

    title = spec.task.title
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        cap = spec.memory_gb
        limit = "" if cap is None else f" than the {cap:g} GiB of compute.memory_gb; raise that, or"
        return StoreError(f"task {title} needs more memory{limit or ' than there is;'} lower compute.workers")
    _check_same_files(spec)  # a file that vanished explains more than what its absence led to
    if (hint := os_error_hint(error)) is not None:
        return StoreError(f"task {title} could not run: {hint}, then run the same command again to resume")
    if isinstance(error, FileNotFoundError) and str(spec.store) in str(error.filename):
        return StoreError(f"task {title} could not run: {error.filename} vanished; run again, nothing else is lost")
    detail = traceback.format_exc()
    return TaskFailedError(f"task {title} failed: {type(error).__name__}: {one_line(str(error))}\n{detail}")


def _check_same_files(spec: TaskSpec) -> None:
    """Refuse a task whose user files are not those that its key was made from.

    Raises:
        InputError: If one vanished or was changed while it was read.
    """
    for name, file in spec.task.files.items():
        try:
            if spec.stamps.get(name) == stamp_of(Path(file.path)) or sha256_file(Path(file.path)) == file.sha256:
                continue
            change = "was changed while it was read"
        except OSError as error:
            change = f"could no longer be read ({error.strerror}) before task {spec.task.title} was complete"
        raise InputError(f"{file.path} {change}; do not change files during a run, and run again")


def _check_same_code(spec: TaskSpec) -> None:
    """Refuse to run a task with other code or libraries than its key says.

    Raises:
        HostError: If this worker's host has another satpipe, or its code was edited since the run began.
    """
    local = cache_key.components(spec.task, spec.profile)
    for kind in ("code", "resources", "libraries"):
        if local[kind] != spec.components[kind]:
            first = cache_key.difference({kind: spec.components[kind]}, {kind: local[kind]}, {})[0]
            raise HostError(
                f"task {spec.task.title} was planned with other {kind} than {socket.gethostname()} has ({first});"
                " use one version of satpipe and its libraries everywhere, and run again"
            )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Have numerical libraries use this many threads."""
    import numpy as np  # noqa: F401 - loads the library that is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(number):
        yield
