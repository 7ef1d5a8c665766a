"""`satpipe generate`: labelled synthetic chips from a run's final generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..formats.writers import DETECTORS
from ..utils.errors import ConfigError
from ..utils.plural import plural
from ._common import find, progress, root_option, run_option, say, scene_options

if TYPE_CHECKING:
    from ..engine.runs import Run
    from ..inference.generate import make as of_chips
    from ..inference.generate.scenes import make as of_scenes

FORMATS = ("png", "tif", "npy", "parquet", *DETECTORS)


@click.command("generate")
@run_option
@click.option("--label", "labels", multiple=True, metavar="CLASS", help="Only this class; may be repeated.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Total number of chips, divided evenly among classes; with --scenes, of objects.",
)
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to make; empty or new."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    show_default="png",
    help="One file per chip (png, tif), one for all (npy, parquet), or with boxes and masks for detectors (coco,"
    " yolo, yolo-seg, voc, dota).",
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
@click.option(
    "--scenes",
    multiple=True,
    metavar="FILE",
    help="Put objects into these scenes instead of making chips: a file or a quoted pattern; may be repeated.",
)
@click.option(
    "--labels",
    "truth",
    type=click.Path(path_type=Path),
    help="Labels of the objects in the scenes: file or folder. Synthetic objects keep clear of them.",
)
@click.option(
    "--within",
    type=click.Path(path_type=Path),
    help=(
        "Polygons for the objects of --scenes; without it, they go where the surroundings resemble those of"
        " labelled ones."
    ),
)
@scene_options
@root_option
def command(
    run_name: str | None,
    labels: tuple[str, ...],
    count: int,
    to: Path,
    file_format: str | None,
    layout: str,
    seed: int,
    truncation: float | None,
    screen: bool | None,
    scenes: tuple[str, ...],
    truth: Path | None,
    within: Path | None,
    gsd: float | None,
    nodata: float | None,
    root: Path,
) -> None:
    """Make labelled synthetic chips with a run's final generator, or put its objects into scenes.

    Needs only the run's models, not the training chips. ImageFolder of torchvision and `imagefolder` of
    Hugging Face datasets read the folder as it is. Beside the chips: labels.csv, a card (README.md) that says what they
    are and under which licence, and preview.html with samples, interpolations, and the same z with each label.

    With --scenes: a GeoTIFF of each scene with objects in it, at its GSD, and labels as COCO and GeoJSON. All other
    pixels are unchanged.
    """
    from ..config.quick import caution
    from ..dataset.names import FINAL
    from ..models.quality import generator_verdict

    run = find(run_name, root)
    measured = run.artifact(f"gan/{FINAL}", "generator", "gan").metadata
    if (warning := caution(run.config, generator_verdict(measured).sentence)) is not None:
        say(f"warning: {warning}")
    if scenes:
        if file_format is not None:
            raise ConfigError("--format applies to chips; --scenes writes GeoTIFF, with labels as COCO and GeoJSON")
        from ..inference.generate.scenes.make import Wish as SceneWish

        in_scenes = SceneWish(scenes, labels, count, seed, truncation, screen, truth, within, gsd, nodata)
        _put_into_scenes(run, in_scenes, to)
        return
    for name, value in (("labels", truth), ("within", within), ("gsd", gsd), ("nodata", nodata)):
        if value is not None:
            raise ConfigError(f"--{name} needs --scenes")
    from ..inference.generate.make import Wish

    wish = Wish(labels, count, file_format or "png", seed, truncation, screen, layout != "class")
    _make_chips(run, wish, to)


def _make_chips(run: Run, wish: of_chips.Wish, to: Path) -> None:
    from ..inference.generate.make import make

    with progress("chips") as tick:
        tally = make(run, wish, to, tick)
    names = run.config.ingest.classes
    counts = ", ".join(f"{number:,} {names[label]}" for label, number in tally.kept.items())
    say(f"{plural(sum(tally.kept.values()), 'synthetic chip')} in {to}: {counts}")
    if tally.note:
        say(f"note: {tally.note}")
    if tally.reasons:
        say(f"rejected: {', '.join(f'{number:,} {reason}' for reason, number in sorted(tally.reasons.items()))}")
    for label in tally.short:
        candidates = tally.candidates[label]
        say(
            f"only {tally.kept[label]:,} of {tally.wanted[label]:,} {names[label]} passed screening, out of"
            f" {plural(candidates, 'candidate')}; --no-screen skips screening"
        )


def _put_into_scenes(run: Run, wish: of_scenes.Wish, to: Path) -> None:
    from ..inference.generate.scenes.make import make

    with progress("scenes") as tick:
        outcome = make(run, wish, to, tick)
    for note in outcome.notes:
        say(f"note: {note}")
    placed = ", ".join(f"{count:,} {name}" for name, count in outcome.placed.items())
    say(f"{plural(outcome.scenes, 'scene')} in {to} with synthetic objects: {placed}")
    for reason, count in sorted(outcome.reasons.items()):
        say(f"not placed: {count:,} {reason}")
