"""Provenance of a published page: date, duration, machine, version and command line.

These differ between equal runs, so they are no part of the committed page: it has marked places for them, which are
filled in where it is published, and which do not count when two pages are compared.
"""

from __future__ import annotations

import html
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..models.device import cores
from ..utils.redact import redacted
from .progress import duration

END = "<!--/-->"
HOW = "<!--how it was made-->"
_PLACE = re.compile(r"(<!--(?:how it was made|time of \d+ replicates)-->).*?<!--/-->", re.DOTALL)
_TIME = re.compile(rf"<!--time of (\d+) replicates-->{END}")
_REPLICATE = re.compile(r"(?:gan|synth|classify)/fold.*-r(\d+)(?:-|$)")


def without_metadata(page: str) -> str:
    """Return a page as it was committed, with nothing in its marked places."""
    return _PLACE.sub(rf"\1{END}", page)


def fill_in(page: str, started: float, seconds: float | None, task_seconds: Mapping[str, float]) -> str:
    """Return a committed page with its marked places filled in.

    Args:
        page: HTML; text that is filled in is escaped.
        started: When the run began, in seconds since the epoch.
        seconds: How long it took.
        task_seconds: Seconds of each task, by title, to tell how long further replicates take.
    """
    page = page.replace(f"{HOW}{END}", f"{HOW}{how_made(started, seconds)}{END}")
    replicates = {match[1] for title in task_seconds if (match := _REPLICATE.match(title))}
    if not replicates:
        return page
    each = sum(value for title, value in task_seconds.items() if _REPLICATE.match(title)) / len(replicates)

    def takes(match: re.Match[str]) -> str:
        start = match[0].removesuffix(END)
        return f"{start} That is about {duration(int(match[1]) * each)} of computing on one worker here.{END}"

    return _TIME.sub(takes, page)


def how_made(started: float, seconds: float | None) -> str:
    """Return how a run was made, as HTML."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started))
    took = f" in {duration(seconds)}" if seconds is not None else ""
    where = f"{processor()}, {cores()} cores, {platform.system()}"
    commit = source_commit()
    software = f"satpipe {version('satpipe')}" + (f" (commit {commit})" if commit else "")
    text = html.escape(f"Made {when}{took} on {where}, by {software}:")
    return f"{text} <code>{html.escape(command_line(sys.argv))}</code>"


def command_line(argv: Sequence[str]) -> str:
    """Return a command line without secrets, and of paths the last name: a report is passed on to others."""
    words = [redacted(re.sub(r"[^\s=]*/(?=[^/\s])", "", word)) for word in argv[1:]]
    return shlex.join(["satpipe", *words])


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


@cache
def source_commit() -> str | None:
    """Return the commit of the code where it runs from a checkout, or None."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(root), "rev-parse", "--short", "HEAD"],
            check=False,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
