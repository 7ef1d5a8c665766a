"""Plan windows: from the tables of scenes and labels to a table of windows. Pure: tables in, tables out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...dataset.tables import EXTRA_KINDS, UNLABELLED
from ...raster.grid import Target, Windows
from . import windows as geometry
from .hashing import number
from .windows import Boxes, Policy

LETTERS = {"label": "l", "random": "r", "textured": "t", "near_miss": "n", "grid": "g", "unlabelled": "u"}
LETTERS |= dict(zip(EXTRA_KINDS, "xy", strict=True))
"""Letter of each kind in a chip's name."""
COLUMNS = ["chip_id", "scene_id", "class", "kind", "label_id", "row", "col", "slot", "rank"]


@dataclass(frozen=True)
class Settings:
    """Part of the configuration that the planner needs; see ``ChipsConfig`` and ``NegativesConfig``."""

    size: int
    jitter: int
    shift: int
    method: str
    per_positive: float
    extra_per_positive: float
    policy: Policy
    near_miss: str
    grid_stride: int
    classes: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, chips: Mapping[str, Any], classes: Sequence[str], seed: int) -> Settings:
        """Read the JSON of the chips section."""
        negatives, size = chips["negatives"], chips["size_px"]
        return cls(
            size=size,
            jitter=chips["jitter_px"],
            shift=size // 4 if chips["edge_shift_px"] is None else chips["edge_shift_px"],
            method=negatives["method"],
            per_positive=negatives["per_positive"],
            extra_per_positive=negatives["extra_per_positive"],
            policy=Policy(
                negatives["textured_share"],
                negatives["near_miss_share"],
                negatives["candidates"],
                negatives["margin_px"],
            ),
            near_miss=negatives["near_miss"],
            grid_stride=negatives["grid_stride_px"] or size,
            classes=tuple(classes),
            seed=seed,
        )


@dataclass(frozen=True)
class Planned:
    """Windows of some scenes.

    Attributes:
        windows: One row per candidate window, with `COLUMNS`, in the order of scenes, slots and ranks. Candidates of
            one slot share chip_id and compete for one chip.
        dropped: How many windows were not planned, by reason.
    """

    windows: pd.DataFrame
    dropped: dict[str, int]


_BOX = ["row_min", "col_min", "row_max", "col_max"]

Columns = dict[str, npt.NDArray[Any]]
"""Windows of one scene, as arrays by column."""


def plan(
    scenes: pd.DataFrame,
    labels: pd.DataFrame,
    set_aside: pd.DataFrame,
    targets: Sequence[Target],
    counts: Sequence[int],
    extra: Sequence[int],
    unlabelled: Sequence[int],
    settings: Settings,
) -> Planned:
    """Plan the windows of some scenes.

    Args:
        scenes: Scenes that are not quarantined, one row each.
        labels: Labels that are not quarantined.
        set_aside: Labels that cannot be used: no chip is cut for them, and no background where they lie.
        targets: Target grid of each scene.
        counts: Background chips to draw from each scene, see :func:`background_counts`.
        extra: Further windows to draw from each scene for composites alone.
        unlabelled: Windows to draw from each scene of a source without labels, 0 for all others.
        settings: What is wanted.
    """
    dropped: Counter[str] = Counter()
    columns: list[Columns] = []
    slots = 0
    blocked_by_scene = _by_scene(set_aside, scenes)
    for scene_id, frame, blocked, target, count, further, drawn in zip(
        scenes["scene_id"], _by_scene(labels, scenes), blocked_by_scene, targets, counts, extra, unlabelled, strict=True
    ):
        scale = np.array([target.scale_row, target.scale_col] * 2)
        boxes = frame[_BOX].to_numpy(np.float64) / scale
        own = [_labelled(frame, boxes, target, settings)] if len(frame) else []
        if drawn:
            own.append(_unlabelled(str(scene_id), target, drawn, settings, dropped))
        elif not _ready_cut(frame):
            objects = np.concatenate([_objects(frame, boxes, settings), _blocked(blocked, scale, settings)])
            own.append(_background(str(scene_id), objects, target, count, settings, dropped))
            if further:
                own.append(_extra(str(scene_id), objects, target, further, settings, dropped))
        for part in own:
            part["scene_id"] = np.full(len(part["row"]), scene_id, dtype=object)
            part["slot"] = part["slot"] + slots
            slots = int(part["slot"][-1]) + 1 if len(part["slot"]) else slots
        columns += own
    windows = pd.DataFrame(
        {name: np.concatenate([part[name] for part in columns]) for name in columns[0]} if columns else {}
    )
    return Planned(_named(windows), dict(dropped))


