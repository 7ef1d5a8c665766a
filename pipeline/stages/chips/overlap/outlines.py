"""Chips of different scenes whose outlines on the ground overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely

from ....dataset.chip_store import ChipStore
from ..index import SCENE

_OUTLINES = 1 << 14
"""Outlines that are polygons at a time."""
_LEAST_SHARED = 0.01
"""Share of the smaller outline from which two chips overlap: neighbours that share an edge do not."""


def overlaps(chips: ChipStore, footprints: pa.ChunkedArray) -> pd.DataFrame:
    """Find the pairs of chips of different scenes whose outlines overlap: chip_a, chip_b, kind ``overlap``, score.

    The score is the shared part of the smaller outline.

    Args:
        chips: The chips.
        footprints: Their outlines as WKB, null where a chip has none.
    """
    codes, _ = pd.factorize(chips.index[SCENE])
    # Most scenes meet no other, and the chips of one scene are many: those of scenes that stand apart are not searched,
    # and their outlines are never all in memory as polygons.
    rows = np.flatnonzero(_meeting(footprints, codes)[codes] & footprints.is_valid().to_numpy())
    outlines, codes = shapely.from_wkb(footprints.take(pa.array(rows)).to_pylist()), codes[rows]
    outlines, again = _both_sides(outlines)
    rows, codes = rows[again], codes[again]
    first, second = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    later = (rows[first] < rows[second]) & (codes[first] != codes[second])
    first, second = first[later], second[later]
    smaller = np.minimum(shapely.area(outlines[first]), shapely.area(outlines[second]))
    share = shapely.area(shapely.intersection(outlines[first], outlines[second])) / smaller
    real = share >= _LEAST_SHARED
    pairs, unique_rows = np.unique(np.stack([rows[first[real]], rows[second[real]]]), axis=1, return_index=True)
    names = chips.index["chip_id"]
    first, second = (names.iloc[rows].to_numpy(object) for rows in pairs)
    score = share[real][unique_rows].round(4)
    return pd.DataFrame({"chip_a": first, "chip_b": second, "kind": "overlap", "score": score})


def _both_sides(shapes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the shapes, those beyond 180 degrees east once more from the west, and which shape each one is.

    The outline of a chip across the antimeridian goes on beyond 180, and what lies on its far side begins at -180.
    """
    beyond = np.flatnonzero(shapely.bounds(shapes)[:, 2] > 180)
    moved = shapely.transform(shapes[beyond], lambda lonlat: lonlat - [360, 0])
    return np.concatenate([shapes, moved]), np.concatenate([np.arange(len(shapes)), beyond])


def _meeting(footprints: pa.ChunkedArray, scenes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return, for each scene, whether the box around its chips meets another scene's."""
    count, ends = int(scenes.max(initial=-1)) + 1, np.array([1, 1, -1, -1])
    boxes = np.full((count, 4), np.inf)
    for start in range(0, len(scenes), _OUTLINES):
        bounds = shapely.bounds(shapely.from_wkb(footprints.slice(start, _OUTLINES).to_pylist()))
        with_place = ~np.isnan(bounds[:, 0])
        np.minimum.at(boxes, scenes[start : start + _OUTLINES][with_place], bounds[with_place] * ends)
    placed = np.isfinite(boxes[:, 0])
    around = np.full(count, None, object)
    around[placed] = shapely.box(*(boxes[placed] * ends).T)
    around, number = _both_sides(around)
    first, second = (number[hits] for hits in shapely.STRtree(around).query(around, predicate="intersects"))
    meeting = np.zeros(count, bool)
    meeting[first[first != second]] = True
    return meeting
