"""Labels of the objects that chips show: those that chips were cut for, and those beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ...dataset.chip_store import ChipStore, Masks
from ...formats.writers.base import LabelledObject, cropped_object, masked_object, outlined_object
from .windows import NEAR_MISS_VISIBLE

VISIBLE = NEAR_MISS_VISIBLE[0]
"""A chip shows an object if it holds at least this share of its box, as in the draw of near misses."""
ESTIMATED = {"mask_source": "estimated"}
"""Property of an object whose label is a box, or its chip alone: satpipe found the mask in the pixels."""
NO_BOX = "chips, as they show an object whose box is not known"
BARELY = "objects, as a chip shows less than a tenth of them"
_EDGES = ["row_min", "col_min", "row_max", "col_max"]


@dataclass
class ChipObjects:
    """Objects of chips, looked up chip by chip.

    Attributes:
        store: The chips.
        labels: Rows of the label table.
        grids: Rows of the scene table with the columns of the target grid, by scene_id.
        background: Class that is no object.
        left_out: What has no place in labels for detectors, by reason.
    """

    store: ChipStore
    labels: pd.DataFrame
    grids: Mapping[Any, Mapping[Any, Any]]
    background: str
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Group the usable labels of objects by scene."""
        usable = self.labels[self.labels["quarantined"].isna() & (self.labels["class"] != self.background)]
        self._by_scene = {str(name): frame for name, frame in usable.groupby("scene_id", sort=False)}

    def of(self, rows: Sequence[int], size: tuple[int, int]) -> list[list[LabelledObject] | None]:
        """Return the objects of chips, and None for a chip that shows one whose box is not known.

        Args:
            rows: Positions of chips in the store.
            size: Rows and columns of a chip.
        """
        masked = [row for row in rows if self.store.has_masks[row]]
        masks = dict(zip(masked, self.store.masks(masked), strict=True)) if masked else {}
        return [self._of_chip(self.store.index.iloc[row], masks.get(row), size) for row in rows]

    def _of_chip(self, chip: pd.Series[Any], mask: Masks | None, size: tuple[int, int]) -> list[LabelledObject] | None:
        shown = []
        labels = self._by_scene.get(str(chip["scene_id"]))
        for label in () if labels is None else self._near(labels, chip, size).to_dict("records"):
            own = mask if str(label["label_id"]) == str(chip["label_id"]) else None
            labelled = self._object(label, chip, own, size)
            if labelled is None:
                self.left_out[NO_BOX] += 1
                return None
            item, share = labelled
            if item is not None and share >= VISIBLE:
                shown.append(item)
            elif item is not None:
                self.left_out[BARELY] += 1
        return shown

    def _near(self, labels: pd.DataFrame, chip: pd.Series[Any], size: tuple[int, int]) -> pd.DataFrame:
        """Return the labels whose boxes touch a chip, and those that cover their scene."""
        scale = self._scale(chip)
        corner = np.array([chip["row"], chip["col"]], np.float64)
        edges = labels[_EDGES].to_numpy(np.float64) / np.tile(scale, 2) - np.tile(corner, 2)
        touching = (edges[:, 2:] >= 0).all(axis=1) & (edges[:, :2] < np.array(size)).all(axis=1)
        near: pd.DataFrame = labels[touching | (labels["kind"] == "scene").to_numpy(bool)]
        return near

    def _object(
        self, label: Mapping[Any, Any], chip: pd.Series[Any], mask: Masks | None, size: tuple[int, int]
    ) -> tuple[LabelledObject | None, float] | None:
        """Return an object as a chip shows it, with the share of it; None where its box is not known."""
        name = str(label["class"])
        if label["kind"] != "box":
            properties = {"box_source": "estimated", **ESTIMATED}
            item = None if mask is None else masked_object(name, mask >= 128, size, properties=properties)
            return None if item is None else (item, 1.0)
        top, left, bottom, right = (float(label[edge]) for edge in _EDGES)
        outline = None if pd.isna(label["outline"]) else str(label["outline"])
        whole = outlined_object(name, (top, left, bottom, right), outline)
        down, across = self._scale(chip)
        item, share = cropped_object(whole, size, (int(chip["row"]), int(chip["col"])), (down, across))
        if item is None or mask is None or item.rings:
            return item, share
        return _with_mask(item, mask, size), share

    def _scale(self, chip: pd.Series[Any]) -> tuple[float, float]:
        """Return the scene's pixels for a pixel of its chips, down and across."""
        grid = self.grids[chip["scene_id"]]
        return float(grid["scale_row"]), float(grid["scale_col"])


def _with_mask(item: LabelledObject, mask: Masks, size: tuple[int, int]) -> LabelledObject:
    """Return an object with the part of a chip's mask that lies in its box, whose edges move out to whole pixels."""
    top, left = (int(np.floor(edge)) for edge in item.box[:2])
    bottom, right = (int(np.ceil(edge)) for edge in item.box[2:])
    inside = (mask >= 128)[top:bottom, left:right]
    if not inside.any():
        return item
    return replace(item, box=(top, left, bottom, right), mask=inside, properties=ESTIMATED)
