"""Groups of a folder's scenes, and how chips should be split by them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...formats.class_folders import MASKS, PICTURES, SPLITS
from ...formats.groups import RESERVED, Lookup, from_csv, from_regex
from ...formats.inventory import Inventory, columns
from ...formats.tabular import SYNONYMS, known_columns
from ...utils.errors import InputError
from ...utils.plural import plural
from .summary import SourceSummary, own_groups

PLACES = (
    "aoi", "area", "region", "city", "port", "harbour", "harbor", "site", "place", "location", "folder", "hafen", "ort",
    "gebiet", "stadt", "puerto", "porto", "ville", "lieu", "bay", "coast", "country", "zone", "town",
)  # fmt: skip
TIMES = ("scene", "source_scene", "acquisition", "date", "day", "datum", "fecha", "time", "product", "pass")
FINE = ("overlap_group", "id", "index", "tile", "chip_id", "item")
"""Columns that say too little: tiles of one place are spread over many of their groups."""
NO_GROUPS = (
    "role", "split", "set", "subset", "fold", "licence", "license", "attribution", "season", "month", "year", "weather",
    "sensor", "satellite", "platform", "polarisation", "polarization", "orbit", "quality", "cloud", "clouds", "notes",
    "sea_state", "annotator", "author", "format", "crs", "kind", "footprint", "geometry", "bands", "comment", "dtype",
    "reason", "accepted", "row", "col", "width", "height", "seed", "url", "sha256", "md5", "checksum",
)  # fmt: skip
"""Columns that name no place and no time: chips of one place would be on two sides."""
TILE = r"[_-](?:r?\d{1,4}|r\d+[_-]?c\d+|\d+[_-]\d+)\.[A-Za-z0-9]+$"
"""The end of a tile's name: its number, or its row and column; before it stands the name of its scene."""
ROBOFLOW = r"(?:^|/)(?P<scene>[^/]+)_(?:png|jpe?g|tiff?|bmp)\.rf\.[0-9A-Za-z]+\.[A-Za-z]+$"
"""Roboflow writes several variants of a picture, which differ in a digest at the end of their names."""
ENOUGH = 10
"""Objects that a group must have to be tested alone; also test groups that a verdict needs."""
FEW = 6
"""Below so many groups with objects each is tested in turn."""
LEAST_OBJECTS = 24
"""Chips of the object classes that a split needs at the very least, to train, to validate and to test."""


@dataclass
class Grouping:
    """Group columns of the scenes.

    Attributes:
        columns: The group of each scene that has one, by column.
        keys: Keys of the source that give them.
        why: A comment for each key.
    """

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def find_groups(folder: Inventory, summary: SourceSummary) -> Grouping:
    """Return the group columns that a folder has: its own, those of a CSV, or what names of folders and tiles say."""
    own = own_groups(summary.scenes)
    if own:
        return Grouping(own)
    files = {str(row["scene_id"]): str(row["path"]) for row in summary.good}
    labels = summary.source.get("labels")
    used = {labels} if isinstance(labels, str) else set(labels or ())
    tables = [folder.path(name) for name in folder.tables]
    tables += sorted(path for path in folder.root.parent.glob("*.csv") if path.is_file())
    for path in tables:
        from_table = _of_table(path, files) if str(path) not in used else None
        if from_table is not None:
            return from_table
    classes = {label.class_name for label in summary.labels} if summary.cut else set()
    for pattern, says in (
        *_folder_patterns(list(files.values()), classes),
        *_tile_patterns(list(files.values()), classes),
    ):
        candidate = Grouping({}, {"groups_regex": pattern}, {"groups_regex": says})
        _add(candidate, from_regex(pattern), files)
        values = next(iter(candidate.columns.values()), {})
        if len(values) == len(files) and 3 <= len(set(values.values())) <= (len(files) + 1) / 2:
            return candidate
    return Grouping()


def _of_table(path: Path, files: Mapping[str, str]) -> Grouping | None:
    """Return the groups that a table gives to half of the scenes or more, where it is a table of scenes."""
    names = columns(path)
    if "file" not in known_columns(names) or (RESERVED in names and known_columns(names)["file"] != RESERVED):
        return None
    try:
        look_up = from_csv(path, list(files.values()))
    except InputError:
        return None
    grouping = Grouping({}, {"groups_csv": str(path)})
    _add(grouping, look_up, files)
    if sum(look_up(file) is not None for file in files.values()) * 2 < len(files) or not grouping.columns:
        return None
    grouping.why["groups_csv"] = "its columns: " + ", ".join(grouping.columns)
    return grouping


