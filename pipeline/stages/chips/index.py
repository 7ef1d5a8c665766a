"""Index of all chips: the batches' indexes as one table, with the scenes' groups and a contact sheet."""

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
from ...dataset.tables import CHIPS, GROUP_PREFIX, ROW_GROUP, UNLABELLED, write_pieces
from ...utils.errors import TooLittleDataError

SCENE = "scene_id"
"""The group column that every chip has."""
CHIPS_AT_ONCE = 1 << 20
"""Chips whose rows are sorted in memory at once, a few hundred megabytes."""
_SHEET_ROWS = 5
_REPEATED = [SCENE, "class", "kind", "label_id", "mask_reason", *SHARD_COLUMNS]
"""Texts that many chips share."""
_Codes = tuple[list[str], npt.NDArray[np.int32]]
"""A column of texts, see :meth:`..dataset.tables.Table.read_codes`."""


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
    batches = [_RowGroups.of(folder, scenes) for folder in folders]
    counts = sum((batch.counts for batch in batches), np.zeros(len(scenes), np.int64))
    if not counts.sum():
        raise TooLittleDataError(
            "no chip could be cut: no label has enough valid pixels around it; check the labels, and"
            " chips.size_px and chips.min_valid_fraction"
        )
    pieces = (piece for first, stop in _ranges(counts) for piece in _pieces(batches, scenes, first, stop))
    first_piece = next(pieces)
    write_pieces(first_piece.schema, chain([first_piece], pieces), out / "index.parquet")
    groups = [name for name in scenes.columns if name.startswith(GROUP_PREFIX)]
    path = out / "index.parquet"
    label = CHIPS.read_codes(path, "class")
    per_class = _counts(*label)
    chips = _sheet(path, store, label, classes, seed)
    first = chips.read([0])
    return {
        "chips": {name: per_class.get(name, 0) for name in classes},
        "kinds": _counts(*CHIPS.read_codes(path, "kind")),
        "groups": {
            name.removeprefix(GROUP_PREFIX): _crossed(CHIPS.read_codes(path, name), label) for name in (SCENE, *groups)
        },
        "shape": list(first.shape[1:]),
        "dtype": str(first.dtype),
    }


@dataclass(frozen=True)
class _RowGroups:
    """Content of a batch's index, and the scenes that it covers.

    Attributes:
        folder: The committed batch.
        counts: Chips of each scene (N,).
        spans: First and last scene of each row group.
    """

    folder: Path
    counts: npt.NDArray[np.int64]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, folder: Path, scenes: pd.DataFrame) -> _RowGroups:
        """Read the scenes of a batch's chips."""
        file = pq.ParquetFile(checked(folder / "index.parquet"), read_dictionary=[SCENE])
        groups = [_scene_positions(file.read_row_group(group, [SCENE]), scenes) for group in range(file.num_row_groups)]
        counts = sum((np.bincount(group, minlength=len(scenes)) for group in groups), np.zeros(len(scenes), np.int64))
        return cls(folder, counts, tuple((int(group.min()), int(group.max())) for group in groups if len(group)))

    def read(self, first: int, stop: int) -> pa.Table:
        """Read the row groups with scenes from ``first`` to ``stop``: shards relative to the store, outlines as WKB."""
        file = pq.ParquetFile(self.folder / "index.parquet", read_dictionary=_REPEATED)
        table = file.read_row_groups([n for n, (low, high) in enumerate(self.spans) if low < stop and high >= first])
        for column in sorted({*SHARD_COLUMNS} & {*table.column_names}):
            shards = table[column].unify_dictionaries().combine_chunks()
            prefix = f"{self.folder.parent.name}/{self.folder.name}/"
            names = pc.replace_substring_regex(shards.dictionary, r"^\./", prefix)
            named = pa.DictionaryArray.from_arrays(shards.indices, names)
            table = table.set_column(table.column_names.index(column), column, named)
        return table


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


def _pieces(batches: Sequence[_RowGroups], scenes: pd.DataFrame, first: int, stop: int) -> Iterator[pa.Table]:
    """Yield the chips of a range of scenes in the order of the scenes, with the scenes' groups."""
    tables, positions = [], []
    for batch in batches:
        if batch.counts[first:stop].any():
            table = batch.read(first, stop)
            position = _scene_positions(table, scenes)
            inside = (position >= first) & (position < stop)
            tables.append(table.filter(pa.array(inside)))
            positions.append(position[inside])
    table, position = pa.concat_tables(tables).unify_dictionaries(), np.concatenate(positions)
    order = np.argsort(position, kind="stable")
    for start in range(0, len(order), ROW_GROUP):
        rows = order[start : start + ROW_GROUP]
        yield with_groups(_plain(table.take(pa.array(rows))), scenes, position[rows])


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


def _counts(names: Sequence[str], codes: npt.NDArray[np.int32]) -> dict[str, int]:
    """Return how many rows have each text, sorted by text."""
    return dict(sorted(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True)))


def _crossed(first: _Codes, second: _Codes) -> dict[str, dict[str, int]]:
    """Return how many labelled chips have each pair of texts of two columns, a group and the class, sorted by text."""
    pairs, counts = np.unique(first[1] * np.int64(len(second[0])) + second[1], return_counts=True)
    groups: dict[str, dict[str, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        code, second_code = divmod(pair, len(second[0]))
        if second[0][second_code] != UNLABELLED:
            groups.setdefault(first[0][code], {})[second[0][second_code]] = count
    return {name: dict(sorted(own.items())) for name, own in sorted(groups.items())}


def _sheet(path: Path, store: Path, label: _Codes, classes: Sequence[str], seed: int) -> ChipStore:
    """Draw ``sheet.png`` beside an index, and return the store of the chips on it."""
    titles, groups = [], []
    for name in classes:
        rows = np.flatnonzero(label[1] == label[0].index(name)) if name in label[0] else np.zeros(0, np.int64)
        groups.append(rows[chosen(len(rows), COLUMNS * _SHEET_ROWS, seed)])
        titles.append(f"{name}: {len(groups[-1])} of {len(rows)}")
    places = pq.read_table(path, columns=["shard", "position"], read_dictionary=["shard"])
    shown = ChipStore(places.take(pa.array(np.concatenate(groups))).to_pandas(), store)
    # One scaling for all, so that classes can be compared.
    pictures = enlarged(viewable(shown.read()))
    ends = np.cumsum([len(rows) for rows in groups])
    draw_sheet(np.split(pictures, ends[:-1]), titles=titles).save(path.with_name("sheet.png"), format="PNG")
    return shown
