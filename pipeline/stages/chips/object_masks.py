"""Masks of the objects that chips are labelled for, made while a batch is cut.

An object is searched for in a *surrounding window* of twice a chip's side around the chip: many objects are larger than
their chip, and what is beside them shows where they end. Where the mask is usable, chip-sized and whole, both are
written: the chip's mask says what the chip shows, the surrounding window is what layers are cut from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from ...composition.hull import Form
from ...composition.masks import Box, Labelled, ObjectMask, learn_form
from ...dataset.chip_store import write_masks, write_shard
from ...dataset.tables import OBJECT_COLUMNS

EDGES = ["row_min", "col_min", "row_max", "col_max"]
MASKS, SURROUNDINGS, SURROUNDING_MASKS = "masks", "surroundings", "surrounding-masks"

Pixels = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One labelled chip with what is known of its object, in pixels of its surrounding window.

    Attributes:
        window: (2 S, 2 S, C); the chip is in its middle.
        has_data: Which of its pixels lie in the scene (2 S, 2 S).
        box: The object's box; None where the label has none, then the object is in the chip's middle.
        polygons: The object's outline, polygons (N, 2) of (row, col).
        others: Boxes of other objects.
    """

    window: Pixels
    has_data: Flags
    box: Box | None
    polygons: list[npt.NDArray[np.float64]]
    others: list[Box]

    @property
    def labelled(self) -> Labelled:
        """Return where the object is searched for: in the window, or without a box or outline in the chip itself."""
        if self.box is not None or self.polygons:
            return Labelled(self.window, self.box, self.polygons, None, self.others, self.has_data)
        middle = slice(len(self.window) // 4, -(len(self.window) // 4))
        return Labelled(self.window[middle, middle], valid=self.has_data[middle, middle])

    def mask(self, form: Form | None) -> ObjectMask:
        """Return the mask of the object in the surrounding window."""
        own = self.labelled.mask(form)
        margin = (len(self.window) - len(own.alpha)) // 2
        pose = None if own.pose is None else own.pose.moved(margin, margin)
        return ObjectMask(np.pad(own.alpha, margin), pose, own.source, own.reason)

    @property
    def neighbours(self) -> int:
        """Return the other labelled objects that the chip shows."""
        quarter, end = len(self.window) // 4, 3 * len(self.window) // 4
        return sum(min(box[2:]) > quarter and max(box[:2]) < end for box in self.others)


def add_masks(
    index: pd.DataFrame, objects: pd.DataFrame, windows: Mapping[int, tuple[Pixels, Flags]], out: Path
) -> pd.DataFrame:
    """Return the index with the columns of objects, and write masks and surrounding windows.

    Args:
        index: Chips of a batch, numbered from 0.
        objects: Labels of its scenes whose objects are to have masks, in pixels of the chips' grid: label_id, scene_id,
            class, kind, the edges of the box, and outline (WKT of (col, row), or missing).
        windows: Surrounding window of each chip of an object and which of its pixels lie in the scene, by its row.
        out: Folder of the artifact.
    """
    cv2.setNumThreads(1)
    cases = _cases(index, objects, windows)
    masks: dict[int, ObjectMask] = {}
    classes = index["class"].to_numpy(object)
    for name in sorted({classes[row] for row in cases}):
        own = [row for row in cases if classes[row] == name]
        form = learn_form([cases[row].labelled for row in own])
        masks |= {row: cases[row].mask(form) for row in own}
    return index.assign(**_columns(masks, cases, len(index), out))


def _cases(index: pd.DataFrame, objects: pd.DataFrame, windows: Mapping[int, tuple[Pixels, Flags]]) -> dict[int, Case]:
    by_label = objects.set_index("label_id")
    by_scene = {str(name): frame for name, frame in objects.groupby("scene_id", sort=False)}
    cases = {}
    for position, (window, has_data) in sorted(windows.items()):
        row = index.iloc[position]
        label, beside = by_label.loc[row["label_id"]], by_scene[str(row["scene_id"])]
        corner = np.array([row["row"], row["col"]], np.float64) - len(window) // 4
        both = np.concatenate([corner, corner])
        box = _box(np.asarray(label[EDGES], np.float64) - both) if label["kind"] == "box" else None
        edges = beside.loc[beside["label_id"] != row["label_id"], EDGES].to_numpy(np.float64) - both
        inside = (edges[:, 2:] > 0).all(axis=1) & (edges[:, :2] < len(window)).all(axis=1)
        others = [_box(edges_of_one) for edges_of_one in edges[inside]]
        cases[position] = Case(window, has_data, box, _polygons(label["outline"], corner), others)
    return cases


def _box(edges: npt.NDArray[np.float64]) -> Box:
    top, left, bottom, right = edges.tolist()
    return top, left, bottom, right


def _polygons(outline: Any, corner: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return the outer rings (N, 2) of an outline as (row, col) in pixels from a corner."""
    if not isinstance(outline, str):
        return []
    shape = shapely.from_wkt(outline)
    return [np.asarray(polygon.exterior.coords)[:, ::-1] - corner for polygon in getattr(shape, "geoms", [shape])]


def _columns(masks: Mapping[int, ObjectMask], cases: Mapping[int, Case], count: int, out: Path) -> dict[str, Any]:
    """Return the columns of objects, and write the shards that they name."""
    values: dict[str, list[Any]] = {name: [pd.NA] * count for name in OBJECT_COLUMNS}
    usable = [row for row, mask in sorted(masks.items()) if mask.reason is None]
    if usable:
        alphas = np.stack([np.rint(masks[row].alpha * 255) for row in usable]).astype(np.uint8)
        quarter = alphas.shape[1] // 4
        inside = np.ascontiguousarray(alphas[:, quarter:-quarter, quarter:-quarter])
        shards = {
            "mask_shard": write_masks(inside, out, MASKS),
            "window_shard": write_shard(np.stack([cases[row].window for row in usable]), out, SURROUNDINGS),
            "window_mask_shard": write_masks(alphas, out, SURROUNDING_MASKS),
        }
        for position, row in enumerate(usable):
            for name, shard in shards.items():
                values[name][row] = shard
            values["mask_position"][row] = position
    for row, mask in masks.items():
        quarter = len(cases[row].window) // 4
        values["mask_reason"][row] = mask.reason or pd.NA
        values["neighbours"][row] = cases[row].neighbours
        if mask.pose is not None:
            values["object_row"][row], values["object_col"][row] = mask.pose.row - quarter, mask.pose.col - quarter
            values["length_px"][row], values["width_px"][row] = mask.pose.length, mask.pose.width
            if mask.pose.has_axis:
                values["angle_deg"][row] = float(np.rad2deg(mask.pose.angle))
    return {name: pd.Series(values[name], dtype=cast("Any", dtype)) for name, dtype in OBJECT_COLUMNS.items()}