def _add(grouping: Grouping, look_up: Lookup, files: Mapping[str, str]) -> None:
    for scene, file in files.items():
        for column, value in (look_up(file) or {}).items():
            if value is not None:
                grouping.columns.setdefault(column, {})[scene] = value


def _says_nothing(names: set[str], classes: set[str]) -> bool:
    """Return whether folders are splits, kinds of pictures or classes, and no places."""
    return bool({name.lower() for name in names} & (SPLITS | PICTURES | MASKS)) or bool(names & classes)


def _folder_patterns(files: Sequence[str], classes: set[str]) -> list[tuple[str, str]]:
    """Return patterns for each level of folders that may be places."""
    paths = [file.split("/")[:-1] for file in files]
    depths = range(min(map(len, paths), default=0))
    fits = [depth for depth in depths if not _says_nothing({path[depth] for path in paths}, classes)]
    return [(f"^(?:[^/]+/){{{depth}}}(?P<folder>[^/]+)/", "the images of a folder form a group") for depth in fits]


def _tile_patterns(files: Sequence[str], classes: set[str]) -> list[tuple[str, str]]:
    """Return patterns for the scene in the names of tiles: by the file's name, unless folders tell namesakes apart."""
    says = "the tiles of a scene form a group"
    folders: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        places = [part for part in folder.split("/") if part and not _says_nothing({part}, classes)]
        folders.setdefault(re.sub(TILE, "", name), set()).add("/".join(places))
    alone = all(len(places) == 1 for places in folders.values())
    scene = "(?:^|/)(?P<scene>[^/]+?)" if alone else "(?P<scene>.+?)"
    return [(ROBOFLOW, "the variants of an image form a group"), (scene + TILE, says)]


@dataclass
class Split:
    """`split` section, a comment for each key, and what is to be said of it."""

    keys: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    folds: int = 1


def choose_split(summary: SourceSummary, grouping: Grouping, background: str) -> Split:
    """Return how to split: by the strictest column with enough groups that hold objects.

    Args:
        summary: Scenes and labels.
        grouping: Group columns.
        background: Name of the background class.
    """
    columns = {name: values for name, values in grouping.columns.items() if is_group(name, values, summary)}
    counts = {column: _counts(summary, values, background) for column, values in columns.items()}
    counts["scene_id"] = _counts(summary, {}, background)
    by = _strictest(summary, columns, counts)
    tested = {group: objects for group, (objects, _) in counts[by].items() if objects}
    if len(tested) < FEW:
        # Each is tested alone, and needs both classes for that.
        tested = {group: tested[group] for group in tested if counts[by][group][1]}
    split = Split({"by": by})
    split.why["by"] = (
        f"{plural(len(counts[by]), 'group')}, {len(tested):,} with objects; a group is never split between"
        " training and test"
    )
    if by != "scene_id" and rank(by) is None and "groups_csv" in grouping.keys:
        split.warnings.append(
            f"of the columns {', '.join(grouping.columns)}, {by} was chosen as the groups to split by: check it, and"
            " set split.by if another column names the sites"
        )
    unit = _unit(by, counts) if len(tested) < FEW else None
    if unit:
        split.keys["unit"], split.why["unit"] = unit, "validation and the interval sample these smaller groups"
    _choose_scheme(split, tested, len(counts[by]))
    units = _units(summary, grouping, unit or by, by, set(split.keys.get("test_groups") or tested))
    share = split.keys.get("test_fraction", 1.0)
    _warn(split, summary, grouping, tested, round(units * share), background)
    return split


def rank(column: str) -> int | None:
    """Return the place of a column among those that are known by name, places before times; None for others."""
    words = [column.lower(), *re.split(r"[^a-zäöüß]+", column.lower())]
    return next((number for number, name in enumerate((*PLACES, *TIMES)) if name in words), None)


def is_group(column: str, values: Mapping[str, str], summary: SourceSummary) -> bool:
    """Return whether a column may be of places or times.

    Numbers, classes, roles and licences are none, nor is a column with one value, or with another one in each row.
    """
    name = column.lower()
    words = {name, *re.split(r"[^a-z]+", name)}
    different = set(values.values())
    if words & set(NO_GROUPS) or name in SYNONYMS["class"] or name in FINE or not len(different) >= 2:
        return False
    if len(different) == len(values) and len(values) > 2 and rank(column) is None:
        return False
    if different <= {label.class_name for label in summary.labels} | {"background"}:
        return False
    numbers = all(re.fullmatch(r"[-+]?\d*[.,]?\d+([eE][-+]?\d+)?", value) for value in different)
    return not numbers or (rank(column) is not None and all(value.isdecimal() for value in different))


