"""The index of all chips: the batches' indexes as one table, with the scenes' groups and a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...dataset.chip_store import SHARD_COLUMNS, ChipStore, qualify
from ...dataset.contact_sheet import COLUMNS, chosen, draw_sheet, enlarged, viewable
from ...dataset.parquet import checked
from ...dataset.tables import CHIPS, GROUP_PREFIX, ROW_GROUP, write_pieces
from ...utils.errors import TooLittleDataError

SCENE = "scene_id"
"""The group column that every chip has."""
_SHEET_ROWS = 5
_REPEATED = [SCENE, "class", "kind", "label_id", "mask_reason", *SHARD_COLUMNS]
"""Texts that many chips share."""


def build(
    folders: Sequence[Path], scenes: pd.DataFrame, classes: Sequence[str], store: Path, out: Path, seed: int
) -> dict[str, Any]:
    """Write ``index.parquet`` and ``sheet.png`` to ``out``.

    Args:
        folders: The committed batches.
        scenes: The scene table; its order is the order of the chips.
        classes: Class names of the configuration.
        store: Root of the committed parts.
        out: Folder of the part.
        seed: Seed of the contact sheet's draw.

    Returns:
        Facts: chips by class, by kind and by group, shape and dtype.

    Raises:
        TooLittleDataError: If there is no chip at all.
    """
    batches = [_read(folder) for folder in folders]
    if not sum(map(len, batches)):
        raise TooLittleDataError(
            "no chip could be cut: no label lies in a scene with enough valid pixels around it; check the labels, and"
            " chips.size_px and chips.min_valid_fraction"
        )
    table = pa.concat_tables(batches).unify_dictionaries()
    named = table[SCENE].combine_chunks()
    place = pc.index_in(named.dictionary, pa.array(scenes[SCENE], named.dictionary.type)).to_numpy()
    scene = place[named.indices.to_numpy()]
    order = np.argsort(scene, kind="stable")
    schema = with_groups(_plain(table.slice(0, 1)), scenes, scene[:1]).schema
    pieces = (order[start : start + ROW_GROUP] for start in range(0, len(order), ROW_GROUP))
    filled = (with_groups(_plain(table.take(pa.array(rows))), scenes, scene[rows]) for rows in pieces)
    write_pieces(schema, filled, out / "index.parquet")
    del batches, table, named
    groups = [name for name in scenes.columns if name.startswith(GROUP_PREFIX)]
    index = CHIPS.read_columns(out / "index.parquet", [SCENE, "class", "kind", "shard", "position", *groups])
    chips = ChipStore(index, store)
    _sheet(chips, classes, out / "sheet.png", seed)
    first = chips.read([0])
    return {
        "chips": {name: int((index["class"] == name).sum()) for name in classes},
        "kinds": dict(sorted(Counter(index["kind"]).items())),
        "groups": {column: _counts(index, column) for column in group_columns(index)},
        "shape": list(first.shape[1:]),
        "dtype": str(first.dtype),
    }


def _read(part: Path) -> pa.Table:
    """The index of a batch with its shards named relative to the store; texts as codes, outlines as WKB."""
    path = part / "index.parquet"
    table = pq.read_table(checked(path), read_dictionary=_REPEATED)
    for column in SHARD_COLUMNS:
        shards = table[column].combine_chunks()
        names = qualify(pd.DataFrame({column: shards.dictionary.to_pandas()}), part)[column]
        named = pa.DictionaryArray.from_arrays(shards.indices, pa.array(names, shards.dictionary.type))
        table = table.set_column(table.column_names.index(column), column, named)
    return table


def _plain(table: pa.Table) -> pa.Table:
    """The table with texts in place of codes."""
    fields = [
        field.with_type(pa.large_string()) if pa.types.is_dictionary(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))


def with_groups(index: pa.Table, scenes: pd.DataFrame, scene: npt.NDArray[np.int64]) -> pa.Table:
    """The index with the group columns of its scenes.

    A scene without a value (where sources have different columns) is a group of its own, under its scene's name: it
    then never stands with others on both sides of a split by accident.

    Args:
        index: The chips.
        scenes: The scene table.
        scene: Position (N,) of each chip's scene in it.
    """
    for name in sorted(name for name in scenes.columns if name.startswith(GROUP_PREFIX)):
        own = scenes[name].astype("string").fillna(scenes[SCENE].astype("string"))
        index = index.append_column(name, pa.array(own, pa.large_string()).take(pa.array(scene)))
    return index


def group_columns(index: pd.DataFrame) -> list[str]:
    """The group columns of an index, named as in the configuration."""
    return [SCENE, *(name.removeprefix(GROUP_PREFIX) for name in index.columns if name.startswith(GROUP_PREFIX))]


def group_name(column: str) -> str:
    """The index's column for a group column that is named as in the configuration."""
    return column if column == SCENE else GROUP_PREFIX + column


def group_of(index: pd.DataFrame, column: str) -> pd.Series[str]:
    """The group of each chip in a column, named as in the configuration."""
    return index[group_name(column)].astype("string")


def _counts(index: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    for (group, name), count in Counter(zip(group_of(index, column), index["class"], strict=True)).items():
        groups.setdefault(str(group), {})[str(name)] = count
    return {group: dict(sorted(counts.items())) for group, counts in sorted(groups.items())}


def _sheet(chips: ChipStore, classes: Sequence[str], path: Path, seed: int) -> None:
    titles, groups = [], []
    for name in classes:
        rows = np.flatnonzero((chips.index["class"] == name).to_numpy())
        shown = rows[chosen(len(rows), COLUMNS * _SHEET_ROWS, seed)]
        titles.append(f"{name}: {len(shown)} of {len(rows)}")
        groups.append(shown)
    # One scaling for all, so that classes can be compared.
    pictures = enlarged(viewable(chips.read(np.concatenate(groups))))
    ends = np.cumsum([len(shown) for shown in groups])
    draw_sheet(np.split(pictures, ends[:-1]), titles=titles).save(path, format="PNG")
