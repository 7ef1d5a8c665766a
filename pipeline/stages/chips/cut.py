"""Cut one batch of scenes into a shard of chips and the table that indexes it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...dataset.chip_store import LOCAL, ShardWriter
from ...dataset.tables import CHIPS, EXTRA_KINDS
from ...raster import cut
from ...raster.footprints import footprints
from ...raster.gdal import SceneFile, scene_file
from ...raster.grid import Target

SHARD = "chips"
TOO_FEW = "too few valid pixels"
TOO_SMALL = "the scene is smaller than a chip"


def cut_batch(
    scenes: pd.DataFrame,
    windows: pd.DataFrame,
    objects: pd.DataFrame,
    settings: dict[str, Any],
    store: Path,
    out: Path,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Cut the windows of a batch of scenes into ``out``: a shard and ``index.parquet``.

    Args:
        scenes: Rows of the scene table with the columns of the target grid.
        windows: Rows of the planner, for these scenes in this order.
        objects: Labels of objects in these scenes, see :func:`.object_masks.add_masks`.
        settings: ``size_px``, ``resampling``, ``min_valid_fraction`` and ``masks`` of the chips section.
        store: Root of the committed artifacts, for scenes that lie in it.
        out: Folder of the artifact.
        workers: Threads that read a scene.
        progress: Told how many scenes are done, of how many.

    Returns:
        Metadata: chips by class, and dropped windows by reason.

    Raises:
        InputError: If a scene is damaged.
    """
    slots = _numbered(windows)
    size, first = settings["size_px"], slots.drop_duplicates("slot").set_index("slot")
    kept = np.full(len(first), -1.0)
    spans = slots.groupby("scene_id", sort=False).indices
    bands = tuple(json.loads(scenes["bands"].iloc[0])) if len(scenes) else ()
    dtype = scenes["dtype"].iloc[0] if len(scenes) else "uint8"
    chosen = np.zeros(len(first), np.int64)
    with ShardWriter(out, len(first), (size, size, len(bands)), dtype, SHARD) as writer:
        for done, row in enumerate(records(scenes)):
            progress(done, len(scenes))
            if row["scene_id"] in spans:
                part = slots.iloc[spans[row["scene_id"]]]
                target = Target(row["target_height"], row["target_width"], row["scale_row"], row["scale_col"])
                _cut_scene(scene_file(row, store), part, target, settings, workers, writer, kept, chosen)
        positions = writer.finish()
    progress(len(scenes), len(scenes))
    index = first.assign(row=slots["row"].to_numpy()[chosen], col=slots["col"].to_numpy()[chosen])
    index = index.assign(valid_fraction=kept, position=positions, shard=f"{LOCAL}/{SHARD}.npy")
    missing = index[positions < 0]
    index = index[positions >= 0]
    index = index.assign(footprint=footprints(index, scenes, size))
    if settings["masks"] == "auto" and len(index):
        from .object_masks import add_masks

        index = index.reset_index(drop=True)
        labelled = index[index["label_id"].isin(objects["label_id"])]
        index = add_masks(index, objects, surrounding_windows(labelled, scenes, settings, store, workers), out)
    columns = [name for name in (*CHIPS.columns, *CHIPS.optional) if name in index]
    CHIPS.write(index[columns], out / "index.parquet")
    return _counts(index) | {"dropped": dict(Counter(_why_not(missing, scenes, size)))}