def unlabelled_counts(scenes: pd.DataFrame, targets: Sequence[Target], windows: Mapping[str, int]) -> list[int]:
    """Return how many windows to draw from each scene without labels: shares of those of its source, by area.

    Args:
        scenes: Scenes with their ``source``.
        targets: Target grid of each scene.
        windows: Windows of each source without labels, by its name.
    """
    counts = np.zeros(len(scenes), np.int64)
    areas = np.array([target.height * target.width for target in targets], np.int64)
    for name, count in windows.items():
        own = (scenes["source"] == name).to_numpy(bool)
        if own.any():
            counts[own] = geometry.shares(areas[own], count)
    return [int(count) for count in counts]


def background_counts(
    scenes: pd.DataFrame,
    labels: pd.DataFrame,
    targets: Sequence[Target],
    settings: Settings,
    per_positive: float,
    unlabelled: Collection[str] = (),
) -> list[int]:
    """Return how many background windows to draw from each scene: shares of the whole by area.

    No background is drawn from the sources ``unlabelled``.
    """
    ready_cut = scenes["scene_id"].isin(labels.loc[labels["kind"] == "scene", "scene_id"])
    ready_cut |= scenes["source"].isin(unlabelled)
    areas = [target.height * target.width * (not cut) for target, cut in zip(targets, ready_cut, strict=True)]
    drawn = labels["scene_id"].isin(scenes.loc[~ready_cut, "scene_id"])
    positive = int((drawn & (labels["class"] != settings.classes[0])).sum())
    return [int(share) for share in geometry.shares(areas, round(per_positive * positive))]


def _ready_cut(labels: pd.DataFrame) -> bool:
    """Return whether a scene is a chip, which its label covers: no background is drawn from it."""
    return bool((labels["kind"] == "scene").any())


def _by_scene(labels: pd.DataFrame, scenes: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the labels of each scene."""
    groups = dict(list(labels.groupby("scene_id", sort=False)))
    return [groups.get(scene_id, labels.iloc[:0]) for scene_id in scenes["scene_id"]]


def _named(windows: pd.DataFrame) -> pd.DataFrame:
    """Return windows with the names of their chips: scene, kind and number, such as ``harbour.tif#t0012``."""
    if windows.empty:
        return pd.DataFrame(columns=COLUMNS)
    text = windows["number"].astype("string").str.zfill(4)
    names = windows["scene_id"].astype("string") + "#" + windows["kind"].map(LETTERS).astype("string") + text
    return windows.assign(chip_id=names)[COLUMNS]


def _labelled(frame: pd.DataFrame, boxes: Boxes, target: Target, settings: Settings) -> Columns:
    """Return one window for each label."""
    offsets = None
    if settings.jitter:
        streams = [np.random.default_rng(number(settings.seed, "jitter", label)) for label in frame["label_id"]]
        offsets = np.stack([geometry.jitter(stream, settings.jitter) for stream in streams])
        # A ready-cut chip has no surroundings to move into.
        offsets[(frame["kind"] == "scene").to_numpy()] = 0
    windows = geometry.centred(boxes, settings.size, (target.height, target.width), offsets, settings.shift)
    each = np.arange(len(frame))
    columns = _columns(windows, np.full(len(frame), "label", dtype=object), each, each, np.zeros(len(frame), np.int64))
    return columns | {"class": frame["class"].to_numpy(object), "label_id": frame["label_id"].to_numpy(object)}


def _objects(frame: pd.DataFrame, boxes: Boxes, settings: Settings) -> Boxes:
    """Return the boxes of objects; a point stands for an object of up to a chip's size."""
    chosen = (frame["class"] != settings.classes[0]).to_numpy()
    points = (frame["kind"] == "point").to_numpy()
    grown = np.where(points[:, None], geometry.grown(boxes, settings.size / 2), boxes)
    return np.asarray(grown[chosen], np.float64)


def _blocked(frame: pd.DataFrame, scale: npt.NDArray[Any], settings: Settings) -> Boxes:
    """Return boxes of labels that are set aside and have a place; one without extent stands for an object too."""
    boxes = frame[_BOX].to_numpy(np.float64)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    boxes = (
        np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1) / scale
    )
    flat = (boxes[:, 2:] == boxes[:, :2]).any(axis=1)
    return np.asarray(np.where(flat[:, None], geometry.grown(boxes, settings.size / 2), boxes), np.float64)


