"""`satpipe sweep`: the same run at many values of some of its keys."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..engine.progress import duration
from ..utils.plural import plural
from ._common import console, print_table, reports, root_option, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.runner import Runner
    from ..sweep.request import Sweep
    from ..sweep.run import PointState
    from ..sweep.table import Row


@click.command("sweep")
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration of all points.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one key for all points.")
@click.option("--name", help="Name of the sweep and of its folder under reports/.")
@click.option("--grid", "grids", multiple=True, metavar="KEY=V1,V2", help="Values of one key; may be repeated.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="KEY=LOW:HIGH[:log]",
    help="Draw values of a key between two limits; may be repeated.",
)
@click.option("--random", type=int, metavar="N", help="Draw N points at random instead of running the whole grid.")
@click.option("--seed", type=int, help="Seed of the draws; more draws with one seed keep the earlier points.")
@click.option("--to", "last", type=click.Choice(["gan", "report"]), help="Last stage; gan compares only generators.")
@click.option("--metric", help="Measure that orders the table; default: kid for gan, difference for report.")
@click.option("--executor", type=click.Choice(["processes", "dask"]), help="Where tasks run.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786; default: a local one.")
@click.option("--tensorboard", is_flag=True, help="Also log training for TensorBoard, below data/logs/.")
@click.option("--dry-run", is_flag=True, help="List the points, what would run and about how long it takes.")
@root_option
def command(
    file: Path | None,
    config_path: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    grids: tuple[str, ...],
    ranges: tuple[str, ...],
    random: int | None,
    seed: int | None,
    last: str | None,
    metric: str | None,
    executor: str | None,
    scheduler: str | None,
    tensorboard: bool,
    dry_run: bool,
    root: Path,
) -> None:
    """Run a grid or random draws over any configuration keys, and compare the points in a table and a plot.

    FILE is YAML with the names of these options as keys; options win over it. Points share tasks where possible, and a
    sweep that was stopped resumes where it was. Table (CSV, JSON) and plot (SVG, PNG) go to reports/NAME/.
    """
    from ..engine.display import display_for, log_file
    from ..engine.runner import Runner
    from ..engine.store import Store, refuse_link
    from ..engine.tensorboard import Mirror
    from ..sweep.request import Request, merged, parse_grid, parse_range, prepare, read_request
    from ..sweep.table import check_folder

    request = read_request(file) if file is not None else Request()
    request = merged(request, [*map(parse_grid, grids), *map(parse_range, ranges)])
    places = {"executor": executor, "scheduler": scheduler}
    overrides += tuple(f"compute.{key}={value}" for key, value in places.items() if value is not None)
    sweep = prepare(
        replace(
            request,
            name=name or request.name,
            config=config_path or request.config,
            overrides=request.overrides + overrides,
            last=last or request.last,
            metric=metric or request.metric,
            random=request.random if random is None else random,
            seed=request.seed if seed is None else seed,
        )
    )
    folder = reports(root) / sweep.name
    refuse_link(folder)
    check_folder(folder)
    terminal = console()
    if dry_run:
        _dry_run(sweep, Runner(root, display_for(terminal, None)))
        return
    with log_file(root / "data" / "logs", sweep.name) as logger:
        logger.info("satpipe %s", " ".join(sys.argv[1:]))
        display = display_for(terminal, logger)
        mirror = Mirror(display, Store(root / "data"), sweep.name) if tensorboard else None
        try:
            rows = _run(sweep, Runner(root, mirror or display), folder)
        except BaseException as error:
            logger.error("%s: %s", type(error).__name__, error)
            raise
    _show(sweep, rows, folder)
    if mirror is not None:
        say(f"to watch the training: tensorboard --logdir {mirror.folder.parent}")


def _run(sweep: Sweep, runner: Runner, folder: Path) -> list[Row]:
    """Run the points; the table on disk is up to date at every moment."""
    from ..sweep import plot, table
    from ..sweep.run import measure, run

    rows: list[Row] = []

    def changed(points: Sequence[PointState]) -> None:
        new_rows = [table.Row(point.point, point.state, point.failure, measure(point, runner)) for point in points]
        if new_rows != rows:
            rows[:] = new_rows
            table.write(sweep, rows, folder)

    run(sweep, runner, changed)
    plot.write(sweep, rows, folder)
    return rows


def _show(sweep: Sweep, rows: Sequence[Row], folder: Path) -> None:
    """Print the table, and the best point as options."""
    from ..sweep import plot, table
    from ..sweep.space import text_overrides
    from ..utils.errors import TrainingError

    heads, cells = table.printed(sweep, rows)
    print_table(heads, cells)
    failed = [row for row in table.ordered(rows, sweep.metric) if row.state == "failed"]
    for row in failed:
        say(f"failed: {row.point.label}: {row.failure}")
    best = table.best(rows, sweep.metric)
    if best is not None:
        options = " ".join(f"--set {text}" for text in text_overrides(best.point.changes))
        say(f"\nbest by {sweep.metric}: {best.point.label}\n  {options}")
    plot_clause = f", plot: {folder / plot.SVG_FILE}" if (folder / plot.SVG_FILE).is_file() else ""
    say(f"table: {folder / table.CSV_FILE}{plot_clause}")
    if len(failed) == len(rows):
        raise TrainingError(f"sweep {sweep.name}: every point failed, the first with: {failed[0].failure}")


def _dry_run(sweep: Sweep, runner: Runner) -> None:
    from ..engine.forecast import Forecast, later_stages
    from ..engine.stages import NAMES
    from ..sweep.run import plan_point

    forecast, seconds, counted = Forecast(runner.store), 0.0, set[str]()
    for number, point in enumerate(sweep.points):
        state = plan_point(runner, point, sweep.last)
        fresh = {key: spec for key, spec in state.missing.items() if key not in counted}
        counted |= set(fresh)
        seconds += sum(forecast.seconds(spec) for spec in fresh.values())
        shared = len(state.missing) - len(fresh)
        text = f"{plural(len(state.missing), 'task')} of {state.stage.name} to run" if state.stage else "up to date"
        text += f", {shared} of them shared with points above" if shared else ""
        later = NAMES[NAMES.index(state.stage.name) + 1 : NAMES.index(sweep.last) + 1] if state.stage else ()
        own = [name for name in later if name != "chips" or number == 0]  # points mostly share their chips
        seconds += sum(stage.tasks * stage.seconds for stage in later_stages(point.config, own))
        say(f"{point.label}: {state.failure or text}")
    workers = runner.workers(sweep.points[0].config)
    say(
        f"{plural(len(sweep.points), 'point')}, about {duration(seconds / workers)} in all with"
        f" {plural(workers, 'worker')}"
    )
