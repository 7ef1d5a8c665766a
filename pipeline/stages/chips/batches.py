"""Task ``windows``: assign the scenes to batches, and plan the windows of each, so that each is cut on its own."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ...dataset.tables import LABELS, SCENES
from ...raster.grid import Extent, pixel_size_m, targets
from ...utils.errors import TooLittleDataError
from .cut import records
from .hashing import number, numbers
from .plan_windows import Settings, background_counts, plan, unlabelled_counts

BATCH_PIXELS = 64_000_000
"""Approximate scene pixels of a batch; one scene may be larger."""


# What cutting needs. Licence and groups may change without chips being cut again.
_READ = ["scene_id", "path", "item", "width", "height", "crs", "transform", "gsd_m", "bands", "dtype", "nodata", "mask"]
_READ += ["sha256"]


def _usable(
    tables: Path, max_per_class: int | None, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the usable scenes, the labels to cut chips for, those beyond the maximum, and all whose place is kept.

    Raises:
        TooLittleDataError: If there is no scene.
    """
    scenes = SCENES.read(tables / "scenes.parquet")
    scenes = scenes[scenes["quarantined"].isna()].reset_index(drop=True)
    labels = LABELS.read(tables / "labels.parquet")
    labels = labels[labels["scene_id"].isin(scenes["scene_id"])]
    set_aside, labels = labels[labels["quarantined"].notna()], labels[labels["quarantined"].isna()]
    labels, spare = draw_labels(labels, max_per_class, seed)
    # A chip that arrived cut is its scene: without its label there is nothing left of it.
    whole = spare.loc[spare["kind"] == "scene", "scene_id"]
    scenes = scenes[~scenes["scene_id"].isin(whole)].reset_index(drop=True)
    if scenes.empty:
        raise TooLittleDataError(
            "no scene is left to cut chips from; see the reasons for which ingest quarantined them"
        )
    return scenes, labels, spare, pd.concat([set_aside, spare]) if len(spare) else set_aside


def plan_batches(tables: Path, config: dict[str, Any], store: Path, out: Path) -> dict[str, Any]:
    """Write ``scenes-<batch>.parquet`` and ``windows-<batch>.parquet`` for each batch.

    Args:
        tables: The committed tables of ingest.
        config: ``chips``, ``classes`` and ``seed``, and ``unlabelled`` where sources without labels give windows: how
            many, by the name of the source.
        store: Root of the committed artifacts.
        out: Folder of the artifact.

    Returns:
        Metadata: batches with their names and sizes, windows by kind, and what was dropped, by reason.

    Raises:
        ConfigError: If scenes have several GSDs and no resampling is named.
        TooLittleDataError: If there is no scene.
    """
    chips = config["chips"]
    scenes, labels, spare, set_aside = _usable(tables, chips["max_per_class"], config["seed"])
    grids = targets(_extents(scenes, chips["resampling"] is not None, store), chips["gsd_m"], chips["resampling"])
    settings = Settings.of(chips, config["classes"], config["seed"])
    unlabelled: dict[str, int] = config.get("unlabelled", {})
    scenes = scenes[_READ].assign(
        target_height=[grid.height for grid in grids],
        target_width=[grid.width for grid in grids],
        scale_row=[grid.scale_row for grid in grids],
        scale_col=[grid.scale_col for grid in grids],
        background=background_counts(scenes, labels, grids, settings, settings.per_positive, unlabelled),
        extra=background_counts(scenes, labels, grids, settings, settings.extra_per_positive, unlabelled),
        unlabelled=unlabelled_counts(scenes, grids, unlabelled),
    )
    batch = assign_batches((scenes["height"] * scenes["width"]).to_numpy(np.float64), list(scenes["scene_id"]))
    batches, drawn = [], ["background", "extra", "unlabelled"]
    planned, dropped, candidates = Counter[str](), Counter[str](), 0
    if len(spare):
        dropped["labelled: more than chips.max_per_class"] = len(spare)
    for name in sorted(set(batch)):
        rows = np.flatnonzero(batch == name)
        chosen, own = scenes.iloc[rows], [grids[row] for row in rows]
        labelled, blocked = (table[table["scene_id"].isin(chosen["scene_id"])] for table in (labels, set_aside))
        background, extra, windows = (chosen[name].tolist() for name in drawn)
        plans = plan(chosen, labelled, blocked, own, background, extra, windows, settings)
        dropped.update(plans.dropped)
        if plans.windows.empty:
            continue
        _write(chosen.drop(columns=drawn), out / f"scenes-{name}.parquet")
        _write(plans.windows, out / f"windows-{name}.parquet")
        _write(_objects(pd.concat([labels, spare]), chosen, config["classes"][0]), out / f"objects-{name}.parquet")
        megapixels = float((chosen["height"] * chosen["width"]).sum()) / 1e6
        batches.append({"name": name, "scenes": len(chosen), "windows": len(plans.windows), "megapixels": megapixels})
        planned.update(plans.windows.drop_duplicates("slot")["kind"])
        candidates += len(plans.windows)
    return {
        "batches": batches,
        "planned": dict(sorted(planned.items())),
        "candidates": candidates,
        "dropped": dict(dropped),
        "resampled": sum(grid.resampled for grid in grids),
    }


