"""Leaks between scenes: chips that show the same ground, or are the same picture.

Two chips *overlap* if their outlines on the ground do. They are *near-duplicates* if one is the other, turned or
mirrored, up to small changes: pairs are proposed that are near to each other by their lowest frequencies, which a shift
of a few pixels hardly changes, and their pixels confirm them (see :mod:`.confirmation`). Only textured chips are
compared, because flat water resembles all water. Time grows with the 1.5th power of their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely
from scipy.fft import dct

from ...dataset.chip_store import ChipStore
from ...dataset.orientations import ORIENTATIONS, STEPS, inverse, oriented
from .confirmation import EDGE, THUMB, compare
from .index import SCENE
from .overlap.neighbours import Rows, coded, learn_space, nearest_elsewhere

_LOW = 7
"""Frequencies, from 0, down and along, by which pairs are proposed."""
_NEAREST = 4
"""Pictures that are proposed for each orientation of a picture."""
_FARTHEST = 0.8
"""Squared distance of the low frequencies up to which a pair is proposed; of two unlike pictures it is up to 2."""
_CHAINED = 3
"""Times that pairs are made of pairs with a third."""
_MOST_LINKS = 32
"""Pairs of a picture that others are made of."""
_INVERSES = np.array([inverse(orientation) for orientation in range(ORIENTATIONS)])
_MISALIGNED = 0.1
"""By how much less two small pictures may correlate than the chips that they were made of: those of chips that are
shifted by half a pixel of the small pictures do."""
_COMPARED = 2048
"""Pairs that are in memory at a time."""
_OUTLINES = 1 << 14
"""Outlines that are polygons at a time."""
_LEAST_SHARED = 0.01
"""Share of the smaller outline from which two chips overlap: neighbours that share an edge do not."""


def _compositions() -> npt.NDArray[np.int64]:
    """Return the orientation [A, B] that orientation A of a picture in orientation B is."""
    square = np.arange(4).reshape(1, 2, 2)
    each = [oriented(square, orientation) for orientation in range(ORIENTATIONS)]
    return np.array(
        [
            [next(k for k, view in enumerate(each) if (view == oriented(inner, outer)).all()) for inner in each]
            for outer in range(ORIENTATIONS)
        ]
    )


_COMPOSED = _compositions()


@dataclass(frozen=True)
class Pictures:
    """Chips as they are compared: 304 bytes of each in memory, and their small pictures, which may lie in a file.

    Attributes:
        rows: Position (N,) of each in the index.
        low: Their lowest DCT coefficients (N, 7, 7); the first, of the mean, is 0.
        thumbs: Grey pictures (N, 32, 32) with mean 0 and norm 1.
        norms: Norm (N, 5, 5) of each picture about its mean within the edge, by where that part of it is shifted to.
        span: The range of the data.
    """

    rows: npt.NDArray[np.int64]
    low: npt.NDArray[np.float32]
    thumbs: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]
    span: float


def grey(chips: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Reduce chips (N, H, W, C) to grey pictures (N, 32, 32): the mean of the bands, averaged over equal areas."""
    flat = chips.mean(axis=-1, dtype=np.float32)
    down, along = (_areas(side) for side in flat.shape[1:])
    small: npt.NDArray[np.float32] = np.einsum("ij,njk,lk->nil", down, flat, along, optimize=True)
    return small


