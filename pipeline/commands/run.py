"""``satpipe run``: run the pipeline, or some of its stages."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..engine.progress import duration
from ..engine.stages import NAMES
from ..utils.plural import plural
from . import _complete as complete
from ._common import config_options, console, load, root_option, say

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..engine.runner import Outcome, Runner, Selection


@click.command("run")
@click.argument("targets", nargs=-1, metavar="[all|STAGE...|FILE.yaml]", shell_complete=complete.stages)
@config_options
@root_option
@click.option("--from", "first", type=click.Choice(NAMES), help="Start here; earlier stages must be complete.")
@click.option("--to", "last", type=click.Choice(NAMES), help="Stop after this stage.")
@click.option("--force", is_flag=True, help="Run the named stages again, even where they are up to date.")
@click.option("--no-remake", is_flag=True, help="Stop at an artifact that was damaged or changed since it was made.")
@click.option("--strict", is_flag=True, help="Stop at a scene or label that cannot be used, instead of leaving it out.")
@click.option("--dry-run", is_flag=True, help="List what would run, why, and about how long it takes.")
@click.option("--budget", metavar="TIME", help="Run whole replicates while they fit in this time, such as 90m or 3h.")
@click.option(
    "--quick", is_flag=True, help="Try every stage in minutes: short trainings, no verdict, as run NAME-quick."
)
@click.option("--executor", type=click.Choice(["processes", "dask"]), help="Where tasks run.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786; default: a local one.")
@click.option("--tensorboard", is_flag=True, help="Also log training for TensorBoard, below data/logs/.")
@click.pass_context
def command(
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
    quick: bool,
    executor: str | None,
    scheduler: str | None,
    tensorboard: bool,
) -> None:
    """Run the pipeline, or the named stages and what they need.

    Stages: ingest, chips, gan, synth, classify, report; without any, all of them. A configuration can be named here
    too: `satpipe run my.yaml`. What is up to date is not run again, and a result stays until another one is complete.
    """
    from ..config.quick import quick as quick_version
    from ..engine.display import display_for
    from ..engine.runner import Runner
    from ..engine.torchrun import started

    if not context.with_resource(started()):
        return
    targets, config_path = _split_targets(targets, config_path)
    selection = _selection(targets, first, last, force, no_remake)
    places = {"executor": executor, "scheduler": scheduler}
    overrides += tuple(f"compute.{key}={value}" for key, value in places.items() if value is not None)
    overrides += ("ingest.strict=true",) if strict else ()
    config = load(config_path, overrides, name)
    if quick:
        config = quick_version(config)
    if dry_run:
        _dry_run(Runner(root, display_for(console(), None)), config, selection)
        return
    _say_outcome(config, _run(root, config, selection, budget, tensorboard), quick)


def _run(root: Path, config: RunConfig, selection: Selection, budget: str | None, tensorboard: bool) -> Outcome:
    """Run the selected stages, with a log file."""
    from ..engine.display import display_for, log_file
    from ..engine.runner import Runner
    from ..engine.store import Store
    from ..engine.tensorboard import Mirror
    from ..utils.redact import redacted

    with log_file(root / "data" / "logs", config.name) as logger:
        display = display_for(console(), logger)
        mirror = Mirror(display, Store(root / "data"), config.name) if tensorboard else None
        runner = Runner(root, mirror or display)
        logger.info("satpipe %s", redacted(" ".join(sys.argv[1:])))
        try:
            if budget is None:
                outcome = runner.run(config, selection)
            else:
                seconds, began = _seconds(budget, selection), time.monotonic()
                outcome, replicates = runner.run_within(config, seconds, selection.remake)
                _say_budget(config, replicates, budget, time.monotonic() - began > seconds)
        except BaseException as error:
            logger.error("%s: %s", type(error).__name__, redacted(str(error)))
            raise
    if mirror is not None:
        mirror.complete(runner.plan(config))
        say(f"to watch the training: tensorboard --logdir {mirror.folder.parent}")
    return outcome


def _say_outcome(config: RunConfig, outcome: Outcome, quick: bool) -> None:
    from ..config.quick import NOT_A_VERDICT

    if not outcome.made:
        say(f"{config.name}: everything is up to date ({plural(outcome.total, 'task')})")
    if outcome.sentence:
        say(f"\n{NOT_A_VERDICT}: {outcome.sentence}" if quick else f"\n{outcome.sentence}")
        if outcome.metadata.get("simulated"):
            say("The scenes are simulated: this says nothing about real imagery.")
        say(f"report: {outcome.report}")


def _say_budget(config: RunConfig, replicates: int, budget: str, over: bool) -> None:
    """Print how many replicates a budget was enough for, and which ones are left out."""
    asked = config.split.replicates
    included = plural(replicates, "replicate")
    text = f"{included} took longer than {budget}" if over else f"{included} fitted in {budget}"
    left = f"left out: replicates {replicates + 1} to {asked}" if replicates < asked else "none left out"
    say(f"{config.name}: {text}; {left}, over all folds, fractions and arms")


def _seconds(text: str, selection: Selection) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.UsageError(f"--budget {text}: expected a number and a unit, such as 30m or 3h")
    if (selection.first, selection.last, selection.forced) != (NAMES[0], NAMES[-1], ()):
        raise click.UsageError("--budget needs `run all`, without --from, --to and --force")
    return seconds


def _split_targets(targets: tuple[str, ...], config_path: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Return the stages among the targets, and the configuration that --config or one of them names."""
    files = [target for target in targets if target.endswith((".yaml", ".yml"))]
    if len(files) + (config_path is not None) > 1:
        raise click.UsageError(f"more than one configuration: {', '.join(files)}; give one, or run them in turn")
    stages = tuple(target for target in targets if target not in files)
    return stages, Path(files[0]) if files else config_path


