"""`satpipe init`: look at a folder and write a configuration for it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..engine.progress import duration
from ._common import console, say

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..diagnostics.dataset.advice import Advice
    from ..diagnostics.dataset.inventory import Inventory

KINDS = ("shipsnet", "yolo", "voc", "coco", "geojson", "csv", "folders")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", "target", metavar="FILE", type=click.Path(path_type=Path), help="Where the configuration goes.")
@click.option("--type", "kind", type=click.Choice(KINDS), help="How the labels are kept; default: found out.")
@click.option("--force", is_flag=True, help="Write over a configuration that is there.")
def command(folder: Path, target: Path | None, kind: str | None, force: bool) -> None:
    """Look at a folder of scenes and labels, say what it holds, and write a commented configuration for it.

    Nothing in the folder is changed. Without --to the configuration goes to the working folder, named for DIR.
    """
    from ..diagnostics.dataset import advice, formats, grouping, inventory, metadata
    from ..utils.errors import InputError

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds your scenes and labels")
    name = run_name(folder, target)
    target = Path(f"{name}.yaml") if target is None else target
    if target.exists() and not force:
        raise InputError(f"{target} is there already; give another place with --to, or --force to write over it")
    listed = inventory.take(folder.absolute())
    fits = formats.fitting(listed, kind)
    if not fits:
        _say_images(folder, listed)
        raise InputError(_nothing(folder, listed, kind))
    found = metadata.gather(fits[0])
    groups = grouping.find_groups(listed, found)
    advised = advice.advise(name, fits[0], found, groups)
    if not found.good:
        raise InputError(f"no image of {folder} can be used: {found.scenes[0]['quarantined']}")
    say(f"{folder}:")
    for heading, rest in advised.lines:
        say(f"  {heading:<11} {rest}")
    for other in fits[1:]:
        say(f"  {'also':<11} {other.says}: `--type {other.source['type']}` takes these instead")
    for warning in advised.warnings:
        say(f"  {'note':<11} {warning}")
    _write(target, advised, folder)
    shown = f'"{target}"' if " " in str(target) else str(target)
    say(f"\nwrote {target}; next:")
    say(f"  satpipe run all --config {shown} --dry-run    what would be made, and how long it takes")
    say(f"  satpipe run chips --config {shown}            cut the chips and look at them")
    say(f"  satpipe run all --config {shown}              the whole experiment")


def run_name(folder: Path, target: Path | None) -> str:
    """A name that runs may have, from the target's stem or the folder's name."""
    text = target.stem if target is not None else folder.absolute().resolve().name
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:60].strip("-._") or "own"


def _say_images(folder: Path, listed: Inventory) -> None:
    """Say what is known of images without labels."""
    from ..diagnostics.dataset.advice import lines_of
    from ..diagnostics.dataset.formats import Found
    from ..diagnostics.dataset.grouping import Grouping
    from ..diagnostics.dataset.metadata import look_at_scenes

    if listed.images:
        found = Found({"type": "geojson", "path": str(listed.root)}, "")
        say(f"{folder}:")
        for heading, rest in lines_of(found, look_at_scenes(found), Grouping()):
            say(f"  {heading:<11} {rest}")


def _nothing(folder: Path, listed: Inventory, kind: str | None) -> str:
    """Why there is no source, and what to do."""
    if kind is not None:
        return f"{folder} holds no labels of type {kind}; without --type every kind is looked for"
    if not listed.images and not listed.packed:
        packed = f"; unpack {listed.archives[0]} first" if listed.archives else ""
        return (
            f"{folder} holds no image (.tif, .png, .jpg){packed}; for a run without data of your own: `satpipe run all`"
        )
    return (
        f"{folder} holds {len(listed.images):,} images and no labels for them; put beside them GeoJSON (or another"
        " vector format), YOLO .txt, Pascal VOC .xml, COCO .json or a CSV with coordinates, or sort chips into one"
        " folder per class"
    )


def _write(target: Path, advised: Advice, folder: Path) -> None:
    from ..config.load import load
    from ..diagnostics.dataset.text import write
    from ..utils.errors import ConfigError

    head = [
        f"What it is for: {folder.absolute().name}, as `satpipe init` found it; every line can be changed.",
        f"How long it takes: {_how_long(advised.config, advised.folds)}; `--dry-run` says it anew.",
        *([""] if advised.warnings else []),
        *(f"Note: {warning}." for warning in advised.warnings),
        "",
        "All other keys keep their defaults: `satpipe config show --config FILE` prints them. Worth a look:",
        "split.fractions: [0.25, 0.5, 1.0] draws a learning curve; gan.images is the length of a GAN's training;",
        "ingest.sources.0.licence travels with everything that is made from these scenes.",
    ]
    text = write(advised.sections, advised.why, head, target.absolute().parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}; give another place with --to") from None
    load(target)  # what was written must be what is read


def _how_long(config: RunConfig, folds: int) -> str:
    """Seconds of all long parts over the workers of this machine, in words."""
    from ..engine.display import PlainDisplay
    from ..engine.runner import Runner
    from ..engine.stages import STAGES
    from ..engine.worker import resolve

    splits = folds * len(config.split.fractions) * config.split.replicates
    counts = [resolve(stage.forecast)(config, splits) for stage in STAGES if stage.long]
    workers = Runner(Path(), PlainDisplay(console())).workers(config)
    seconds = sum(tasks * cost for tasks, cost in counts) / workers
    classifiers = splits * len(config.classify.arms)
    return f"{splits} GANs and {classifiers} classifiers, about {duration(seconds)} on this machine"
