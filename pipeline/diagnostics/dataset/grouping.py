"""Which groups the scenes of a folder have, and how chips should be split by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...formats.groups import from_csv, from_regex
from ...utils.errors import InputError
from .inventory import Inventory
from .metadata import Facts
from .metadata import groups as own_groups

PLACES = ("aoi", "area", "region", "city", "port", "harbour", "harbor", "site", "place", "location", "folder")
TIMES = ("scene", "scene_id", "acquisition", "date", "day")
FINE = ("overlap_group", "id", "index", "tile")
"""Columns that say too little: tiles of one place are spread over many of their groups."""
TILE = r"(?P<scene>.+?)[_-](?:r?\d{1,4}|r\d+[_-]?c\d+|\d+[_-]\d+)\.[A-Za-z]+$"
"""A tile's name: that of its scene, and its number or its row and column."""
FOLDER = r"^(?:images/)?(?P<folder>[^/]+)/"
PARTS = {"images", "labels", "train", "training", "val", "valid", "validation", "test", "jpegimages", "annotations"}
"""Names of folders that say nothing of a place."""
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


def find_groups(folder: Inventory, metadata: Facts) -> Grouping:
    """The group columns that a folder has: its own, those of a CSV, or what names of folders and tiles say."""
    found = Grouping(own_groups(metadata.scenes))
    if found.columns:
        return found
    files = {str(row["scene_id"]): str(row["path"]) for row in metadata.good}
    labels = metadata.source.get("labels")
    used = {labels} if isinstance(labels, str) else set(labels or ())
    for name, columns in folder.tables.items():
        if "file" not in columns or str(folder.path(name)) in used:
            continue
        try:
            look_up = from_csv(folder.path(name), list(files.values()))
        except InputError:
            continue
        _add(found, look_up, files)
        if found.columns:
            found.keys["groups_csv"] = str(folder.path(name))
            found.why["groups_csv"] = "its columns: " + ", ".join(found.columns)
            return found
    for pattern, says in ((FOLDER, "images of one folder are a group"), (TILE, "tiles of one scene are a group")):
        candidate = Grouping()
        _add(candidate, from_regex(pattern), files)
        values = next(iter(candidate.columns.values()), {})
        names = {name.lower() for name in values.values()}
        if len(values) == len(files) and 3 <= len(names) <= len(files) / 2 and not names & PARTS:
            candidate.keys["groups_regex"], candidate.why["groups_regex"] = pattern, says
            return candidate
    return Grouping()


def _add(found: Grouping, look_up: Any, files: Mapping[str, str]) -> None:
    for scene, file in files.items():
        for column, value in (look_up(file) or {}).items():
            if value is not None:
                found.columns.setdefault(column, {})[scene] = value


@dataclass
class Split:
    """The `split` section, a comment for each key, and what is to be said of it."""

    keys: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    folds: int = 1


def choose_split(metadata: Facts, grouping: Grouping, background: str) -> Split:
    """How to split: by the strictest column with enough groups that hold objects.

    Args:
        metadata: Scenes and labels.
        grouping: Group columns.
        background: Name of the background class.
    """
    counts = {column: _counts(metadata, values, background) for column, values in grouping.columns.items()}
    counts["scene_id"] = _counts(metadata, {}, background)
    by = _strictest(metadata, grouping, counts)
    tested = {group: objects for group, (objects, _) in counts[by].items() if objects}
    if len(tested) < FEW:
        # Each is tested alone, and needs both classes for that.
        tested = {group: tested[group] for group in tested if counts[by][group][1]}
    split = Split({"by": by})
    split.why["by"] = f"{_groups(len(counts[by]))}, {len(tested):,} with objects; a group is never on two sides"
    unit = _unit(by, counts) if len(tested) < FEW else None
    if unit:
        split.keys["unit"], split.why["unit"] = unit, "validation and the interval draw these smaller groups"
    _choose_scheme(split, tested, len(counts[by]))
    units = _units(metadata, grouping, unit or by, by, set(split.keys.get("test_groups") or tested))
    share = split.keys.get("test_fraction", 1.0)
    _warn(split, metadata, grouping, tested, round(units * share), background)
    return split


