"""``satpipe runs``: list runs."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from ._common import print_table, root_option, say


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
    columns = ("run", "state", "data", "preset", "verdict", "time", "report")
    print_table(columns, ([str(row[column] if row[column] is not None else "") for column in columns] for row in rows))
