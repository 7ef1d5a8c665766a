"""`satpipe init`: inspect a folder and write a configuration for it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..engine.progress import duration
from ..formats.registry import FORMATS
from ..utils.plural import plural
from ._common import console, say

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..diagnostics.dataset.advice import Advice
    from ..formats.inventory import Inventory

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
KINDS = tuple(name for name, label_format in FORMATS.items() if label_format.is_recognised)


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", "target", metavar="FILE", type=click.Path(path_type=Path), help="Configuration file to write.")
@click.option("--type", "kind", type=click.Choice(KINDS), help="Format of the labels; default: recognised.")
@click.option("--force", is_flag=True, help="Overwrite an existing configuration.")
def command(folder: Path, target: Path | None, kind: str | None, force: bool) -> None:
    """Inspect a folder of scenes and labels, report what it holds, and write a commented configuration for it.

    Nothing in the folder is changed. Without --to the configuration goes to the working folder, named after DIR.
    """
    from ..diagnostics.dataset import advice, grouping, recognise, summary
    from ..formats.inventory import take_inventory
    from ..utils.errors import InputError

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that holds your scenes and labels")
    name = run_name(folder, target)
    target = Path(f"{name}.yaml") if target is None else target
    if target.exists() and not force:
        raise InputError(f"{target} already exists; choose another file with --to, or overwrite it with --force")
    inventory = take_inventory(folder.absolute())
    fits = recognise.fitting(inventory, kind)
    if not fits:
        _say_images(folder, inventory)
        raise InputError(_nothing(folder, inventory, kind))
    source = summary.summarise(fits[0])
    advised = advice.advise(name, fits[0], source, grouping.find_groups(inventory, source))
    if not source.good:
        raise InputError(f"no image in {folder} can be used: {source.scenes[0]['quarantined']}")
    say(f"{folder}:")
    lines = [*advised.lines]
    lines += [("also", f"{fit.says}: `--type {fit.source['type']}` takes these instead") for fit in fits[1:]]
    lines += [("note", warning) for warning in advised.warnings]
    for heading, rest in lines:
        say(f"  {heading:<11} {rest}")
    _write(target, advised, folder)
    shown = f'"{target}"' if " " in str(target) else str(target)
    say(f"\nwrote {target}; next:")
    say(f"  satpipe run all --config {shown} --dry-run    what would run, and for how long")
    say(f"  satpipe run chips --config {shown}            cut the chips and look at them")
    say(f"  satpipe run all --config {shown}              the whole experiment")


def run_name(folder: Path, target: Path | None) -> str:
    """Return a name that runs may have, from the target's stem or the folder's name."""
    text = target.stem if target is not None else folder.absolute().resolve().name
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:60].strip("-._") or "own"


def _say_images(folder: Path, inventory: Inventory) -> None:
    """Print what is known of images without labels."""
    from ..diagnostics.dataset.advice import lines_of
    from ..diagnostics.dataset.grouping import Grouping
    from ..diagnostics.dataset.summary import summarise_scenes
    from ..formats.base import Recognised

    if inventory.images:
        scenes = Recognised({"type": "geojson", "path": str(inventory.root)}, "")
        say(f"{folder}:")
        for heading, rest in lines_of(scenes, summarise_scenes(scenes), Grouping()):
            say(f"  {heading:<11} {rest}")


def _nothing(folder: Path, inventory: Inventory, kind: str | None) -> str:
    """Return why there is no source, what lies in the folder, and what to do."""
    from ..diagnostics.dataset.recognise import contents
    from ..formats.listing import IMAGES

    if not inventory.files:
        return f"{folder} holds no files; to try satpipe without your own data: `satpipe run all`"
    contents_of_folder = f"here lies: {contents(inventory)}"
    if kind is not None:
        return f"{folder} holds no labels of type {kind}; without --type all formats are tried; {contents_of_folder}"
    if not inventory.images:
        archives = inventory.suffixed(ARCHIVES)
        packed = f"; unpack {archives[0]} first" if archives else ""
        return (
            f"{folder} holds no image ({', '.join(IMAGES)}){packed}; to try satpipe without your own data:"
            f" `satpipe run all`; {contents_of_folder}"
        )
    return (
        f"{folder} holds {plural(len(inventory.images), 'image')} but no labels for them; {contents_of_folder};"
        " missing: label files in a supported format, such as GeoJSON or another vector format, YOLO .txt, Pascal VOC"
        " .xml, COCO .json, a CSV with coordinates, masks named like the images, or chips in one folder per class"
    )


def _write(target: Path, advised: Advice, folder: Path) -> None:
    from ..config.load import load
    from ..diagnostics.dataset.text import write
    from ..utils.errors import ConfigError

    head = [
        f"What it is for: {folder.absolute().name}, as inspected by `satpipe init`; every line can be changed.",
        f"How long it takes: {_how_long(advised.config, advised.folds)}; `--dry-run` gives a new estimate.",
        *([""] if advised.warnings else []),
        *(f"Note: {warning}." for warning in advised.warnings),
        "",
        "All other keys keep their defaults: `satpipe config show --config FILE` prints them. Of interest:",
        "split.fractions: [0.25, 0.5, 1.0] gives a learning curve; gan.images is the length of a GAN's training;",
        "ingest.sources.0.licence is recorded with everything that is made from these scenes.",
    ]
    text = write(advised.sections, advised.why, head, target.absolute().parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}; choose another file with --to") from None
    load(target)  # what was written must be what is read


def _how_long(config: RunConfig, folds: int) -> str:
    """Return the seconds of all long tasks over the workers of this machine, in words."""
    from ..engine.display import PlainDisplay
    from ..engine.forecast import later_stages
    from ..engine.runner import Runner
    from ..engine.stages import NAMES

    splits = folds * len(config.split.fractions) * config.split.replicates
    workers = Runner(Path(), PlainDisplay(console())).workers(config)
    seconds = sum(stage.wall(workers) for stage in later_stages(config, NAMES[1:], splits))
    classifiers = splits * len(config.classify.arms)
    return f"{plural(splits, 'GAN')} and {plural(classifiers, 'classifier')}, about {duration(seconds)} on this machine"
