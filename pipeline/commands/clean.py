"""``satpipe clean``: delete what no run refers to."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..utils.plural import plural
from . import _complete as complete
from ._common import root_option, say


@click.command("clean")
@root_option
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option(
    "--forget",
    multiple=True,
    metavar="RUN",
    shell_complete=complete.runs,
    help="Forget this run, or one of its results as NAME@VERSION, and delete what only it used; may be repeated.",
)
def command(root: Path, yes: bool, forget: tuple[str, ...]) -> None:
    """Delete what no run refers to, and print what is removed for each run and how much space that frees.

    Every result of a run is kept until --forget names it or its run. Published reports stay.
    """
    from ..engine.garbage import find_garbage
    from ..engine.store import Store

    if not Store(root / "data").is_there:
        say(f"nothing to delete: {root / 'data'} holds no runs")
        return
    with find_garbage(root / "data", forget) as garbage:
        for line in garbage.forgotten:
            say(f"forget {line}")
        if not garbage.files:
            say(f"nothing to delete in {root / 'data'}: every artifact there belongs to a run")
            return
        for run, counts in sorted(garbage.by_run.items()):
            artifacts = ", ".join(f"{count:,} of {stage}" for stage, count in counts.items())
            say(f"to delete of {run}: artifacts {artifacts}; {garbage.sizes[run] / 1e6:,.1f} MB")
        whose = "no other run refers to" if forget else "no run refers to"
        size = f"{garbage.size_bytes / 1e6:,.1f} MB"
        say(f"{plural(garbage.files, 'file')} in all, {size} that {whose}")
        if yes or click.confirm("Delete them?"):
            garbage.delete()
            say(f"freed {size}")
