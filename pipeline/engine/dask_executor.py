"""Run tasks on the workers of a Dask cluster, through the interface of ``concurrent.futures``.

Each worker gets one task at a time, and the next one when it is free: Dask would hand tasks out before it knows how
long they take. Workers may join and leave at any time. A host that has other code, or does not see the store, is left
out from then on; the run ends only if no other one is left.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..utils.errors import ConfigError, HostError, SatpipeError, StoreError
from .process_pool import THREAD_VARIABLES
from .store import MARKER, Record
from .task import METADATA, UserFile
from .worker import TaskSpec

CONNECT_S = 20
"""Seconds to wait for a scheduler."""
_LOCAL = {
    # Dask has the C library return freed memory at once; trainings then ask for it again at every step.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    # What only its dashboard shows, and what keeps a loop of every process awake beside the trainings.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    # Each task is sent to one worker, so there is nothing to steal.
    "distributed.scheduler.work-stealing": False,
}
"""Settings of a cluster of this machine's processes."""
VISIBLE_S = 60.0
"""Seconds that a file of one host may take to be seen by another; network file systems cache for up to a minute."""


@contextmanager
def dask_cluster(
    scheduler: str | None, workers: int, threads: int, memory_gb: float | None = None
) -> Iterator[Executor]:
    """Open an executor on a Dask cluster, or on a local one started for this run.

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
    # Dask logs a lost connection with a traceback; the run reports it in a sentence.
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
                # its share of the machine, and end a task that needs more.
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
            executor = ClusterExecutor(client, scheduler or "this machine's Dask cluster")
            try:
                yield executor
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None) if value is None else os.environ.update({variable: value})


POLL_S = 1.0
"""Seconds between two checks for workers that joined or left."""
MAX_LOST = 3
"""A task whose worker was lost this often is given up: it may be what ends workers."""


@dataclass(eq=False)
class _Call:
    """A call that was submitted.

    Attributes:
        function: What to call.
        arguments: Its arguments.
        named: Its named arguments.
        answer: The future of the caller.
        lost: How many workers were lost while they ran it.
        worker: Address of the worker that has it.
        future: Dask's future while a worker has it.
        is_done: Whether the worker is done with it, and the result is on its way.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    answer: Future[Any]
    lost: int = 0
    worker: str = ""
    future: Any = None
    is_done: bool = False


