"""Executors: the same parts, from processes of this machine and from a real Dask cluster, also when a worker dies."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.dask_cluster import Cluster
from fixtures.toy_project import Toy

pytest.importorskip("distributed", reason="the extra `dask` is not installed")


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
    wait_for_step(cluster.toy)
    cluster.workers[0].send_signal(signal.SIGKILL)
    cluster.workers.append(cluster.worker())
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, out + err
    assert cluster.toy.content() == alone.content()


def wait_for_step(toy: Toy) -> None:
    until = time.monotonic() + 120
    while not list(toy.folder.glob("data/work/*/step")):
        assert until > time.monotonic()
        time.sleep(0.02)


def test_run_begins_before_there_is_a_worker_and_ends_with_those_that_join(toy: Toy) -> None:
    toy.environment = {"TOY_SLEEP_S": "0.1"}
    cluster = Cluster(toy, workers=0)
    try:
        run = toy.start("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", cluster.address)
        time.sleep(3)
        assert run.poll() is None
        cluster.workers.append(cluster.worker())
        wait_for_step(toy)
        cluster.workers.append(cluster.worker(threads=2))
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, out + err
    finally:
        cluster.stop()


def test_scheduler_that_dies_ends_the_run_in_a_sentence_and_the_next_one_goes_on(cluster: Cluster) -> None:
    toy = cluster.toy
    run = toy.start("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", cluster.address)
    wait_for_step(toy)
    cluster.scheduler.send_signal(signal.SIGKILL)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2, err
    assert f"the Dask scheduler at {cluster.address} is gone" in err
    assert "Traceback" not in err
    cluster.stop()
    toy.environment = {}
    assert not any(name.startswith(("ingest", "chips")) for name in toy.run())


def test_part_that_fails_on_a_worker_is_told_with_the_host(cluster: Cluster) -> None:
    cluster.stop()
    cluster.toy.edit("satpipe/stages/synth/stage.py", "def make(job: Job)", "def make(job: Job, missing)")
    again = Cluster(cluster.toy)
    try:
        done = cluster.toy.call(
            "run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", again.address
        )
    finally:
        again.stop()
    assert done.returncode == 1
    assert f"on {socket.gethostname()}: part synth/r" in done.stderr
    assert "Traceback" not in done.stderr


def test_cluster_of_this_machine_needs_no_address(toy: Toy) -> None:
    toy.run("--executor", "dask")
    assert toy.run() == []


def test_scheduler_that_does_not_answer_ends_in_one_sentence(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.edit("satpipe/engine/dask_executor.py", "CONNECT_S = 20", "CONNECT_S = 1")
    done = toy.call("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_worker_with_other_code_is_refused(cluster: Cluster) -> None:
    # The workers imported and digested the code before it changed under them.
    cluster.toy.run("--executor", "dask", "--scheduler", cluster.address)
    cluster.toy.edit("satpipe/shared.py", "text.upper()", "text.title()")
    done = cluster.toy.call("run", "all", "--config", "toy.yaml", "--executor", "dask", "--scheduler", cluster.address)
    assert done.returncode == 2
    assert "was ordered from other code than" in done.stderr
    assert "code satpipe.shared.loud changed" in done.stderr
