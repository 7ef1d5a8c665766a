"""``satpipe status``: what is up to date, stage by stage."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..engine.stages import STAGES
from ._common import config_options, console, load, print_table, root_option


@click.command("status")
@config_options
@root_option
def command(config_path: Path | None, overrides: tuple[str, ...], name: str | None, root: Path) -> None:
    """Show what is up to date and what is missing, stage by stage."""
    from ..engine.display import PlainDisplay
    from ..engine.runner import Runner

    config = load(config_path, overrides, name)
    batches = Runner(root, PlainDisplay(console())).plan(config)
    rows: list[tuple[str, ...]] = []
    blocked = False
    for stage in STAGES:
        mine = [batch for batch in batches if batch.stage.name == stage.name]
        total, missing = sum(len(batch.specs) for batch in mine), sum(len(batch.missing) for batch in mine)
        reasons = [f"{title}: {why[0]}" for batch in mine for title, why in batch.reasons.items()]
        if blocked or not mine:
            rows.append((stage.name, "", "", "", "waits for the stage before it" if blocked else ""))
        else:
            more = "+" if missing else ""
            rows.append((stage.name, f"{total}{more}", str(total - missing), str(missing), *reasons[:1]))
        blocked = blocked or bool(missing)
    print_table(("stage", "parts", "up to date", "to make", "first reason"), rows)
