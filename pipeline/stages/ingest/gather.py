"""Gather catalogues and labels of all sources: the scene table, the label table, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...dataset.tables import GROUP_PREFIX, LABELS, SCENES
from ...engine.task import MAX_METADATA_BYTES, TaskContext, read_metadata
from ...formats import groups
from ...formats.base import LabelInput
from ...formats.label import WITH_ITS_SCENE, check, row_of
from ...formats.registry import read
from ...formats.scenes import CATALOGUE, is_square
from ...formats.unlabelled import FORMAT as UNLABELLED
from ...utils.bounded_files import read_json
from .catalogue import FILE
from .sources import SIDECAR

LABELS_FILE = "labels.parquet"
REFUSED_FILE = "refused.json"
LISTED = 200
"""Quarantined labels that the metadata names one by one; the table has all of them."""

Row = dict[str, Any]


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Return rows as mappings of plain Python values; None where a value is missing."""
    columns = {
        name: [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
        for name, column in ((str(name), frame[name]) for name in frame.columns)
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


# ---------------------------------------------------------------------------------------------------------- labels


def labels(context: TaskContext) -> dict[str, Any]:
    """Read the labels of one source and check each against its scene.

    Returns:
        Metadata: labels by class, quarantined ones by reason; scenes without a label file, and scenes refused
        for their labels.
    """
    scenes = [row for folder in context.folders("catalogue") for row in rows_of(CATALOGUE.read(folder / FILE))]
    gathered = read(context.config["kind"], _given(context, scenes))
    sizes = {row["scene_id"]: (row["height"], row["width"]) for row in scenes if row["quarantined"] is None}
    names: dict[str, str] = context.config["class_map"]
    classes = context.config["classes"]
    checked = [
        check(
            replace(label, class_name=names.get(label.class_name, label.class_name)),
            sizes.get(label.scene_id or ""),
            classes,
        )
        for label in gathered.labels
    ]
    for label in checked:
        if label.kind == "scene" and label.reason is not None and label.scene_id is not None:
            # A chip that arrived cut and has no usable label is neither object nor background.
            gathered.refused[label.scene_id] = label.reason
    frame = LABELS.write([row_of(label) for label in checked], context.out / LABELS_FILE)
    (context.out / REFUSED_FILE).write_text(json.dumps(gathered.refused, indent=1), "utf-8")
    return {
        "labels": _count(frame.loc[frame["quarantined"].isna(), "class"]),
        "labels_quarantined_by_reason": _count(frame["quarantined"].dropna()),
        "unlabelled_scenes": gathered.unlabelled,
        "refused_scenes": len(gathered.refused),
    }


def _given(context: TaskContext, scenes: Sequence[Row]) -> LabelInput:
    files = {name: Path(file.path) for name, file in context.task.files.items() if not name.startswith(SIDECAR)}
    own: dict[str, str] = dict(context.config["own"])
    if "origin" in context.task.inputs:
        written = {path.name: path for folder in context.folders("origin") for path in folder.glob("*.geojson")}
        own = {row["path"]: row["path"].rpartition(".")[0] + ".geojson" for row in scenes}
        files = {name: written[name] for name in own.values()}
    config = context.config
    # A class of the labels may go by another name in the configuration.
    classes = [*config["classes"], *(config["class_map"] if config["kind"] == "folders" else ())]
    return LabelInput(scenes, files, own, config["settings"], classes, config["folders"])


def _count(values: pd.Series[Any]) -> dict[str, int]:
    return {str(value): int(number) for value, number in sorted(Counter(values).items())}


# ---------------------------------------------------------------------------------------------------------- tables


def tables(context: TaskContext) -> dict[str, Any]:
    """Write the scene table and the label table of all sources.

    Returns:
        Metadata: usable scenes with their digests, quarantined ones with reasons, how many scenes came twice, labels by
        class, licences, groups.
    """
    scenes, refused = _all_scenes(context)
    for row in scenes:
        if row["quarantined"] is None:
            row["quarantined"] = refused.get(row["scene_id"]) or _not_square(row, context.config["square"])
    unlabelled = {source["name"] for source in context.config["sources"] if source["type"] == UNLABELLED.name}
    copies = _refuse_copies(scenes, unlabelled)
    _refuse_odd_ones(scenes)
    names = [*SCENES.columns, *sorted({name for row in scenes for name in row if name.startswith(GROUP_PREFIX)})]
    frame = SCENES.write([{name: row.get(name) for name in names} for row in scenes], context.out / "scenes.parquet")
    good = frame[frame["quarantined"].isna()]
    bad = frame[frame["quarantined"].notna() & ~frame["scene_id"].isin(copies)]
    all_labels = pd.concat(
        [LABELS.read(folder / LABELS_FILE) for folder in context.folders("labels")], ignore_index=True
    )
    orphaned = all_labels["quarantined"].isna() & ~all_labels["scene_id"].isin(good["scene_id"])
    all_labels.loc[orphaned, "quarantined"] = WITH_ITS_SCENE
    all_labels = LABELS.write(all_labels, context.out / LABELS_FILE)
    usable, unusable = all_labels[all_labels["quarantined"].isna()], all_labels[all_labels["quarantined"].notna()]
    return {
        "scenes": [list(pair) for pair in zip(good["scene_id"], good["sha256"], strict=True)],
        "quarantined": [list(pair) for pair in zip(bad["scene_id"], bad["quarantined"], strict=True)],
        "copies": len(copies),
        "labels": _count(usable["class"]),
        "labels_quarantined": [list(pair) for pair in zip(unusable["label_id"], unusable["quarantined"], strict=True)][
            :LISTED
        ],
        "labels_quarantined_by_reason": _count(unusable["quarantined"]),
        "simulated": bool(good["simulated"].any()),
        "sources": [source["name"] for source in context.config["sources"]],
        "licences": sorted({source["licence"] for source in context.config["sources"]}),
        "groups": [name.removeprefix(GROUP_PREFIX) for name in names if name.startswith(GROUP_PREFIX)],
        "gsd_m": sorted({round(float(gsd_m), 4) for gsd_m in good["gsd_m"].dropna()})[:LISTED],
        "unlabelled_scenes": sum(read_metadata(folder)["unlabelled_scenes"] for folder in context.folders("labels")),
    }


def _all_scenes(context: TaskContext) -> tuple[list[Row], dict[str, str]]:
    """Return rows of all catalogues with path, licence and groups filled in, and why scenes are refused."""
    folders = iter(context.folders("catalogue"))
    rows: list[Row] = []
    for number, source in enumerate(context.config["sources"]):
        batches = [next(folders) for _ in range(source["parts"])]
        placed = [_placed(row, source, folder) for folder in batches for row in rows_of(CATALOGUE.read(folder / FILE))]
        for look_up, origin in _lookups(context, number, source, [row["file"] for row in placed]):
            for row in placed:
                given = look_up(row["file"])
                if given is None and row["quarantined"] is None:
                    row["quarantined"] = f"{origin} does not list it"
                row |= {f"{GROUP_PREFIX}{column}": value for column, value in (given or {}).items()}
        rows.extend(placed)
    refused: dict[str, str] = {}
    for folder in context.folders("labels"):
        refused |= read_json(folder / REFUSED_FILE, MAX_METADATA_BYTES)
    return rows, refused


def _placed(row: Row, source: Mapping[str, Any], folder: Path) -> Row:
    """Return a row of the scene table with the path as other stages open it."""
    where, path = row["where"], row["path"]
    row["file"] = path
    if where == "own":
        # Groups are looked up by file: a chip that came in a JSON has none of its own, but a place in one.
        row["file"] = row["scene_id"].removeprefix(f"{row['source']}/")
        row["path"] = f"{folder.parent.name}/{folder.name}/{path}"
    elif where == "source":
        row["path"] = str(Path(source["root"]) / path)
    else:
        row["path"] = f"{where.removeprefix('store:')}/{path}"
    return row | {"licence": source["licence"], "simulated": source["type"] == "simulated"}


def _lookups(
    context: TaskContext, number: int, source: Mapping[str, Any], files: Sequence[str]
) -> Iterator[tuple[groups.Lookup, str]]:
    if f"groups/{number}" in context.task.files:
        path = context.file(f"groups/{number}")
        yield groups.from_csv(path, files), f"groups_csv {path.name}"
    if source["groups_regex"]:
        yield groups.from_regex(source["groups_regex"]), f"groups_regex {source['groups_regex']}"


def _not_square(row: Row, needed: bool) -> str | None:
    if not needed or row["crs"] is None or row["transform"] is None:
        return None
    square, across, down = is_square(row)
    if square:
        return None
    return f"its pixels are {across:.3g} m wide and {down:.3g} m high; set chips.gsd_m and chips.resampling"


def _refuse_copies(scenes: Sequence[Row], unlabelled: Collection[str] = ()) -> set[str]:
    """Refuse scenes that repeat another one: a copy would land on both sides of a split.

    shipsnet has every chip twice, in its JSON and in its folder; the one whose groups are known is kept. One of the
    sources ``unlabelled`` gives way to one with labels.
    """
    first: dict[str, str] = {}
    copies = set()
    for row in sorted(scenes, key=lambda row: (row["source"] in unlabelled, row.get(f"{GROUP_PREFIX}scene") is None)):
        if row["quarantined"] is not None:
            continue
        digest = row["pixels_sha256"] or row["sha256"]
        if digest in first:
            row["quarantined"] = f"it is the same image as {first[digest]}"
            copies.add(row["scene_id"])
        else:
            first[digest] = row["scene_id"]
    return copies


def _refuse_odd_ones(scenes: Sequence[Row]) -> None:
    """Refuse scenes unlike most others: chips of one run have one number of bands and one type."""
    kinds = Counter((len(json.loads(row["bands"])), row["dtype"]) for row in scenes if row["quarantined"] is None)
    if len(kinds) < 2:
        return
    bands, dtype = max(kinds, key=lambda kind: kinds[kind])
    for row in scenes:
        kind = None if row["quarantined"] is not None else (len(json.loads(row["bands"])), row["dtype"])
        if kind is not None and kind != (bands, dtype):
            row["quarantined"] = (
                f"it has {kind[0]} bands of {kind[1]} and most scenes have {bands} of {dtype};"
                " choose common bands with ingest.bands"
            )
