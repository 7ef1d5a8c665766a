"""`satpipe generate`: labelled synthetic chips from a run's final generator."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ._common import find, progress, root_option, run_option, say

FORMATS = ("png", "tif", "npy", "parquet", "coco", "yolo", "voc", "dota")


@click.command("generate")
@run_option
@click.option("--label", "labels", multiple=True, metavar="CLASS", help="Only this class; may be repeated.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Chips in all, divided evenly among classes.",
)
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to make; empty or new."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    default="png",
    show_default=True,
    help="A file for each chip (png, tif), one for all (npy, parquet), or boxes and masks for detectors as well (coco,"
    " yolo, voc, dota).",
)
@click.option(
    "--layout",
    type=click.Choice(["class", "split/class"]),
    default="class",
    show_default=True,
    help="Folders of png and tif files: CLASS, or train/CLASS, since synthetic chips are for training.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same bytes."
)
@click.option(
    "--truncation",
    type=click.FloatRange(min=0, min_open=True, max=3),
    show_default="the run's",
    help="Standard deviation of z; below 1 gives more typical and less varied chips.",
)
@click.option(
    "--screen/--no-screen",
    default=None,
    show_default="as the run did",
    help="Leave out chips that look like another class, unlike any real chip, or like a copy of one.",
)
@root_option
def command(
    run_name: str | None,
    labels: tuple[str, ...],
    count: int,
    to: Path,
    file_format: str,
    layout: str,
    seed: int,
    truncation: float | None,
    screen: bool | None,
    root: Path,
) -> None:
    """Make labelled synthetic chips with a run's final generator.

    Needs the run's models alone, not the chips they learned from. ImageFolder of torchvision and `imagefolder` of
    Hugging Face datasets read the folder as it is. Beside the chips: labels.csv, a card (README.md) that says what they
    are and under which licence, and preview.html with chips, what lies between two of them, and the same z under each
    label.
    """
    from ..dataset.names import FINAL
    from ..inference.generate.make import Wish, make
    from ..models.quality import generator_verdict

    run = find(run_name, root)
    wish = Wish(labels, count, file_format, seed, truncation, screen, layout != "class")
    if (warning := generator_verdict(run.artifact(f"gan/{FINAL}", "generator", "gan").metadata).sentence) is not None:
        say(f"warning: {warning}")
    with progress("chips") as tick:
        tally = make(run, wish, to, tick)
    names = run.config.ingest.classes
    made = ", ".join(f"{number:,} {names[label]}" for label, number in tally.kept.items())
    say(f"{sum(tally.kept.values()):,} synthetic chips in {to}: {made}")
    if tally.reasons:
        say(f"not kept: {', '.join(f'{number:,} {reason}' for reason, number in sorted(tally.reasons.items()))}")
    for label in tally.short:
        candidates = tally.candidates[label]
        say(
            f"only {tally.kept[label]:,} of {tally.wanted[label]:,} {names[label]} passed screening, out of"
            f" {candidates:,} candidates; --no-screen takes them as they come"
        )
