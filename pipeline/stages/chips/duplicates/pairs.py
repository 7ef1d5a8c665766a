"""Near-duplicates: chips of different scenes of which one is the other, turned or mirrored, up to small changes.

Pairs are proposed that are near to each other by their lowest frequencies (:mod:`.candidates`), tested by small
pictures (:mod:`.screening`), and confirmed by their pixels (:mod:`.confirmation`). Only textured chips are compared,
because flat water resembles all water. The search among frequencies takes the 1.5th power of the number of chips at
most, all else is proportional to it.
"""

from __future__ import annotations

import os
from functools import partial
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
import pandas as pd

from ....dataset.chip_store import ChipStore
from ..index import SCENE
from .candidates import COMPOSED, INVERSES, Candidates, proposed
from .confirmation import compare
from .pictures import Pictures, in_order, textured_pictures
from .screening import screen

_CHAINED = 3
"""Times that pairs are made of pairs with a third."""
_MOST_LINKS = 32
"""Pairs of a picture that others are made of."""
_COMPARED = 512
"""Pairs that a thread has in memory."""
_COLUMNS = {"one": "i8", "other": "i8", "turn": "i8", "score": "f8"}


def near_duplicates(
    chips: ChipStore, min_correlation: float, min_texture: float, workers: int | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find pairs of textured chips of different scenes that are one picture.

    Args:
        chips: The chips.
        min_correlation: Correlation from which two chips may be one picture.
        min_texture: Standard deviation, as a share of the data range, from which a chip counts as textured.
        workers: Threads, by default as many as there are cores.

    Returns:
        Pairs with chip_a, chip_b, kind ``duplicate`` and score (the correlation); and how many textured chips were
        ``compared``, and how many pairs that correlate are ``undecided``, since they hold no texture beside one shape.
    """
    workers = workers or os.cpu_count() or 1
    with TemporaryFile() as file:
        thumbs = textured_pictures(chips, min_texture, file, workers)
        scenes = pd.factorize(chips.index[SCENE].iloc[thumbs.rows])[0].astype(np.int32)
        examine = partial(_examined, chips, thumbs, min_correlation=min_correlation, workers=workers)
        same, undecided = examine(proposed(thumbs, scenes, workers))
        for _ in range(_CHAINED):
            more, more_undecided = examine(_chained(same, scenes))
            undecided = np.union1d(undecided, more_undecided)
            if not len(more):
                break
            same = pd.concat([same, more], ignore_index=True)
    undecided = np.setdiff1d(undecided, _keys(same["one"], same["other"], len(thumbs)))
    names = chips.index["chip_id"]
    same = same.sort_values(["one", "other"])
    first, second = (names.iloc[thumbs.rows[same[name].to_numpy()]].to_numpy(object) for name in ("one", "other"))
    pairs = pd.DataFrame(
        {"chip_a": first, "chip_b": second, "kind": "duplicate", "score": same["score"].to_numpy().round(4)}
    )
    return pairs, {"compared": len(thumbs), "undecided": len(undecided)}


def _examined(
    chips: ChipStore, thumbs: Pictures, candidates: Candidates, min_correlation: float, workers: int
) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return the pairs that are the same picture: one, other, turn, score; and the keys of those undecided."""

    def examine(pairs: Candidates) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
        screened = screen(thumbs, pairs, min_correlation)
        first, second, turn = (column[screened.promising] for column in (pairs.first, pairs.second, pairs.turn))
        rows = thumbs.rows[np.stack([first, second], axis=1)]
        compared = compare(chips, rows, turn, screened.shift[screened.promising], thumbs.span)
        table = pd.DataFrame({"one": first, "other": second, "turn": turn, "score": compared.correlation})
        undecided = screened.undecided.copy()
        undecided[screened.promising] = compared.undecided(min_correlation)
        keys = _keys(pairs.first[undecided], pairs.second[undecided], len(thumbs))
        return table[compared.same(min_correlation)], keys

    tables = [pd.DataFrame({name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()})]
    keys = [np.zeros(0, np.int64)]
    for table, undecided in in_order(examine, candidates.blocks(_COMPARED), workers):
        tables.append(table)
        keys.append(undecided)
    # Each pair once, in the orientation in which it correlates most.
    ordered = pd.concat(tables).sort_values(["one", "other", "score", "turn"], ascending=[True, True, False, True])
    return ordered.drop_duplicates(["one", "other"]).reset_index(drop=True), np.unique(np.concatenate(keys))


def _keys(
    first: npt.NDArray[np.int64] | pd.Series[int], second: npt.NDArray[np.int64] | pd.Series[int], count: int
) -> npt.NDArray[np.int64]:
    """Return a number (M,) for each pair of two of ``count`` pictures."""
    return np.asarray(first, np.int64) * count + np.asarray(second, np.int64)


def _chained(pairs: pd.DataFrame, scenes: npt.NDArray[np.int32]) -> Candidates:
    """Return pairs of different scenes that are both pairs with a third, and no pair yet.

    Where there are more copies of a picture than neighbours are searched for, these are the others.
    """
    back = pd.DataFrame({"one": pairs["other"], "other": pairs["one"], "turn": INVERSES[pairs["turn"]]})
    links = pd.concat([pairs.assign(score=-pairs["score"]), back.assign(score=-pairs["score"])])
    links = links.sort_values(["one", "score", "other"]).groupby("one").head(_MOST_LINKS)
    both = links.merge(links, left_on="other", right_on="one", suffixes=("", "_next"))
    first, second = both["one"].to_numpy(np.int64), both["other_next"].to_numpy(np.int64)
    turn = COMPOSED[both["turn"], both["turn_next"]]
    chained = pd.DataFrame({"one": first, "other": second, "turn": turn})
    chained = chained[(first < second) & (scenes[first] != scenes[second])].drop_duplicates(["one", "other"])
    known = pd.MultiIndex.from_frame(pairs[["one", "other"]])
    chained = chained[~pd.MultiIndex.from_frame(chained[["one", "other"]]).isin(known)]
    return Candidates(*(chained[name].to_numpy() for name in ("one", "other", "turn")))
