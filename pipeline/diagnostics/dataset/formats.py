"""Which kind of source a folder is: each way of keeping labels looks whether the folder is of its kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...formats.listing import VECTORS, beside
from ...formats.shipsnet import parse_name
from ...utils.errors import InputError
from .inventory import Inventory

MAX_CHIP_PX = 512
"""Images in class folders count as chips up to this side; larger ones are scenes that were sorted into folders."""
NAMES_FILES = ("classes.txt", "obj.names", "classes.names", "labels.txt", "_darknet.labels")
LOOK_AT = 200
"""Files of a kind that are looked into to tell what they are."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "file_name", "image", "image_id", "image_name", "imageid", "img", "path", "scene"),
    "class": ("class", "label", "category", "class_name", "type", "object_class"),
    "x_min": ("x_min", "xmin", "left", "x1", "minx", "bbox_xmin", "col_min"),
    "y_min": ("y_min", "ymin", "top", "y1", "miny", "bbox_ymin", "row_min"),
    "x_max": ("x_max", "xmax", "right", "x2", "maxx", "bbox_xmax", "col_max"),
    "y_max": ("y_max", "ymax", "bottom", "y2", "maxy", "bbox_ymax", "row_max"),
    "lon_min": ("lon_min", "lonmin", "west", "min_lon"),
    "lat_min": ("lat_min", "latmin", "south", "min_lat"),
    "lon_max": ("lon_max", "lonmax", "east", "max_lon"),
    "lat_max": ("lat_max", "latmax", "north", "max_lat"),
    "x": ("x", "px_x", "x_px", "col", "column"),
    "y": ("y", "px_y", "y_px", "row"),
    "lon": ("lon", "long", "longitude", "lng"),
    "lat": ("lat", "latitude"),
}
"""What people call the columns of a CSV of labels, in small letters."""
FORMS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("lon_min", "lat_min", "lon_max", "lat_max"),
    ("lon", "lat"),
    ("x", "y"),
)


@dataclass
class Found:
    """A kind that fits.

    Attributes:
        source: Keys of the source as in the configuration, without paths that the caller knows.
        says: What was found, as a part of a sentence.
        why: A comment for a key of the source.
        classes: Class names in the order of their numbers, where the source numbers them.
        images: How many images belong to it.
        files: Files by which it was told.
    """

    source: dict[str, Any]
    says: str
    why: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    images: int = 0
    files: list[str] = field(default_factory=list)


def shipsnet(folder: Inventory) -> Found | None:
    """Chips with names as in Kaggle's "Ships in Satellite Imagery", a JSON of chips, or both."""
    chips = [name for name in folder.images if parse_name(Path(name).name) is not None]
    named = len(chips)
    if not folder.packed and named * 2 <= len(folder.images):
        return None
    says = [f"{named:,} images named {{label}}__{{scene id}}__{{lon}}_{{lat}}"] if named else []
    says += [f"chips in {', '.join(folder.packed)}"] if folder.packed else []
    source: dict[str, Any] = {"type": "shipsnet", "path": str(folder.root)}
    if not folder.images and len(folder.packed) == 1:
        source["path"] = str(folder.path(folder.packed[0]))
    return Found(source, " and ".join(says), {}, ("non-ship", "ship"), named, [*chips, *folder.packed])


def yolo(folder: Inventory) -> Found | None:
    """Text files named like their images, with lines of a class number and coordinates."""
    own = _beside(folder, folder.images, (".txt",))
    source: dict[str, Any] = {"type": "yolo", "path": str(folder.root)}
    if not own:
        own, labels = _elsewhere(folder, [name for name in folder.texts if Path(name).name not in NAMES_FILES])
        source |= {"labels": labels} if labels else {}
    numbers: set[int] = set()
    lines = good = 0
    for label in list(own.values())[:LOOK_AT]:
        for line in _lines(folder.path(label)):
            lines += 1
            match = re.fullmatch(r"\s*(\d+)((?:\s+[-+.\deE]+){4,})\s*", line)
            good += match is not None
            numbers |= {int(match[1])} if match else set()
    if not own or good * 2 <= lines or (not lines and len(own) * 2 < len(folder.images)):
        return None
    names, where = class_names(folder.root)
    why = {"class_names": f"from {where}" if where else "the label files have numbers only: give the names"}
    if not names:
        highest = max(numbers, default=0)
        names = ["ship"] if highest == 0 else [f"class-{number}" for number in range(highest + 1)]
    source["class_names"] = names
    return Found(source, f"{len(own):,} YOLO label files", why, (), len(own), [*own, *own.values()])


