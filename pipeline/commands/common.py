"""What commands share: options, printing, loading a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from rich.console import Console

    from ..config import RunConfig

Command = TypeVar("Command", bound=Callable[..., Any])


def console(error: bool = False) -> Console:
    """Standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=error)


def say(text: str) -> None:
    """Print a text as it is: no markup, no colours, no line breaks of our own."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def config_options(command: Command) -> Command:
    """The options that choose and change a configuration."""
    options = (
        click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration; default: demo."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one key; may be repeated."),
        click.option("--name", help="Name of the run; default: the configuration's."),
    )
    for option in reversed(options):
        command = option(command)
    return command


root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="working folder",
    help="Folder that holds data/ and reports/.",
)


def load(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> RunConfig:
    """The checked configuration that the options ask for.

    Raises:
        ConfigError: If it cannot be used.
    """
    from ..configfile import load as load_file

    return load_file(config_path, overrides, name)


def duration(seconds: float) -> str:
    """A time for people: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
