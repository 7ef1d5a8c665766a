"""Labelled objects of a split's training chips, and what composes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..dataset.chip_store import ChipStore
from ..dataset.orientations import ORIENTATIONS, oriented
from .compose import Composer, Objects, Settings
from .layers import canvas_size
from .masks import Pose
from .surroundings import Backgrounds, Chips

Labels = npt.NDArray[np.int64]

LEAST_OBJECTS = 8
"""Fewer objects of a class than this are no variety to learn layers from."""
LEAST_SHARE = 0.5
"""Share of a class's training chips that need a mask, or its chips are generated whole. Of few chips the share may be
smaller by two standard errors, so that one class is not generated in two ways in splits of one experiment."""
MOST_BACKGROUNDS = 2048
"""Background chips that are held in memory."""


def layered_classes(store: ChipStore, labels: Labels, classes: Sequence[str]) -> dict[str, str]:
    """Return why each class is not generated as layers, by name; an empty reason for those that are.

    Args:
        store: Training chips.
        labels: Class indices (N,).
        classes: Class names; the first is the background.
    """
    reasons = {classes[0]: "it is the background"}
    masked = store.has_masks
    no_background = not (labels == 0).any()
    for label, name in enumerate(classes[1:], start=1):
        count, objects = int((labels == label).sum()), int((masked & (labels == label)).sum())
        reasons[name] = ""
        if no_background:
            reasons[name] = "there is no background chip"
        elif objects < LEAST_OBJECTS:
            reasons[name] = (
                f"{objects} of its {count} training chips have an object mask, and {LEAST_OBJECTS} are needed"
            )
        elif objects < LEAST_SHARE * count - 2 * math.sqrt(LEAST_SHARE * (1 - LEAST_SHARE) * count):
            reasons[name] = f"only {objects} of its {count} training chips have an object mask"
    return reasons


def composers(
    store: ChipStore,
    labels: Labels,
    layered: Sequence[int],
    seed: int,
    settings: Settings,
    extra: ChipStore | None = None,
    unlabelled: ChipStore | None = None,
) -> dict[int, Composer]:
    """Return what composes the objects of each class on the split's own backgrounds, with one canvas for all.

    Args:
        store: Training chips.
        labels: Class indices (N,).
        layered: Class indices that have layers.
        seed: Seed of all draws.
        settings: How objects are composed.
        extra: Windows of labelled scenes without objects that are backgrounds like those among the training chips.
        unlabelled: Windows of scenes without labels that objects are composed on, too; None where there are none.
    """
    chips, chip_ids = _grounds([store.where(labels == 0), *([extra] if extra else [])])
    windows, window_ids = _grounds([unlabelled]) if unlabelled else (chips[:0], [])
    backgrounds = Backgrounds.of(np.concatenate([chips, windows]), chip_ids + window_ids, len(windows))
    masked = store.has_masks
    objects = {label: objects_of(store, np.flatnonzero(masked & (labels == label))) for label in layered}
    size_px = int(backgrounds.chips.shape[1])
    canvas = canvas_size([pose for own in objects.values() for pose in own.poses], size_px)
    return {label: Composer.fit(own, backgrounds, canvas, seed + label, settings) for label, own in objects.items()}


def _grounds(stores: Sequence[ChipStore]) -> tuple[Chips, list[str]]:
    """Return the chips of some stores and their names, at most :data:`MOST_BACKGROUNDS`.

    From above there is no upright: where they are few, each is there in all orientations.
    """
    most = MOST_BACKGROUNDS // len(stores)
    rows = [np.linspace(0, len(store) - 1, min(len(store), most)).astype(np.int64) for store in stores]
    chips = np.concatenate([store.read(own) for store, own in zip(stores, rows, strict=True)])
    turns = range(ORIENTATIONS if len(chips) * ORIENTATIONS <= MOST_BACKGROUNDS else 1)
    names = [store.index["chip_id"].iloc[own] for store, own in zip(stores, rows, strict=True)]
    chip_ids = [str(name) for own in names for name in own] * len(turns)
    return np.concatenate([oriented(chips, turn) for turn in turns]), chip_ids


def behind(by_class: Mapping[int, Composer], count: int, seed: int) -> Chips:
    """Return what lies behind ``count`` composites (N, H, W, C), of each class in turn; it shows no object.

    Scenes without labels may show some, so that none of it is of them.
    """
    labels = np.resize(sorted(by_class), count)
    numbers = seed + np.arange(count)
    composers = {label: by_class[label].on_labelled_scenes() for label in sorted(by_class)}
    return np.concatenate([own.without_objects(numbers[labels == label]) for label, own in composers.items()])


def objects_of(store: ChipStore, rows: npt.NDArray[np.int64]) -> Objects:
    """Return the labelled objects of some chips, which all have masks."""
    frame = store.index.iloc[rows]
    alphas = store.masks(rows).astype(np.float32) / np.float32(255)
    neighbours = frame["neighbours"].fillna(0).to_numpy(np.int64) if "neighbours" in frame else np.zeros(len(rows), int)
    windows, window_masks = store.surroundings(rows)
    window_alphas = window_masks.astype(np.float32) / np.float32(255)
    return Objects(store.read(rows), alphas, poses_of(frame), neighbours, windows, window_alphas)


def poses_of(frame: pd.DataFrame) -> list[Pose]:
    """Return the poses of rows of a chip table that have them."""
    angles = np.deg2rad(frame["angle_deg"].to_numpy(np.float64, na_value=np.nan))
    columns = [frame[name].to_numpy(np.float64) for name in ("object_row", "object_col", "length_px", "width_px")]
    return [
        Pose(row, col, 0.0 if np.isnan(angle) else float(angle), length, width, not np.isnan(angle))
        for row, col, length, width, angle in zip(*columns, angles, strict=True)
    ]


def pose_columns(poses: Sequence[Pose | None]) -> Mapping[str, list[float | None]]:
    """Return the columns of a chip table for some poses; missing values where there is none."""
    return {
        "object_row": [None if pose is None else pose.row for pose in poses],
        "object_col": [None if pose is None else pose.col for pose in poses],
        "angle_deg": [None if pose is None or not pose.has_axis else math.degrees(pose.angle) for pose in poses],
        "length_px": [None if pose is None else pose.length for pose in poses],
        "width_px": [None if pose is None else pose.width for pose in poses],
    }
