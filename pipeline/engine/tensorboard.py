"""Write trainings for TensorBoard: their log as scalars, their sample sheets as images.

A training writes its log and sheets as files. The process that runs the tasks copies them into TensorBoard's format as
they grow: workers need not have TensorBoard, and no artifact holds a time.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dataset.names import METRICS, SHEETS
from ..utils.errors import ConfigError
from .stages import Stage
from .store import Record, Store

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from .plan import TaskBatch
    from .runner import Display
    from .worker import TaskSpec

FOLDER = "tensorboard"
"""Folder below the store's logs."""
AXIS = "images"
"""Key of a log's lines that becomes TensorBoard's step."""
UNSAFE = re.compile(r"[^A-Za-z0-9.=_+, -]")
"""Characters that the name of a folder may not have, but values of a sweep's keys do."""


@dataclass
class Board:
    """A training's log in TensorBoard's format.

    Attributes:
        folder: Where it is written; what an earlier process left there is replaced.
    """

    folder: Path
    _writer: SummaryWriter | None = None
    _written: list[str] = field(default_factory=list)
    _drawn: set[str] = field(default_factory=set)

    def follow(self, training: Path) -> None:
        """Write what is new in the log and the sheets in the folder ``training``."""
        try:
            lines = (training / METRICS).read_text("utf-8").splitlines()
        except OSError:
            return  # no training, or before its first evaluation
        if lines[: len(self._written)] != self._written:
            self._begin_again()  # the training resumed from an earlier checkpoint
        for text in lines[len(self._written) :]:
            line = json.loads(text)
            for name, value in scalars(line):
                self._open().add_scalar(name, value, line[AXIS])
        self._written = lines
        self._draw(training / SHEETS)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._writer = SummaryWriter(str(self.folder))
        return self._writer

    def _begin_again(self) -> None:
        self.close()
        self._writer, self._written, self._drawn = None, [], set()

    def _draw(self, sheets: Path) -> None:
        import numpy as np
        from PIL import Image

        for path in sorted(sheets.glob("*.png")):
            if path.name in self._drawn:
                continue
            try:
                picture = np.asarray(Image.open(path).convert("RGB"))
            except (OSError, ValueError, SyntaxError):
                continue  # half written: read it the next time
            self._open().add_image("sheet", picture, int(path.stem), dataformats="HWC")
            self._drawn.add(path.name)


def scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield names and values of a line of a log; a nested value has the names of its mappings before its own."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            for deeper, number in scalars(value):
                yield f"{name}/{deeper}", number
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != AXIS and math.isfinite(value):
            yield name, float(value)


class Mirror:
    """A display that also writes trainings for TensorBoard, and passes everything on to another display."""

    def __init__(self, display: Display, store: Store, run: str) -> None:
        """Write below the logs of ``store``, in a folder of the run's name.

        Raises:
            ConfigError: If TensorBoard is not installed.
        """
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "--tensorboard needs TensorBoard, which is not installed; `pip install satpipe[tensorboard]`"
            )
        self.display, self.store = display, store
        self.folder = store.root / "logs" / FOLDER / run
        self._boards: dict[str, Board] = {}

    def write(self, spec: TaskSpec, training: Path) -> None:
        """Write what a training in the folder ``training`` has logged since the last time."""
        if spec.key not in self._boards:
            name = UNSAFE.sub("-", spec.task.name)
            self._boards[spec.key] = Board(self.folder / spec.task.stage / name)
        self._boards[spec.key].follow(training)

    def complete(self, batches: Iterable[TaskBatch]) -> None:
        """Write the committed trainings of a run that did not run just now."""
        for batch in batches:
            for spec, record in zip(batch.specs, batch.records, strict=True):
                if record is not None and spec.key not in self._boards:
                    self.write(spec, self.store.folder(record.ref))
                    self._boards[spec.key].close()

    def say(self, text: str) -> None:
        """Show a line that a person should read."""
        self.display.say(text)

    def stage_begins(self, stage: Stage, missing: int, total: int) -> None:
        """Show that a batch of a stage begins."""
        self.display.stage_begins(stage, missing, total)

    def task_done(self, spec: TaskSpec, record: Record, metadata: dict[str, Any]) -> None:
        """Show that a task is done."""
        self.display.task_done(spec, record, metadata)
        self.write(spec, self.store.folder(record.ref))
        self._boards[spec.key].close()

    def task_progress(self, spec: TaskSpec, state: dict[str, Any]) -> None:
        """Show how far a running task is."""
        self.display.task_progress(spec, state)
        self.write(spec, self.store.work(spec.key))

    def stage_ends(self, stage: Stage, ran: int, total: int, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage is complete."""
        self.display.stage_ends(stage, ran, total, metadata)

    def stage_stops(self, stage: Stage, metadata: dict[str, dict[str, Any]]) -> None:
        """Show that a stage cannot go on."""
        self.display.stage_stops(stage, metadata)
