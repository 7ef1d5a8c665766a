"""Parts on the workers of a Dask cluster, through the interface of ``concurrent.futures``.

Dask finds a worker for each part, and another one where a worker died. What is added here is what a cluster of several
hosts can do wrong and one machine cannot: a host that has other code, or does not see the store. Such a host is named,
its part goes to another worker, and only if no worker is left the run ends.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..utils.errors import ConfigError, HostError, SatpipeError, StoreError
from . import cache_key
from .process_pool import THREAD_VARIABLES
from .store import MARKER, Record
from .task import METADATA, UserFile
from .worker import TaskSpec

CONNECT_S = 20
"""How long to wait for a scheduler."""
_LOCAL = {
    # Dask has the C library return freed memory at once; trainings then ask for it again at every step.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    # What only its dashboard shows, and what keeps a loop of every process awake beside the trainings.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    # Parts are given out one by one, so there is nothing to steal.
    "distributed.scheduler.work-stealing": False,
}
"""What is set for a cluster of this machine's processes."""
VISIBLE_S = 60.0
"""How long a file that one host wrote may take to be seen by another; network file systems cache for up to a minute."""


@contextmanager
def dask_cluster(
    scheduler: str | None, workers: int, threads: int, memory_gb: float | None = None
) -> Iterator[Executor]:
    """The workers of a Dask cluster, or of one started here for this run.

    Args:
        scheduler: Address such as ``tcp://host:8786``; None starts a cluster of this machine's processes.
        workers: Processes of a cluster that is started here.
        threads: Threads of one training.
        memory_gb: Memory of a worker that is started here, in GiB; those of a running cluster have their own limit.

    Raises:
        ConfigError: If Dask is not installed or the scheduler does not answer.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError("compute.executor is dask, which is not installed; `pip install satpipe[dask]`") from None
    # What Dask logs of a lost connection, with a traceback, the run says in a sentence.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith(("distributed", "tornado"))]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = {variable: os.environ.get(variable) for variable in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        with ExitStack() as stack:
            address: Any = scheduler
            if scheduler is None:
                start: Any = LocalCluster
                # Without a limit of the user's there is none, as in a pool of processes: Dask would give each worker
                # its share of the machine, and end a part that needs more.
                limit = 0 if memory_gb is None else int(memory_gb * 2**30)
                stack.enter_context(dask.config.set(_LOCAL))
                options = {"processes": True, "dashboard_address": None, "memory_limit": limit}
                cluster = start(n_workers=workers, threads_per_worker=1, **options)
                address = stack.enter_context(cluster)
            connect: Any = Client
            try:
                client = stack.enter_context(connect(address, timeout=CONNECT_S))
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"no Dask scheduler answers at {scheduler}: {error}; check compute.scheduler"
                ) from None
            # Dask deals parts out before it knows how long they take, and one worker may get most of them. Where the
            # workers are known, each gets its next part when it is free; a cluster that grows has to see them all.
            at_once = workers if scheduler is None else None
            executor = ClusterExecutor(client, scheduler or "this machine's Dask cluster", at_once)
            try:
                yield executor
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None) if value is None else os.environ.update({variable: value})


class ClusterExecutor(Executor):
    """Sends parts to a Dask client, and a part that a host could not begin to another worker."""

    def __init__(self, client: Any, where: str, at_once: int | None = None) -> None:
        """Prepare.

        Args:
            client: Opened and closed by the caller.
            where: Names its scheduler in errors.
            at_once: Parts that Dask is given at a time; None gives it all of them.
        """
        self.client, self.where, self.at_once = client, where, at_once
        self._waiting: deque[Callable[[], None]] = deque()
        self._given = 0
        self._lock = threading.Lock()
        self.unfit: dict[str, str] = {}
        self._running: set[Any] = set()

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Submit ``run_task`` of an order, or anything else."""
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        given = tuple(_everywhere(one) if isinstance(one, TaskSpec) else one for one in arguments)
        answer.add_done_callback(lambda _: self._ended())
        with self._lock:
            self._waiting.append(lambda: self._send(answer, call, given, named, None))
        self._give()
        return answer

    def _ended(self) -> None:
        with self._lock:
            self._given -= 1
        self._give()

    def _give(self) -> None:
        """Give Dask what it may have."""
        while True:
            with self._lock:
                if not self._waiting or (self.at_once is not None and self._given >= self.at_once):
                    return
                send = self._waiting.popleft()
                self._given += 1
            send()

    def _send(
        self, answer: Future[Any], call: Callable[..., Any], arguments: Any, named: Any, workers: list[str] | None
    ) -> None:
        task = self.client.submit(on_host, call, *arguments, pure=False, workers=workers, **named)
        self._running.add(task)

        def done(task: Any) -> None:
            self._running.discard(task)
            if task.status == "finished":
                self._fetched(answer, task.result(), call, arguments, named)
            elif task.status == "cancelled":
                answer.set_exception(StoreError(self._gone()))
            else:
                answer.set_exception(_worded(task.exception(), self._gone()))

        task.add_done_callback(done)

    def _fetched(self, answer: Future[Any], found: Any, call: Callable[..., Any], arguments: Any, named: Any) -> None:
        """Hand on what a worker returned, or send the part to another one."""
        result, worker, unfit = found
        if unfit is None:
            if isinstance(result, Record) and isinstance(arguments[0], TaskSpec):
                threading.Thread(target=_hand_over, args=(answer, result, arguments[0]), daemon=True).start()
            else:
                answer.set_result(result)
            return
        self.unfit[worker] = unfit
        others = [name for name in self.client.scheduler_info(n_workers=-1)["workers"] if name not in self.unfit]
        if not others:
            answer.set_exception(HostError(unfit))
            return
        self._send(answer, call, arguments, named, others)

    def _gone(self) -> str:
        return (
            f"the Dask scheduler at {self.where} is gone; start it and its workers again,"
            " and `satpipe run all` goes on where it was"
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what has not begun; what a worker is making it ends and commits, and the next run finds it."""
        with self._lock:
            self._waiting.clear()
        if cancel_futures and self._running:
            self.client.cancel(list(self._running))


def _everywhere(spec: TaskSpec) -> TaskSpec:
    """The order with whole paths: a worker's working folder is not the run's."""
    files = {name: UserFile(str(Path(file.path).absolute()), file.sha256) for name, file in spec.task.files.items()}
    return replace(spec, store=spec.store.absolute(), task=replace(spec.task, files=files))


def _hand_over(answer: Future[Any], record: Record, spec: TaskSpec) -> None:
    """Give a record away once this host sees what another one committed."""
    folder = spec.store / "parts" / record.stage / record.digest
    until = time.monotonic() + VISIBLE_S
    while not (folder / METADATA).exists():
        if time.monotonic() > until:
            answer.set_exception(
                StoreError(
                    f"part {spec.task.title} was made by a Dask worker, but {folder} is not here; the run's --root"
                    " must be one folder that all hosts share"
                )
            )
            return
        time.sleep(0.2)
    answer.set_result(record)


def on_host(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, str, str | None]:
    """Run on a worker: the result, the worker's address, and why this host is unfit, if it is.

    Raises:
        Exception: What the call raised, except :class:`HostError`.
    """
    from distributed import get_worker

    address: str = get_worker().address
    try:
        for argument in arguments:
            if isinstance(argument, TaskSpec):
                await_store(argument)
        return call(*arguments, **named), address, None
    except HostError as error:
        return None, address, str(error)
    except SatpipeError as error:
        error.args = (f"on {socket.gethostname()}: {error}", *error.args[1:])
        raise


def await_store(spec: TaskSpec) -> None:
    """Wait until this host sees the store, a part's inputs and the user's files as the run's own host does.

    Raises:
        HostError: If it does not within :data:`VISIBLE_S`.
    """
    store, host = spec.store, socket.gethostname()
    refs = [*spec.transitive_inputs, *cache_key.input_refs(spec.task)]
    paths = [store / MARKER, *(store / "parts" / one.stage / one.digest for one in refs)]
    until = time.monotonic() + VISIBLE_S
    for path in paths:
        while not path.exists():
            if time.monotonic() > until or not store.is_dir():
                raise HostError(
                    f"part {spec.task.title} cannot be made on {host}, which does not see {path};"
                    " every host needs the run's --root at the same place"
                )
            time.sleep(0.2)
    for file in spec.task.files.values():
        if not Path(file.path).exists():
            raise HostError(
                f"part {spec.task.title} cannot be made on {host}, which does not see {file.path};"
                " every host needs the scenes and labels at the same place"
            )


def _worded(error: BaseException, gone: str) -> BaseException:
    """What a worker or Dask raised, as what the runner knows."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "satpipe":
        return StoreError(
            "a Dask worker has no satpipe; install the same version on every host, in the environment that runs"
            " `dask worker`, and run again"
        )
    if type(error).__name__ in ("CancelledError", "FutureCancelledError", "FuturesCancelledError"):
        return StoreError(gone)
    return error