def _counts(index: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of chips by class and kind, of object masks, and of chips without one by reason."""
    masks = index["mask_reason"] if "mask_reason" in index else pd.Series(dtype="string")
    return {
        "chips": dict(sorted(Counter(index["class"].astype(str)).items())),
        "kinds": dict(sorted(Counter(index["kind"].astype(str)).items())),
        "masks": int(index["mask_shard"].notna().sum()) if "mask_shard" in index else 0,
        "without_mask": dict(sorted(Counter(masks.dropna().astype(str)).items())),
    }


def surrounding_windows(
    chips: pd.DataFrame, scenes: pd.DataFrame, settings: dict[str, Any], store: Path, workers: int
) -> dict[int, tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
    """Cut a window of twice the side around each chip of a batch.

    Returns:
        The window (2 S, 2 S, C) of each chip, and which of its pixels lie in the scene (2 S, 2 S), by its row label.
    """
    size = settings["size_px"]
    side, reach = np.arange(2 * size), size // 2
    windows = {}
    for row in records(scenes[scenes["scene_id"].isin(chips["scene_id"])]):
        own = chips[chips["scene_id"] == row["scene_id"]]
        target = Target(row["target_height"], row["target_width"], row["scale_row"], row["scale_col"])
        corners = own[["row", "col"]].to_numpy(np.int64) - reach
        for piece in cut.cut(scene_file(row, store), corners, 2 * size, target, settings["resampling"], workers):
            for number, chip in zip(piece.windows.tolist(), piece.chips, strict=True):
                rows, cols = (corner + side for corner in corners[number])
                inside = ((rows >= 0) & (rows < target.height))[:, None] & ((cols >= 0) & (cols < target.width))
                windows[int(own.index[number])] = chip.copy(), inside
    return windows


def _why_not(missing: pd.DataFrame, scenes: pd.DataFrame, size: int) -> list[str]:
    """Return why each of the windows is not used."""
    sides = scenes.set_index("scene_id")[["target_height", "target_width"]].min(axis=1)
    small = missing["scene_id"].map(sides) < size
    names = {"label": "labelled", "unlabelled": "unlabelled"} | dict.fromkeys(EXTRA_KINDS, "extra")
    groups = (names.get(kind, "background") for kind in missing["kind"])
    return [f"{group}: {TOO_SMALL if is_small else TOO_FEW}" for group, is_small in zip(groups, small, strict=True)]


def _numbered(windows: pd.DataFrame) -> pd.DataFrame:
    """Return the windows with slots counted from 0 and a column ``at``, the position in the table."""
    codes, _ = pd.factorize(windows["slot"])
    return windows.assign(slot=codes, position=np.arange(len(windows))).reset_index(drop=True)


def _cut_scene(
    scene: SceneFile,
    part: pd.DataFrame,
    target: Target,
    settings: dict[str, Any],
    workers: int,
    writer: ShardWriter,
    kept: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
) -> None:
    """Cut one scene's windows; of each slot's candidates the best valid one ends up in the shard.

    Args:
        scene: The scene.
        part: Its windows, numbered.
        target: Its target grid.
        settings: As for :func:`cut_batch`.
        workers: Threads.
        writer: The shard.
        kept: Valid share of each slot's chip, -1 while it has none; updated.
        chosen: Position in the table of each slot's window; updated.
    """
    slot, rank, ordinal = (part[name].to_numpy(np.int64) for name in ("slot", "rank", "position"))
    textured = part["kind"].isin(["textured", "extra_textured"]).to_numpy()
    first = int(slot.min())
    alone = np.bincount(slot - first)[slot - first] == 1
    merit = np.full(int(slot.max()) - first + 1, -np.inf)
    windows = part[["row", "col"]].to_numpy(np.int64)
    for piece in cut.cut(scene, windows, settings["size_px"], target, settings["resampling"], workers):
        good = piece.valid >= settings["min_valid_fraction"]
        single = np.flatnonzero(good & alone[piece.windows])
        numbers = piece.windows[single]
        kept[slot[numbers]], chosen[slot[numbers]] = piece.valid[single], ordinal[numbers]
        for start, stop in _runs(single, slot[numbers]):
            places = slice(int(single[start]), int(single[stop - 1]) + 1)
            writer.write(int(slot[numbers[start]]), piece.chips[places])
        for position in np.flatnonzero(good & ~alone[piece.windows]):
            number = piece.windows[position]
            place = int(slot[number])
            value = float(texture(piece.chips[position])) if textured[number] else -float(rank[number])
            if value > merit[place - first]:
                merit[place - first] = value
                kept[place], chosen[place] = piece.valid[position], ordinal[number]
                writer.write(place, piece.chips[position : position + 1])


def _runs(positions: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the ranges [start, stop) in which both positions and places go up one by one: each is written at once."""
    if not len(positions):
        return []
    breaks = np.flatnonzero((np.diff(positions) != 1) | (np.diff(places) != 1)) + 1
    edges = [0, *breaks.tolist(), len(positions)]
    return list(pairwise(edges))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as mappings."""
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return rows


def texture(chip: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the standard deviation over pixels of chips (..., H, W, C), in chip values, averaged over bands."""
    spread: npt.NDArray[np.float64] = chip.std(axis=(-3, -2), dtype=np.float64).mean(axis=-1)
    return spread
