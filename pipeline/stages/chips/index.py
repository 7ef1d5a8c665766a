"""The index of all chips: the batches' indexes as one table, with the scenes' groups and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...dataset.chip_store import SHARD_COLUMNS, ChipStore
from ...dataset.contact_sheet import COLUMNS, chosen, draw_sheet, enlarged, viewable
from ...dataset.parquet import checked
from ...dataset.tables import GROUP_PREFIX, ROW_GROUP, write_pieces
from ...utils.errors import TooLittleDataError

SCENE = "scene_id"
"""The group column that every chip has."""
CHIPS_AT_ONCE = 1 << 21
"""Chips whose rows are sorted in memory at once, about half a gigabyte."""
_SHEET_ROWS = 5
_REPEATED = [SCENE, "class", "kind", "label_id", "mask_reason", *SHARD_COLUMNS]
"""Texts that many chips share."""


def build(
    folders: Sequence[Path], scenes: pd.DataFrame, classes: Sequence[str], store: Path, out: Path, seed: int
) -> dict[str, Any]:
    """Write ``index.parquet`` and ``sheet.png`` to ``out``.

    Chips stand in the order of their scenes. The table is written range of scenes by range of scenes, so that memory
    does not grow with it.

    Args:
        folders: The committed batches.
        scenes: The scene table; its order is the order of the chips.
        classes: Class names of the configuration.
        store: Root of the committed artifacts.
        out: Folder of the artifact.
        seed: Seed of the contact sheet's draw.

    Returns:
        Metadata: chips by class, by kind and by group, shape and dtype.

    Raises:
        TooLittleDataError: If there is no chip at all.
    """
    counts = sum((_chips_by_scene(folder, scenes) for folder in folders), np.zeros(len(scenes), np.int64))
    if not counts.sum():
        raise TooLittleDataError(
            "no chip could be cut: no label lies in a scene with enough valid pixels around it; check the labels, and"
            " chips.size_px and chips.min_valid_fraction"
        )
    pieces = (piece for first, stop in _ranges(counts) for piece in _pieces(folders, scenes, first, stop))
    first_piece = next(pieces)
    write_pieces(first_piece.schema, chain([first_piece], pieces), out / "index.parquet")
    groups = [name for name in scenes.columns if name.startswith(GROUP_PREFIX)]
    path = out / "index.parquet"
    label = _codes(path, "class")
    chips = _sheet(path, store, label, classes, seed)
    first = chips.read([0])
    return {
        "chips": {name: label.count(name) for name in classes},
        "kinds": dict(sorted(_codes(path, "kind").counts().items())),
        "groups": {name.removeprefix(GROUP_PREFIX): _codes(path, name).crossed(label) for name in (SCENE, *groups)},
        "shape": list(first.shape[1:]),
        "dtype": str(first.dtype),
    }


def _chips_by_scene(folder: Path, scenes: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return how many chips of each scene (N,) a batch holds."""
    position = _scene_positions(_read(folder, [SCENE]), scenes)
    return np.bincount(position, minlength=len(scenes)).astype(np.int64)


