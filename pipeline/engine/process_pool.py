"""Worker processes of this machine, each with its own threads and a cap on its memory."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1
"""The option of <linux/prctl.h> that sets the signal which this process gets when its parent dies."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _start_worker(threads: int, parent: int, memory_gb: float | None = None) -> None:
    """Prepare a worker: threads, a cap on its memory, no interrupts; it ends with its parent."""
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

        limit = int(memory_gb * 2**30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


@contextmanager
def process_pool(workers: int, threads: int, memory_gb: float | None = None) -> Iterator[Executor]:
    """Open a pool of ``workers`` processes of ``threads`` threads and at most ``memory_gb`` GiB of memory each.

    Workers end with this process, also when it is killed. On an exception they are stopped at once: the next
    run repeats what they had not committed.
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
