"""`satpipe generate --format coco|yolo|voc|dota`: chips with the boxes and masks of their objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fixtures import layered_generator
from fixtures.finished_run import Finished, tree
from fixtures.ingest_project import init_and_ingest
from fixtures.layered_generator import LENGTH, SIDE, WIDTH
from PIL import Image
from pycocotools.coco import COCO
from satpipe.engine.runs import find_run
from satpipe.formats.writers import DETECTORS
from satpipe.inference.generate.make import Wish, make
from satpipe.inference.generate.sample import visible
from satpipe.utils.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return layered_generator.finished(tmp_path_factory.mktemp("layers"))


def generate(done: Finished, to: Path, kind: str, count: int = 12, workers: int = 1) -> Path:
    wish = Wish((), count, kind, 1, None, False)
    make(find_run(done.name, done.root), wish, to, lambda done, total: None, workers)
    return to


def test_coco_masks_are_the_objects(done: Finished, tmp_path: Path) -> None:
    coco = COCO(str(generate(done, tmp_path / "out", "coco") / "annotations.json"))
    assert len(coco.getImgIds()) == 12
    assert "ynthetic" in coco.dataset["info"]["description"]
    assert all(image["synthetic"] for image in coco.dataset["images"])
    assert len({image["seed"] for image in coco.dataset["images"]}) == 12
    assert all(item["attributes"] == {"synthetic": True} for item in coco.dataset["annotations"])
    assert coco.dataset["licenses"][0]["name"] == "CC-BY-4.0 (the test)"
    bars = [image for image in coco.getImgIds() if coco.getAnnIds(imgIds=image)]
    assert bars == list(range(7, 13)), "the background comes first, and has no objects"
    for number in bars:
        [image] = coco.loadImgs(number)
        pixels = np.asarray(Image.open(tmp_path / "out" / "images" / image["file_name"])).mean(-1)
        [annotation] = coco.loadAnns(coco.getAnnIds(imgIds=number))
        mask = coco.annToMask(annotation).astype(bool)
        assert mask.sum() == pytest.approx(LENGTH * WIDTH, rel=0.3)
        inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0) & np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
        assert pixels[inner].min() > pixels[~mask].mean() + 40


@pytest.mark.parametrize("kind", DETECTORS)
def test_ingest_reads_the_folder_as_that_format(kind: str, done: Finished, tmp_path: Path) -> None:
    folder = generate(done, tmp_path / "set", kind)
    result, source, said = init_and_ingest(folder, tmp_path)
    assert source == kind.partition("-")[0], said
    ships = result.labels[result.labels["class"] == "ship"]
    assert len(ships) == 6
    assert ships["quarantined"].isna().all()
    masks = json.loads((generate(done, tmp_path / "masks", "coco") / "annotations.json").read_text())
    boxes = sorted([top, left, top + high, left + wide] for left, top, wide, high in
                   (item["bbox"] for item in masks["annotations"]))  # fmt: skip
    read = sorted(ships[["row_min", "col_min", "row_max", "col_max"]].to_numpy().tolist())
    assert read == [pytest.approx(box, abs=5 if kind == "dota" else 0.001) for box in boxes]


def test_chips_that_are_no_png_are_geotiffs(tmp_path: Path) -> None:
    done = layered_generator.finished(tmp_path, bands=5, dtype="uint16")
    generate(done, tmp_path / "out", "yolo")
    with rasterio.open(tmp_path / "out" / "images" / "000011.tif") as file:
        assert (file.count, file.width, file.dtypes[0]) == (5, SIDE, "uint16")
    assert len((tmp_path / "out" / "labels" / "000011.txt").read_text().splitlines()) == 1


def test_threads_change_nothing(done: Finished, tmp_path: Path) -> None:
    item = tree(generate(done, tmp_path / "1", "coco", count=80))
    assert item == tree(generate(done, tmp_path / "3", "coco", count=80, workers=3))


def test_whole_chips_have_no_boxes(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator().write()
    with pytest.raises(ConfigError, match=r"ship chips as a whole.*gan\.preset=layers"):
        generate(done, tmp_path / "out", "coco")


def test_a_neighbour_shows_what_the_object_before_it_leaves() -> None:
    behind, front = np.zeros((2, 6, 6), np.float32)
    behind[1:4, 1:4], front[2:5, 2:5] = 1, 0.9
    shown = visible([behind, front])
    assert [mask.sum() for mask in shown] == [5, 9]
    assert not (shown[0] & shown[1]).any()