def _counts(metadata: Facts, values: Mapping[str, str], background: str) -> dict[str, tuple[int, int]]:
    """Objects and other chips of each group; a scene without a group is one of its own.

    A scene with object labels gives background chips too, so it counts as if it had some.
    """
    objects: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for label in metadata.labels:
        group = values.get(str(label.scene_id), str(label.scene_id))
        (others if label.class_name == background else objects)[group] += 1
    if not metadata.cut:
        others.update(values.get(str(row["scene_id"]), str(row["scene_id"])) for row in metadata.good)
    return {group: (objects[group], others[group]) for group in sorted({*objects, *others})}


Counts = dict[str, dict[str, tuple[int, int]]]


def _strictest(metadata: Facts, grouping: Grouping, counts: Counts) -> str:
    if metadata.source["type"] == "shipsnet" and "scene" in grouping.columns:
        return "scene"
    known = [name for name in (*PLACES, *TIMES) if name in grouping.columns]
    other = [name for name in grouping.columns if name not in known and name.lower() not in FINE]
    other = sorted(other, key=lambda name: len(counts[name]))
    for column in [*known, *other]:
        enough = [objects for objects, more in counts[column].values() if objects >= ENOUGH and more]
        if len(enough) >= 3:
            return column
    for column in [*known, *other]:
        if sum(bool(objects and more) for objects, more in counts[column].values()) >= 2:
            return column
    return "scene_id"


def _unit(by: str, counts: Counts) -> str | None:
    """A finer column than ``by``, the coarsest that is known by name."""
    finer = [name for name in (*PLACES, *TIMES) if name in counts and len(counts[name]) > len(counts[by])]
    return next((name for name in finer if name not in (by, "scene_id")), None)


def _choose_scheme(split: Split, tested: Mapping[str, int], groups: int) -> None:
    if len(tested) >= 2 * ENOUGH:
        split.keys |= {"scheme": "holdout", "test_fraction": 0.5}
        split.why["scheme"] = "half of the groups are tested, the others train"
    elif len(tested) >= FEW:
        split.keys |= {"scheme": "folds", "folds": 3}
        split.why["scheme"] = "every group is tested once, so that all count"
        split.folds = 3
    else:
        large = sorted(group for group, objects in tested.items() if objects >= ENOUGH)
        split.keys |= {"scheme": "leave-one-out"}
        split.why["scheme"] = "few groups: each is tested in turn"
        if 2 <= len(large) < groups:
            split.keys["test_groups"] = large
            split.why["test_groups"] = f"the groups with {ENOUGH} objects or more; the others always train"
        split.folds = max(1, len(large) if "test_groups" in split.keys else len(tested))


def _units(metadata: Facts, grouping: Grouping, unit: str, by: str, tested: set[str]) -> int:
    """How many units the tested groups have."""
    of_by, of_unit = grouping.columns.get(by, {}), grouping.columns.get(unit, {})
    scenes = {str(label.scene_id) for label in metadata.labels} | {str(row["scene_id"]) for row in metadata.good}
    return len({of_unit.get(scene, scene) for scene in scenes if of_by.get(scene, scene) in tested})


def _warn(
    split: Split, metadata: Facts, grouping: Grouping, tested: Mapping[str, int], units: int, background: str
) -> None:
    objects = sum(label.class_name != background for label in metadata.labels)
    by = split.keys["by"]
    if objects < LEAST_OBJECTS or len(tested) < 2:
        groups = f"{_groups(len(tested))} of `{by}`"
        split.warnings.append(
            f"{objects} objects in {groups} are too few to train on some and test on others: `satpipe run chips` cuts"
            " chips, and a run ends there with one sentence; add scenes from other places"
        )
    elif units < ENOUGH:
        split.warnings.append(
            f"{units} test groups give no verdict, only numbers (at least {ENOUGH} are needed); add scenes from other"
            " places, or a finer group column as split.unit"
        )
    known = set(grouping.columns.get(by, {}))
    without = sum(str(row["scene_id"]) not in known for row in metadata.good)
    if known and without:
        split.warnings.append(f"{without:,} of {len(metadata.good):,} have no {by} and are each a group of their own")
    if by == "scene_id" and len(metadata.good) > 1 and not grouping.columns:
        what = "chip is" if metadata.cut else "scene is"
        split.warnings.append(
            f"each {what} a group of its own: where several show one place, scores will flatter you; give the places"
            " with groups_csv (columns file and, say, site) or groups_regex"
        )


def _groups(number: int) -> str:
    return f"{number:,} group" if number == 1 else f"{number:,} groups"
