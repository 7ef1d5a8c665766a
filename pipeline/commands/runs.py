"""``satpipe runs``: list runs."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import shorten

import rich_click as click

from ._common import console, print_table, root_option, say

COLUMNS = ("run", "state", "data", "preset", "verdict", "time", "report")
WIDE = 120
"""Columns of a terminal from which the path of the report is shown too; it is reports/RUN/report.html."""
CELL = 60
"""Characters of a cell on a terminal."""


@click.command("runs")
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(root: Path, as_json: bool) -> None:
    """List the results of runs with data, preset, verdict, time and report.

    NAME is the newest result of a run, NAME@1 an older one; other rows are attempts that did not end in a result.
    """
    from ..engine.run_list import run_rows

    rows = run_rows(root)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        say(f"no runs in {root / 'data'}; `satpipe run all` makes one")
        return
    columns = COLUMNS if not console().is_terminal or console().width >= WIDE else COLUMNS[:-1]
    print_table(columns, ([_cell(row[column]) for column in columns] for row in rows))


def _cell(value: object) -> str:
    """Return a cell; a long sentence, such as that of a failed run, is cut on a terminal. --json has it whole."""
    text = "" if value is None else str(value)
    return shorten(text, CELL, placeholder="…") if console().is_terminal else text
