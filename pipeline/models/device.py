"""Device, precision, memory format and threads of a training: found or timed once, recorded, then fixed.

The profile decides bytes, so it is part of the key of whatever is trained with it.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config.run import ComputeConfig
from ..utils.bounded_files import read_json
from ..utils.errors import TrainingError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("fp32", "bf16")
FORMATS = ("channels_last", "contiguous")
PLAIN = ("fp32", "channels_last")
CLEAR_GAIN = 0.9
"""A combination replaces the plain one only where it needs less than this share of its time."""
HOPELESS = 3.0
"""A combination whose first step needs this many times the best step is not timed further."""
TIMING_S = 3.0
"""Time to spend on timing, beside the import of torch."""
NEAR_TIE = (0.8, 1.0)
"""Shares of the plain combination's time between which another one is timed again: noise must not decide."""
MAX_TIMING_S = 12.0

# Of glibc's malloc.h: what is as large as the first is mapped from the system, and more than the second, free at the
# end of the heap, is given back.
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 1 << 25
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 1 << 30


@dataclass(frozen=True)
class Profile:
    """Device, precision, memory format and threads of a training.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32`` or ``bf16`` (autocast; weights and optimiser stay fp32).
        memory_format: ``contiguous`` or ``channels_last``.
        threads: Threads of one training on the CPU.
    """

    device: str = "cpu"
    precision: str = "fp32"
    memory_format: str = "channels_last"
    threads: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the profile as it enters keys and records."""
        return asdict(self)

    def torch_format(self) -> torch.memory_format:
        """Return the torch memory format."""
        import torch

        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run the forward passes inside in the profile's precision."""
        import torch

        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            yield


def prepare(profile: Profile) -> torch.device:
    """Set threads, deterministic algorithms and how memory is kept for this process, and return the device."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(profile.threads)
    torch.use_deterministic_algorithms(True, warn_only=profile.device != "cpu")
    forbid_tf32()
    # Deterministic mode would fill every new tensor with NaN first, which costs time and guards against nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(profile.device)


def forbid_tf32() -> None:
    """Let fp32 mean it on a GPU, whose convolutions torch would else round to 10 bits; who wants the speed has bf16."""
    import torch

    torch.backends.cudnn.allow_tf32 = False


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what is allocated next, where this process runs on glibc.

    Every step of a training allocates the same tensors as the one before. Left alone, glibc gives the larger ones back
    to the system each time, and the fresh pages that come instead cost several times what is computed in them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads in each of which torch and the numerical libraries compute with one thread.

    Work that is cut into pieces of fixed size then gives the same bytes with any number of threads.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(before)


def resolve_profile(config: ComputeConfig, cache: Path) -> Profile:
    """Return the profile of this machine: the device found, and what is ``auto`` timed once and then remembered.

    fp32 and bf16, contiguous and channels-last are timed on a small DCGAN's step; which wins differs by tenfold between
    processors and versions of torch. Torch is imported only for a machine that ``cache`` does not know.

    Args:
        config: What is pinned and what is ``auto``.
        cache: JSON file of earlier answers, one per machine; made or extended, atomically.

    Raises:
        TrainingError: If a device is named that this machine does not have, or a precision that it cannot compute.
    """
    cached = _read(cache)
    machine = _machine(cached.get(machine_key(config.threads)))
    devices = machine.devices
    if not devices or ("cuda" not in devices and _has_nvidia()):
        devices = _devices()  # asked again where there is a card that torch could not use: its driver may be new
    device = devices[0] if config.device == "auto" else config.device
    if device not in devices:
        raise TrainingError(
            f"compute.device is {device}, which torch {version('torch')} does not find on this machine;"
            f" it has {', '.join(devices)}: set compute.device=auto, or install the matching build of torch"
        )
    timings = dict(machine.step_s)
    if device not in timings and "auto" in (config.precision, config.memory_format):
        timings[device] = _time_steps(device, config.threads)
    record = _Machine(devices=devices, step_s=timings)
    if record != machine:
        _write(cache, cached | {machine_key(config.threads): record.model_dump()})
    precision, memory_format = _choose(config, timings.get(device, {}))
    return Profile(device, precision, memory_format, config.threads)


def profile_cache(fallback: Path) -> Path:
    """Return where timings are remembered: for this machine and user, so that equal runs in two folders train alike.

    Args:
        fallback: A file below the store, for a machine where the user's cache cannot be written.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satpipe"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or one that is read-only
        return fallback
    return folder / "profile.json" if os.access(folder, os.W_OK) else fallback


def machine_key(threads: int) -> str:
    """Return what timings of a machine depend on: processor, accelerator, version of torch, threads."""
    accelerator = "nvidia" if _has_nvidia() else "none"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return "; ".join((_processor(), f"{accelerator} {visible}", f"torch {version('torch')}", f"threads {threads}"))


def _has_nvidia() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists()


