"""Options, printing and loading of configurations that commands share."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from ..engine.progress import rate_and_time_left
from ..utils.bounded_files import read_bytes
from . import _complete as complete

if TYPE_CHECKING:
    from rich.console import Console

    from ..config.run import RunConfig
    from ..engine.runner import Runner
    from ..engine.runs import Run
    from ..engine.task import Artifact

WIDE = 10_000
"""Width of tables that do not go to a terminal: no cell is cut or folded."""

Command = TypeVar("Command", bound=Callable[..., Any])

NARROW = 60
"""Columns of a terminal below which tables become lists and help has no boxes, so that words stay whole."""
MAX_YAML_BYTES = 1 << 20
GAP = 2
"""Blanks between the columns of a table."""
LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def console(error: bool = False) -> Console:
    """Return the console of standard output, or of standard error."""
    from rich.console import Console

    return Console(stderr=error)


def say(text: str, error: bool = False) -> None:
    """Print a text without markup, colours and line breaks of ours, and without what acts on a terminal."""
    from ..utils.errors import without_controls

    text = without_controls(text, keep="\n")
    console(error).print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """Print a table as wide as the terminal, with long cells on several lines; elsewhere a row is one line.

    Columns of integers are aligned to the right.

    On a terminal that is too narrow for columns whose words stay whole each row becomes a few lines, cell by cell.
    """
    from rich.table import Table
    from rich.text import Text

    from ..utils.errors import without_controls

    terminal = console()
    given = [list(row) for row in rows]
    # A row may end before the last columns.
    numeric = [isinstance(cell, int) for cell, _ in zip_longest(next(iter(given), []), columns)]
    cells = [[f"{cell:,}" if isinstance(cell, int) else without_controls(cell) for cell in row] for row in given]
    width = terminal.width if terminal.is_terminal else WIDE
    widths = _column_widths(columns, cells, width) if width >= NARROW else None
    if widths is None:
        for row in cells:
            terminal.print(Text(row[0], "bold"))
            for column, cell in zip(columns[1:], row[1:], strict=False):
                if cell:
                    terminal.print(Text(f"  {column}: {cell}"))
        return
    terminal.width = width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column, column_width, right in zip(columns, widths, numeric, strict=True):
        table.add_column(Text(column), width=column_width, overflow="fold", justify="right" if right else "left")
    for row in cells:
        table.add_row(*map(Text, row))
    terminal.print(table)


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return the width of each column: its longest word and a share of what is left; None if words do not fit.

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
        column = max(range(len(widths)), key=lambda column: wanted[column] - widths[column])
        widths[column] += 1
        left -= 1
    return widths


def config_options(command: Command) -> Command:
    """Add the options that choose and change a configuration."""
    options = (
        click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            help="Configuration file, or the name of a bundled one; default: demo.yaml, on simulated scenes.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            shell_complete=complete.overrides,
            help="Set a configuration key; may be repeated.",
        ),
        click.option("--name", help="Name of the run; default: the configuration's."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def scene_options(command: Command) -> Command:
    """Add the options on what scenes do not state about themselves."""
    gsd = click.option(
        "--gsd",
        type=click.FloatRange(min=0, min_open=True),
        metavar="METRES",
        show_default="the run's",
        help="Metres per pixel of scenes that do not state it.",
    )
    nodata = click.option(
        "--nodata",
        type=float,
        show_default="the run's",
        help="Value of pixels without data, in scenes that do not state it.",
    )
    return gsd(nodata(command))


root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="working folder",
    help="Folder that holds data/ and reports/.",
)


def load(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> RunConfig:
    """Return the checked configuration that the options ask for, and cap this process at the memory it allows.

    Raises:
        ConfigError: If it cannot be used.
    """
    from ..config.load import load as load_file

    if config_path is None:
        say(f"no --config: the demo on simulated scenes{_configurations(Path())}", error=True)
    config = load_file(config_path, overrides, name)
    cap(config)
    return config


def cap(config: RunConfig) -> None:
    """Keep this process below the memory that a configuration allows to each worker."""
    from ..engine.process_pool import cap_memory

    if config.compute.memory_gb is not None:
        cap_memory(config.compute.memory_gb)


def reports(root: Path) -> Path:
    """Return the folder of reports, which must not be a link.

    Raises:
        StoreError: If it is one.
    """
    from ..engine.store import refuse_link

    refuse_link(root / "reports")
    return root / "reports"


def find(run_name: str | None, root: Path) -> Run:
    """Return the run that --run names, and cap this process at the memory that its configuration allows.

    Raises:
        SatpipeError: If there is none.
    """
    from ..engine.runs import find_run

    run = find_run(run_name, root)
    cap(run.config)
    return run


def _configurations(folder: Path) -> str:
    """Return a clause that names the configurations in a folder; empty where there is none."""
    names = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        with suppress(OSError, ValueError):
            if re.search(rb"^ingest\s*:", read_bytes(path, MAX_YAML_BYTES), re.MULTILINE):
                names.append(path.name)
    return f"; this folder has {', '.join(names[:5])}, which `satpipe run {names[0]}` runs" if names else ""


def what_is_missing(config: RunConfig) -> str | None:
    """Return a sentence on scene or label files that a configuration names and that do not exist; None if all do."""
    from ..stages.ingest.sources import find_files
    from ..utils.errors import SatpipeError

    try:
        find_files(config.ingest)
    except SatpipeError as error:
        return str(error)
    return None


def committed(runner: Runner, config: RunConfig, last: str) -> tuple[dict[str, dict[str, Artifact]], bool]:
    """Return what a configuration has of the stages up to ``last``; runs nothing.

    Returns:
        Artifacts by stage and name, as far as they are up to date, and whether that is all of them.
    """
    from ..utils.errors import TooLittleDataError

    planner = runner.planner(config)
    try:
        return planner.done, planner.plan_ahead(last)
    except TooLittleDataError:
        return planner.done, False


run_option = click.option(
    "--run",
    "run_name",
    metavar="NAME",
    shell_complete=complete.runs,
    help="Run to use, or NAME@VERSION for an older result of it; default: the only run there is.",
)


@contextmanager
def progress(unit: str) -> Iterator[Callable[[float, float], None]]:
    """Show the progress of a command: a bar with rate and time left on a terminal, a line now and then elsewhere.

    Args:
        unit: What is counted.

    Yields:
        A function that takes how many are done, of how many.
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
    began = shown = time.monotonic()

    def tick(done: float, total: float) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= LINE_EVERY_S and done < total:
            shown = now
            say(f"{done:,.0f} of {total:,.0f} {unit}{rate_and_time_left(done, total, now - began, unit)}", error=True)

    return tick
