"""``satpipe export``: what a run made, as files for other programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..formats.writers import DETECTORS
from ..utils.plural import plural
from ._common import config_options, find, load, root_option, run_option, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.task import Artifact
    from ..inference.export.labels import LabelSet

to_option = click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to; empty or new."
)
labels_option = click.option(
    "--format",
    "kind",
    type=click.Choice([*DETECTORS, "geojson"]),
    required=True,
    help="Format of the labels, which `satpipe init` reads as well.",
)
images_option = click.option(
    "--images",
    type=click.Choice(["copy", "link"]),
    default="copy",
    show_default=True,
    help="Copy the scenes beside their labels, or make symbolic links to them.",
)


@click.group("export")
def command() -> None:
    """Write what a run made as files for other programs."""


@command.command("chips")
@config_options
@root_option
@to_option
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "tif", "npy", "parquet", *DETECTORS]),
    default="png",
    show_default=True,
    help="PNG holds bytes of 1, 3 or 4 bands; TIFF (georeferenced), NumPy and a single Parquet file hold any chip."
    " The others are images with boxes and masks for detectors.",
)
@click.option("--split", metavar="NAME", help="Add the role of each chip in this split, such as fold0-f100-r0.")
@click.option(
    "--layout",
    type=click.Choice(["class", "split/class"]),
    default="class",
    show_default=True,
    help="Folders: CLASS, or train/CLASS, validation/CLASS and test/CLASS, for the roles of --split; for detectors one"
    " for all chips, or one for each role.",
)
@click.option(
    "--stac",
    "acquired",
    metavar="WHEN",
    help="Write items.json, a STAC item for each chip; WHEN is the time of acquisition of the scenes:"
    " 2019-04-13T02:59:00Z or START/END.",
)
def chips(
    config_path: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    root: Path,
    to: Path,
    file_format: str,
    split: str | None,
    layout: str,
    acquired: str | None,
) -> None:
    """Write the chips of a run into folders named for their class, with a labels.csv.

    ImageFolder of torchvision and `imagefolder` of Hugging Face datasets read the folder as it is.

    With a configuration, the stages up to `chips` are run first where necessary. --name NAME alone, or NAME@VERSION,
    exports the chips of that run.
    """
    import pandas as pd

    from ..dataset.chip_store import ChipStore
    from ..dataset.parquet import checked
    from ..dataset.split_chips import labelled
    from ..dataset.tables import CHIPS, LABELS, SCENES
    from ..engine.store import Store
    from ..inference import stac
    from ..inference.export.labels import marks_of
    from ..stages.chips.export import PARQUET, export_chips, roles_of
    from ..stages.chips.export_labelled import export_labelled
    from ..stages.chips.object_labels import NO_BOX, ChipObjects
    from ..stages.chips.summary import SPLIT

    when = None if acquired is None else stac.period(acquired)
    store = Store(root / "data")
    name, classes, tables, chips = _source(root, config_path, overrides, name, needs_splits=split is not None)
    tasks = {task: store.open(artifact.ref) for task, artifact in chips.items()}
    roles = None
    if split is not None:
        roles = roles_of(
            {task.removeprefix(SPLIT): folder for task, folder in tasks.items() if task.startswith(SPLIT)}, split
        )
    licences = SCENES.read(store.open(tables.ref) / "scenes.parquet")[["scene_id", "licence"]]
    grids = pd.concat([pd.read_parquet(checked(path)) for path in sorted(tasks["windows"].glob("scenes-*.parquet"))])
    scenes = grids.merge(licences, on="scene_id", how="left")
    chips_store = labelled(ChipStore.open(CHIPS.read, tasks["index"] / "index.parquet", store.artifacts))
    by_split, left_out = layout != "class", Counter[str]()
    if file_format in DETECTORS:
        labels = LABELS.read(store.open(tables.ref) / "labels.parquet")
        objects = ChipObjects(chips_store, labels, scenes.set_index("scene_id").to_dict("index"), classes[0], left_out)
        marks = marks_of(name, sorted(set(scenes["licence"])), "Chips of satellite scenes")
        table = export_labelled(objects, to, file_format, classes[1:], marks, scenes, roles, by_split)
    else:
        table = export_chips(chips_store, to, file_format, roles, scenes, by_split)
    say(f"{plural(len(table), 'chip')} in {to}; labels.csv describes them")
    _say_left_out(left_out)
    if unused := len(chips_store) - len(table) - left_out[NO_BOX]:
        say(f"left out, as split {split} does not use them: {plural(unused, 'chip')}")
    if when is not None:
        in_one = {"file": PARQUET} if file_format == "parquet" else {}
        items = stac.write_chips(table.assign(**in_one), name, when, to)
        say(
            f"{plural(items, 'STAC item')} in {to / stac.ITEMS}; not georeferenced:"
            f" {plural(len(table) - items, 'chip')}"
        )


def _source(
    root: Path, config_path: Path | None, overrides: tuple[str, ...], name: str | None, needs_splits: bool
) -> tuple[str, tuple[str, ...], Artifact, Mapping[str, Artifact]]:
    """Return the name and classes of the run to export, its tables, and the artifacts of its chips by task."""
    from .chips import make_chips

    if name is not None and config_path is None and not overrides:
        # As the run was made. Nothing is run: its record may be somebody else's, and names code.
        run = find(name, root)
        tables = run.artifact("ingest/tables", "scenes", "chips")
        run.artifact("chips/index", "chips", "chips")
        artifacts = [run.find(title) for title in run.keys if title.startswith("chips/")]
        chips = {artifact.ref.name: artifact for artifact in artifacts if artifact is not None}
        return name, run.config.ingest.classes, tables, chips
    config = load(config_path, overrides, name)
    done, failed = make_chips(root, config, quiet=False)
    if failed is not None and needs_splits:
        raise failed
    return config.name, config.ingest.classes, done["ingest"]["tables"], done["chips"]


@command.command("labels")
@run_option
@to_option
@labels_option
@images_option
@root_option
def labels(run_name: str | None, to: Path, kind: str, images: str, root: Path) -> None:
    """Write the labels of a run's scenes for detectors, beside the scenes.

    These are the labels that ingest read and checked. Unusable labels are left out, and so are scenes with an object
    whose box is unknown, since a detector would learn it as background.
    """
    from ..inference.export.labels import export_labels

    _say_set(export_labels(find(run_name, root), to, kind, images == "link"), to)


@command.command("detections")
@click.argument("path", metavar="DETECTIONS", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...", type=click.Path(path_type=Path))
@run_option
@to_option
@labels_option
@images_option
@root_option
def detections(
    path: Path, scenes: tuple[Path, ...], run_name: str | None, to: Path, kind: str, images: str, root: Path
) -> None:
    """Write the detections of `satpipe detect` as labels for detectors, beside the scenes.

    DETECTIONS is its .geojson, .gpkg or .parquet file. A box is the window that shows an object, as large as a chip.
    Only COCO includes the scores.
    """
    from ..inference.export.detections import export_detections

    _say_set(export_detections(find(run_name, root), path, scenes, to, kind, images == "link"), to)


def _say_set(labels: LabelSet, to: Path) -> None:
    objects = ", ".join(f"{count:,} {name}" for name, count in labels.objects.items()) or "no object"
    say(f"{plural(labels.images, 'scene')} in {to} with {objects}")
    _say_left_out(labels.left_out)


def _say_left_out(reasons: Mapping[str, int]) -> None:
    for reason, count in sorted(reasons.items()):
        say(f"left out: {count:,} {reason}")


@command.command("model")
@click.argument("kind", type=click.Choice(["generator", "classifier"]))
@run_option
@to_option
@click.option(
    "--onnx/--no-onnx",
    "with_onnx",
    default=True,
    show_default=True,
    help="Also write the networks as ONNX, compared with torch; needs the extra `interop`.",
)
@click.option(
    "--model",
    metavar="PACKAGE.MODULE:FUNCTION",
    help="Function that builds the classifier's network, if that is not bundled; name only a function that you trust.",
)
@root_option
def export_model(kind: str, run_name: str | None, to: Path, with_onnx: bool, model: str | None, root: Path) -> None:
    """Write a run's final generator or classifier as a folder to publish or to load elsewhere.

    It holds weights (safetensors), the networks as ONNX, and a README.md as the Hugging Face Hub shows it: intended
    use, data, licence, metrics. `load_generator(FOLDER)` and `load_classifier(FOLDER)` read it in Python.
    """
    from ..inference.export.model import export_classifier, export_generator

    run = find(run_name, root)
    exported = (
        export_generator(run, to, with_onnx) if kind == "generator" else export_classifier(run, to, with_onnx, model)
    )
    say(f"the {kind} of run {run.name} in {to}: {', '.join(exported.files)}")
    for name, difference in exported.differences.items():
        say(f"{name}: ONNX Runtime and torch differ by {difference:.1e} of the output's range")
