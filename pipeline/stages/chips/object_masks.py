"""Masks of the objects that chips are labelled for, made while a batch is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from ...composition.hull import Box, Form
from ...composition.masks import ObjectMask, learn_form, object_mask
from ...dataset.chip_store import write_masks
from ...dataset.tables import OBJECT_COLUMNS

LEARNED_FROM = 64
"""Masks of a class that its form is learned from, at most."""
EDGES = ["row_min", "col_min", "row_max", "col_max"]
MASKS = "masks"


def add_masks(index: pd.DataFrame, objects: pd.DataFrame, chips: npt.NDArray[Any], out: Path) -> pd.DataFrame:
    """Return the index with the columns of objects, and write their masks.

    Args:
        index: Chips of a batch.
        objects: Labels of its scenes whose objects are to have masks, in pixels of the chips' grid: label_id, scene_id,
            class, kind, the edges of the box, and outline (WKT of (col, row), or missing).
        chips: The batch's shard (N, H, W, C); the index has positions in it.
        out: Folder of the artifact.
    """
    by_label = objects.set_index("label_id")
    labelled = index["label_id"].isin(by_label.index).to_numpy(bool)
    rows = np.flatnonzero(labelled)
    cv2.setNumThreads(1)
    scenes = {str(name): frame for name, frame in objects.groupby("scene_id", sort=False)}
    found: dict[int, ObjectMask] = {}
    neighbours: dict[int, int] = {}
    classes = index["class"].to_numpy(object)
    for name in sorted(set(classes[rows])):
        own = rows[classes[rows] == name]
        cases = {row: _Case.of(index.iloc[row], by_label, scenes, chips) for row in own.tolist()}
        first = [cases[row].mask(None) for row in own[:LEARNED_FROM].tolist()]
        form = learn_form(first)
        for number, row in enumerate(own.tolist()):
            again = form is not None or number >= len(first)
            found[row] = cases[row].mask(form) if again else first[number]
            neighbours[row] = len(cases[row].others)
    return index.assign(**_columns(found, neighbours, len(index), out))


class _Case:
    """One labelled chip with what is known of its object."""

    def __init__(
        self, chip: npt.NDArray[Any], box: Box | None, polygons: list[npt.NDArray[np.float64]], others: list[Box]
    ) -> None:
        self.chip, self.box, self.polygons, self.others = chip, box, polygons, others

    @classmethod
    def of(
        cls, row: pd.Series, labels: pd.DataFrame, scenes: dict[str, pd.DataFrame], chips: npt.NDArray[Any]
    ) -> _Case:
        chip = np.asarray(chips[int(row["position"])])
        label = labels.loc[row["label_id"]]
        corner = np.array([row["row"], row["col"]] * 2, np.float64)
        box: Box | None = None
        if label["kind"] == "box":
            top, left, bottom, right = np.asarray(label[EDGES], np.float64) - corner
            box = float(top), float(left), float(bottom), float(right)
        beside = scenes[str(row["scene_id"])]
        edges = beside.loc[beside["label_id"] != row["label_id"], EDGES].to_numpy(np.float64) - corner
        seen = (edges[:, 2:] > 0).all(axis=1) & (edges[:, :2] < chip.shape[:2]).all(axis=1)
        others = [(float(a), float(b), float(c), float(d)) for a, b, c, d in edges[seen]]
        return cls(chip, box, _polygons(label["outline"], corner[:2]), others)

    def mask(self, form: Form | None) -> ObjectMask:
        return object_mask(self.chip, self.box, self.polygons, others=self.others, form=form)


def _polygons(outline: Any, corner: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return the outer rings (N, 2) of an outline as (row, col) in pixels of a chip."""
    if not isinstance(outline, str):
        return []
    shape = shapely.from_wkt(outline)
    return [np.asarray(one.exterior.coords)[:, ::-1] - corner for one in getattr(shape, "geoms", [shape])]


def _columns(found: dict[int, ObjectMask], neighbours: dict[int, int], count: int, out: Path) -> dict[str, Any]:
    """Return the columns of objects, and write the shard of masks."""
    values: dict[str, list[Any]] = {name: [pd.NA] * count for name in OBJECT_COLUMNS}
    usable = [row for row, mask in sorted(found.items()) if mask.reason is None]
    shard = None
    if usable:
        alphas = np.stack([np.rint(found[row].alpha * 255) for row in usable]).astype(np.uint8)
        shard = write_masks(alphas, out, MASKS)
    for position, row in enumerate(usable):
        values["mask_shard"][row], values["mask_position"][row] = shard, position
    for row, mask in found.items():
        values["neighbours"][row] = neighbours[row]
        values["mask_reason"][row] = mask.reason or pd.NA
        if mask.pose is not None:
            values["object_row"][row], values["object_col"][row] = mask.pose.row, mask.pose.col
            values["length_px"][row], values["width_px"][row] = mask.pose.length, mask.pose.width
            if mask.pose.has_axis:
                values["angle_deg"][row] = float(np.rad2deg(mask.pose.angle))
    return {name: pd.Series(values[name], dtype=cast("Any", dtype)) for name, dtype in OBJECT_COLUMNS.items()}
