"""A run under torchrun: the first rank runs the pipeline, the others wait for trainings and take part in them.

``torchrun --nproc-per-node 4 -m cli run gan ...`` starts the same command four times. The first rank plans, locks the
store and commits as it always does, and its tasks run in processes of its own; only a task whose work ranks
can share (``Task.ranks``) is announced to the other ranks, whose processes then join it. They write nothing.

Ranks send heartbeats through torchrun's own key-value store. One that sends none for :data:`SILENCE_S`, or that says
why it ended, ends the others with a sentence.
"""

from __future__ import annotations

import base64
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from typing import Any

from ..config.run import ComputeConfig
from ..models import ranks
from ..utils.errors import ConfigError, SatpipeError, first_line
from .process_pool import process_pool
from .worker import TaskSpec, join_task, run_task

HEARTBEAT_S = 2.0
"""Seconds between heartbeats."""
SILENCE_S = 30.0
"""A rank without a heartbeat for this long counts as dead."""
PATIENCE_S = 5.0
"""How long the first rank may take to end by itself once another one is dead."""
COUNTER, END = "specs", "end"


# ------------------------------------------------------------------------------------------------- who lives


class Watch:
    """Sends heartbeats of one rank, and calls ``lost`` once with a sentence when another one's stop."""

    def __init__(self, store: Any, rank: int, size: int, lost: Callable[[str], None]) -> None:
        """Prepare a watch over ``store``; :meth:`start` starts its thread.

        Args:
            store: Shared key-value store with torch.distributed's interface.
            rank: This rank.
            size: Number of ranks.
            lost: Called from the watch's thread.
        """
        self.store, self.rank, self.lost = store, rank, lost
        self.others = [other for other in range(size) if other != rank]
        self.heard = dict.fromkeys(self.others, ("", time.monotonic()))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; the rank that ends the run informs the others."""
        self._over.set()
        self._thread.join(HEARTBEAT_S)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._over.wait(HEARTBEAT_S):
            now = time.monotonic()
            if now - last > SILENCE_S / 2:
                # This process itself was stopped for a while: what it did not hear then says nothing.
                self.heard = {other: (sign, now) for other, (sign, _) in self.heard.items()}
            last = now
            try:
                reason = self.heartbeat(now)
            except RuntimeError as error:  # torch's errors of its store are of this class
                reason = f"torchrun's store does not answer any more ({first_line(error)})"
            if reason and not self._over.is_set():
                self.lost(reason)
                return

    def heartbeat(self, now: float) -> str | None:
        """Send a heartbeat, read the others', and return a sentence on a lost one."""
        self.store.set(f"alive{self.rank}", str(now))
        for other in self.others:
            if self.store.check([f"failed{other}"]):
                return self.store.get(f"failed{other}").decode()  # type: ignore[no-any-return]
            sign = self.store.get(f"alive{other}").decode() if self.store.check([f"alive{other}"]) else ""
            before, since = self.heard[other]
            if sign != before:
                self.heard[other] = sign, now
            elif now - since > SILENCE_S:
                return f"rank {other} has not been heard of for {now - since:.0f} s"
        return None


# ---------------------------------------------------------------------------------------------- the first rank

_reason: list[str] = []
"""Why this process was asked to end, if that is known."""


def why_ended() -> str | None:
    """Return why this rank was ended under torchrun; None elsewhere, and for Ctrl-C."""
    if _reason:
        return f"{_reason[0]}; run the same command again to resume from the latest checkpoint"
    return None


@contextmanager
def started() -> Iterator[bool]:
    """Yield whether this process is to run the pipeline.

    Outside torchrun, and on the first rank, it is. On any other the context does that rank's work before it opens, and
    then there is nothing left to do.
    """
    place = ranks.place()
    if place is None:
        yield True
        return
    store = ranks.open_store()
    if place.rank:
        _follow(place, store)
        yield False
        return
    watch = Watch(store, place.rank, place.size, _end_first)
    watch.start()
    before = signal.getsignal(signal.SIGTERM)

    def stopped(number: int, frame: Any) -> None:
        if not _reason:
            _reason.append("torchrun ended this rank, as it does when another one has died")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stopped)
    try:
        yield True
    finally:
        watch.stop()
        signal.signal(signal.SIGTERM, before)
        with suppress(RuntimeError):  # torchrun itself may be gone: so are the others then
            announce(store, END)