def _scene_positions(table: pa.Table, scenes: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return for each chip (N,) the position of its scene in the scene table."""
    names = table[SCENE].unify_dictionaries().combine_chunks()
    if not len(names):
        return np.zeros(0, np.int64)
    position = pc.index_in(names.dictionary, pa.array(scenes[SCENE], names.dictionary.type)).to_numpy()
    return np.asarray(position[names.indices.to_numpy()], np.int64)


def _ranges(counts: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return ranges [first, stop) of scenes with about :data:`CHIPS_AT_ONCE` chips each."""
    number = (np.cumsum(counts) - counts) // CHIPS_AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(counts)]
    return [(first, stop) for first, stop in pairwise(edges) if counts[first:stop].sum()]


def _pieces(folders: Sequence[Path], scenes: pd.DataFrame, first: int, stop: int) -> Iterator[pa.Table]:
    """Yield the chips of a range of scenes in the order of the scenes, with the scenes' groups."""
    tables, positions = [], []
    for folder in folders:
        table = _read(folder)
        position = _scene_positions(table, scenes)
        inside = (position >= first) & (position < stop)
        # A copy: a part of a table keeps all of it in memory.
        tables.append(table if inside.all() else table.filter(pa.array(inside)))
        positions.append(position[inside])
    table, position = pa.concat_tables(tables).unify_dictionaries(), np.concatenate(positions)
    order = np.argsort(position, kind="stable")
    for start in range(0, len(order), ROW_GROUP):
        rows = order[start : start + ROW_GROUP]
        yield with_groups(_plain(table.take(pa.array(rows))), scenes, position[rows])


def _read(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the index of a batch with its shards relative to the store; repeated texts as codes, outlines as WKB."""
    table = pq.read_table(checked(folder / "index.parquet"), columns=columns, read_dictionary=_REPEATED)
    for column in set(SHARD_COLUMNS) & set(table.column_names):
        shards = table[column].combine_chunks()
        names = pc.replace_substring_regex(shards.dictionary, r"^\./", f"{folder.parent.name}/{folder.name}/")
        named = pa.DictionaryArray.from_arrays(shards.indices, names)
        table = table.set_column(table.column_names.index(column), column, named)
    return table


def _plain(table: pa.Table) -> pa.Table:
    """Return a table with texts in place of codes."""
    fields = [
        field.with_type(pa.large_string()) if pa.types.is_dictionary(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))


def with_groups(index: pa.Table, scenes: pd.DataFrame, scene: npt.NDArray[np.int64]) -> pa.Table:
    """Return an index with the group columns of its scenes.

    A scene without a value (where sources have different columns) is its own group, named after the scene: then it is
    never on both sides of a split by accident.

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
    """Return the group columns of an index, named as in the configuration."""
    return [SCENE, *(name.removeprefix(GROUP_PREFIX) for name in index.columns if name.startswith(GROUP_PREFIX))]


def group_name(column: str) -> str:
    """Return the index's column of a group column that is named as in the configuration."""
    return column if column == SCENE else GROUP_PREFIX + column


def group_of(index: pd.DataFrame, column: str) -> pd.Series[str]:
    """Return the group of each chip in a column, named as in the configuration."""
    return index[group_name(column)].astype("string")


@dataclass(frozen=True)
class _Codes:
    """A column of texts: the different texts, and the code (N,) of each row's."""

    names: list[str]
    codes: npt.NDArray[np.int32]

    def count(self, name: str) -> int:
        """Return how many rows have a text."""
        return self.counts().get(name, 0)

    def counts(self) -> dict[str, int]:
        """Return how many rows have each text."""
        return dict(zip(self.names, np.bincount(self.codes, minlength=len(self.names)).tolist(), strict=True))

    def crossed(self, other: _Codes) -> dict[str, dict[str, int]]:
        """Return how many rows have each pair of texts, in the order of the texts."""
        pairs, counts = np.unique(self.codes * np.int64(len(other.names)) + other.codes, return_counts=True)
        groups: dict[str, dict[str, int]] = {}
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            code, other_code = divmod(pair, len(other.names))
            groups.setdefault(self.names[code], {})[other.names[other_code]] = count
        return {name: dict(sorted(own.items())) for name, own in sorted(groups.items())}


def _codes(path: Path, column: str) -> _Codes:
    """Read a column of an index as codes."""
    texts = pq.read_table(path, columns=[column], read_dictionary=[column])[column].unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in texts.chunks])
    return _Codes(texts.chunk(0).dictionary.to_pylist(), codes)


def _sheet(path: Path, store: Path, label: _Codes, classes: Sequence[str], seed: int) -> ChipStore:
    """Draw ``sheet.png`` beside an index, and return the store of the chips on it."""
    titles, groups = [], []
    for name in classes:
        rows = np.flatnonzero(label.codes == label.names.index(name)) if name in label.names else np.zeros(0, np.int64)
        groups.append(rows[chosen(len(rows), COLUMNS * _SHEET_ROWS, seed)])
        titles.append(f"{name}: {len(groups[-1])} of {len(rows)}")
    places = pq.read_table(path, columns=["shard", "position"], read_dictionary=["shard"])
    shown = ChipStore(places.take(pa.array(np.concatenate(groups))).to_pandas(), store)
    # One scaling for all, so that classes can be compared.
    pictures = enlarged(viewable(shown.read()))
    ends = np.cumsum([len(rows) for rows in groups])
    draw_sheet(np.split(pictures, ends[:-1]), titles=titles).save(path.with_name("sheet.png"), format="PNG")
    return shown
