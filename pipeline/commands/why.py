"""``satpipe why``: why the tasks of a stage would run."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..engine.stages import NAMES
from ._common import config_options, console, load, root_option, say


@click.command("why")
@click.argument("stage", type=click.Choice(NAMES))
@config_options
@root_option
def command(stage: str, config_path: Path | None, overrides: tuple[str, ...], name: str | None, root: Path) -> None:
    """Say for each part of a stage why it would be made, or when and from what it was."""
    from ..engine.display import PlainDisplay
    from ..engine.runner import Runner

    runner = Runner(root, PlainDisplay(console()))
    batches = runner.plan(load(config_path, overrides, name))
    mine = [batch for batch in batches if batch.stage.name == stage]
    if not mine:
        waiting = batches[-1].stage.name if batches else NAMES[0]
        say(f"{stage}: not planned yet; it depends on what {waiting} makes")
    for batch in mine:
        for spec, record in zip(batch.specs, batch.records, strict=True):
            title = spec.task.title
            if record is None:
                say(f"{title}: to be made: {'; '.join(batch.reasons[title])}")
            else:
                say(f"{title}: up to date: {runner.history(record)}")
