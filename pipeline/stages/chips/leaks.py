"""Artifacts ``duplicates`` and ``split-<split>``: find leaks once, keep them out of every split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...dataset.chip_store import ChipStore
from ...dataset.parquet import checked
from ...dataset.tables import CHIPS, EXTRA_KINDS, GROUP_PREFIX, SPLIT, UNLABELLED, UNLABELLED_ROLE
from ...engine.task import read_metadata
from . import split as splitting
from .components import components
from .duplicates import near_duplicates
from .index import SCENE, group_columns, group_name, group_of
from .overlap.chips import overlapping_chips
from .overlap.outlines import overlaps
from .overlap.search import SCENE_PAIRS
from .summary import PAIRS


def find(index: Path, scene_pairs: Sequence[Path], settings: dict[str, Any], store: Path, out: Path) -> dict[str, Any]:
    """Write ``pairs.parquet``: chip_a, chip_b, kind, score.

    Args:
        index: The committed index.
        scene_pairs: The committed pairs of scenes that show the same ground; none where that was not searched for.
        settings: The duplicates section, and ``size_px``.
        store: Root of the committed artifacts.
        out: Folder of the artifact.

    Returns:
        Metadata: numbers of pairs and of chips compared, what was seen of scenes, and per group column the groups
        that overlapping chips join.
    """
    path = index / "index.parquet"
    repeated = [SCENE, "shard", *(name for name in pq.read_schema(path).names if name.startswith(GROUP_PREFIX))]
    columns = ["chip_id", "row", "col", "position", *repeated]
    chips = ChipStore.open(lambda path: CHIPS.read_columns(path, columns, repeated), path, store)
    ground = overlaps(chips, CHIPS.read_outlines(path))
    by_pixels, scenes = ground.iloc[:0], None
    for folder in scene_pairs:
        scenes = read_metadata(folder)
        by_pixels = _seen(chips.index, pd.read_parquet(checked(folder / SCENE_PAIRS)), ground, settings["size_px"])
    ground = pd.concat([frame for frame in (ground, by_pixels) if len(frame)] or [ground], ignore_index=True)
    alike, counts = ground.iloc[:0], {"compared": 0, "undecided": 0}
    if settings["enabled"]:
        alike, counts = near_duplicates(chips, settings["min_correlation"], settings["min_texture"])
    pairs = pd.concat([frame for frame in (ground, alike) if len(frame)] or [ground], ignore_index=True)
    table = pa.Table.from_pandas(pairs.astype({"score": "float64"}), preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), out / PAIRS, compression="zstd")
    labelled = _among_labelled(ground, path, chips.index["chip_id"])
    return {
        "overlaps": len(ground),
        "seen_overlaps": len(by_pixels),
        "scenes": scenes,
        "duplicates": len(alike),
        **counts,
        "joined": {column: _joined(chips.index, labelled, column) for column in group_columns(chips.index)},
    }


def _seen(index: pd.DataFrame, scene_pairs: pd.DataFrame, by_place: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return the pairs of chips that overlap where their scenes were seen to, but for those known by georeference."""
    pairs, share = overlapping_chips(index, scene_pairs, size)
    names = index["chip_id"].to_numpy(object)
    leaking = pd.DataFrame(
        {"chip_a": names[pairs[:, 0]], "chip_b": names[pairs[:, 1]], "kind": "overlap", "score": share.round(4)}
    )
    both = pd.MultiIndex.from_frame(leaking[["chip_a", "chip_b"]])
    return leaking[~both.isin(pd.MultiIndex.from_frame(by_place[["chip_a", "chip_b"]]))]


def _among_labelled(pairs: pd.DataFrame, index: Path, names: pd.Series[str]) -> pd.DataFrame:
    """Return the pairs of which neither chip is a window of a scene without labels: those join no groups."""
    texts, codes = CHIPS.read_codes(index, "class")
    if UNLABELLED not in texts:
        return pairs
    windows = names[codes == texts.index(UNLABELLED)]
    return pairs[~pairs["chip_a"].isin(windows) & ~pairs["chip_b"].isin(windows)]


