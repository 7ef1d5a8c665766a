"""The notebooks of the documentation run from top to bottom in the folder of a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY
from fixtures.finished_run import CLASSES, Finished

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


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
def test_notebook_runs_from_top_to_bottom(project: Path, path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra dev")
    pytest.importorskip("ipykernel", reason="notebooks need the extra dev")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project)}})
    client.execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_there_is_a_notebook_for_each_purpose() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["detector", "report-parquet", "training-loop"]
