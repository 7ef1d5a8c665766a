"""Labels that a function of the user's reads: rows become labels, and what is wrong with them is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.ingest_project import ingest, pixels, write_image
from satpipe.utils.errors import ConfigError

READER = """
from pathlib import Path

def read(path):
    if "broken" in path.name:
        raise ValueError("no such thing")
    for line in path.read_text().splitlines():
        name, kind, *edges = line.split()
        yield (name, kind, *map(float, edges))

def nonsense(path):
    return [("port0.png", "ship"), 7, None, ("port1.png", "ship", 1, 2, 9, 8)]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scenes, a label file for all of them, and a module with a reader."""
    for number in range(3):
        write_image(tmp_path / "in" / f"port{number}.png", pixels(seed=number))
    (tmp_path / "in" / "ships.list").write_text("port0 ship 1 2 11 9\nin/port1.png ship 5 6 7 8\nport9 ship 1 1 2 2\n")
    (tmp_path / f"reader_{tmp_path.name}.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def source(folder: Path, function: str = "read", labels: str = "*.list") -> dict[str, str]:
    reader = f"reader_{folder.name}:{function}"
    return {"type": "custom", "path": str(folder / "in"), "labels": str(folder / "in" / labels), "reader": reader}


def test_rows_of_the_users_reader_are_labels_in_pixels(folder: Path) -> None:
    result = ingest(folder, source(folder))
    assert sorted(result.boxes()) == [(2, 1, 9, 11), (6, 5, 8, 7)]
    assert result.metadata["labels_quarantined_by_reason"] == {"its image 'port9' is not among the scenes": 1}
    assert result.metadata["unlabelled_scenes"] == 1


def test_a_failing_reader_takes_the_scenes_out(folder: Path) -> None:
    (folder / "in" / "broken.list").write_text("x")
    with pytest.raises(Exception, match="no such thing"):
        ingest(folder, source(folder))


def test_rows_of_another_form_are_told_and_the_others_kept(folder: Path) -> None:
    result = ingest(folder, source(folder, "nonsense"))
    assert result.boxes() == [(2, 1, 8, 9)]
    assert sum(result.metadata["labels_quarantined_by_reason"].values()) == 3


def test_an_edited_reader_reads_the_labels_again(folder: Path) -> None:
    ingest(folder, source(folder))
    assert ingest(folder, source(folder)).made == []
    path = next(folder.glob("reader_*.py"))
    path.write_text(path.read_text() + "\n# edited\n")
    assert "labels-custom" in ingest(folder, source(folder)).made


def test_a_reader_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.sources\.0\.reader: there is no module nowhere"):
        ingest(folder, source(folder) | {"reader": "nowhere:read"})
