"""The command line: says what to do, does none of it.

Nothing heavy is imported before a command needs it: ``satpipe --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import rich_click as click

from pipeline.commands import COMMANDS, complete
from pipeline.commands.common import (
    NARROW,
    config_options,
    console,
    duration,
    load,
    print_table,
    root_option,
    say,
    what_is_missing,
)
from pipeline.stages import NAMES, STAGES

if TYPE_CHECKING:
    from pipeline.config import RunConfig

INTERRUPTED = 130
DEFECT = 70

click.rich_click.MAX_WIDTH = 100
if shutil.get_terminal_size().columns < NARROW:
    click.rich_click.SHOW_METAVARS_COLUMN = False
    click.rich_click.APPEND_METAVARS_HELP = True
    click.rich_click.STYLE_OPTIONS_PANEL_BOX = click.rich_click.STYLE_COMMANDS_PANEL_BOX = "SIMPLE"


class Commands(click.RichGroup):
    """The commands of this module, and those of :mod:`pipeline.commands`, imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Every command's name."""
        return sorted({*super().list_commands(context), *COMMANDS})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name in COMMANDS:
            command: click.Command = import_module(f"pipeline.commands.{COMMANDS[name]}").command
            return command
        return super().get_command(context, name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="satpipe", prog_name="satpipe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Does training on GAN-generated chips help a ship classifier, by how much, and how sure are we?

    `satpipe run all` takes scenes and labels in and gives a report out.
    """


# -------------------------------------------------------------------------------------------------------------- run


@cli.command()
@click.argument("targets", nargs=-1, required=True, metavar="all|STAGE...", shell_complete=complete.stages)
@config_options
@root_option
@click.option("--from", "first", type=click.Choice(NAMES), help="Start here; earlier stages must be complete.")
@click.option("--to", "last", type=click.Choice(NAMES), help="Stop after this stage.")
@click.option("--force", is_flag=True, help="Make the named stages again, also where they are up to date.")
@click.option("--no-remake", is_flag=True, help="Stop at a part that was damaged or changed since it was made.")
@click.option("--strict", is_flag=True, help="Stop at a scene or label that cannot be used, instead of leaving it out.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, why and about how long it takes.")
@click.option("--budget", metavar="TIME", help="Run whole replicates while they fit in this time, such as 90m or 3h.")
@click.option("--executor", type=click.Choice(["processes", "dask"]), help="Where parts are made.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786; default: a local one.")
@click.option("--tensorboard", is_flag=True, help="Write the trainings for TensorBoard too, below data/logs/.")
@click.pass_context
def run(
    context: click.Context,
    targets: tuple[str, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    root: Path,
    first: str | None,
    last: str | None,
    force: bool,
    no_remake: bool,
    strict: bool,
    dry_run: bool,
    budget: str | None,
    executor: str | None,
    scheduler: str | None,
    tensorboard: bool,
) -> None:
    """Run the pipeline, or the named stages and what they need.

    Stages: ingest, chips, gan, synth, classify, report. What is up to date is not made again.
    """
    from pipeline.display import display_for, log_file
    from pipeline.redact import redacted
    from pipeline.runner import Runner
    from pipeline.store import Store
    from pipeline.tensorboard import Mirror
    from pipeline.torchrun import started

    if not context.with_resource(started()):
        return
    selection = _selection(targets, first, last, force, no_remake)
    places = {"executor": executor, "scheduler": scheduler}
    overrides += tuple(f"compute.{key}={value}" for key, value in places.items() if value is not None)
    overrides += ("ingest.strict=true",) if strict else ()
    config = load(config_path, overrides, name)
    terminal = console()
    if dry_run:
        _dry_run(Runner(root, display_for(terminal, None)), config, selection)
        return
    with log_file(root / "data" / "logs", config.name) as logger:
        display = display_for(terminal, logger)
        mirror = Mirror(display, Store(root / "data"), config.name) if tensorboard else None
        runner = Runner(root, mirror or display)
        logger.info("satpipe %s", redacted(" ".join(sys.argv[1:])))
        try:
            if budget is None:
                outcome = runner.run(config, selection)
            else:
                seconds, began = _seconds(budget, selection), time.monotonic()
                outcome, replicates = runner.run_within(config, seconds, selection.remake)
                _say_what_fitted(config, replicates, budget, time.monotonic() - began > seconds)
        except BaseException as error:
            logger.error("%s: %s", type(error).__name__, redacted(str(error)))
            raise
    if mirror is not None:
        mirror.complete(runner.plan(config))
        say(f"see the trainings with: tensorboard --logdir {mirror.folder.parent}")
    if not outcome.made:
        say(f"{config.name}: everything is up to date ({outcome.total} parts)")
    if outcome.sentence:
        say(f"\n{outcome.sentence}")
        if outcome.facts.get("simulated"):
            say("The scenes are simulated: this says nothing about real imagery.")
        say(f"report: {outcome.report}")


def _say_what_fitted(config: RunConfig, replicates: int, budget: str, over: bool) -> None:
    """Say how many replicates a budget was enough for, and which ones are left out."""
    asked = config.split.replicates
    made = "1 replicate" if replicates == 1 else f"{replicates} replicates"
    text = f"{made} took longer than {budget}" if over else f"{made} fitted in {budget}"
    left = f"left out: replicates {replicates + 1} to {asked}" if replicates < asked else "none left out"
    say(f"{config.name}: {text}; {left}, over all folds, fractions and arms")


def _seconds(text: str, selection: Any) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.UsageError(f"--budget {text}: expected a number and a unit, such as 30m or 3h")
    if (selection.first, selection.last, selection.forced) != (NAMES[0], NAMES[-1], ()):
        raise click.UsageError("--budget goes with `run all`, without --from, --to and --force")
    return seconds


def _selection(targets: tuple[str, ...], first: str | None, last: str | None, force: bool, no_remake: bool) -> Any:
    from pipeline.runner import Selection

    unknown = [target for target in targets if target not in (*NAMES, "all")]
    if unknown:
        raise click.UsageError(f"no stage `{unknown[0]}`; stages are {', '.join(NAMES)}, or `all`")
    if "all" in targets and len(targets) > 1:
        raise click.UsageError("`all` goes alone")
    named = NAMES if "all" in targets else tuple(stage for stage in NAMES if stage in targets)
    low = NAMES.index(first) if first else 0
    high = NAMES.index(last or named[-1])
    if low > high:
        raise click.UsageError(f"--from {first} comes after {NAMES[high]}")
    forced = tuple(stage for stage in named if low <= NAMES.index(stage) <= high) if force else ()
    return Selection(NAMES[low], NAMES[high], forced, remake=not no_remake)


def _dry_run(runner: Any, config: RunConfig, selection: Any) -> None:
    waves = runner.plan(config, selection)
    missing = [(wave, wave.orders[position]) for wave in waves for position in wave.missing]
    if not missing:
        say(f"{config.name}: everything is up to date")
        return
    seconds = 0.0
    for wave, order in missing:
        cost = runner.expected_seconds(order)
        seconds += cost
        reason = "; ".join(wave.reasons[order.part.title][:3])
        say(f"{order.part.title}: about {duration(cost)}: {reason}")
    reached = NAMES.index(missing[-1][0].stage.name)
    later = NAMES[reached + 1 : NAMES.index(selection.last) + 1]
    if later:
        say(f"then {', '.join(later)}: what they make depends on the parts above")
    if "gan" in later and config.split.scheme == "leave-one-out" and not config.split.test_groups:
        say(f"for one {config.split.by} left out; how many there are is known once scenes are read")
    for stage, parts, cost in runner.forecast(config, later):
        seconds += parts * cost
        less = ", less those of them that are there already" if any(runner.store.records(stage)) else ""
        say(f"{stage}: {parts:,} parts of about {duration(cost)}{less}")
    workers = runner.workers(config)
    say(f"about {duration(seconds / workers)} in all with {workers} workers")


# ----------------------------------------------------------------------------------------------------------- looking


@cli.command()
@config_options
@root_option
def status(config_path: Path | None, overrides: tuple[str, ...], name: str | None, root: Path) -> None:
    """Show what is up to date and what is missing, stage by stage."""
    from pipeline.display import PlainDisplay
    from pipeline.runner import Runner

    config = load(config_path, overrides, name)
    waves = Runner(root, PlainDisplay(console())).plan(config)
    rows: list[tuple[str, ...]] = []
    blocked = False
    for stage in STAGES:
        mine = [wave for wave in waves if wave.stage.name == stage.name]
        total, missing = sum(len(wave.orders) for wave in mine), sum(len(wave.missing) for wave in mine)
        reasons = [f"{title}: {why[0]}" for wave in mine for title, why in wave.reasons.items()]
        if blocked or not mine:
            rows.append((stage.name, "", "", "", "waits for the stage before it" if blocked else ""))
        else:
            more = "+" if missing else ""
            rows.append((stage.name, f"{total}{more}", str(total - missing), str(missing), *reasons[:1]))
        blocked = blocked or bool(missing)
    print_table(("stage", "parts", "up to date", "to make", "first reason"), rows)


@cli.command()
@click.argument("stage", type=click.Choice(NAMES))
@config_options
@root_option
def why(stage: str, config_path: Path | None, overrides: tuple[str, ...], name: str | None, root: Path) -> None:
    """Say for each part of a stage why it would be made, or when and from what it was."""
    from pipeline.display import PlainDisplay
    from pipeline.runner import Runner

    runner = Runner(root, PlainDisplay(console()))
    waves = runner.plan(load(config_path, overrides, name))
    mine = [wave for wave in waves if wave.stage.name == stage]
    if not mine:
        waiting = waves[-1].stage.name if waves else NAMES[0]
        say(f"{stage}: not planned yet; it depends on what {waiting} makes")
    for wave in mine:
        for order, record in zip(wave.orders, wave.records, strict=True):
            title = order.part.title
            if record is None:
                say(f"{title}: to be made: {'; '.join(wave.reasons[title])}")
            else:
                say(f"{title}: up to date: {runner.history(record)}")


@cli.command()
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(root: Path, as_json: bool) -> None:
    """List the runs with data, preset, verdict, time and report."""
    from pipeline.display import PlainDisplay
    from pipeline.runner import Runner

    rows = Runner(root, PlainDisplay(console())).runs()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        say(f"no runs in {root / 'data'}; `satpipe run all` makes one")
        return
    columns = ("run", "state", "data", "preset", "verdict", "time", "report")
    print_table(columns, ([str(row[column] if row[column] is not None else "") for column in columns] for row in rows))


@cli.command()
@root_option
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option(
    "--forget",
    multiple=True,
    metavar="RUN",
    shell_complete=complete.runs,
    help="Forget this run first, so that its parts go too.",
)
def clean(root: Path, yes: bool, forget: tuple[str, ...]) -> None:
    """Delete parts that no run refers to, and say how much that frees."""
    from pipeline.cleaning import find_garbage
    from pipeline.store import Store

    if not Store(root / "data").is_there:
        say(f"nothing to delete: {root / 'data'} holds no runs")
        return
    with find_garbage(root / "data", forget) as garbage:
        if not garbage.files:
            say(f"nothing to delete in {root / 'data'}: every part there belongs to a run")
            return
        say(f"{garbage.parts:,} parts, {garbage.files:,} files, {garbage.size_bytes / 1e6:,.1f} MB no run refers to")
        if yes or click.confirm("Delete them?"):
            garbage.delete()
            say(f"freed {garbage.size_bytes / 1e6:,.1f} MB")


# ------------------------------------------------------------------------------------------------------------ config


@cli.group()
def config() -> None:
    """Show, check or describe configurations."""


@config.command("show")
@config_options
def config_show(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Print the configuration with every default filled in, as YAML."""
    import yaml

    from pipeline.config_base import as_json

    text = yaml.safe_dump(as_json(load(config_path, overrides, name)), sort_keys=False, allow_unicode=True)
    click.echo(text, nl=False)


@config.command("validate")
@config_options
def config_validate(config_path: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Check the keys of a configuration; the exit code tells. Files that it names and that are not there are told."""
    loaded = load(config_path, overrides, name)
    say(f"{loaded.name}: valid")
    missing = what_is_missing(loaded)
    if missing is not None:
        say(f"but a run would stop: {missing}")


@config.command("schema")
def config_schema() -> None:
    """Print the JSON schema of configurations, with the help of every key."""
    from pipeline.config import RunConfig

    click.echo(json.dumps(RunConfig.model_json_schema(), indent=1))


# ------------------------------------------------------------------------------------------------------------- main


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from pipeline.errors import SatpipeError, first_line, trouble

    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        with _terminable():
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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and (said := trouble(error)) is not None:
            _fail(said)
            sys.exit(SatpipeError.exit_code)
        _fail(f"{type(error).__name__}: {error}; this is a defect: `satpipe --debug ...` shows where")
        sys.exit(DEFECT)
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> int:
    from pipeline.torchrun import why_ended

    if reason := why_ended():
        _fail(reason)
        return 1
    _fail("interrupted; the same command goes on where it was")
    return INTERRUPTED


def _fail(sentence: str) -> None:
    from pipeline.redact import redacted

    console(error=True).print(f"satpipe: {redacted(sentence)}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
