"""Put a benchmark's result into the documents: each benchmark owns one section and replaces only that."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path


def write_section(title: str, lines: Sequence[str], path: Path | None) -> None:
    """Print a section, and put it into the Markdown file ``path``: in place of the one of its title, or at the end."""
    text = "\n".join([f"## {title}", "", *lines, ""])
    print(text)
    if path is None:
        return
    before = path.read_text("utf-8") if path.exists() else f"# {path.stem.capitalize()}\n"
    tasks = before.split("\n## ")
    kept = [task for task in tasks if not task.startswith(f"{title}\n")]
    place = next((number for number, task in enumerate(tasks) if task.startswith(f"{title}\n")), len(kept))
    kept.insert(place, text.removeprefix("## ").rstrip("\n") + "\n")
    path.write_text("\n## ".join(kept), "utf-8")


def processor() -> str:
    """Return the processor by its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