class ClusterExecutor(Executor):
    """Sends one task at a time to each fit worker of a Dask client."""

    def __init__(self, client: Any, where: str) -> None:
        """Start to send.

        Args:
            client: Dask's client; the caller opens and closes it.
            where: Names its scheduler in errors.
        """
        self.client, self.where = client, where
        self.unfit: dict[str, str] = {}
        self._fit: set[str] = set()
        self._waiting: deque[_Call] = deque()
        self._running: set[_Call] = set()
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._is_closed = False
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Submit ``run_task`` of a spec, or any other call."""
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        everywhere = tuple(_everywhere(item) if isinstance(item, TaskSpec) else item for item in arguments)
        with self._lock:
            self._waiting.append(_Call(function, everywhere, named, answer))
        self._wake.set()
        return answer

    def _run(self) -> None:
        """Send what waits to workers that are free, until the executor is closed."""
        while not self._is_closed:
            self._wake.wait(POLL_S if self._waiting or self._running else None)
            self._wake.clear()
            try:
                workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
            except Exception:  # Dask has several for a lost connection
                self._fail_all(StoreError(self._gone()))
                continue
            with self._lock:
                self._take_back(set(workers))
                busy = {call.worker for call in self._running if not call.is_done}
                for worker in workers:
                    if self._waiting and worker not in self.unfit and worker not in busy:
                        self._send(worker, self._waiting.popleft())
                is_stuck = bool(workers) and not self._running and all(worker in self.unfit for worker in workers)
            if is_stuck:
                self._fail_all(HostError(self.unfit[workers[-1]]))

    def _take_back(self, workers: set[str]) -> None:
        """Take back the tasks of workers that are gone, to send them to others."""
        for call in [call for call in self._running if call.worker not in workers]:
            self._running.remove(call)
            future, call.future = call.future, None
            self.client.cancel([future])
            call.lost += 1
            if call.lost < MAX_LOST:
                self._waiting.appendleft(call)
                continue
            title = call.arguments[0].task.title if _is_spec(call) else "a task"
            call.answer.set_exception(
                StoreError(f"{title} was given up: {MAX_LOST} Dask workers were lost while they ran it; see their logs")
            )

    def _send(self, worker: str, call: _Call) -> None:
        call.worker, call.is_done = worker, False
        self._running.add(call)
        call.future = self.client.submit(
            on_host, call.function, *call.arguments, pure=False, workers=[worker], **call.named
        )
        call.future.add_done_callback(lambda future: self._ended(worker, call, future))

    def _ended(self, worker: str, call: _Call, future: Any) -> None:
        """Give a worker its next task, and pass on what it returned or note that it is unfit."""
        with self._lock:
            if call.future is not future:
                return  # it was taken back
            call.is_done = True
            if worker in self._fit and self._waiting and future.status == "finished":
                self._send(worker, self._waiting.popleft())
        try:
            result, unfit = future.result() if future.status == "finished" else (None, None)
        except Exception:  # the worker was lost before it handed the result over
            self._wake.set()
            return
        with self._lock:
            if call.future is not future:
                return
            self._running.discard(call)
            call.future = None
            if unfit is None:
                self._fit.add(worker)
            else:
                self._fit.discard(worker)  # or it would be sent a next task each time that it returns one
                self.unfit[worker] = unfit
                self._waiting.appendleft(call)
        self._wake.set()
        if unfit is not None:
            return
        if future.status == "error":
            call.answer.set_exception(_worded(future.exception(), self._gone()))
        elif future.status != "finished":
            call.answer.set_exception(StoreError(self._gone()))
        elif isinstance(result, Record) and _is_spec(call):
            threading.Thread(target=_hand_over, args=(call.answer, result, call.arguments[0]), daemon=True).start()
        else:
            call.answer.set_result(result)

    def _fail_all(self, error: SatpipeError) -> None:
        with self._lock:
            calls = [*self._waiting, *self._running]
            self._waiting.clear()
            self._running.clear()
            for call in calls:
                call.future = None
        for call in calls:
            call.answer.set_exception(error)

    def _gone(self) -> str:
        return (
            f"the Dask scheduler at {self.where} is gone; start it and its workers again,"
            " then run the same command again to resume"
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what has not begun; a worker ends and commits what it runs, and the next run finds that."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
            futures = [call.future for call in self._running if call.future is not None]
        self._wake.set()
        if cancel_futures and futures:
            self.client.cancel(futures)


def _is_spec(call: _Call) -> bool:
    return bool(call.arguments) and isinstance(call.arguments[0], TaskSpec)


def _everywhere(spec: TaskSpec) -> TaskSpec:
    """Return the spec with absolute paths: a worker has another working folder."""
    files = {name: UserFile(str(Path(file.path).absolute()), file.sha256) for name, file in spec.task.files.items()}
    return replace(spec, store=spec.store.absolute(), task=replace(spec.task, files=files))


def _hand_over(answer: Future[Any], record: Record, spec: TaskSpec) -> None:
    """Deliver a record once this host sees what another one committed."""
    folder = spec.store / "parts" / record.stage / record.digest
    until = time.monotonic() + VISIBLE_S
    while not (folder / METADATA).exists():
        if time.monotonic() > until:
            answer.set_exception(
                StoreError(
                    f"task {spec.task.title} was run by a Dask worker, but {folder} is not here; the run's --root must"
                    " be one folder that all hosts share"
                )
            )
            return
        time.sleep(0.2)
    answer.set_result(record)


def on_host(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, str | None]:
    """Call a function on a worker; return its result, and why this host is unfit, if it is.

    Raises:
        Exception: What the call raised, except :class:`HostError`.
    """
    try:
        for argument in arguments:
            if isinstance(argument, TaskSpec):
                await_store(argument)
        return call(*arguments, **named), None
    except HostError as error:
        return None, str(error)
    except SatpipeError as error:
        error.args = (f"on {socket.gethostname()}: {error}", *error.args[1:])
        raise


def await_store(spec: TaskSpec) -> None:
    """Wait until this host sees the store, a task's inputs and user files as the run's own host does.

    Raises:
        HostError: If it does not within :data:`VISIBLE_S`.
    """
    store, host = spec.store, socket.gethostname()
    refs = [*spec.transitive_inputs, *spec.task.input_refs()]
    paths = [store / MARKER, *(store / "parts" / ref.stage / ref.digest for ref in refs)]
    until = time.monotonic() + VISIBLE_S
    for path in paths:
        while not path.exists():
            if time.monotonic() > until or not store.is_dir():
                raise HostError(
                    f"task {spec.task.title} cannot run on {host}, which cannot see {path};"
                    " every host needs the run's --root under the same path"
                )
            time.sleep(0.2)
    for file in spec.task.files.values():
        if not Path(file.path).exists():
            raise HostError(
                f"task {spec.task.title} cannot run on {host}, which cannot see {file.path};"
                " every host needs the scenes and labels under the same path"
            )


def _worded(error: BaseException, gone: str) -> BaseException:
    """Return what a worker or Dask raised as an error that the runner knows."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "satpipe":
        return StoreError(
            "a Dask worker has no satpipe; install the same version on every host, in the environment that runs"
            " `dask worker`, and run again"
        )
    if type(error).__name__ in ("CancelledError", "FutureCancelledError", "FuturesCancelledError"):
        return StoreError(gone)
    return error
