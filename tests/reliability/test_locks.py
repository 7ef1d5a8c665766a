"""Two at once: one writes, the second is told who does, and who only reads is not kept waiting."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from fixtures import REPOSITORY
from fixtures.faults import Harness
from satpipe.engine.store import Store

HOLD = """
import sys, time
from pathlib import Path
from satpipe.engine.store import Store
with Store(Path(sys.argv[1])).lock():
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""


def test_second_run_is_refused_with_who_runs_and_readers_go_on(harness: Harness, finished: Path) -> None:
    harness.arm()
    assert harness.run_all(finished).code == 0  # nothing to make; publishes the report
    shutil.copytree(finished / "reports" / "small", finished / "reports" / "twin")
    with Store(finished / "data").lock():
        second = harness.run_all(finished)
        assert second.code == 2
        assert second.one_sentence()
        assert f"process {os.getpid()} on {socket.gethostname()} (`" in second.err
        readers = (
            ["status", "--config", "small.yaml"],
            ["runs"],
            ["why", "gan", "--config", "small.yaml"],
            ["run", "all", "--config", "small.yaml", "--dry-run"],
            ["compare", "small", "twin"],
            ["generate", "--run", "small", "--count", "4", "--to", "made", "--no-screen"],
        )
        for command in readers:
            read = harness.run(finished, *command)
            assert read.code == 0, (command, read.err)
    assert harness.run_all(finished).code == 0


def test_lock_of_a_dead_process_needs_no_hand(tmp_path: Path) -> None:
    store, held = tmp_path / "data", tmp_path / "held"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(store), str(held)], env=environment)
    until = time.monotonic() + 120
    while not held.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (store / "lock.json").exists(), "a killed process says goodbye to nobody"
    with Store(store).lock():
        assert str(os.getpid()) in (store / "lock.json").read_text()
    assert not (store / "lock.json").exists()


def test_only_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.create()
    host, dead = socket.gethostname(), 2**22 + 1  # more than Linux ever gives
    names = {
        f".key.{host}.{dead}": False,
        f".key.{host}.{os.getpid()}": True,
        f".key.elsewhere.{dead}": True,
        f".corrupted.abc.{dead}": False,
    }
    for name in names:
        (store.artifacts / name).mkdir()
    with store.lock():
        assert {name: (store.artifacts / name).exists() for name in names} == names
