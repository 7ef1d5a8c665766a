"""``satpipe config``: show, check or describe configurations."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from ._common import config_options, load, say, what_is_missing


@click.group("config", cls=click.RichGroup)
def command() -> None:
    """Show, check or describe configurations."""


@command.command("show")
@config_options
def config_show(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Print the configuration with every default filled in, as YAML."""
    import yaml

    from ..utils.section import as_json

    text = yaml.safe_dump(as_json(load(config_path, overrides, name)), sort_keys=False, allow_unicode=True)
    click.echo(text, nl=False)


@command.command("validate")
@config_options
def config_validate(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Check a configuration; exits with 2 if it is invalid. Lists files that do not exist."""
    loaded = load(config_path, overrides, name)
    say(f"{loaded.name}: valid")
    missing = what_is_missing(loaded)
    if missing is not None:
        say(f"but it cannot run yet: {missing}")


@command.command("schema")
def config_schema() -> None:
    """Print the JSON schema of configurations, with the help of every key."""
    from ..config.run import RunConfig

    click.echo(json.dumps(RunConfig.model_json_schema(), indent=1))