def _joined(index: pd.DataFrame, ground: pd.DataFrame, column: str) -> list[list[str]]:
    """Join the groups of a column that overlapping chips connect."""
    if not len(ground):
        return []
    group = dict(zip(index["chip_id"], group_of(index, column), strict=True))
    pairs = {
        (str(group[first]), str(group[second]))
        for first, second in zip(ground["chip_a"], ground["chip_b"], strict=True)
    }
    return [list(names) for names in components(pair for pair in sorted(pairs) if pair[0] != pair[1])]


def make_roles(index: Path, duplicates: Path, config: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write ``split.parquet``: the role of each chip in one split.

    Args:
        index: The committed index.
        duplicates: The committed pairs.
        config: The configuration of the task, as the stage plans it.
        out: Folder of the artifact.

    Returns:
        Metadata: what split it is, chips by role and class, units by role, dropped chips by reason.

    Raises:
        TooLittleDataError: If a role lacks background or foreground.
    """
    path = index / "index.parquet"
    chips = _chips(path, pd.read_parquet(checked(duplicates / PAIRS)), config)
    request = splitting.Request(
        test_groups=frozenset(config["test"]),
        fraction=config["fraction"],
        smallest=config["smallest"],
        validation_fraction=config["validation_fraction"],
        background=config["background"],
        seed=config["seed"],
        replicate=config["replicate"],
        test_share=config["test_share"],
    )
    result = splitting.split(chips, request)
    frame = pd.DataFrame({"chip_id": chips.chip_id, "role": result.role, "unit": chips.unit})
    SPLIT.write(frame, out / "split.parquet")
    windows = result.role == UNLABELLED_ROLE
    counts = {"unlabelled": int((windows & ~chips.extra).sum()), "extra": int((windows & chips.extra).sum())}
    roles = sorted(set(pd.unique(result.role)) - {UNLABELLED_ROLE})
    labelled = chips.label != UNLABELLED
    counted = {
        role: pd.Series(chips.label[labelled & (result.role == role)]).value_counts().to_dict() for role in roles
    }
    return {
        "fold": config["fold"],
        "fraction": config["fraction"],
        "replicate": config["replicate"],
        "by": config["by"],
        "joins": config["join"],
        "test_groups": sorted(config["test"]),
        "counts": {role: dict(sorted(counts.items())) for role, counts in counted.items()},
        "units": {role: len(pd.unique(chips.unit[result.role == role])) for role in roles},
        "drawn_by": result.drawn_by,
        "validated_by": result.validated_by,
        "dropped": result.dropped,
        **(counts if not labelled.all() else {}),
    }


def _chips(path: Path, pairs: pd.DataFrame, config: dict[str, Any]) -> splitting.Chips:
    """Return the chips of an index as splitting needs them; units that overlap on the ground are joined."""
    names = CHIPS.read_columns(path, ["chip_id"])["chip_id"]
    chip_id = names.array
    label = CHIPS.read_repeated(path, "class")
    kinds, kind = CHIPS.read_codes(path, "kind")
    extra = np.isin(kind, [kinds.index(name) for name in EXTRA_KINDS if name in kinds])
    if config["test_share"] is not None:
        # A random split ignores groups and leaks: that is what it shows.
        each = np.arange(len(names))
        return splitting.Chips(
            chip_id, label, each, chip_id, each, np.zeros((0, 2), np.int64), np.zeros(0, bool), extra
        )
    involved = names[names.isin(pd.concat([pairs["chip_a"], pairs["chip_b"]]))]
    places, number = involved.index.to_numpy(np.int64), pd.Index(involved)
    leaks = np.stack([places[number.get_indexer(pairs[side])] for side in ("chip_a", "chip_b")], axis=1)
    copies = (pairs["kind"] == "duplicate").to_numpy(bool)
    among_labelled = (label[leaks] != UNLABELLED).all(axis=1)
    ground = leaks[~copies & among_labelled] if config["join"] else leaks[:0]
    corner = CHIPS.read_columns(path, ["row", "col"])
    return splitting.Chips(
        chip_id=chip_id,
        label=label,
        group=CHIPS.read_repeated(path, group_name(config["by"])),
        unit=splitting.joined_units(CHIPS.read_repeated(path, group_name(config["unit"])), ground),
        cluster=splitting.clusters(
            CHIPS.read_repeated(path, SCENE),
            corner["row"].to_numpy(np.int64),
            corner["col"].to_numpy(np.int64),
            config["size_px"],
        ),
        leaks=leaks.astype(np.int64),
        copies=copies,
        extra=extra,
    )