def _background(
    scene_id: str, objects: Boxes, target: Target, count: int, settings: Settings, dropped: Counter[str]
) -> Columns:
    """Return candidate windows for the background chips of one scene."""
    shape = (target.height, target.width)
    if settings.method == "grid":
        columns = _grid(shape, objects, settings, dropped)
    else:
        rng = np.random.default_rng([settings.seed, number(scene_id)])
        drawn = geometry.background_slots(shape, settings.size, objects, count, settings.policy, rng)
        if drawn.missing:
            dropped["background: no room beside the objects"] += drawn.missing
        columns = _slots(drawn, np.array(drawn.kind, dtype=object))
    return columns | _without_label(len(columns["row"]), settings.classes[0])


def _extra(
    scene_id: str, objects: Boxes, target: Target, count: int, settings: Settings, dropped: Counter[str]
) -> Columns:
    """Return candidate windows of one scene for composites alone: drawn as background is, without near misses."""
    rng = np.random.default_rng([settings.seed, number("extra", scene_id)])
    policy = replace(settings.policy, near_miss_share=0.0)
    drawn = geometry.background_slots((target.height, target.width), settings.size, objects, count, policy, rng)
    if drawn.missing:
        dropped["extra: no room beside the objects"] += drawn.missing
    columns = _slots(drawn, np.array([f"extra_{kind}" for kind in drawn.kind], dtype=object))
    return columns | _without_label(len(columns["row"]), UNLABELLED)


def _slots(drawn: geometry.Slots, kinds: npt.NDArray[Any]) -> Columns:
    """Return the candidate windows of slots, of which each has a kind."""
    return _columns(drawn.windows, kinds[drawn.slot], _counted(kinds)[drawn.slot], drawn.slot, drawn.rank)


def _without_label(count: int, class_name: str) -> Columns:
    """Return the class and the label of windows that no label belongs to."""
    return {
        "class": np.full(count, class_name, dtype=object),
        "label_id": np.full(count, None, dtype=object),
    }


def _unlabelled(scene_id: str, target: Target, count: int, settings: Settings, dropped: Counter[str]) -> Columns:
    """Return windows of a scene without labels, anywhere in it."""
    rng = np.random.default_rng([settings.seed, number(scene_id)])
    windows = geometry.free_windows((target.height, target.width), settings.size, np.empty((0, 4)), count, rng)[:count]
    if len(windows) < count:
        dropped["unlabelled: no room"] += count - len(windows)
    each = np.arange(len(windows))
    kinds = np.full(len(windows), "unlabelled", dtype=object)
    return _columns(windows, kinds, each, each, np.zeros(len(windows), np.int64)) | _without_label(
        len(windows), UNLABELLED
    )


def _grid(shape: tuple[int, int], objects: Boxes, settings: Settings, dropped: Counter[str]) -> Columns:
    """Return every window of a grid that contains no object."""
    windows = geometry.grid(*shape, settings.size, settings.grid_stride)
    near = geometry.touches(windows, geometry.grown(objects, settings.policy.margin_px), settings.size)
    use = ~near
    if settings.near_miss == "background":
        use = geometry.most_visible(windows, objects, settings.size) < geometry.NEAR_MISS_VISIBLE[1]
    if not use.all():
        dropped["background: holds an object or part of one"] += int((~use).sum())
    kinds = np.where(near, "near_miss", "grid").astype(object)[use]
    each = np.arange(len(kinds))
    return _columns(windows[use], kinds, _counted(kinds), each, np.zeros(len(kinds), np.int64))


def _counted(kinds: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the number of each item among those of its kind."""
    numbers = np.zeros(len(kinds), np.int64)
    for kind in LETTERS:
        numbers[kinds == kind] = np.arange((kinds == kind).sum())
    return numbers


def _columns(
    windows: Windows,
    kind: npt.NDArray[Any],
    numbers: npt.NDArray[np.int64],
    slot: npt.NDArray[np.int64],
    rank: npt.NDArray[np.int64],
) -> Columns:
    return {
        "kind": kind,
        "number": numbers,
        "slot": slot,
        "rank": rank,
        "row": windows[:, 0],
        "col": windows[:, 1],
    }
