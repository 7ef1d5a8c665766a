"""The machine's profile: timed once, remembered, and pinned by the configuration."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from satpipe.config.run import ComputeConfig
from satpipe.models.device import Profile, machine_key, resolve_profile
from satpipe.utils.errors import TrainingError


def remember(cache: Path, threads: int = 1, **step_s: float) -> Path:
    timings = {name.replace("_", " ", 1): seconds for name, seconds in step_s.items()}
    cache.write_text(json.dumps({machine_key(threads): {"devices": ["cpu"], "step_s": {"cpu": timings}}}))
    return cache


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ("bf16", "contiguous")),
        ({"precision": "fp32"}, ("fp32", "channels_last")),
        ({"memory_format": "channels_last"}, ("bf16", "channels_last")),
        ({"precision": "fp32", "memory_format": "contiguous"}, ("fp32", "contiguous")),
    ],
)
def test_fastest_allowed_combination_wins(tmp_path: Path, config: dict[str, str], expected: tuple[str, str]) -> None:
    cache = remember(
        tmp_path / "c.json", fp32_channels_last=1.0, fp32_contiguous=1.5, bf16_channels_last=0.5, bf16_contiguous=0.4
    )
    profile = resolve_profile(ComputeConfig.model_validate(config), cache)
    assert (profile.precision, profile.memory_format) == expected


def test_a_gain_within_the_noise_keeps_the_plain_combination(tmp_path: Path) -> None:
    cache = remember(tmp_path / "c.json", fp32_channels_last=1.0, bf16_channels_last=0.97)
    assert resolve_profile(ComputeConfig(), cache) == Profile("cpu", "fp32", "channels_last", 1)


def test_a_known_machine_is_answered_without_torch(tmp_path: Path) -> None:
    cache = remember(tmp_path / "c.json", fp32_channels_last=1.0, bf16_channels_last=0.5)
    code = (
        "import sys; from pathlib import Path; from satpipe.models.device import resolve_profile as r;"
        "from satpipe.config.run import ComputeConfig as C;"
        f"print(r(C(), Path({str(cache)!r})).precision, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["bf16", "False"]


def test_timing_is_recorded_and_then_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satpipe.models.device.TIMING_S", 0.05)
    cache = tmp_path / "deep" / "c.json"
    first = resolve_profile(ComputeConfig(device="cpu"), cache)
    written = cache.read_bytes()
    record = json.loads(written)[machine_key(1)]
    assert record["step_s"]["cpu"]["fp32 channels_last"] > 0
    assert resolve_profile(ComputeConfig(device="cpu"), cache) == first
    assert cache.read_bytes() == written


def test_another_thread_count_is_another_machine(tmp_path: Path) -> None:
    assert machine_key(1) != machine_key(2)


def test_a_card_that_torch_could_not_use_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satpipe.models.device._has_nvidia", lambda: True)
    cache = remember(tmp_path / "c.json", fp32_channels_last=1.0)
    monkeypatch.setattr("satpipe.models.device._devices", lambda: ["cuda", "cpu"])  # its driver is new
    pinned = ComputeConfig(device="cuda", precision="fp32", memory_format="channels_last")
    assert resolve_profile(pinned, cache).device == "cuda"


def test_a_missing_device_is_one_sentence(tmp_path: Path) -> None:
    cache = remember(tmp_path / "c.json", fp32_channels_last=1.0)
    with pytest.raises(TrainingError, match=r"compute\.device is mps"):
        resolve_profile(ComputeConfig(device="mps"), cache)


@pytest.mark.parametrize("text", ["{", "[]", '{"KEY": [1]}', '{"KEY": {"devices": "cpu"}}', '{"KEY": {"step_s": 1}}'])
def test_a_damaged_cache_is_replaced(tmp_path: Path, text: str) -> None:
    cache = tmp_path / "c.json"
    cache.write_text(text.replace("KEY", machine_key(1)))
    config = ComputeConfig(device="cpu", precision="fp32", memory_format="contiguous")
    assert resolve_profile(config, cache) == Profile("cpu", "fp32", "contiguous", 1)
    assert json.loads(cache.read_text())[machine_key(1)]["devices"]


STEPS = """
import ctypes, resource, sys
import torch
from satpipe.models.device import Profile, prepare

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: with huge pages there is a fault for every 512

def step():
    tensors = [torch.ones(1 << 20) for _ in range(8)]

if sys.argv[1] == "prepared":
    prepare(Profile())
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keeps memory where malloc is glibc's")
def test_a_training_gets_back_freed_memory() -> None:
    def fresh_pages(how: str) -> int:
        # Else what lies at the end of the heap decides whether malloc gives memory back.
        limits = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
        done = subprocess.run(
            [sys.executable, "-c", STEPS, how], env=os.environ | limits, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert fresh_pages("as torch leaves it") > 70_000  # all of the 80,000 that ten steps touch
    assert fresh_pages("prepared") < 5000
