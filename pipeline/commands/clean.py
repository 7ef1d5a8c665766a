"""``satpipe clean``: delete what no run refers to."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

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
    help="Forget this run first, so that its parts go too.",
)
def command(root: Path, yes: bool, forget: tuple[str, ...]) -> None:
    """Delete parts that no run refers to, and say how much that frees."""
    from ..engine.garbage import find_garbage
    from ..engine.store import Store

    if not Store(root / "data").is_there:
        say(f"nothing to delete: {root / 'data'} holds no runs")
        return
    with find_garbage(root / "data", forget) as garbage:
        if not garbage.files:
            say(f"nothing to delete in {root / 'data'}: every part there belongs to a run")
            return
        say(f"{garbage.tasks:,} parts, {garbage.files:,} files, {garbage.size_bytes / 1e6:,.1f} MB no run refers to")
        if yes or click.confirm("Delete them?"):
            garbage.delete()
            say(f"freed {garbage.size_bytes / 1e6:,.1f} MB")
