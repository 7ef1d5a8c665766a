"""Which classes are generated as objects in front of backgrounds, by how many of their chips have a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from satpipe.composition.split_objects import layered_classes
from satpipe.dataset.chip_store import ChipStore


@pytest.mark.parametrize(
    ("masked", "chips", "reason"),
    [
        (7, 9, "7 of its 9 training chips have an object mask, and 8 are needed"),
        (8, 9, ""),
        (17, 41, ""),  # within two standard errors of a half
        (410, 1000, "only 410 of its 1000 training chips have an object mask"),
        (500, 1000, ""),
    ],
)
def test_a_class_has_layers_where_half_of_its_chips_have_masks(masked: int, chips: int, reason: str) -> None:
    shards = [None] * 20 + ["masks"] * masked + [None] * (chips - masked)
    store = ChipStore(pd.DataFrame({"mask_shard": shards}), Path())
    labels = np.repeat([0, 1], [20, chips])
    assert layered_classes(store, labels, ("sea", "ship")) == {"sea": "it is the background", "ship": reason}
