"""Tables between stages: columns, types, checks, and the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from satpipe.dataset.tables import SPLIT, Table
from satpipe.utils.errors import StoreError

SMALL = Table("small", {"name": "string", "count": "Int64", "share": "float64"})
ROWS: list[dict[str, object]] = [
    {"name": "a", "count": None, "share": 0.5, "group_site": 7},
    {"name": "b", "count": 3, "share": 1, "group_site": "s2"},
]


def test_rows_come_back_typed_and_ordered_with_their_groups(tmp_path: Path) -> None:
    SMALL.write(ROWS, tmp_path / "t.parquet")
    frame = SMALL.read(tmp_path / "t.parquet")
    assert list(frame.columns) == ["name", "count", "share", "group_site"]
    assert frame["group_site"].tolist() == ["7", "s2"]
    assert frame["count"].isna().tolist() == [True, False]
    assert str(frame["share"].dtype) == "float64"


def test_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    SMALL.write(ROWS, tmp_path / "one.parquet")
    SMALL.write([dict(reversed(row.items())) for row in ROWS], tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize(
    "row",
    [
        {"name": "a", "count": 1},
        {"name": "a", "count": 1, "share": 1.0, "extra": 1},
        {"name": "a", "count": "x", "share": 1},
    ],
    ids=["missing column", "unknown column", "wrong type"],
)
def test_wrong_rows_are_refused(row: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="the small table"):
        SMALL.frame([row])


def test_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    SPLIT.write([], tmp_path / "empty.parquet")
    assert list(SPLIT.read(tmp_path / "empty.parquet").columns) == ["chip_id", "role", "unit"]


def test_outlines_come_back_as_text_and_open_in_geopandas(tmp_path: Path) -> None:
    import geopandas

    table = Table("places", {"name": "string", "outline": "string"}, outline="outline")
    square = "POLYGON ((-122.4 37.7, -122.4 37.6, -122.3 37.6000001, -122.4 37.7))"
    table.write([{"name": "a", "outline": square}, {"name": "b", "outline": None}], tmp_path / "t.parquet")
    frame = table.read(tmp_path / "t.parquet")
    assert frame["outline"].tolist()[0] == square
    assert frame["outline"].isna().tolist() == [False, True]
    opened = geopandas.read_parquet(tmp_path / "t.parquet")
    assert opened.crs == "OGC:CRS84"
    assert opened.geometry.iloc[0].bounds == (-122.4, 37.6, -122.3, 37.7)
