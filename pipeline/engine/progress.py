"""How far a part is: written by its maker to a small file, read by whoever shows it.

A file, because it is the one channel that is the same for this process, a pool's process and a worker on another host.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INTERVAL_S = 0.5


@dataclass
class Progress:
    """Progress of one part.

    Attributes:
        path: Where it is written, or None to keep it to itself.
    """

    path: Path | None = None
    _last: float = field(default=-1.0, repr=False)

    def update(self, done: float, total: float, unit: str, note: str = "") -> None:
        """Say that ``done`` of ``total`` units are made; written at most twice a second, and at the end."""
        now = time.monotonic()
        if self.path is None or (now - self._last < INTERVAL_S and done < total):
            return
        self._last = now
        text = json.dumps({"done": done, "total": total, "unit": unit, "note": note})
        temporary = self.path.with_suffix(".tmp")
        try:
            temporary.write_text(text, "utf-8")
            os.replace(temporary, self.path)
        except OSError:
            # Progress is a courtesy: a part is not lost because it could not be shown.
            self.path = None


def read(path: Path) -> dict[str, Any] | None:
    """What was last written to ``path``, or None."""
    try:
        state: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return state
