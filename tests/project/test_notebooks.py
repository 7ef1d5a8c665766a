"""The notebooks of the documentation run from top to bottom in the folder of a finished run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY, layered_generator
from fixtures.finished_run import CLASSES, Finished
from fixtures.ingest_project import CORNER, feature, ingest, write_geojson, write_tif
from satpipe.dataset.tables import LABELS, SCENES

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose generator makes bars of 8 x 24 pixels, with four scenes in which three of them lie."""
    root = tmp_path_factory.mktemp("harbour")
    for number in range(4):
        pixels = layered_generator.ground((256, 256, 3), number)
        for row, col in ((40, 40), (120, 180), (200, 90)):
            pixels[row : row + 8, col : col + 24] = 220
        write_tif(root / "scenes" / f"bay{number}.tif", pixels, transform=CORNER @ CORNER.translation(300 * number, 0))
    bars = []
    for left in (0, 300, 600, 900):
        for row, col in ((40, 40), (120, 180), (200, 90)):
            corners = [(col, row), (col + 24, row), (col + 24, row + 8), (col, row + 8), (col, row)]
            bars.append(feature([list(CORNER @ (left + x, y)) for x, y in corners]))
    write_geojson(root / "ships.geojson", *bars)
    source = {"type": "geojson", "path": str(root / "scenes"), "labels": str(root / "ships.geojson")}
    result = ingest(root / "read", source)

    def write(folder: Path) -> dict[str, object]:
        SCENES.write(result.scenes, folder / "scenes.parquet")
        LABELS.write(result.labels, folder / "labels.parquet")
        return {}

    done = layered_generator.finished(root)
    done.add("ingest/tables", write)
    done.write()
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    Finished(root).generator(layered=True).chips().write()
    report = root / "reports" / "harbour"
    report.mkdir(parents=True)
    rng = np.random.default_rng(0)
    keys = [(arm, replicate) for arm in ("classic", "classic+gan") for replicate in range(2)]
    rows = [
        {"arm": arm, "replicate": replicate, "chip_id": f"c{chip}", "class": CLASSES[chip % 2]}
        for arm, replicate in keys
        for chip in range(20)
    ]
    frame = pd.DataFrame(rows).assign(fold=0, fraction=1.0, role="test", unit="u", score=0.5, threshold=0.5)
    frame["predicted"] = np.where(rng.random(len(frame)) < 0.8, frame["class"], CLASSES[0])
    frame.to_parquet(report / "predictions.parquet")
    columns = {"kind": "arm", "metric": "balanced_accuracy", "fold": None, "fraction": 1.0, "low": 0.7, "high": 0.9}
    metrics = pd.DataFrame({"arm": ["classic", "classic+gan"], "estimate": 0.8, **columns})
    metrics.to_csv(report / "metrics.csv", index=False)
    return root


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom(request: pytest.FixtureRequest, path: Path) -> None:
    project = request.getfixturevalue("harbour" if path.stem == "detector" else "project")
    nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra dev")
    pytest.importorskip("ipykernel", reason="notebooks need the extra dev")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = nbclient.NotebookClient(notebook, timeout=540, resources={"metadata": {"path": str(project)}})
    client.execute()
    said = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    assert said
    if path.stem == "detector":
        result = re.search(r"2 unseen scenes: (\d+) detections, 6 real objects, (\d+) of them found", said[-1])
        assert result is not None
        assert int(result[2]) >= 4


def test_there_is_a_notebook_for_each_purpose() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["detector", "report-parquet", "training-loop"]
