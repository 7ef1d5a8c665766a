"""The index of all chips: the batches' indexes as one table, with the scenes' groups and a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..chipstore import ChipStore, qualify
from ..errors import TooLittleDataError
from ..tables import CHIPS, GROUP_PREFIX
from .sheet import COLUMNS, chosen, write_sheet

SCENE = "scene_id"
"""The group column that every chip has."""
_SHEET_ROWS = 5


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
    frames = [qualify(CHIPS.read(folder / "index.parquet"), folder) for folder in folders]
    if not sum(map(len, frames)):
        raise TooLittleDataError(
            "no chip could be cut: no label lies in a scene with enough valid pixels around it; check the labels, and"
            " chips.size_px and chips.min_valid_fraction"
        )
    index = pd.concat(frames, ignore_index=True)
    order = index[SCENE].map({name: place for place, name in enumerate(scenes[SCENE])})
    index = index.iloc[np.argsort(order.to_numpy(np.int64), kind="stable")].reset_index(drop=True)
    index = with_groups(index, scenes)
    CHIPS.write(index, out / "index.parquet")
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


def with_groups(index: pd.DataFrame, scenes: pd.DataFrame) -> pd.DataFrame:
    """The index with the group columns of its scenes.

    A scene without a value (where sources have different columns) is a group of its own, under its scene's name: it
    then never stands with others on both sides of a split by accident.
    """
    columns = [name for name in scenes.columns if name.startswith(GROUP_PREFIX)]
    own = scenes.set_index(SCENE)[columns].loc[index[SCENE]].reset_index(drop=True)
    filled = {name: own[name].astype("string").fillna(index[SCENE].astype("string")) for name in columns}
    return index.assign(**filled)


def group_columns(index: pd.DataFrame) -> list[str]:
    """The group columns of an index, named as in the configuration."""
    return [SCENE, *(name.removeprefix(GROUP_PREFIX) for name in index.columns if name.startswith(GROUP_PREFIX))]


def group_of(index: pd.DataFrame, column: str) -> pd.Series[str]:
    """The group of each chip in a column, named as in the configuration."""
    return index[column if column == SCENE else GROUP_PREFIX + column].astype("string")


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
        groups.append(chips.read(shown) if len(shown) else np.empty((0, 1, 1, 1), np.uint8))
    write_sheet(titles, groups, path)