def voc(folder: Inventory) -> Found | None:
    """XML files named like their images, with an ``annotation`` inside."""
    own = _beside(folder, folder.images, (".xml",))
    source: dict[str, Any] = {"type": "voc", "path": str(folder.root)}
    if not own:
        own, labels = _elsewhere(folder, folder.xmls)
        source |= {"labels": labels} if labels else {}
    good = sum("<annotation" in "".join(_lines(folder.path(label))[:20]) for label in list(own.values())[:LOOK_AT])
    if not good or good * 2 <= min(len(own), LOOK_AT):
        return None
    return Found(source, f"{len(own):,} Pascal VOC label files", {}, (), len(own), [*own, *own.values()])


def coco(folder: Inventory) -> Found | None:
    """COCO files."""
    if not folder.coco or not folder.images:
        return None
    labels = [str(folder.path(name)) for name in folder.coco]
    source = {"type": "coco", "path": str(folder.root), "labels": labels[0] if len(labels) == 1 else labels}
    return Found(source, f"COCO labels in {_some(folder.coco)}", {}, (), len(folder.images), folder.coco)


def geojson(folder: Inventory) -> Found | None:
    """Vector files beside rasters."""
    if not folder.vectors or not folder.images:
        return None
    own = _beside(folder, folder.images, VECTORS)
    source: dict[str, Any] = {"type": "geojson", "path": str(folder.root)}
    if set(own.values()) != set(folder.vectors):
        labels = _together(folder, folder.vectors)
        source["labels"] = labels
    says = f"vector labels in {_some(folder.vectors)}"
    why: dict[str, str] = {}
    if (layer := _layer(folder)) is not None:
        source["layer"], why["layer"] = layer[0], layer[1]
    return Found(source, says, why, (), len(folder.images), folder.vectors)


def table(folder: Inventory) -> Found | None:
    """CSV files with coordinates, whatever they call their columns."""
    fits: dict[str, dict[str, str]] = {}
    for name, columns in folder.tables.items():
        renamed = rename(columns)
        if renamed is not None:
            fits[name] = renamed
    if not fits or not folder.images:
        return None
    first = next(iter(fits.values()))
    same = [name for name, renamed in fits.items() if renamed == first]
    labels = [str(folder.path(name)) for name in same]
    source: dict[str, Any] = {"type": "csv", "path": str(folder.root)}
    source["labels"] = labels if len(labels) > 1 else labels[0]
    if first:
        source["columns"] = first
    return Found(source, f"labels in {_some(same)}", {"columns": "ours: theirs"}, (), len(folder.images), same)


