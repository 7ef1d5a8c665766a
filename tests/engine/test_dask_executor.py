"""Which Dask worker gets a call: fit ones, whenever they joined, and none that turned out unfit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

import pytest
from satpipe.engine.dask_executor import ClusterExecutor
from satpipe.utils.errors import HostError

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")

CALLS: Counter[str] = Counter()
"""Calls by the worker that ran them; the workers are threads of this process."""
UNFIT: dict[str, int] = {}
"""Calls that a worker runs before it turns out unfit."""
BEGUN, GO_ON = threading.Event(), threading.Event()


def where() -> str:
    """Return the worker that runs this, unless it is unfit."""
    worker = str(distributed.get_worker().address)
    CALLS[worker] += 1
    if CALLS[worker] > UNFIT.get(worker, 1000):
        raise HostError(f"{worker} does not see the store")
    return worker


def waits() -> str:
    """Return the worker that runs this; the first one waits for ever."""
    is_first = not BEGUN.is_set()
    BEGUN.set()
    if is_first:
        GO_ON.wait(60)
    return str(distributed.get_worker().address)


@pytest.fixture
def cluster() -> Iterator[Any]:
    CALLS.clear()
    UNFIT.clear()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as running:
        yield running


@pytest.fixture
def executor(cluster: Any) -> Iterator[ClusterExecutor]:
    with distributed.Client(cluster) as client:
        executor = ClusterExecutor(client, "here")
        yield executor
        executor.shutdown(wait=False, cancel_futures=True)


def addresses(cluster: Any) -> list[str]:
    return [str(worker.address) for worker in cluster.workers.values()]


@pytest.mark.parametrize("runs", [0, 3])
def test_an_unfit_worker_gets_no_more_calls(cluster: Any, executor: ClusterExecutor, runs: int) -> None:
    unfit, fit = addresses(cluster)
    UNFIT[unfit] = runs
    futures = [executor.submit(where) for _ in range(30)]
    assert not wait(futures, timeout=60).not_done
    assert Counter(future.result() for future in futures)[fit] >= 30 - runs
    # What it was sent while its last answer was on the way may come back too.
    assert CALLS[unfit] <= runs + 2
    assert list(executor.unfit) == [unfit]


def test_calls_end_in_a_sentence_once_all_workers_are_unfit(cluster: Any, executor: ClusterExecutor) -> None:
    UNFIT.update(dict.fromkeys(addresses(cluster), 2))
    futures = [executor.submit(where) for _ in range(12)]
    assert not wait(futures, timeout=60).not_done
    errors = [error for future in futures if (error := future.exception()) is not None]
    assert len(errors) >= 12 - 4
    assert all(isinstance(error, HostError) and "does not see the store" in str(error) for error in errors)


def test_a_lost_call_goes_to_a_worker_that_joined_since() -> None:
    BEGUN.clear()
    GO_ON.clear()

    async def joined() -> Any:
        return await distributed.Worker(cluster.scheduler_address, nthreads=1)

    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        first = cluster.sync(joined)
        with distributed.Client(cluster) as client:
            executor = ClusterExecutor(client, "here")
            future = executor.submit(waits)
            assert BEGUN.wait(30)
            second = cluster.sync(joined)
            cluster.sync(first.close, timeout=1, executor_wait=False)
            assert future.result(timeout=60) == second.address != first.address
            GO_ON.set()
            executor.shutdown(wait=False)
        cluster.sync(second.close)
