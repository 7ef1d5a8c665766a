"""Executors: the same artifacts from processes of this machine and a real Dask cluster, also when a worker dies."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.dask_cluster import Cluster
from fixtures.letters_project import LettersProject

pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.fixture
def cluster(project: LettersProject) -> Iterator[Cluster]:
    project.environment = {"LETTERS_SLEEP_S": "0.3"}
    running = Cluster(project)
    yield running
    running.stop()


def test_dask_workers_give_the_bytes_of_processes(cluster: Cluster, tmp_path: Path) -> None:
    alone = LettersProject.build(tmp_path / "alone")
    alone.run()
    cluster.project.run("--executor", "dask", "--scheduler", cluster.address)
    assert cluster.project.content() == alone.content()


def test_worker_killed_in_the_middle_of_a_task_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    alone = LettersProject.build(tmp_path / "alone")
    alone.run()
    run = cluster.project.start(
        "run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", cluster.address
    )
    wait_for_step(cluster.project)
    cluster.workers[0].send_signal(signal.SIGKILL)
    cluster.workers.append(cluster.worker())
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, out + err
    assert cluster.project.content() == alone.content()


def wait_for_step(project: LettersProject) -> None:
    until = time.monotonic() + 120
    while not list(project.folder.glob("data/work/*/step")):
        assert until > time.monotonic()
        time.sleep(0.02)


def test_run_waits_for_workers_and_uses_those_that_join(project: LettersProject) -> None:
    project.environment = {"LETTERS_SLEEP_S": "0.1"}
    cluster = Cluster(project, workers=0)
    try:
        run = project.start(
            "run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", cluster.address
        )
        time.sleep(3)
        assert run.poll() is None
        cluster.workers.append(cluster.worker())
        wait_for_step(project)
        cluster.workers.append(cluster.worker(threads=2))
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, out + err
    finally:
        cluster.stop()


def test_scheduler_that_dies_ends_the_run_in_a_sentence(cluster: Cluster) -> None:
    project = cluster.project
    run = project.start("run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", cluster.address)
    wait_for_step(project)
    cluster.scheduler.send_signal(signal.SIGKILL)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2, err
    assert f"the Dask scheduler at {cluster.address} is gone" in err
    assert "Traceback" not in err
    cluster.stop()
    project.environment = {}
    assert not any(name.startswith(("ingest", "chips")) for name in project.run())


def test_task_that_fails_on_a_worker_names_the_host(cluster: Cluster) -> None:
    cluster.stop()
    cluster.project.edit(
        "satpipe/stages/synth/stage.py", "def make(context: TaskContext)", "def make(context: TaskContext, missing)"
    )
    again = Cluster(cluster.project)
    try:
        done = cluster.project.call(
            "run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", again.address
        )
    finally:
        again.stop()
    assert done.returncode == 1
    assert f"on {socket.gethostname()}: task synth/r" in done.stderr
    assert "Traceback" not in done.stderr


def test_cluster_of_this_machine_needs_no_address(project: LettersProject) -> None:
    project.run("--executor", "dask")
    assert project.run() == []


def test_scheduler_that_does_not_answer_ends_in_one_sentence(
    project: LettersProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("satpipe/engine/dask_executor.py", "CONNECT_S = 20", "CONNECT_S = 1")
    done = project.call(
        "run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"
    )
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_worker_with_other_code_is_refused(cluster: Cluster) -> None:
    # The workers imported and digested the code before it changed under them.
    cluster.project.run("--executor", "dask", "--scheduler", cluster.address)
    cluster.project.edit("satpipe/shared.py", "text.upper()", "text.title()")
    done = cluster.project.call(
        "run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", cluster.address
    )
    assert done.returncode == 2
    assert "was planned with other code than" in done.stderr
    assert "code satpipe.shared.loud changed" in done.stderr
