"""Checks of the machine: processors, the profile of trainings, memory, and the folder that runs write to."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ...config.run import ComputeConfig
from ...models.device import cores, machine_key, resolve_profile
from ...utils.errors import SatpipeError
from ...utils.plural import plural
from .finding import Finding

WORKER_BYTES = 1 << 30
"""Memory of one worker: torch and GDAL take half a gigabyte before the first chip."""
SPARE_BYTES = 2 << 30
"""Free space below which a run may not finish: a run on whole scenes writes gigabytes of chips."""
LEAST_BYTES = 200 << 20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
OPEN_FILES = 512
CGROUP = Path("/sys/fs/cgroup")
PROCESSOR_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
MEMORY_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of a container's limits, in both versions of control groups: quota and period; limit and use."""


def processors() -> int:
    """Return how many processors this process may use: its affinity, or the limit of its container."""
    allowed = cores()
    limit = container_processors()
    return max(1, min(allowed, int(limit))) if limit else allowed


def container_processors(root: Path = CGROUP) -> float | None:
    """Return how many processors' time a container may use; None without a limit."""
    for names in PROCESSOR_FILES:
        with suppress(OSError, ValueError):
            quota, period = (int(word) for name in names for word in (root / name).read_text("ascii").split())
            return quota / period if quota > 0 else None
    return None


def memory_bytes(root: Path = CGROUP, table: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Return the memory of the machine or container, and how much of it is free; None where that is unknown."""
    try:
        lines = dict(line.split(":", 1) for line in table.read_text("ascii").splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return None
    for limit_file, use_file in MEMORY_FILES:
        with suppress(OSError, ValueError):
            limit = int((root / limit_file).read_text("ascii"))
            if limit < total:
                total, free = limit, min(free, limit - int((root / use_file).read_text("ascii")))
    return total, max(0, free)


def threads(compute: ComputeConfig) -> Iterator[Finding]:
    """Check that workers and their threads do not outnumber the processors."""
    allowed, available = cores(), processors()
    workers = compute.workers or max(1, allowed // compute.threads)
    message = (
        f"{plural(available, 'CPU')}; {plural(workers, 'task')} at a time with {plural(compute.threads, 'thread')} each"
    )
    if workers * compute.threads > available:
        limit = f" (a container limits {allowed} to {available})" if available < allowed else ""
        advice = f"set compute.workers={max(1, available // compute.threads)}"
        yield Finding.warning("threads", f"{message}{limit}: they will slow each other down", advice)
    else:
        yield Finding("threads", message)
    given = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if os.environ.get(name)]
    if given:
        yield Finding("environment", f"{', '.join(given)} is set, but training uses compute.threads")


def profile(compute: ComputeConfig, cache: Path) -> Iterator[Finding]:
    """Check the device, precision and memory format of trainings; time them where this machine is not in the cache.

    Args:
        compute: The section of the configuration.
        cache: The file of earlier timings; nothing is written to it.
    """
    timed = False
    with suppress(OSError, ValueError):
        timed = machine_key(compute.threads) in json.loads(cache.read_text("utf-8"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            best = resolve_profile(compute, cache if timed else Path(folder, "profile.json"))
    except SatpipeError as error:
        yield Finding.error("profile", str(error), "set compute.device and compute.precision to auto")
        return
    when = "as timed in an earlier run" if timed else "timed now; the first run times it again"
    threads = plural(best.threads, "thread")
    form = best.memory_format.replace("_", " ")
    yield Finding("profile", f"{best.device}, {best.precision}, {form}, {threads}, {when}")


def memory(compute: ComputeConfig) -> Iterator[Finding]:
    """Check that the workers fit into memory."""
    sizes = memory_bytes()
    if sizes is None:
        yield Finding("memory", "unknown on this system; each worker needs about 1 GiB")
        return
    total, free = sizes
    workers = compute.workers or max(1, processors() // compute.threads)
    message = (
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free; {plural(workers, 'worker')}"
        f" need{'s' * (workers == 1)} about {workers} GiB"
    )
    if free < WORKER_BYTES // 2:
        yield Finding.error("memory", message, "end other programs, or use a machine with more memory")
    elif free < workers * WORKER_BYTES:
        advice = f"set compute.workers={max(1, free // WORKER_BYTES)}, or end other programs"
        yield Finding.warning("memory", message, advice)
    else:
        yield Finding("memory", message)


def folder(root: Path) -> Iterator[Finding]:
    """Check that runs can write below ``root`` as they need to: free space, renames, locks."""
    place = root.absolute()
    existing = next(path for path in (place, *place.parents) if path.exists())
    if not existing.is_dir():
        yield Finding.error("folder", f"{existing} is not a folder", "choose another one with --root")
        return
    try:
        _try_commit(existing)
    except (OSError, TimeoutError) as error:
        problem = getattr(error, "strerror", None) or ("no file locks" if isinstance(error, TimeoutError) else error)
        message = f"{place} cannot be written as the store needs it: {problem}"
        yield Finding.error("folder", message, "give another one with --root, on a local disk")
        return
    free = shutil.disk_usage(existing).free
    message = f"{place}: {free / 2**30:.1f} GiB free; files can be written, renamed and locked"
    advice = "free some space (`satpipe clean` deletes what no run uses), or use --root"
    if free < LEAST_BYTES:
        yield Finding.error("disk", message, advice)
    elif free < SPARE_BYTES:
        yield Finding.warning("disk", message, advice)
    else:
        yield Finding("disk", message)


def _try_commit(folder: Path) -> None:
    """Do what the store does with an artifact: write, sync, rename, lock. Leaves nothing behind."""
    from filelock import FileLock

    with tempfile.TemporaryDirectory(prefix=".satpipe-doctor-", dir=folder) as place:
        new, committed = Path(place, "new"), Path(place, "committed")
        new.mkdir()
        with (new / "file").open("wb") as stream:
            stream.write(b"0" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, committed)
        with FileLock(Path(place, "lock"), timeout=5):
            (committed / "file").read_bytes()


def limits() -> Iterator[Finding]:
    """Check the limit of open files, and the encoding of what is printed."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < OPEN_FILES:
            yield Finding.warning("open files", f"at most {soft} (hard limit {hard})", f"`ulimit -n {OPEN_FILES * 2}`")
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding not in ("utf8", "utf8sig"):
        message = f"the terminal encoding is {encoding or 'unknown'}: other characters are shown as ?"
        yield Finding.warning("encoding", message, "set PYTHONUTF8=1, or a locale such as C.UTF-8")
