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
    is_blocked = False
    for stage in STAGES:
        planned = [batch for batch in batches if batch.stage.name == stage.name]
        total, missing = sum(len(batch.specs) for batch in planned), sum(len(batch.missing) for batch in planned)
        reasons = [f"{title}: {why[0]}" for batch in planned for title, why in batch.reasons.items()]
        if is_blocked or not planned:
            rows.append((stage.name, "", "", "", "waits for the stage before it" if is_blocked else ""))
        else:
            more = "+" if missing else ""
            rows.append((stage.name, f"{total}{more}", str(total - missing), str(missing), *reasons[:1]))
        is_blocked = is_blocked or bool(missing)
    print_table(("stage", "tasks", "up to date", "to run", "first reason"), rows)
