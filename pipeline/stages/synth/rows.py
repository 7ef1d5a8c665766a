"""Rows of the table of synthetic chips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...dataset.tables import SYNTHETIC


def write_rows(columns: Mapping[str, Any], path: Path) -> None:
    """Write a table of synthetic chips from the columns that differ; a synthetic chip has no place and no scene."""
    frame = pd.DataFrame(dict(columns))
    nowhere = {name: pd.array([pd.NA] * len(frame)) for name in ("label_id", "row", "col", "footprint")}
    SYNTHETIC.write(frame.assign(kind="synthetic", valid_fraction=1.0, **nowhere), path)
