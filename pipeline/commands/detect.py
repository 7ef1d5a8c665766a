"""`satpipe detect`: objects in scenes of any size, found by a run's final classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..utils.plural import plural
from ._common import find, progress, root_option, run_option, say, scene_options

if TYPE_CHECKING:
    from ..inference.detect.make import Outcome
    from ..inference.detect.measure import Quality

SCENES_SHOWN = 10


@click.command("detect")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...", type=click.Path(path_type=Path))
@run_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File to write: .geojson, .gpkg or .parquet (GeoParquet); a CSV and an overview PNG go beside it.",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    show_default="eight times the odds of the classifier's threshold",
    help="Score that a detection must exceed; higher gives fewer, more certain detections.",
)
@click.option(
    "--truth", type=click.Path(path_type=Path), help="Labels to score the detections against: file or folder."
)
@click.option(
    "--geometry",
    type=click.Choice(["box", "point"]),
    default="box",
    show_default=True,
    help="Geometry of each detection: the window that shows it, or its centre.",
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="PX",
    show_default="a fifth of a chip",
    help="Pixels between windows; smaller is slower and separates objects that lie closer together.",
)
@scene_options
@click.option(
    "--overview/--no-overview",
    default=True,
    show_default=True,
    help="Draw an overview picture of each scene with its detections.",
)
@click.option("--csv/--no-csv", "table", default=True, show_default=True, help="Write a CSV beside the file.")
@click.option(
    "--lonlat",
    is_flag=True,
    help="Write coordinates in longitude and latitude (as RFC 7946 requires of GeoJSON) instead of the scenes' CRS.",
)
@click.option(
    "--stac",
    "acquired",
    metavar="WHEN",
    help="Also write a STAC item for each scene; WHEN is the time of acquisition: 2019-04-13T02:59:00Z or START/END.",
)
@click.option(
    "--model",
    metavar="PACKAGE.MODULE:FUNCTION",
    help="Function that builds the run's network, if that is not bundled; name only a function that you trust.",
)
@root_option
def command(
    scenes: tuple[Path, ...],
    run_name: str | None,
    to: Path,
    score: float | None,
    truth: Path | None,
    geometry: str,
    stride: int | None,
    gsd: float | None,
    nodata: float | None,
    overview: bool,
    table: bool,
    lonlat: bool,
    acquired: str | None,
    model: str | None,
    root: Path,
) -> None:
    """Find objects in scenes with a run's final classifier.

    Scenes are GeoTIFF, PNG or JPEG of any size, and are resampled if their GSD differs. Detections are written to
    --to in the scenes' own CRS (or with --lonlat), or as columns and rows if they have none.
    `centre_row` and `centre_col` are the object's centre in the scene's pixels, from its upper left corner.
    """
    from ..config.quick import caution
    from ..inference.detect.make import Wish, detect

    run = find(run_name, root)
    wish = Wish(score, stride, gsd, nodata, truth, geometry == "point", overview, table, model, lonlat, acquired)
    with progress("scenes") as tick:
        outcome = detect(run, scenes, to, wish, tick)
    for note in filter(None, [caution(run.config, None), *outcome.notes]):
        say(f"note: {note}")
    if all(source.type == "simulated" for source in run.config.ingest.sources):
        say(
            "note: this classifier was trained only on simulated scenes; for reliable results train one on"
            " scenes like these"
        )
    _report(outcome, run.config.ingest.classes)


def _report(outcome: Outcome, classes: tuple[str, ...]) -> None:
    counts = dict.fromkeys(classes[1:], 0)
    windows = 0
    for scanned in outcome.scenes:
        windows += scanned.windows
        for number in scanned.above(outcome.score).objects.classes:
            counts[classes[number]] += 1
    scored = outcome.scenes[0].labels is not None
    for scanned in outcome.scenes[:SCENES_SHOWN] if len(outcome.scenes) > 1 else ():
        quality = f": {_format_quality(outcome.quality([scanned])[0])}" if scored else ""
        say(f"{scanned.scene.name}: {len(scanned.above(outcome.score).objects):,} found{quality}")
    if len(outcome.scenes) > SCENES_SHOWN:
        say(f"and {plural(len(outcome.scenes) - SCENES_SHOWN, 'more scene')}")
    detections = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    places = plural(len(outcome.scenes), "scene")
    say(f"{detections} with a score above {outcome.score:.3g} in {places}, {plural(windows, 'window')}")
    if scored:
        at_score, best, average = outcome.quality()
        say(f"against the labels: {_format_quality(at_score)}; average precision {average:.3f}")
        if best is not None and best.f1 > at_score.f1:
            say(f"with --score {best.score:.5g} it would be: {_format_quality(best)}")
    say(f"wrote {', '.join(str(path) for path in outcome.files[:4])}{' ...' if len(outcome.files) > 4 else ''}")


def _format_quality(quality: Quality) -> str:
    return (
        f"precision {quality.precision:.3f} ({quality.right} of {quality.detected}), recall {quality.recall:.3f}"
        f" ({quality.right} of {quality.objects}), F1 {quality.f1:.3f}"
    )