def draw_labels(labels: pd.DataFrame, most: int | None, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return at most ``most`` labels of each class, drawn by the seed and the label's name, and the other ones."""
    if most is None or labels.empty:
        return labels, labels.iloc[:0]
    places = pd.Series(numbers(labels["label_id"].to_numpy(), seed, "labels"), labels.index)
    taken = places.groupby(labels["class"]).rank(method="first") <= most
    return labels[taken], labels[~taken]


def _objects(labels: pd.DataFrame, scenes: pd.DataFrame, background: str) -> pd.DataFrame:
    """Return the labels of objects in some scenes, in pixels of the chips' grid; their outlines as (col, row)."""
    own = labels[labels["scene_id"].isin(scenes["scene_id"]) & (labels["class"] != background)]
    scales = scenes.set_index("scene_id")[["scale_row", "scale_col"]].loc[own["scene_id"]].to_numpy(np.float64)
    edges = own[["row_min", "col_min", "row_max", "col_max"]].div(np.concatenate([scales, scales], axis=1))
    outlines = own["outline"].to_list() if "outline" in own else [None] * len(own)
    scaled = [
        shapely.to_wkt(shapely.transform(shapely.from_wkt(text), lambda points, by=by: points / by[::-1]))
        if isinstance(text, str)
        else None
        for text, by in zip(outlines, scales, strict=True)
    ]
    named = own[["label_id", "scene_id", "class", "kind"]].astype("string")
    return named.join(edges).assign(outline=pd.array(scaled, dtype="string")).reset_index(drop=True)


def assign_batches(pixels: npt.NDArray[np.float64], names: list[str]) -> npt.NDArray[Any]:
    """Return the batch of each scene, such as ``3of8``.

    By the hash of its name, into a power of two of batches: another scene changes the batch that it joins and no other,
    until there is twice as much.
    """
    count = 1 << max(0, math.ceil(math.log2(max(1.0, pixels.sum() / BATCH_PIXELS))))
    width = len(str(count - 1))
    return np.array([f"{number('batch', name) * count >> 64:0{width}d}of{count}" for name in names], dtype=object)


def _extents(scenes: pd.DataFrame, resampled: bool, store: Path) -> list[Extent]:
    """Return size and GSD of each scene; separately down and along where pixels may not be square."""
    extents = []
    for row in records(scenes):
        gsd = None if pd.isna(row["gsd_m"]) else (float(row["gsd_m"]),) * 2
        # Without resampling ingest has quarantined what is not square.
        if resampled and not pd.isna(row["crs"]) and not pd.isna(row["transform"]):
            from ...raster.gdal import scene_file

            scene = scene_file(row, store)
            along, down = pixel_size_m(str(scene.crs), scene.transform or (), scene.width, scene.height)
            gsd = (down, along)
        extents.append(Extent(row["scene_id"], int(row["height"]), int(row["width"]), gsd))
    return extents


def _write(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path, compression="zstd")