def _counts(summary: SourceSummary, values: Mapping[str, str], background: str) -> dict[str, tuple[int, int]]:
    """Return objects and other chips of each group; a scene without a group is one of its own.

    A scene with object labels gives background chips too, so it counts as if it had some.
    """
    objects: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for label in summary.labels:
        group = values.get(str(label.scene_id), str(label.scene_id))
        (others if label.class_name == background else objects)[group] += 1
    if not summary.cut:
        others.update(values.get(str(row["scene_id"]), str(row["scene_id"])) for row in summary.good)
    return {group: (objects[group], others[group]) for group in sorted({*objects, *others})}


Counts = dict[str, dict[str, tuple[int, int]]]


def _strictest(summary: SourceSummary, columns: Mapping[str, Mapping[str, str]], counts: Counts) -> str:
    """Return the column to split by: places go before times, and both before columns of other names."""
    if summary.source["type"] == "shipsnet" and "scene" in columns:
        return "scene"
    ranked = sorted((name for name in columns if rank(name) is not None), key=lambda name: (rank(name), name))
    others = sorted((name for name in columns if rank(name) is None), key=lambda name: len(counts[name]))
    for column in [*ranked, *others]:
        enough = [objects for objects, more in counts[column].values() if objects >= ENOUGH and more]
        if len(enough) >= 3:
            return column
    for column in [*ranked, *others]:
        if sum(bool(objects and more) for objects, more in counts[column].values()) >= 2:
            return column
    return "scene_id"


def _unit(by: str, counts: Counts) -> str | None:
    """Return a finer column than ``by``, the coarsest that is known by name."""
    names = [name for name in counts if name not in (by, "scene_id") and rank(name) is not None]
    finer = sorted((name for name in names if len(counts[name]) > len(counts[by])), key=lambda name: (rank(name), name))
    return next(iter(finer), None)


def _choose_scheme(split: Split, tested: Mapping[str, int], groups: int) -> None:
    if len(tested) >= 2 * ENOUGH:
        split.keys |= {"scheme": "holdout", "test_fraction": 0.5}
        split.why["scheme"] = "half of the groups are for testing, the others for training"
    elif len(tested) >= FEW:
        split.keys |= {"scheme": "folds", "folds": 3}
        split.why["scheme"] = "every group is tested once"
        split.folds = 3
    else:
        large = sorted(group for group, objects in tested.items() if objects >= ENOUGH)
        split.keys |= {"scheme": "leave-one-out"}
        split.why["scheme"] = "few groups: each is tested in turn"
        if 2 <= len(large) < groups:
            split.keys["test_groups"] = large
            split.why["test_groups"] = f"the groups with {ENOUGH} objects or more; the others are always for training"
        split.folds = max(1, len(large) if "test_groups" in split.keys else len(tested))


def _units(summary: SourceSummary, grouping: Grouping, unit: str, by: str, tested: set[str]) -> int:
    """Return how many units the tested groups have."""
    of_by, of_unit = grouping.columns.get(by, {}), grouping.columns.get(unit, {})
    scenes = {str(label.scene_id) for label in summary.labels} | {str(row["scene_id"]) for row in summary.good}
    return len({of_unit.get(scene, scene) for scene in scenes if of_by.get(scene, scene) in tested})


def _warn(
    split: Split, summary: SourceSummary, grouping: Grouping, tested: Mapping[str, int], units: int, background: str
) -> None:
    objects = sum(label.class_name != background for label in summary.labels)
    by = split.keys["by"]
    if objects < LEAST_OBJECTS or len(tested) < 2:
        groups = f"{plural(len(tested), 'group')} of `{by}`"
        split.warnings.append(
            f"{plural(objects, 'object')} in {groups} {'is' if objects == 1 else 'are'} too few for training and"
            " testing: `satpipe run chips` cuts chips, but a run ends there; add scenes from other places"
        )
    elif units < ENOUGH:
        split.warnings.append(
            f"with {plural(units, 'test group')} there are numbers but no verdict (at least {ENOUGH} are needed); add"
            " scenes from other places, or name a finer group column in split.unit"
        )
    grouped = set(grouping.columns.get(by, {}))
    without = sum(str(row["scene_id"]) not in grouped for row in summary.good)
    if grouped and without:
        split.warnings.append(f"{without:,} of {len(summary.good):,} have no {by}, so each is its own group")
    if by == "scene_id" and len(summary.good) > 1 and not grouping.columns:
        what = "chip" if summary.cut else "scene"
        unplaced = sum(not row["crs"] for row in summary.good)
        hidden = (
            f" ({unplaced:,} have no georeference, and another date or angle can hide shared ground)"
            if unplaced
            else ""
        )
        split.warnings.append(
            f"each {what} is its own group: if several show the same place, scores will be too optimistic{hidden}; name"
            " the sites with groups_csv (columns file and, say, site) or groups_regex"
        )
