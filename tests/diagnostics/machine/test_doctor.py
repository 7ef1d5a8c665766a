"""``satpipe doctor``: each problem is found, comes with advice, and counts in the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from satpipe import commands
from satpipe.commands import doctor
from satpipe.config.run import ComputeConfig
from satpipe.diagnostics.machine import libraries, machine
from satpipe.diagnostics.machine.finding import Finding
from satpipe.models.device import machine_key

PINNED = ComputeConfig(device="cpu", precision="fp32", memory_format="contiguous")


def only(findings: Iterable[Finding], topic: str) -> Finding:
    """Return the only finding about a topic."""
    (result,) = [finding for finding in findings if finding.topic == topic]
    return result


def test_this_machine_is_ready_and_each_topic_is_reported(tmp_path: Path) -> None:
    (tmp_path / "pinned.yaml").write_text(
        "ingest: {sources: [{type: simulated}]}\n"
        "compute: {device: cpu, precision: fp32, memory_format: contiguous, workers: 1}\n"
    )
    # A process of its own: the doctor looks at GDAL as it was started.
    done = subprocess.run(
        [sys.executable, "-m", "satpipe", "doctor", "--json", "--root", ".", "--config", "pinned.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    result = [Finding(**finding) for finding in json.loads(done.stdout)]
    busy = {"memory", "disk"}  # a machine that runs tests may be busy or nearly full
    assert not [finding for finding in result if finding.state == "error" and finding.topic not in busy], done.stdout
    assert {"Python", "libraries", "torch", "GDAL", "vector files", "PROJ", "threads", "profile", "memory", "disk"} <= {
        finding.topic for finding in result
    }
    assert all(bool(finding.advice) == (finding.state != "ok") for finding in result)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pinned.yaml"]  # it leaves nothing behind


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("error", 1)])
def test_only_errors_count_in_the_exit_code(state: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = Finding("disk", "as it is", "" if state == "ok" else "do this", state)
    monkeypatch.setattr(doctor, "_checks", lambda root, compute: iter([finding]))
    done = CliRunner().invoke(commands.cli, ["doctor"])
    assert done.exit_code == code
    assert ("-> do this" in done.stdout) == (state != "ok")


def test_missing_and_outdated_libraries_come_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "requires", lambda name: ["numpy>=999", "no-such-library>=1.0", "click>=8"])
    result = [finding for finding in libraries.libraries() if finding.topic == "libraries"]
    assert [finding.state for finding in result] == ["error", "error"]
    assert "must be >=999" in result[0].message
    assert result[1].advice == "`pip install 'no-such-library>=1.0'`"


def test_a_library_that_cannot_be_imported_comes_with_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "requires", lambda name: ["pyproj>=3"])
    monkeypatch.setitem(sys.modules, "pyproj", None)
    result = only(libraries.libraries(), "libraries")
    assert result.state == "error"
    assert "cannot be imported" in result.message


def test_a_cpu_build_of_torch_beside_a_gpu_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(libraries.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    result = only(libraries.torch_build(), "torch")
    assert result.state == "warning"
    assert "CUDA build" in result.advice
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "driver" in only(libraries.torch_build(), "torch").advice


def test_proj_of_another_installation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJ_LIB", "/opt/other/share/proj")
    result = only(libraries.proj(), "PROJ")
    assert result.state in ("warning", "error")
    assert "PROJ_LIB" in result.advice


def test_unsafe_gdal_drivers_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterio.env.Env.drivers", lambda self: dict.fromkeys(("GTiff", "PNG", "JPEG", "VRT"), ""))
    result = [finding for finding in libraries.gdal() if finding.state == "error"]
    assert "VRT" in result[0].message


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_processors_of_a_container_are_known(files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.container_processors(tmp_path) == expected


def test_more_workers_than_the_container_allows_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "container_processors", lambda: 2.0)
    result = only(machine.threads(ComputeConfig()), "threads")
    assert result.state == "warning"
    assert result.advice == "set compute.workers=2"
    assert machine.processors() == 2


def test_memory_of_the_container_limits_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       33554432 kB\nMemFree: 1 kB\nMemAvailable:   16777216 kB\n")
    assert machine.memory_bytes(tmp_path, tmp_path / "meminfo") == (32 << 30, 16 << 30)
    (tmp_path / "memory.max").write_text(str(4 << 30))
    (tmp_path / "memory.current").write_text(str(1 << 30))
    assert machine.memory_bytes(tmp_path, tmp_path / "meminfo") == (4 << 30, 3 << 30)
    monkeypatch.setattr(machine, "memory_bytes", lambda: (4 << 30, 3 << 30))
    assert only(machine.memory(ComputeConfig(workers=3)), "memory").state == "ok"
    assert only(machine.memory(ComputeConfig(workers=4)), "memory").advice.startswith("set compute.workers=3")
    monkeypatch.setattr(machine, "memory_bytes", lambda: (4 << 30, 100 << 20))
    assert only(machine.memory(ComputeConfig(workers=4)), "memory").state == "error"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert only(machine.folder(tmp_path / "file"), "folder").state == "error"

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "_try_commit", refuse)
    result = only(machine.folder(tmp_path / "new"), "folder")
    assert result.state == "error"
    assert "Permission denied" in result.message


def test_a_nearly_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((1 << 20, "error"), (1 << 30, "warning"), (1 << 40, "ok")):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert only(machine.folder(tmp_path), "disk").state == state


def test_a_machine_that_was_timed_is_not_timed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "profile.json"
    key = machine_key(1)
    timings = {"bf16 contiguous": 0.1, "fp32 channels_last": 0.5, "fp32 contiguous": 0.6, "bf16 channels_last": 0.7}
    cache.write_text(json.dumps({key: {"devices": ["cpu"], "step_s": {"cpu": timings}}}))
    monkeypatch.setattr("satpipe.models.device._time_steps", lambda device, threads: pytest.fail("timed again"))
    result = only(machine.profile(ComputeConfig(), cache), "profile")
    assert result.message.startswith("cpu, bf16, contiguous, 1 thread")
    assert "earlier run" in result.message


def test_a_missing_device_is_an_error(tmp_path: Path) -> None:
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        pytest.skip("this machine has a GPU")
    result = only(machine.profile(PINNED.model_copy(update={"device": "mps"}), tmp_path / "none.json"), "profile")
    assert result.state == "error"
    assert "compute.device" in result.advice
