"""`satpipe detect --truth` takes label files of the formats that ingest reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.layouts import FURTHER, SCENES, boxes
from satpipe.config.run import RunConfig
from satpipe.formats.scenes import Reading, header
from satpipe.inference.detect.scenes import Scene
from satpipe.inference.detect.truth import read_truth
from satpipe.utils.errors import InputError

LABELS = {
    "dota": "labelTxt",
    "fair1m": "labelXml",
    "hrsc": "Annotations",
    "airbus": "train_ship_segmentations_v2.csv",
    "cvat": "annotations.xml",
    "labelme": "",
    "label-studio": "project-1.json",
    "via": "via_project.json",
    "csv-wkt": "labels.csv",
    "kml": "ships.kml",
    "flatgeobuf": "ships.fgb",
    "geojson-lines": "ships.geojsonl",
}
"""The label file of each layout, or the folder of its label files."""


def scenes(folder: Path) -> list[Scene]:
    paths = sorted(path for path in folder.rglob("port*") if path.suffix in (".png", ".tif", ".bmp"))
    rows = [header(path, path.name, Reading("detect", None, 10**9, 3.0)) for path in paths]
    return [Scene(path.name, row, None, None, "nearest", None) for path, row in zip(paths, rows, strict=True)]


@pytest.mark.parametrize("layout", LABELS)
def test_label_files_of_each_format_are_taken(layout: str, tmp_path: Path) -> None:
    FURTHER[layout][0](tmp_path)
    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated"}]}})
    truth, _ = read_truth(tmp_path / LABELS[layout], scenes(tmp_path), config)
    assert len(truth) == SCENES
    for number in range(SCENES):
        own = next(result for name, result in truth.items() if name.startswith(f"port{number}."))
        expected = sorted((top, left, bottom, right) for left, top, right, bottom in boxes(number))
        assert [pytest.approx(box, abs=0.02) for box in expected] == sorted(map(tuple, own.boxes.tolist()))


def test_a_file_without_labels_is_refused_with_what_is_taken(tmp_path: Path) -> None:
    FURTHER["dota"][0](tmp_path)
    (tmp_path / "notes.txt").write_text("hello\n")
    config = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated"}]}})
    with pytest.raises(InputError, match=r"notes.txt is not a label file; use one of .*\.geojson"):
        read_truth(tmp_path / "notes.txt", scenes(tmp_path), config)
