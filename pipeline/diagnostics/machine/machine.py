"""Checks of the machine: processors and threads, the profile of trainings, memory, the folder that runs write to."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...config.run import ComputeConfig
from ...models.device import Profile, cores, machine_key, resolve_profile
from ...utils.errors import SatpipeError
from .finding import Finding

WORKER_BYTES = 1 << 30
"""Memory of one worker: torch and GDAL take half a gigabyte before the first chip."""
SPARE_BYTES = 2 << 30
"""Free space below which a run may not end: a run on whole scenes writes gigabytes of chips."""
LEAST_BYTES = 200 << 20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MOST_FILES = 512
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of a container's limit and use of memory, in both versions of control groups."""


def processors() -> int:
    """Processors that this process may use, in whole ones: affinity and the limit of a container count."""
    allowed = cores()
    limit = container_processors()
    return max(1, min(allowed, int(limit))) if limit else allowed


def container_processors(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """How many processors' time a container may use; None without a limit."""
    try:
        quota, period = (root / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        granted = int((root / "cpu" / "cpu.cfs_quota_us").read_text("ascii"))
        return granted / int((root / "cpu" / "cpu.cfs_period_us").read_text("ascii")) if granted > 0 else None
    except (OSError, ValueError):
        return None


def memory_bytes(root: Path = Path("/sys/fs/cgroup"), table: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Memory of the machine or container and what of it is free; None where that is not known."""
    try:
        lines = dict(line.split(":", 1) for line in table.read_text("ascii").splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return None
    for limit, used in LIMITS:
        try:
            most = int((root / limit).read_text("ascii"))
            if most < total:
                total, free = most, min(free, most - int((root / used).read_text("ascii")))
        except (OSError, ValueError):
            continue
    return total, max(0, free)


def threads(compute: ComputeConfig) -> Iterator[Finding]:
    """Processors, and how parts share them."""
    allowed = cores()
    there = processors()
    workers = compute.workers or max(1, allowed // compute.threads)
    says = f"{there} processors; {workers} parts at a time with {compute.threads} threads each"
    if workers * compute.threads > there:
        limit = f" (a container limits {allowed} to {there})" if there < allowed else ""
        do = f"set compute.workers={max(1, there // compute.threads)}"
        yield Finding("threads", "warning", f"{says}{limit}: they wait for each other", do)
    else:
        yield Finding("threads", "good", says)
    given = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if os.environ.get(name)]
    if given:
        says = f"{', '.join(given)} is set; trainings go by compute.threads all the same"
        yield Finding("environment", "good", says)


def profile(compute: ComputeConfig, cache: Path) -> Iterator[Finding]:
    """Device, precision and memory format of trainings; timed now where this machine is new.

    Args:
        compute: The section of the configuration.
        cache: The file of earlier answers; a machine that is not in it is timed without writing there.
    """
    known = _was_timed(cache, compute.threads)
    try:
        if known:
            found = resolve_profile(compute, cache)
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = resolve_profile(compute, Path(folder, "profile.json"))
    except SatpipeError as error:
        yield Finding("profile", "bad", str(error), "set compute.device and compute.precision to auto")
        return
    when = "as timed in an earlier run" if known else "timed now; the first run times it again"
    yield Finding("profile", "good", f"{_words(found)}, {when}")


def _was_timed(cache: Path, threads: int) -> bool:
    try:
        return machine_key(threads) in json.loads(cache.read_text("utf-8"))
    except (OSError, ValueError):
        return False


def _words(found: Profile) -> str:
    form = found.memory_format.replace("_", " ")
    return f"{found.device}, {found.precision}, {form}, {found.threads} thread{'s' if found.threads > 1 else ''}"


def memory(compute: ComputeConfig) -> Iterator[Finding]:
    """Whether the workers fit into memory."""
    known = memory_bytes()
    if known is None:
        yield Finding("memory", "good", "not known on this system; each worker needs about 1 GiB")
        return
    total, free = known
    workers = compute.workers or max(1, processors() // compute.threads)
    says = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free; {workers} workers need about {workers} GiB"
    if free < WORKER_BYTES // 2:
        yield Finding("memory", "bad", says, "end other programs, or use a machine with more memory")
    elif free < workers * WORKER_BYTES:
        do = f"set compute.workers={max(1, free // WORKER_BYTES)}, or end other programs"
        yield Finding("memory", "warning", says, do)
    else:
        yield Finding("memory", "good", says)


def folder(root: Path) -> Iterator[Finding]:
    """Whether runs can write below ``root`` as they need to: free space, renames, locks."""
    place = root.absolute()
    there = next(path for path in (place, *place.parents) if path.exists())
    if not there.is_dir():
        yield Finding("folder", "bad", f"{there} is no folder", "give another one with --root")
        return
    try:
        _commit(there)
    except OSError as error:
        says = f"{place} cannot be written as the store needs it: {error.strerror or error}"
        yield Finding("folder", "bad", says, "give another one with --root, on a local disk")
        return
    except TimeoutError:
        says = f"{place} is on a file system without locks"
        yield Finding("folder", "bad", says, "give another one with --root, on a local disk")
        return
    free = shutil.disk_usage(there).free
    says = f"{place}: {free / 2**30:.1f} GiB free, can be written, renamed and locked"
    if free < LEAST_BYTES:
        yield Finding("disk", "bad", says, "free some space (`satpipe clean` deletes what no run uses), or use --root")
    elif free < SPARE_BYTES:
        yield Finding("disk", "warning", says, "free some space (`satpipe clean`), or use --root")
    else:
        yield Finding("disk", "good", says)


def _commit(folder: Path) -> None:
    """What the store does with a part: write, sync, rename, lock. Leaves nothing behind."""
    from filelock import FileLock

    with tempfile.TemporaryDirectory(prefix=".satpipe-doctor-", dir=folder) as place:
        first, then = Path(place, "new"), Path(place, "part")
        first.mkdir()
        with (first / "file").open("wb") as stream:
            stream.write(b"0" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(first, then)
        with FileLock(Path(place, "lock"), timeout=5):
            (then / "file").read_bytes()


def limits() -> Iterator[Finding]:
    """Open files, and the encoding of what is printed."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < MOST_FILES:
            says, do = f"at most {soft} (hard limit {hard})", f"`ulimit -n {MOST_FILES * 2}`"
            yield Finding("open files", "warning", says, do)
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding not in ("utf8", "utf8sig"):
        says = f"output is in {encoding or 'no encoding'}: other letters show as ?"
        yield Finding("encoding", "warning", says, "set PYTHONUTF8=1, or a locale such as C.UTF-8")
