"""``satpipe compare``: finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..utils.plural import plural
from . import _complete as complete
from ._common import print_table, reports, root_option, say

if TYPE_CHECKING:
    from ..stages.report.compare import Comparison

SHOWN = 20
"""Keys that differ and are printed; the page has all of them."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A RUN_B [RUN...]", shell_complete=complete.runs)
@root_option
@click.option("--common", is_flag=True, help="If test chips differ, compare on those that all runs share.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of compare.html and compare.json; default: reports/compare-RUN_A-RUN_B.",
)
def command(runs: tuple[str, ...], root: Path, common: bool, out: Path | None) -> None:
    """Compare finished runs: configuration, data, accuracy on the same test chips, GAN quality, sample sheets.

    A run is named as in `satpipe runs`, such as demo or demo@1, or by the folder of its report. The others are compared
    with the first.
    """
    from ..engine.store import refuse_link
    from ..stages.report.compare import compare
    from ..stages.report.compare_page import write

    comparison = compare([folder_of(run, root) for run in runs], common, root)
    names = "-".join(Path(run).name for run in runs)
    folder = out or reports(root) / f"compare-{names}"
    refuse_link(folder)
    page = write(comparison, folder)
    show(comparison)
    say(f"\npage: {page}")


def folder_of(run: str, root: Path) -> Path:
    """Return the folder of a run's report: below ``reports/``, or named itself.

    Raises:
        InputError: If there is neither.
    """
    from ..utils.errors import InputError

    if "@" in run:
        from ..engine.publish import PAGE
        from ..engine.runs import find_run

        return find_run(run, root).artifact(PAGE, "report", "all").path
    for folder in (reports(root) / run, Path(run)):
        if (folder / "report.json").is_file():
            return folder
    have = sorted(path.parent.name for path in (root / "reports").glob("*/report.json"))
    names = f"there are {', '.join(have)}" if have else "`satpipe run all` makes one"
    raise InputError(f"no report of a run {run} in {root / 'reports'}; {names}")


def show(comparison: Comparison) -> None:
    """Print the comparison."""
    for run in comparison.runs:
        say(f"{run.name}{'' if run.checked.verified else ' (not verified)'}: {run.checked.sentence}")
    for warning in comparison.warnings:
        say(f"note: {warning}")
    names = [run.name for run in comparison.runs]
    for title, values in (("configuration", comparison.configuration), ("data", comparison.data)):
        if not values:
            say(f"\nThe same {title}.")
            continue
        rows = [[key, *map(_short, each)] for key, each in list(values.items())[:SHOWN]]
        more = f" (the first {SHOWN} of {len(values):,})" if len(values) > SHOWN else ""
        say(f"\nDifferences in the {title}{more}:")
        print_table(["key", *names], rows)
    head, rows = comparison.table()
    if rows:
        metric = comparison.runs[0].question["title"].capitalize()
        how = f"on {plural(comparison.chips['common'], 'common test chip')}, replicates paired by number"
        say(f"\n{metric} {how if comparison.paired else 'of each run on its own test chips, unpaired intervals'}:")
        print_table(head, rows)
    else:
        say("\nThe runs have no arm and replicate in common.")
    head, rows = comparison.quality_table()
    if rows:
        say("\nGAN quality, mean over splits:")
        print_table(head, rows)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
