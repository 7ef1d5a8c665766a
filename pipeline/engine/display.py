"""Show what a run does: progress bars on a terminal, plain lines elsewhere, and everything in a log file."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..utils.atomic_files import make_folder
from ..utils.errors import StoreError, one_line, os_error_hint
from ..utils.plural import plural
from .progress import duration, rate_and_time_left
from .stages import Stage
from .store import Record
from .worker import TaskSpec

LOG_FILES_KEPT = 20
"""Log files of a run that are kept."""
LOG_FILES_IN_ALL = 200
LOG_BYTES = 10_000_000
"""A longer log starts anew; the previous one is kept beside it."""
LINE_EVERY_S = 20.0


class _LogFile(RotatingFileHandler):
    """A log file that stops no run if it cannot be written to, and prints nothing then."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing."""


@contextmanager
def log_file(folder: Path, run: str) -> Iterator[logging.Logger]:
    """Open a logger that writes to a new file for this run; delete the oldest files beyond those that are kept.

    Raises:
        StoreError: If the folder cannot be written to.
    """
    logger = logging.getLogger("satpipe")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    stamp = "[0-9]" * 8 + "T" + "[0-9]" * 6 + ".log"
    try:
        make_folder(folder)
        for pattern, kept in ((f"{run}-{stamp}", LOG_FILES_KEPT), (f"*-{stamp}", LOG_FILES_IN_ALL)):
            for old in sorted(folder.glob(pattern), key=lambda path: path.name[-len("20260101T000000.log") :])[
                : 1 - kept
            ]:
                for path in (old, Path(f"{old}.1")):
                    path.unlink(missing_ok=True)
        handler = _LogFile(folder / f"{run}-{time.strftime('%Y%m%dT%H%M%S')}.log", "a", LOG_BYTES, 1, "utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written to: {os_error_hint(error) or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):
            handler.close()


SHARED = 20
"""Scenes and labels that are left out for one reason, from which they are only counted."""


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())


