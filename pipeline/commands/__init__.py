"""Command line: the group, its commands and ``main``.

Each module here whose name does not begin with an underscore is the command of that name: it defines ``command``, a
click command, and imports nothing heavy at its top, so that ``satpipe --help`` answers at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from types import FrameType
from typing import Any

import rich_click as click

from ..utils.errors import SatpipeWarning
from ._common import NARROW, say

INTERRUPTED = 130
DEFECT = 70

click.rich_click.MAX_WIDTH = 100
if shutil.get_terminal_size().columns < NARROW:
    click.rich_click.SHOW_METAVARS_COLUMN = False
    click.rich_click.APPEND_METAVARS_HELP = True
    click.rich_click.STYLE_OPTIONS_PANEL_BOX = click.rich_click.STYLE_COMMANDS_PANEL_BOX = "SIMPLE"


class Commands(click.RichGroup):
    """Group of all commands; a command's module is imported when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the name of every command."""
        return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of a name, or None."""
        if name not in self.list_commands(context):
            return None
        command: click.Command = import_module(f"{__name__}.{name}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="satpipe", prog_name="satpipe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Measure whether training on GAN-generated chips helps a classifier of satellite chips, and by how much.

    `satpipe run all` takes scenes and labels and writes a report.
    """


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM end a run as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print what satpipe warns users of, such as a renamed key, as a plain line."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, SatpipeWarning):
            say(f"satpipe: {message}", error=True)
        else:
            before(message, category, *place, **more)

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show
        yield


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from ..utils.errors import SatpipeError, first_line, os_error_hint

    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        with _terminable(), _plain_warnings():
            code = cli.main(arguments, prog_name="satpipe", standalone_mode=False)
    except click.Abort:
        sys.exit(_interrupted())
    except KeyboardInterrupt:
        sys.exit(_interrupted())
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SatpipeError as error:
        if debug:
            raise
        _fail(first_line(error))
        sys.exit(error.exit_code)
    except MemoryError:
        if debug:
            raise
        _fail(
            "this needs more memory than is available or than compute.memory_gb allows; raise that limit, or"
            " use less data"
        )
        sys.exit(SatpipeError.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and (hint := os_error_hint(error)) is not None:
            _fail(hint)
            sys.exit(SatpipeError.exit_code)
        _fail(f"{type(error).__name__}: {error}; this is a bug: `satpipe --debug ...` shows where")
        sys.exit(DEFECT)
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> int:
    from ..engine.torchrun import why_ended

    if reason := why_ended():
        _fail(reason)
        return 1
    _fail("interrupted; run the same command again to resume")
    return INTERRUPTED


def _fail(sentence: str) -> None:
    from ..utils.redact import redacted

    say(f"satpipe: {redacted(sentence)}", error=True)
