"""What commands share: options, printing, loading a configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from . import _complete as complete

if TYPE_CHECKING:
    from rich.console import Console

    from ..config.run import RunConfig
    from ..engine.runner import Runner
    from ..engine.task import Artifact

WIDE = 10_000
"""Characters of a line where nobody looks at a terminal: no cell is cut or folded."""

Command = TypeVar("Command", bound=Callable[..., Any])

NARROW = 60
"""Columns of a terminal below which tables become lists, and help leaves out boxes, so that words stay whole."""
GAP = 2
"""Blanks between the columns of a table."""
LINE_EVERY_S = 10.0
"""Time between two lines that say how far a command is, where there is no terminal."""


def console(error: bool = False) -> Console:
    """Standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=error)


def say(text: str) -> None:
    """Print a text as it is: no markup, no colours, no line breaks of our own."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as wide as the terminal, with long cells on several lines; elsewhere a row is one line.

    On a terminal that is too narrow for columns whose words stay whole each row becomes a few lines, cell by cell.
    """
    from rich.table import Table
    from rich.text import Text

    terminal, rows = console(), list(rows)
    width = terminal.width if terminal.is_terminal else WIDE
    widths = _column_widths(columns, rows, width) if width >= NARROW else None
    if widths is None:
        for row in rows:
            terminal.print(Text(row[0], "bold"))
            for column, cell in zip(columns[1:], row[1:], strict=False):
                if cell:
                    terminal.print(Text(f"  {column}: {cell}"))
        return
    terminal.width = width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column, wide in zip(columns, widths, strict=True):
        table.add_column(Text(column), width=wide, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    terminal.print(table)


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Width of each column: its longest word, and a share of what is left; None where the words do not fit.

    A word of more than half of a narrow line may be broken.
    """
    cells_of = list(zip_longest(columns, *rows, fillvalue=""))
    wanted = [max(map(len, cells)) for cells in cells_of]
    words = [max((len(word) for cell in cells for word in cell.split()), default=0) for cells in cells_of]
    widths = [min(word, NARROW // 2) for word in words]
    left = width - sum(widths) - GAP * (len(widths) - 1)
    if left < 0:
        return None
    while left and widths != wanted:
        # Whoever lacks most gets the next character, so that the longest cells end on about as many lines.
        at = max(range(len(widths)), key=lambda column: wanted[column] - widths[column])
        widths[at] += 1
        left -= 1
    return widths


def config_options(command: Command) -> Command:
    """The options that choose and change a configuration."""
    options = (
        click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            help="Configuration: a file, or the name of one that satpipe brings; default: demo.yaml.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            shell_complete=complete.overrides,
            help="Set one key; may be repeated.",
        ),
        click.option("--name", help="Name of the run; default: the configuration's."),
    )
    for option in reversed(options):
        command = option(command)
    return command


root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="working folder",
    help="Folder that holds data/ and reports/.",
)


def load(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> RunConfig:
    """The checked configuration that the options ask for.

    Raises:
        ConfigError: If it cannot be used.
    """
    from ..config.load import load as load_file

    return load_file(config_path, overrides, name)


def what_is_missing(config: RunConfig) -> str | None:
    """A sentence on scene or label files that a configuration names and that are not there; None where all are."""
    from ..stages.ingest.sources import find_files
    from ..utils.errors import SatpipeError

    try:
        find_files(config.ingest)
    except SatpipeError as error:
        return str(error)
    return None


def committed(runner: Runner, config: RunConfig, last: str) -> tuple[dict[str, dict[str, Artifact]], bool]:
    """What a configuration has made of the stages up to ``last``; makes nothing.

    Returns:
        Committed parts by stage and name, as far as they are up to date, and whether that is all of them.
    """
    from ..engine.plan import BlockedError, TaskBatch
    from ..engine.stages import NAMES, STAGES
    from ..engine.store import Record
    from ..utils.errors import TooLittleDataError

    walk = runner.walk(config)

    def handle(batch: TaskBatch) -> list[Record]:
        if batch.missing:
            raise BlockedError
        return [record for record in batch.records if record is not None]

    try:
        for stage in STAGES[: NAMES.index(last) + 1]:
            for _ in walk.stage(stage, handle):
                pass
    except (BlockedError, TooLittleDataError):
        return walk.done, False
    finally:
        walk.fingerprints.save()
    return walk.done, True


def duration(seconds: float) -> str:
    """A time for people: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


run_option = click.option(
    "--run",
    "run_name",
    metavar="NAME",
    shell_complete=complete.runs,
    help="Run to use; default: the only one there is.",
)


@contextmanager
def progress(unit: str) -> Iterator[Callable[[float, float], None]]:
    """Show how far a command is: a bar with rate and time left on a terminal, a line now and then elsewhere.

    Args:
        unit: What is counted.

    Yields:
        A function that is told how many are done, of how many.
    """
    terminal = console(error=True)
    if not terminal.is_terminal:
        yield _lines(unit)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(compact=True), console=terminal, transient=True) as bars:
        task = bars.add_task("", total=None, rate=unit)

        def tick(done: float, total: float) -> None:
            speed = bars.tasks[0].speed
            bars.update(task, completed=done, total=total, rate=f"{speed:,.0f} {unit}/s" if speed else unit)

        yield tick


def _lines(unit: str) -> Callable[[float, float], None]:
    began = said = time.monotonic()

    def tick(done: float, total: float) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LINE_EVERY_S and done < total:
            said = now
            left = duration((now - began) / done * (total - done)) if done else "unknown"
            text = f"{done:,.0f} of {total:,.0f} {unit}, {left} left"
            console(error=True).print(text, markup=False, highlight=False, soft_wrap=True)

    return tick