def summary(stage: str, metadata: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return lines on what a stage kept, what it dropped and why."""
    if stage == "ingest" and "tables" in metadata:
        tables = metadata["tables"]
        scenes = len(tables["scenes"])
        lines = [f"{scenes:,} scene{'s' * (scenes != 1)}; labels: {_counts(tables['labels']) or 'none'}"]
        left_out = [*tables.get("quarantined", []), *tables.get("labels_quarantined", [])]
        shared = Counter(reason for _, reason in left_out)
        many = {reason: count for reason, count in shared.items() if count > SHARED}
        lines += [f"left out: {count:,}: {reason}" for reason, count in many.items()]
        few = [(name, reason) for name, reason in left_out if reason not in many]
        lines += [f"left out: {name}: {reason}" for name, reason in few[:5]]
        return lines + ([f"left out: {len(few) - 5:,} more, all in the report"] if len(few) > 5 else [])
    if stage == "chips" and "index" in metadata:
        index = metadata["index"]
        dropped = {reason: number for reason, number in index.get("dropped", {}).items() if number}
        lines = [f"chips: {_counts(index['chips'])}"]
        lines += [f"windows not used: {_counts(dropped)}"] if dropped else []
        return lines + _leaks(metadata)
    if stage == "synth":
        accepted: dict[str, int] = {}
        candidates: dict[str, int] = {}
        for task in metadata.values():
            for total, name in ((accepted, "accepted"), (candidates, "candidates")):
                for label, number in task.get(name, {}).items():
                    total[label] = total.get(label, 0) + number
        kept = (f"{label} {accepted.get(label, 0):,} of {number:,}" for label, number in candidates.items())
        return [f"synthetic chips accepted: {', '.join(kept)}"] if candidates else []
    return []


def _leaks(metadata: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return lines on leaks between groups: found, joined and dropped. No split keeps one that was found."""
    leaks = metadata.get("duplicates")
    splits = [task for name, task in metadata.items() if name.startswith("split-")]
    if leaks is None or not splits or not leaks["overlaps"] + leaks["duplicates"]:
        return []
    dropped = sum(sum(task["dropped"].values()) for task in splits)
    joined = leaks["joined"].get(splits[0]["by"], []) if splits[0]["joins"] else []
    count = f"{plural(sum(map(len, joined)), 'group')} of {splits[0]['by']}"
    groups = f"{count} joined into {len(joined):,}" if joined else "no groups joined"
    pairs = (
        f"pairs of chips that overlap on the ground: {leaks['overlaps']:,}, near-duplicates: {leaks['duplicates']:,}"
    )
    copies = (
        f"{plural(dropped, 'training copy', 'training copies')} dropped in {plural(len(splits), 'split')}; none remains"
    )
    return [f"leaks: {pairs}; {groups}; {copies}"]


class PlainDisplay:
    """Plain lines, for a log, a pipe or a file."""

    def __init__(self, console: Console, logger: logging.Logger | None = None) -> None:
        """Write to ``console`` and ``logger``."""
        self.console = console
        self.logger = logger
        self._made = self._missing = 0
        self._shown: dict[str, float] = {}
        self._first: dict[str, tuple[float, float]] = {}
        self._began = 0.0
        self._current = ""

    def say(self, text: str) -> None:
        """Write one line."""
        text = text[: len(text) - len(text.lstrip())] + one_line(text)
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        if self.logger:
            self.logger.info("%s", text)

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """Write what the stage does, at its first batch."""
        self._made, self._missing, self._began = 0, missing, time.monotonic()
        if stage.name != self._current:
            self._current = stage.name
            self.say(f"{stage.name}: {stage.does}")

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """Write that a task is done, how long it took, and how long the others will take."""
        self._made += 1
        self._shown.pop(spec.key, None)
        remaining = self._missing - self._made
        left = f", {duration((time.monotonic() - self._began) / self._made * remaining)} left" if remaining else ""
        self.say(f"  {spec.task.title} made in {record.seconds:.1f} s ({self._made} of {self._missing}{left})")

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """Write how far a task is, now and then, with its rate and time left."""
        now = time.monotonic()
        done, total, unit = state["done"], state["total"], state["unit"]
        if now - self._shown.setdefault(spec.key, now) >= LINE_EVERY_S:
            self._shown[spec.key] = now
            began, before = self._first.get(spec.key, (now, done))
            rate = rate_and_time_left(done - before, total - before, now - began, unit)
            note = f", {state['note']}" if state.get("note") else ""
            self.say(f"  {spec.task.title}: {done:,.0f} of {total:,.0f} {unit}{rate}{note}")
        # From where it is now: what an earlier run did would count as done in no time.
        self._first.setdefault(spec.key, (now, done))

    def stage_ends(self, stage: Stage, ran: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """Write what the stage kept and dropped."""
        state = f"{ran} of {plural(total, 'task')} run" if ran else f"up to date, {plural(total, 'task')}"
        self.say(f"{stage.name}: {state}")
        if ran:
            for line in summary(stage.name, metadata):
                self.say(f"  {line}")

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """Write what the stage has."""
        for line in summary(stage.name, metadata):
            self.say(f"  {line}")


class TerminalDisplay(PlainDisplay):
    """Progress bars with rate and time left; what is finished stays as a line above them."""

    def __init__(self, console: Console, logger: logging.Logger | None = None) -> None:
        """Draw on ``console``."""
        super().__init__(console, logger)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
        rate = TextColumn("{task.fields[rate]}")
        self.bars = Progress(*columns, rate, TimeRemainingColumn(compact=True), console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._stage: TaskID | None = None

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """Draw the stage's bar."""
        self._missing = missing
        if self.logger:
            self.logger.info("%s: %d of %d tasks to run", stage.name, missing, total)
        self._drop_stage()
        self._stage = self.bars.add_task(f"{stage.name}: tasks", total=missing, rate="")
        self.bars.start()

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """Move the stage's bar."""
        if self.logger:
            self.logger.info("%s made in %.1f s", spec.task.title, record.seconds)
        if (task := self._tasks.pop(spec.key, None)) is not None:
            self.bars.remove_task(task)
        if self._stage is not None:
            self.bars.advance(self._stage)

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """Move the task's bar."""
        if spec.key not in self._tasks:
            # From where it is now: what was done before would count as done in no time.
            self._tasks[spec.key] = self.bars.add_task(
                f"  {spec.task.name}", total=state["total"], completed=state["done"], rate=""
            )
        task = self._tasks[spec.key]
        self.bars.update(task, completed=state["done"], total=state["total"])
        speed = next((bar.speed for bar in self.bars.tasks if bar.id == task), None)
        digits = 0 if speed and speed >= 10 else 1
        rate = f"{speed:,.{digits}f} {state['unit']}/s" if speed else str(state["unit"])
        self.bars.update(task, rate=f"{rate} {state.get('note', '')}")

    def stage_ends(self, stage: Stage, ran: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """Remove the bars and write what the stage kept and dropped."""
        self._drop_stage()
        self.bars.stop()
        super().stage_ends(stage, ran, total, metadata)

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """Remove the bars and write what the stage has."""
        self._drop_stage()
        self.bars.stop()
        super().stage_stops(stage, metadata)

    def _drop_stage(self) -> None:
        for task in [*self._tasks.values(), *([] if self._stage is None else [self._stage])]:
            self.bars.remove_task(task)
        self._tasks.clear()
        self._stage = None


def display_for(console: Console, logger: logging.Logger | None) -> PlainDisplay:
    """Return a display with bars on a terminal, and with plain lines elsewhere."""
    return TerminalDisplay(console, logger) if console.is_terminal else PlainDisplay(console, logger)