def folders(folder: Inventory) -> Found | None:
    """Images in folders that are named for their class."""
    counts = Counter(name.split("/")[0] for name in folder.images if "/" in name)
    if len(counts) < 2 or sum(counts.values()) * 2 <= len(folder.images):
        return None
    sides = [side for name in folder.images[:: max(1, len(folder.images) // 20)] for side in _size(folder.path(name))]
    if not sides or max(sides) > MAX_CHIP_PX:
        return None
    names = [f"{name} {count:,}" for name, count in sorted(counts.items())]
    says = f"chips in {len(counts)} folders: {_some(names, 8)}"
    source = {"type": "folders", "path": str(folder.root)}
    return Found(source, says, {}, tuple(sorted(counts)), sum(counts.values()), folder.images)


KINDS: dict[str, Callable[[Inventory], Found | None]] = {
    "shipsnet": shipsnet,
    "yolo": yolo,
    "voc": voc,
    "coco": coco,
    "geojson": geojson,
    "csv": table,
    "folders": folders,
}
"""Every kind that a folder can be of, the more telling ones first."""


def fitting(folder: Inventory, kind: str | None = None) -> list[Found]:
    """The kinds that a folder may be of, the best first.

    Args:
        folder: What lies in it.
        kind: Look for this kind alone.
    """
    found = [one for look in KINDS.values() if (one := look(folder)) is not None]
    # Labels beside half of the images tell more than one file that may be about something else.
    found.sort(key=lambda one: one.images * 2 < len(folder.images))
    if len(found) > 1:
        # Several kinds in one folder: each is looked for where its own files are.
        for one in found:
            narrow(folder, one)
    return [one for one in found if kind in (None, one.source["type"])]


def narrow(folder: Inventory, found: Found) -> None:
    """Take the images of a kind from the deepest folder that holds all of its files, if there are images in it."""
    inside = common_folder(found.files)
    own = [name for name in folder.images if name.startswith(f"{inside}/")]
    if inside and (own or found.source["type"] == "shipsnet") and Path(found.source["path"]).is_dir():
        found.source["path"] = str(folder.path(inside))


# ---------------------------------------------------------------------------------------------------------- helpers


def rename(columns: Sequence[str]) -> dict[str, str] | None:
    """What a CSV of labels calls the columns that we know, where it differs; None if it has no coordinates."""
    theirs = {name.lower().replace(" ", "_"): name for name in columns}
    known = {
        ours: next(theirs[name] for name in names if name in theirs)
        for ours, names in SYNONYMS.items()
        if any(name in theirs for name in names)
    }
    for form in FORMS:
        if set(form) <= set(known) and ("file" in known or form[0].startswith("lon")):
            return {ours: name for ours, name in known.items() if ours in (*form, "file", "class") and ours != name}
    return None


def class_names(root: Path) -> tuple[list[str], str | None]:
    """Names of YOLO's class numbers, and the file that says them: a data set's YAML, or a list of names."""
    for path in sorted([*root.rglob("*.yaml"), *root.rglob("*.yml")]):
        try:
            names = yaml.safe_load(path.read_text("utf-8"))["names"]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue
        if isinstance(names, dict):
            names = [names.get(number, f"class-{number}") for number in range(max(map(int, names), default=-1) + 1)]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names, path.relative_to(root).as_posix()
    for path in sorted(path for name in NAMES_FILES for path in root.rglob(name)):
        names = [line.strip() for line in _lines(path) if line.strip()]
        if names and not any(re.match(r"\d+(\s+[\d.]+){4}", name) for name in names):
            return names, path.relative_to(root).as_posix()
    return [], None


def _beside(folder: Inventory, images: Sequence[str], suffixes: Sequence[str]) -> dict[str, str]:
    """The label file of each image that has one where ingest looks for it."""
    known = {*folder.texts, *folder.xmls, *folder.vectors}
    return beside(images, known.__contains__, suffixes)


def _elsewhere(folder: Inventory, labels: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """Label files of images' names in another folder, and that folder."""
    stems = {Path(name).stem: name for name in folder.images}
    own = {stems[Path(label).stem]: label for label in labels if Path(label).stem in stems}
    if not own:
        return {}, None
    return own, str(folder.root / common_folder(list(own.values())))


def common_folder(names: Sequence[str]) -> str:
    """The deepest folder that holds all of the files."""
    parts = [name.split("/")[:-1] for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


def _together(folder: Inventory, names: Sequence[str]) -> str | list[str]:
    """The shortest way to name some files: one path, their folder where it holds nothing else, or a list."""
    if len(names) == 1:
        return str(folder.path(names[0]))
    inside = common_folder(names)
    prefix = f"{inside}/" if inside else ""
    rivals = [*folder.vectors, *folder.coco, *folder.packed]
    alone = all(name in names for name in rivals if name.startswith(prefix))
    if alone and not folder.others:
        return str(folder.root / inside)
    return [str(folder.path(name)) for name in names]


def _layer(folder: Inventory) -> tuple[str, str] | None:
    """The layer of GeoPackages with several: the one with most features."""
    for name in folder.vectors:
        if Path(name).suffix.lower() != ".gpkg":
            continue
        import pyogrio

        try:
            layers = [str(layer) for layer, _ in pyogrio.list_layers(folder.path(name))]
            sizes = {layer: int(pyogrio.read_info(folder.path(name), layer=layer)["features"]) for layer in layers}
        except Exception:
            continue
        if len(layers) > 1:
            best = max(layers, key=lambda layer: sizes[layer])
            return best, "the others are " + ", ".join(layer for layer in layers if layer != best)
    return None


def _size(path: Path) -> tuple[int, ...]:
    from ...raster import gdal

    try:
        with gdal.open_scene(path) as dataset:
            return dataset.height, dataset.width
    except InputError:
        return ()


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(1 << 20).splitlines()
    except OSError:
        return []


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