def _selection(
    targets: tuple[str, ...], first: str | None, last: str | None, force: bool, no_remake: bool
) -> Selection:
    from ..engine.runner import Selection

    unknown = [target for target in targets if target not in (*NAMES, "all")]
    if unknown:
        raise click.UsageError(
            f"no stage `{unknown[0]}`; stages are {', '.join(NAMES)}, or `all`; a configuration must end in .yaml"
        )
    if "all" in targets and len(targets) > 1:
        raise click.UsageError("`all` cannot be combined with stage names")
    named = NAMES if "all" in targets or not targets else tuple(stage for stage in NAMES if stage in targets)
    low = NAMES.index(first) if first else 0
    high = NAMES.index(last or named[-1])
    if low > high:
        raise click.UsageError(f"--from {first} comes after {NAMES[high]}")
    forced = tuple(stage for stage in named if low <= NAMES.index(stage) <= high) if force else ()
    return Selection(NAMES[low], NAMES[high], forced, remake=not no_remake)


def _dry_run(runner: Runner, config: RunConfig, selection: Selection) -> None:
    """Print what would run, why and about how long it takes.

    Raises:
        SatpipeError: If it would stop: then no time is forecast.
    """
    from ..engine.forecast import Forecast, later_stages
    from ..utils.errors import StoreError, TooLittleDataError

    planner = runner.planner(config, selection.forced)
    if planner.plan_ahead(selection.last):
        say(f"{config.name}: everything is up to date")
        return
    batch = planner.batches[-1]
    if NAMES.index(batch.stage.name) < NAMES.index(selection.first):
        title = batch.specs[batch.missing[0]].task.title
        raise StoreError(f"this cannot run: {title} is missing and --from {selection.first} starts after it")
    if batch.corrupted and not selection.remake:
        raise runner.store.corrupted(batch.corrupted[0].ref)
    if (reason := _too_few_scenes(config)) is not None:
        raise TooLittleDataError(f"this cannot run: {reason}")
    forecast, workers, seconds = Forecast(runner.store), runner.workers(config), 0.0
    for spec in (batch.specs[position] for position in batch.missing):
        cost = forecast.seconds(spec)
        seconds += cost / min(workers, len(batch.missing))
        say(f"{spec.task.title}: about {duration(cost)}: {'; '.join(batch.reasons[spec.task.title][:3])}")
    # What else the stage of chips runs is known once windows are planned; in the other stages a batch is all there is.
    begun = NAMES.index(batch.stage.name) + (batch.specs[0].task.title != "chips/windows")
    later = NAMES[begun : NAMES.index(selection.last) + 1]
    if later:
        say(f"then {', '.join(later)}: their tasks depend on the results of the tasks above")
    if "gan" in later and config.split.scheme == "leave-one-out" and not config.split.test_groups:
        say(f"for one {config.split.by} left out; their number is known once the scenes are read")
    for stage in later_stages(config, later):
        seconds += stage.wall(workers)
        less = ", less those that are up to date" if any(runner.store.records(stage.stage)) else ""
        say(f"{stage}{less}")
    say(f"about {duration(seconds)} in all with {plural(workers, 'worker')}")


def _too_few_scenes(config: RunConfig) -> str | None:
    """Return a sentence if scenes are the groups and there are not enough for the split, as far as files tell."""
    if config.split.by != "scene_id":
        return None
    from ..config.sources import SimulatedSource
    from ..stages.ingest.sources import plan_sources
    from ..utils.errors import SatpipeError

    try:
        sources = plan_sources(config.ingest)
    except SatpipeError:
        return None  # the planner of ingest has its own word on that
    scenes = 0
    for item in sources:
        chips = item.label_format.chips
        if isinstance(item.source, SimulatedSource):
            scenes += item.source.scenes
        elif item.scenes is None or (chips is not None and chips.packed_suffix):
            return None  # known once they are downloaded or read
        else:
            scenes += len(item.scenes.files)
    needed = config.split.folds if config.split.scheme == "folds" else 2
    if scenes >= needed:
        return None
    names = f"split.folds = {needed} folds need" if config.split.scheme == "folds" else "training and testing need"
    return (
        f"there {'is' if scenes == 1 else 'are'} {plural(scenes, 'scene')}, and {names} at least {needed};"
        " add scenes, or set split.by to another column"
    )
