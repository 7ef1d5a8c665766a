"""Executors of tasks: processes of this machine or workers of a Dask cluster, as ``concurrent.futures`` has them.

Every task is run by ``run_task`` in a worker process, never in the calling one, with as many threads as the profile
says, so that neither the number of workers nor what the caller did before can change a byte.
"""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import AbstractContextManager

from ..config.run import ComputeConfig
from ..models import ranks
from .process_pool import process_pool


def open_executor(compute: ComputeConfig, workers: int) -> AbstractContextManager[Executor]:
    """Open the executor that the configuration names; under torchrun, one whose ranks share the tasks that they can."""
    if ranks.place() is not None:
        from .torchrun import sharing_executor

        return sharing_executor(compute, workers)
    if compute.executor == "dask":
        from .dask_executor import dask_cluster

        return dask_cluster(compute.scheduler, workers, compute.threads, compute.memory_gb)
    return process_pool(workers, compute.threads, compute.memory_gb)
