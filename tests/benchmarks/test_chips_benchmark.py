"""The benchmark of chips, on a scene of four blocks: its contenders cut the same bytes, and each table comes about."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from fixtures import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
SIDE = 640


@pytest.mark.parametrize("table", ["all_windows", "ceiling"])
def test_every_contender_runs_and_peers_cut_the_same_bytes(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent))
    monkeypatch.setenv("GDAL_SKIP", "VRT")  # as it is once satpipe is imported; boundless reads need it
    tables = importlib.import_module("chips_tables")
    monkeypatch.setattr(tables, "LAYOUTS", {"tiled deflate": tables.LAYOUTS["tiled deflate"]})
    bars: list[object] = []
    lines = getattr(tables, table)(tables.Bench(tmp_path, None, 1), SIDE, (1, 2), bars)
    text = "\n".join(lines)
    assert "tiled deflate" in text
    assert "| NO |" not in text, "chips differ"
    assert bars
    if table == "all_windows":
        assert "rasterio, boundless read per chip" in text
        assert "torchgeo GridGeoSampler | not installed" in text
