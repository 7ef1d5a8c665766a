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
    """List the tasks of a stage: why each would run, or when and from what its artifact was made."""
    from ..engine.display import PlainDisplay
    from ..engine.forecast import history
    from ..engine.runner import Runner

    runner = Runner(root, PlainDisplay(console()))
    batches = runner.plan(load(config_path, overrides, name))
    planned = [batch for batch in batches if batch.stage.name == stage]
    if not planned:
        last_stage = batches[-1].stage.name if batches else NAMES[0]
        say(f"{stage}: not planned yet; it depends on the results of {last_stage}")
    for batch in planned:
        for spec, record in zip(batch.specs, batch.records, strict=True):
            title = spec.task.title
            if record is None:
                say(f"{title}: to run: {'; '.join(batch.reasons[title])}")
            else:
                say(f"{title}: up to date: {history(record)}")
