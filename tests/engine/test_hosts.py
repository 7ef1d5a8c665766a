"""Two hosts that share a folder: network namespaces joined by a virtual cable, each with a Dask worker.

They need Linux and root, since a namespace does; elsewhere these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.dask_cluster import Cluster
from fixtures.letters_project import LettersProject

pytest.importorskip("distributed", reason="the extra `dask` is not installed")


def root_with_namespaces() -> bool:
    """Whether namespaces can be made here."""
    if not hasattr(os, "geteuid") or os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "mount"))):
        return False
    return subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not root_with_namespaces(), reason="two hosts need network namespaces, and they root")


class Hosts:
    """Hosts `a` and `b`, each a network namespace with an address of its own."""

    def __init__(self) -> None:
        """Make both and the cable."""
        self.names = {host: f"satpipe-{os.getpid()}-{host}" for host in "ab"}
        self.addresses = {"a": "10.213.77.1", "b": "10.213.77.2"}
        ends = {host: f"sp{os.getpid() % 100000}{host}" for host in "ab"}
        for name in self.names.values():
            self._ip("netns", "add", name)
        self._ip("link", "add", ends["a"], "type", "veth", "peer", "name", ends["b"])
        for host, name in self.names.items():
            self._ip("link", "set", ends[host], "netns", name)
            self._ip("-n", name, "addr", "add", f"{self.addresses[host]}/24", "dev", ends[host])
            self._ip("-n", name, "link", "set", ends[host], "up")
            self._ip("-n", name, "link", "set", "lo", "up")
        self.ends = ends

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def within(self, host: str, first: str = "true") -> list[str]:
        """A command that goes before another one, to run it on a host; ``first`` is run before, in its mounts."""
        script = f'hostname host-{host}; {first} && exec "$@"'
        return ["ip", "netns", "exec", self.names[host], "unshare", "--uts", "--mount", "sh", "-c", script, "sh"]

    def pull_the_cable(self) -> None:
        """No packet reaches host b any more, and nothing says so."""
        self._ip("-n", self.names["b"], "link", "set", self.ends["b"], "down")

    def close(self) -> None:
        """Remove both; the cable goes with them."""
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    made = Hosts()
    yield made
    made.close()


@pytest.fixture
def far(project: LettersProject, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The scheduler and one worker on host a; tests add host b's."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "5s")
    project.environment = {"LETTERS_SLEEP_S": "0.3", "LETTERS_LOG": str(project.folder.parent / "log.txt")}
    gan = project.folder / "satpipe" / "stages" / "gan" / "stage.py"
    gan.write_text(gan.read_text().replace("from step {start}", "on {os.uname().nodename} from step {start}"))
    running = Cluster(project, 1, hosts.addresses["a"], hosts.within("a"))
    yield running
    running.stop()


def run(project: LettersProject, hosts: Hosts, address: str) -> subprocess.Popen[str]:
    """The run itself, on host a."""
    arguments = ("run", "all", "--config", "letters.yaml", "--executor", "dask", "--scheduler", address)
    return project.start(*arguments, within=hosts.within("a"))


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out + err
    return out


def log(project: LettersProject) -> str:
    path = Path(project.environment["LETTERS_LOG"])
    return path.read_text() if path.exists() else ""


def test_parts_are_made_on_both_hosts_with_the_bytes_of_one(far: Cluster, hosts: Hosts, tmp_path: Path) -> None:
    far.workers.append(far.worker(hosts.within("b")))
    time.sleep(5)
    ended(run(far.project, hosts, far.address))
    assert "on host-a from" in log(far.project)
    assert "on host-b from" in log(far.project)
    alone = LettersProject.build(tmp_path / "alone")
    alone.run()
    assert far.project.content() == alone.content()


def test_host_that_does_not_see_the_folder_is_passed_over(far: Cluster, hosts: Hosts) -> None:
    hidden = f"mount -t tmpfs none {far.project.folder / 'data'}"
    (far.project.folder / "data").mkdir()
    far.workers.append(far.worker(hosts.within("b", hidden)))
    time.sleep(5)
    ended(run(far.project, hosts, far.address))
    assert "on host-b" not in log(far.project)


def test_host_cut_off_in_the_middle_of_a_task_is_replaced(far: Cluster, hosts: Hosts) -> None:
    far.workers.append(far.worker(hosts.within("b")))
    far.project.environment["LETTERS_SLEEP_S"] = "1"
    process = run(far.project, hosts, far.address)
    until = time.monotonic() + 120
    while not list(far.project.folder.glob("data/work/*/step")):
        assert time.monotonic() < until
        time.sleep(0.05)
    hosts.pull_the_cable()
    ended(process)
    assert log(far.project).count("on host-a from") >= 2
