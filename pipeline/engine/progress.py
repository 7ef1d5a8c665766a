"""Progress of a task: written by its task function to a small file, read by whoever shows it.

A file, because it is the one channel that is the same for this process, a pool's process and a worker on another host.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.atomic_files import write_atomic
from ..utils.bounded_files import read_json

INTERVAL_S = 0.5


@dataclass
class Progress:
    """Progress of one task.

    Attributes:
        path: Where it is written, or None to write nothing.
    """

    path: Path | None = None
    _last: float = field(default=-1.0, repr=False)

    def update(self, done: float, total: float, unit: str, note: str = "") -> None:
        """Report that ``done`` of ``total`` units are done; written at most twice a second, and at the end."""
        now = time.monotonic()
        if self.path is None or (now - self._last < INTERVAL_S and done < total):
            return
        self._last = now
        text = json.dumps({"done": done, "total": total, "unit": unit, "note": note})
        try:
            write_atomic(self.path, text.encode(), sync=False)
        except OSError:
            # A task does not fail because its progress could not be shown.
            self.path = None


def read(path: Path) -> dict[str, Any] | None:
    """Return what was last written to ``path``, or None."""
    try:
        state = read_json(path)
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and {"done", "total", "unit"} <= set(state) else None


def duration(seconds: float) -> str:
    """Return a time for people: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def rate_and_time_left(done: float, total: float, seconds: float, unit: str) -> str:
    """Return a clause such as ``, 120 images/s, 4 min left``; empty before anything is done, and at the end."""
    if not 0 < done < total or seconds <= 0:
        return ""
    rate = done / seconds
    speed = f", {rate:,.{0 if rate >= 10 else 1}f} {unit}/s" if rate >= 0.05 else ""
    return f"{speed}, {duration((total - done) / rate)} left"