def _end_first(reason: str) -> None:
    """Interrupt the run, so that it says why and stops its processes; if it cannot, end it here."""
    _reason.append(reason)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    _exit(why_ended() or reason)


def _exit(sentence: str) -> None:
    print(f"satpipe: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - the console may be locked by a thread
    os._exit(1)


def announce(store: Any, text: str) -> int:
    """Tell the waiting ranks what is next; return its number."""
    number = int(store.add(COUNTER, 1))
    store.set(f"spec{number}", text)
    return number


@contextmanager
def sharing_executor(compute: ComputeConfig, workers: int) -> Iterator[Executor]:
    """Open the first rank's executor: tasks that ranks can share go to one process that leads them.

    Raises:
        ConfigError: If the configuration names Dask.
    """
    if compute.executor == "dask":
        raise ConfigError(
            "compute.executor is dask, and torchrun started this: Dask spreads tasks, torchrun one training over"
            " several processes; use one of them"
        )
    rest = compute.threads, compute.memory_gb
    with process_pool(1, *rest) as leading, process_pool(workers, *rest) as usual:
        yield SharingExecutor(leading, usual)


class SharingExecutor(Executor):
    """Sends tasks that ranks can share to the one process that leads them, and all others to the usual ones."""

    def __init__(self, leading: Executor, usual: Executor) -> None:
        """Share an executor and a store that the caller opens and closes."""
        self.leading, self.usual = leading, usual

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Submit ``run_task`` of a spec, or any other call."""
        if arguments and isinstance(arguments[0], TaskSpec) and arguments[0].task.ranks:
            return self.leading.submit(lead_task, *arguments)
        return self.usual.submit(call, *arguments, **named)


def lead_task(spec: TaskSpec) -> Any:
    """Run a task together with the other ranks; called in a process of the first rank."""
    place = ranks.place()
    assert place is not None, "only started under torchrun"
    session = ranks.session
    session.place, session.title = place, spec.task.title
    session.store = session.store or ranks.open_store()
    session.part = announce(session.store, spec_as_text(spec))
    return run_task(spec)


# --------------------------------------------------------------------------------------------------- the others


def _follow(place: ranks.Place, store: Any) -> None:
    """Take part in what the first rank announces, until it says that there is nothing more."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, also from within a collective
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first rank hears it too, and ends the others
    host = socket.gethostname()
    watch = Watch(
        store,
        place.rank,
        place.size,
        lambda reason: _exit(f"rank {place.rank} on {host} ends: {reason}"),
    )
    watch.start()
    session = ranks.session
    session.place, session.store = place, store
    try:
        for number in range(1, sys.maxsize):
            session.part = number
            text = _next(store, number)
            if text == END:
                return
            spec = spec_from_text(text)
            session.title = spec.task.title
            join_task(spec)
    except SatpipeError as error:
        if not isinstance(error, ranks.RankLostError):
            sentence = first_line(error)
            store.set(f"failed{place.rank}", f"rank {place.rank} on {host} failed: {sentence}")
        raise
    finally:
        watch.stop()


def _next(store: Any, number: int) -> str:
    """Wait for a spec; the watch ends the process if the first rank is lost."""
    while not store.check([f"spec{number}"]):
        time.sleep(0.05)
    text: str = store.get(f"spec{number}").decode()
    return text


# ----------------------------------------------------------------------------------------------- specs as text


def spec_as_text(spec: TaskSpec) -> str:
    """Return a spec for the key-value store, pickled as a pool of processes does it."""
    return base64.b64encode(pickle.dumps(spec)).decode()


def spec_from_text(text: str) -> TaskSpec:
    """Return the spec that :func:`spec_as_text` gave; read only from torchrun's store, whose ranks run one command."""
    spec: TaskSpec = pickle.loads(base64.b64decode(text))  # noqa: S301
    return spec
