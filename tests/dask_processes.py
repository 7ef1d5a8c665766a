"""A Dask scheduler and its workers, each a process of its own, as somebody would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from toy import Toy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A scheduler and workers that import the toy project.

    Attributes:
        address: The scheduler's.
        workers: Those that were started, also if they were killed since.
    """

    def __init__(self, toy: Toy, workers: int = 2, host: str = "127.0.0.1", within: Sequence[str] = ()) -> None:
        """Start a scheduler that listens on ``host``, and workers; ``within`` is a command that goes before theirs."""
        self.toy = toy
        port = free_port()
        self.address = f"tcp://{host}:{port}"
        options = ("--host", host, "--port", str(port), "--no-dashboard")
        self.scheduler = self._start(within, "distributed.cli.dask_scheduler", *options)
        self.workers = [self.worker(within) for _ in range(workers)]

    def _start(self, within: Sequence[str], module: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(self.toy.folder), **self.toy.environment}
        return subprocess.Popen(
            [*within, sys.executable, "-m", module, *arguments],
            cwd=self.toy.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def worker(self, within: Sequence[str] = (), threads: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker."""
        options = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard")
        return self._start(within, "distributed.cli.dask_worker", self.address, *options)

    def stop(self) -> None:
        """Kill what is left."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
