"""External chips."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from fixtures.synth_project import NAME, bars
from PIL import Image
from satpipe.dataset.tables import SYNTHETIC
from satpipe.engine.task import TaskContext
from satpipe.stages.synth.stage import import_external
from satpipe.utils.errors import ConfigError, InputError


@pytest.fixture
def folder(tmp_path):
    """Three ships and two others, as PNG with and without alpha, and one GeoTIFF."""
    root = tmp_path / "other generator" / NAME
    chips = bars(np.array([1, 1, 1, 0, 0]), seed=4)
    for number, chip in enumerate(chips):
        place = root / ("ship" if number < 3 else "non-ship")
        place.mkdir(parents=True, exist_ok=True)
        if number == 0:
            with rasterio.open(
                place / "0.tif", "w", driver="GTiff", width=16, height=16, count=3, dtype="uint8"
            ) as out:
                out.write(chip.transpose(2, 0, 1))
        else:
            alpha = np.full((16, 16, 1), 255, np.uint8)
            pixels = np.concatenate([chip, alpha], axis=2) if number == 1 else chip
            Image.fromarray(pixels).save(place / f"{number}.png")
    (root / "ship" / "notes.txt").write_text("no image")
    return root, chips


def planned(project, path):
    return {task.name: task for task in project.planned({"folders": [{"name": "other", "path": str(path)}]})}


def context_for(project, task) -> TaskContext:
    (project.store / "chips" / "index" / "metadata.json").write_text(
        json.dumps({"shape": [16, 16, 3], "dtype": "uint8"})
    )
    return replace(project.task_context(), task=task)


def test_an_external_folder_is_read_with_its_labels(project, folder):
    root, chips = folder
    context = context_for(project, planned(project, root)[f"external-other-{NAME}"])
    metadata = import_external(context)
    assert metadata["accepted"] == {"non-ship": 2, "ship": 3}
    index = SYNTHETIC.read(context.out / "index.parquet")
    read = np.load(context.out / "chips.npy")
    for row in index.itertuples():
        number = int(row.chip_id.rpartition("/")[2].partition(".")[0])
        np.testing.assert_array_equal(read[row.position], chips[number])
        assert row.chip_id.split("/")[1] == ("ship" if number < 3 else "non-ship")
    assert index["accepted"].all()


def test_the_split_in_a_path_stands_for_its_name(project, folder):
    root, _ = folder
    task = planned(project, root.parent / "{split}")[f"external-other-{NAME}"]
    assert len(task.files) == 5


def test_an_edited_chip_changes_the_inputs_of_the_task(project, folder):
    root, chips = folder
    before = planned(project, root)[f"external-other-{NAME}"].files
    Image.fromarray(255 - chips[3]).save(root / "non-ship" / "3.png")
    after = planned(project, root)[f"external-other-{NAME}"].files
    assert {name for name in before if before[name] != after[name]} == {"non-ship/3.png"}


def test_chips_of_another_size_are_one_sentence(project, folder):
    root, _ = folder
    Image.new("RGB", (20, 20)).save(root / "ship" / "9.png")
    context = context_for(project, planned(project, root)[f"external-other-{NAME}"])
    with pytest.raises(InputError, match=r"ship/9\.png.*\(20, 20, 3\).*\(16, 16, 3\)"):
        import_external(context)


def test_a_folder_that_is_no_class_is_one_sentence(project, folder):
    root, _ = folder
    (root / "boat").mkdir()
    with pytest.raises(ConfigError, match=r"boat is not a class; classes are non-ship, ship"):
        planned(project, root)


def test_a_missing_or_empty_folder_is_one_sentence(project, tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        planned(project, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no PNG, TIFF or JPEG image"):
        planned(project, tmp_path / "empty")