def _processor() -> str:
    """Name of the processor; on Linux with its stepping, since virtual machines share names."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "cpu family", "model\t", "stepping", "CPU part")
    names = dict.fromkeys(line.split(":", 1)[1].strip() for line in lines if line.startswith(wanted))
    return " ".join((platform.machine(), *names))


def _devices() -> list[str]:
    """List the devices that torch can use, the fastest kind first."""
    import torch

    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, there in offered.items() if there]


def _choose(config: ComputeConfig, step_s: dict[str, float]) -> tuple[str, str]:
    """Choose the fastest combination that the configuration allows; the plain one unless another clearly wins.

    Raises:
        TrainingError: If the named precision could not be computed when it was timed.
    """
    precisions = PRECISIONS if config.precision == "auto" else (config.precision,)
    formats = FORMATS if config.memory_format == "auto" else (config.memory_format,)
    if len(precisions) == len(formats) == 1:
        return precisions[0], formats[0]
    allowed = {(p, f): step_s[f"{p} {f}"] for p in precisions for f in formats if f"{p} {f}" in step_s}
    if not allowed:
        raise TrainingError(f"{' or '.join(precisions)} cannot be computed on this device; set compute.precision=auto")
    best = min(allowed, key=lambda pair: allowed[pair])
    plain = next(iter(allowed))
    return best if allowed[best] < CLEAR_GAIN * allowed[plain] else plain


def _time_steps(device: str, threads: int) -> dict[str, float]:
    """Time a small DCGAN's step for each precision and memory format that the device can compute.

    The combinations take turns, and the best of each counts, so that another process on the machine does not decide.
    """
    import torch

    keep_freed_memory()
    forbid_tf32()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    best: dict[str, float] = {}
    steps: dict[str, Callable[[], float]] = {}
    try:
        for precision in PRECISIONS:
            for memory_format in FORMATS:
                name = f"{precision} {memory_format}"
                step = _trial(Profile(device, precision, memory_format, threads))
                try:
                    step()  # builds kernels and fills caches
                    seconds = step()
                except (RuntimeError, NotImplementedError):
                    continue
                if seconds < HOPELESS * min(best.values(), default=seconds):
                    steps[name] = step
                best[name] = seconds
        started = time.monotonic()
        while (spent := time.monotonic() - started) < TIMING_S or (spent < MAX_TIMING_S and _is_near_tie(best)):
            for name, step in steps.items():
                best[name] = min(best[name], step())
    finally:
        torch.set_num_threads(threads_before)
    return {name: float(f"{seconds:.3g}") for name, seconds in best.items()}


def _is_near_tie(step_s: dict[str, float]) -> bool:
    """Return whether a combination is so much or little faster than the plain one that noise could decide."""
    plain = step_s.get(" ".join(PLAIN))
    low, high = NEAR_TIE
    return plain is not None and any(low < seconds / plain < high for seconds in step_s.values())


def _trial(profile: Profile) -> Callable[[], float]:
    """Return a function that runs one step of a small DCGAN at 64 x 64 pixels and returns its seconds."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    channels, batch, z_dim = 32, 16, 64
    widths = [channels * 2**i for i in (3, 2, 1, 0)]
    layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, bias=False)]
    for wide, narrow in itertools.pairwise(widths):
        layers += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.ConvTranspose2d(channels, 3, 4, 2, 1), nn.Tanh()]
    for narrow, wide in zip((3, *widths[:0:-1]), widths[::-1], strict=True):
        layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
    device = torch.device(profile.device)
    network = nn.Sequential(*layers, nn.Conv2d(widths[0], 1, 4)).to(device, memory_format=profile.torch_format())  # type: ignore[call-overload]
    z = torch.randn(batch, z_dim, 1, 1, generator=generator).to(device)

    def step() -> float:
        start = time.perf_counter()
        network.zero_grad(set_to_none=True)
        with profile.autocast():
            logits = network(z)
        logits.float().mean().backward()
        float(logits[0].detach().float().sum())  # waits for an asynchronous device
        if profile.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return step


class _Machine(BaseModel):
    """Stored timings of a machine: its devices, and seconds of a step by device, precision and memory format."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    devices: list[str] = Field(default_factory=list)
    step_s: dict[str, dict[str, float]] = Field(default_factory=dict)


def _machine(remembered: object) -> _Machine:
    """Return what is remembered of a machine; nothing where it is damaged."""
    try:
        return _Machine.model_validate(remembered or {})
    except ValidationError:
        return _Machine()


def _read(cache: Path) -> dict[str, Any]:
    """Read earlier answers; none where the file is missing or damaged."""
    try:
        cached = read_json(cache)
    except (OSError, ValueError):
        return {}
    return cached if isinstance(cached, dict) else {}


def _write(cache: Path, timings: dict[str, Any]) -> None:
    """Replace the cache in one move, so that a reader never sees half of it."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f"{cache.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(timings, indent=1, sort_keys=True) + "\n", "utf-8")
    os.replace(temporary, cache)