def _areas(side: int) -> npt.NDArray[np.float32]:
    """Return the matrix (32, side) that averages ``side`` pixels over 32 equal lengths."""
    edges = np.linspace(0, side, THUMB + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)[None]
    share = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    matrix: npt.NDArray[np.float32] = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def low_frequencies(thumbs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the lowest coefficients (N, 7, 7) of the orthonormal DCT-II of grey pictures (N, 32, 32)."""
    basis = dct(np.eye(THUMB, dtype=np.float32), axis=0, norm="ortho")[:_LOW]
    frequencies: npt.NDArray[np.float32] = basis @ thumbs @ basis.T
    return frequencies


def oriented_frequencies(low: npt.NDArray[np.float32], orientation: int) -> npt.NDArray[np.float32]:
    """Return the coefficients (N, K, K) that pictures with coefficients ``low`` have in one orientation.

    Flipped, a picture's odd frequencies change their sign.
    """
    swapped, flip_rows, flip_columns = STEPS[orientation]
    sign = (-1.0) ** np.arange(low.shape[1], dtype=np.float32)
    view = low.swapaxes(1, 2) if swapped else low
    view = view * sign[:, None] if flip_rows else view
    return view * sign if flip_columns else view


def pictures(chips: ChipStore, min_texture: float, file: BinaryIO, chunk: int = 2048) -> Pictures:
    """Reduce the textured chips of a store for comparison; reads ``chunk`` chips at a time.

    Args:
        chips: The chips.
        min_texture: Standard deviation, as a share of the data range, from which a chip counts as textured. The range
            is that of the type for uint8, else from the 0.1st to the 99.9th percentile of the chips.
        file: Where the small pictures are put, 4 kilobytes a chip; open for as long as the result is used.
        chunk: Chips in memory at a time.
    """
    span = _range(chips)
    shifts = 2 * EDGE + 1
    rows, low = [np.zeros(0, np.int64)], [np.zeros((0, _LOW, _LOW), np.float32)]
    norms = [np.zeros((0, shifts, shifts), np.float32)]
    for start in range(0, len(chips), chunk):
        chosen = np.arange(start, min(start + chunk, len(chips)))
        small = grey(chips.read(chosen))
        textured = small.std(axis=(1, 2)) >= max(min_texture * span, 1e-12)
        if textured.any():
            rows.append(chosen[textured])
            thumbs = _standard(small[textured])
            low.append(low_frequencies(thumbs))
            norms.append(_norms(thumbs))
            file.write(thumbs.tobytes())
    thumbs_of_all = np.concatenate(rows)
    file.flush()
    shape = (len(thumbs_of_all), THUMB, THUMB)
    # An empty file cannot be mapped.
    mapped = np.memmap(file, np.float32, "r", shape=shape) if len(thumbs_of_all) else np.zeros(shape, np.float32)
    return Pictures(thumbs_of_all, np.concatenate(low), mapped, np.concatenate(norms), span)


def _standard(thumbs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale grey pictures (N, 32, 32) to mean 0 and norm 1."""
    centred = thumbs - thumbs.mean(axis=(1, 2), keepdims=True)
    standardised: npt.NDArray[np.float32] = centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return standardised


def _norms(thumbs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the norms (N, 5, 5), about the mean, of the pixels of pictures (N, 32, 32) that stay inside a shift."""
    side, shifts = THUMB - 2 * EDGE, range(2 * EDGE + 1)
    norms = np.empty((len(thumbs), len(shifts), len(shifts)), np.float32)
    for down in shifts:
        for along in shifts:
            part = thumbs[:, down : down + side, along : along + side]
            norms[:, down, along] = part.std(axis=(1, 2), dtype=np.float64) * side
    return norms


def _range(chips: ChipStore) -> float:
    sample = chips.read(np.linspace(0, len(chips) - 1, min(len(chips), 256)).astype(np.int64))
    if sample.dtype == np.uint8:
        return 255.0
    low, high = np.percentile(sample, [0.1, 99.9])
    return float(high - low) or 1.0


def proposed(thumbs: Pictures, scenes: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    """Yield pairs of different scenes that are near to each other: the lower position, the other, and its orientation.

    One pair may come in several orientations.
    """
    count = len(thumbs.rows)
    if len(np.unique(scenes)) < 2:
        return
    low = thumbs.low
    space = learn_space(lambda rows: low[rows].reshape(-1, _LOW**2), count)
    held = coded(lambda rows: low[rows].reshape(-1, _LOW**2), count, space)
    for orientation in range(ORIENTATIONS):
        asked = held
        if orientation:
            asked = coded(partial(_oriented_vectors, low, orientation), count, space)
        near, _ = nearest_elsewhere(held, asked, scenes, _NEAREST, os.cpu_count() or 1)
        second, rank = np.nonzero(near >= 0)
        first = near[second, rank].astype(np.int64)
        for start in range(0, len(first), _COMPARED):
            pair = first[start : start + _COMPARED], second[start : start + _COMPARED]
            between = low[pair[0]] - oriented_frequencies(low[pair[1]], orientation)
            close = (between**2).sum(axis=(1, 2)) <= _FARTHEST
            lower, upper = pair[0][close], pair[1][close]
            turn = np.where(lower < upper, orientation, inverse(orientation))
            if len(lower):
                yield np.minimum(lower, upper), np.maximum(lower, upper), turn


def _oriented_vectors(low: npt.NDArray[np.float32], orientation: int, rows: Rows) -> npt.NDArray[np.float32]:
    """Return some of the coefficients (N, 7, 7) in one orientation, as vectors (M, 49)."""
    return oriented_frequencies(low[rows], orientation).reshape(-1, _LOW**2)


def correlation(
    images: Pictures, first: int, others: npt.NDArray[np.int64], turn: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return how much a picture correlates with others, all rotated alike, at the best of shifts by up to two pixels.

    Args:
        images: The pictures.
        first: Position of the picture that is held still; what lies within its edge is compared.
        others: Positions (M,) of the others.
        turn: Which of the eight turns they are given.

    Returns:
        The correlations (M,), and the shifts (M, 2): what is at a row and column of the picture is so many rows and
        columns further in the turned others.
    """
    inner = images.thumbs[first, EDGE:-EDGE, EDGE:-EDGE]
    wide = np.zeros((THUMB + 2 * EDGE,) * 2, np.float32)
    wide[2 * EDGE : -2 * EDGE, 2 * EDGE : -2 * EDGE] = inner - inner.mean()
    moved = np.lib.stride_tricks.sliding_window_view(wide, (THUMB, THUMB))[::-1, ::-1]
    # To turn the one picture back costs less than to turn all others.
    templates = oriented(moved.reshape(-1, THUMB, THUMB), inverse(turn)).reshape(len(moved) ** 2, -1)
    common = images.thumbs[others].reshape(len(others), -1) @ templates.T
    norms = oriented(images.norms[others], turn).reshape(len(others), -1) * images.norms[first, EDGE, EDGE]
    every = common / np.maximum(norms, 1e-12)
    shift = np.stack(np.divmod(every.argmax(axis=1), len(moved)), axis=1) - EDGE
    return every.max(axis=1).astype(np.float64), shift


def near_duplicates(
    chips: ChipStore, min_correlation: float, min_texture: float
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find pairs of textured chips of different scenes that are one picture.

    Returns:
        Pairs with chip_a, chip_b, kind ``duplicate`` and score (the correlation); and how many textured chips were
        ``compared``, and how many pairs that correlate are ``undecided``, since they hold no texture beside one shape.
    """
    with TemporaryFile() as file:
        thumbs = pictures(chips, min_texture, file)
        codes, _ = pd.factorize(chips.index[SCENE].iloc[thumbs.rows])
        examined = _examined(chips, thumbs, proposed(thumbs, codes), min_correlation)
        for _ in range(_CHAINED):
            count_before = len(examined)
            links = _chained(examined[examined["same"]], examined, codes)
            examined = _best(pd.concat([examined, _examined(chips, thumbs, links, min_correlation)]))
            if len(examined) == count_before:
                break
    pairs = examined[examined["same"]]
    first, second = (thumbs.rows[pairs[name].to_numpy(np.int64)] for name in ("one", "other"))
    counts = {"compared": len(thumbs.rows), "undecided": int(examined["undecided"].sum())}
    return _pairs(chips, first, second, "duplicate", pairs["score"].to_numpy()), counts


def _examined(
    chips: ChipStore, thumbs: Pictures, candidates: Iterable[tuple[npt.NDArray[np.int64], ...]], min_correlation: float
) -> pd.DataFrame:
    """Return the pairs that correlate: one, other, turn, score, whether they are the same, or undecided."""
    columns = [("one", "i8"), ("other", "i8"), ("turn", "i8"), ("score", "f8"), ("same", "?"), ("undecided", "?")]
    tables = [pd.DataFrame({name: np.zeros(0, dtype) for name, dtype in columns})]
    for first, second, turn in candidates:
        score, shift = _scores(thumbs, first, second, turn)
        near = score >= min_correlation - _MISALIGNED
        first, second, turn = first[near], second[near], turn[near]
        rows = thumbs.rows[np.stack([first, second], axis=1)]
        compared = compare(chips, rows, turn, shift[near], thumbs.span)
        table = pd.DataFrame({"one": first, "other": second, "turn": turn, "score": compared.correlation})
        table["same"] = compared.same(min_correlation)
        table["undecided"] = compared.undecided(min_correlation)
        tables.append(table[compared.correlation >= min_correlation])
    return _best(pd.concat(tables))


def _best(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return each pair once, in the orientation in which it correlates most; rather in one in which it is the same."""
    order = {"one": True, "other": True, "same": False, "score": False, "turn": True}
    ordered = pairs.sort_values(list(order), ascending=list(order.values()))
    return ordered.drop_duplicates(["one", "other"]).reset_index(drop=True)


def _chained(
    pairs: pd.DataFrame, examined: pd.DataFrame, scenes: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    """Yield pairs of different scenes that are both pairs with a third, and were not examined yet.

    Where there are more copies of a picture than neighbours are searched for, these are the others.
    """
    back = pd.DataFrame({"one": pairs["other"], "other": pairs["one"], "turn": _INVERSES[pairs["turn"]]})
    links = pd.concat([pairs.assign(score=-pairs["score"]), back.assign(score=-pairs["score"])])
    links = links.sort_values(["one", "score", "other"]).groupby("one").head(_MOST_LINKS)
    both = links.merge(links, left_on="other", right_on="one", suffixes=("", "_next"))
    first, second = both["one"].to_numpy(), both["other_next"].to_numpy()
    turn = _COMPOSED[both["turn"], both["turn_next"]]
    chained = pd.DataFrame({"one": first, "other": second, "turn": turn})
    chained = chained[(first < second) & (scenes[first] != scenes[second])].drop_duplicates(["one", "other"])
    examined_pairs = pd.MultiIndex.from_frame(examined[["one", "other"]])
    chained = chained[~pd.MultiIndex.from_frame(chained[["one", "other"]]).isin(examined_pairs)]
    for start in range(0, len(chained), _COMPARED):
        part = chained.iloc[start : start + _COMPARED]
        yield part["one"].to_numpy(), part["other"].to_numpy(), part["turn"].to_numpy()


def _scores(
    thumbs: Pictures, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], turn: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the correlations (M,) and shifts (M, 2) of proposed pairs, of which the other one is turned."""
    score, shift = np.empty(len(first)), np.empty((len(first), 2), np.int64)
    order = np.lexsort((turn, first))
    begins = np.diff(first[order], prepend=-1) | np.diff(turn[order], prepend=-1)
    begins[::_COMPARED] = 1
    for group in np.split(order, np.flatnonzero(begins)[1:]):
        score[group], shift[group] = correlation(thumbs, int(first[group[0]]), second[group], int(turn[group[0]]))
    return score, shift


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
    return _pairs(chips, pairs[0], pairs[1], "overlap", share[real][unique_rows])


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


def _pairs(
    chips: ChipStore,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    kind: str,
    score: npt.NDArray[np.float64],
) -> pd.DataFrame:
    first, second = (chips.index["chip_id"].iloc[rows].to_numpy(object) for rows in (left, right))
    return pd.DataFrame({"chip_a": first, "chip_b": second, "kind": kind, "score": score.round(4)})
