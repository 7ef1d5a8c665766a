"""Executors: the same parts, from processes of this machine and from a real Dask cluster, also when a worker dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import Toy

pytest.importorskip("distributed", reason="the extra `dask` is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A Dask scheduler and workers, each a process of its own that imports the toy project."""

    def __init__(self, toy: Toy) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.toy = toy
        host, port = self.address.removeprefix("tcp://").split(":")
        self.scheduler = self._start("distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard")
        self.workers = [self.worker(), self.worker()]

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(self.toy.folder), **self.toy.environment}
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.toy.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def worker(self) -> subprocess.Popen[bytes]:
        return self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"
        )

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(toy: Toy) -> Iterator[Cluster]:
    toy.environment = {"TOY_SLEEP_S": "0.3"}
    running = Cluster(toy)
    yield running
    running.stop()


def test_dask_workers_give_the_bytes_of_processes(cluster: Cluster, tmp_path: Path) -> None:
    alone = Toy.build(tmp_path / "alone")
    alone.run()
    cluster.toy.run("--executor", "dask", "--scheduler", cluster.address)
    assert cluster.toy.content() == alone.content()


def test_worker_killed_in_the_middle_of_a_part_is_replaced_by_another(cluster: Cluster, tmp_path: Path) -> None:
    alone = Toy.build(tmp_path / "alone")
    alone.run()
    run = cluster.toy.start("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", cluster.address)
    until = time.monotonic() + 120
    while not list(cluster.toy.folder.glob("data/work/*/step")):
        assert until > time.monotonic()
        time.sleep(0.02)
    cluster.workers[0].send_signal(signal.SIGKILL)
    cluster.workers.append(cluster.worker())
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, out + err
    assert cluster.toy.content() == alone.content()


def test_cluster_of_this_machine_needs_no_address(toy: Toy) -> None:
    toy.run("--executor", "dask")
    assert toy.run() == []


def test_scheduler_that_does_not_answer_ends_in_one_sentence(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.edit("pipeline/executor.py", "CONNECT_S = 20", "CONNECT_S = 1")
    done = toy.call("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_worker_with_other_code_is_refused(cluster: Cluster) -> None:
    # The workers imported and digested the code before it changed under them.
    cluster.toy.run("--executor", "dask", "--scheduler", cluster.address)
    cluster.toy.edit("pipeline/shared.py", "text.upper()", "text.title()")
    done = cluster.toy.call("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", cluster.address)
    assert done.returncode == 2
    assert "was ordered from other code than" in done.stderr
    assert "code pipeline.shared.loud changed" in done.stderr
