"""Folders of chips, read by the libraries that people have: nothing about them is satpipe's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.chip_index import index_rows
from fixtures.finished_run import SIZE as CHIP
from fixtures.finished_run import Finished, spots
from fixtures.harbour import SIZE, export, harbour, objects_of
from pycocotools.coco import COCO
from satpipe import load_generator
from satpipe.commands import cli
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.dataset.tables import CHIPS
from satpipe.engine.runs import Run, find_run
from satpipe.inference.export.labels import export_labels
from satpipe.stages.chips.export import export_chips

INTEROP = "an extra of satpipe: interop"
TRIED = "too large for an extra of satpipe; docs/guides/use.md says with which version it was tried"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("interop")).generator().chips().write()


def generate(done: Finished, to: Path, *words: str) -> np.ndarray:
    """Write ten chips and return them (N, H, W, C)."""
    arguments = ["generate", "--root", str(done.root), "--count", "10", "--no-screen", "--to", str(to), *words]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return load_generator(root=done.root).sample(10, screen=False).read()


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = pytest.importorskip("datasets", reason=INTEROP)
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(module.config, "HF_DATASETS_OFFLINE", True)
    module.disable_progress_bars()
    return module


@pytest.mark.parametrize("layout", ["class", "split/class"])
def test_datasets_reads_generated_chips(done: Finished, tmp_path: Path, datasets, layout: str) -> None:
    chips = generate(done, tmp_path / "out", "--layout", layout)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), split="train")
    assert len(loaded) == 10
    rows = sorted(loaded, key=lambda row: row["position"])
    np.testing.assert_array_equal([np.asarray(row["image"]) for row in rows], chips)
    assert [row["class"] for row in rows] == ["non-ship"] * 5 + ["ship"] * 5


def test_datasets_reads_parquet_with_pictures(done: Finished, tmp_path: Path, datasets) -> None:
    chips = generate(done, tmp_path / "out", "--format", "parquet")
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "out" / "chips.parquet"), split="train")
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.features["label"].names == ["non-ship", "ship"]
    np.testing.assert_array_equal([np.asarray(row["image"]) for row in loaded], chips)


def test_datasets_reads_parquet_of_many_bands(tmp_path: Path, datasets) -> None:
    done = Finished(tmp_path / "run").generator(dtype="uint16", bands=5).write()
    chips = generate(done, tmp_path / "out", "--format", "parquet")
    path = str(tmp_path / "out" / "chips.parquet")
    loaded = datasets.load_dataset("parquet", data_files=path, split="train").with_format("numpy")
    values = np.stack([row["chip"] for row in loaded])
    assert values.shape == (10, CHIP, CHIP, 5)
    np.testing.assert_array_equal(values, chips)


def test_datasets_reads_classes_like_formulas(tmp_path: Path, datasets) -> None:
    index, pixels = index_rows(["a", "b"], ["=ship", "-none"], "chips/abc/chips.npy"), spots(np.arange(2))
    (tmp_path / "chips" / "abc").mkdir(parents=True)
    write_shard(pixels, tmp_path / "chips" / "abc")
    export_chips(ChipStore(index, tmp_path), tmp_path / "out")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), split="train")
    chips = {row["chip_id"]: np.asarray(row["image"]) for row in loaded}
    np.testing.assert_array_equal([chips["a"], chips["b"]], pixels)


@pytest.mark.parametrize("file_format", ["png", "parquet"])
def test_datasets_reads_exported_chips(done: Finished, tmp_path: Path, datasets, file_format: str) -> None:
    run = find_run(None, done.root)
    index = run.artifact("chips/index", "chips", "chips").path
    store = ChipStore.open(CHIPS.read, index / "index.parquet", run.store.artifacts)
    export_chips(store, tmp_path / "out", file_format)
    files = {"data_files": str(tmp_path / "out" / "chips.parquet")} if file_format == "parquet" else {}
    builder = "parquet" if files else "imagefolder"
    files = files or {"data_dir": str(tmp_path / "out")}
    loaded = datasets.load_dataset(builder, **files, split="train")
    chips = {row["chip_id"]: np.asarray(row["image"]) for row in loaded}
    for name, chip in zip(store.index["chip_id"], store.read(), strict=True):
        np.testing.assert_array_equal(chips[name], chip)


@pytest.mark.parametrize(("layout", "root"), [("class", "out"), ("split/class", "out/train")])
def test_folders_of_classes_hold_pictures_alone(done: Finished, tmp_path: Path, layout: str, root: str) -> None:
    # What ImageFolder of torchvision, torchgeo's NonGeoClassificationDataset, FiftyOne's
    # ImageClassificationDirectoryTree and ultralytics take: a folder a class, with pictures and nothing else in it.
    generate(done, tmp_path / "out", "--layout", layout)
    folders = [path for path in (tmp_path / root).iterdir() if path.is_dir()]
    assert sorted(path.name for path in folders) == ["non-ship", "ship"]
    for folder in folders:
        assert {path.suffix for path in folder.iterdir()} == {".png"}
    assert not list((tmp_path / "out").glob("*.png"))


def test_torchvision_reads_generated_chips(done: Finished, tmp_path: Path) -> None:
    folder = pytest.importorskip("torchvision.datasets", reason=TRIED)
    chips = generate(done, tmp_path / "out")
    loaded = folder.ImageFolder(str(tmp_path / "out"))
    assert loaded.classes == ["non-ship", "ship"]
    np.testing.assert_array_equal([np.asarray(image) for image, _ in loaded], chips)


def test_torchgeo_reads_generated_chips(done: Finished, tmp_path: Path) -> None:
    torchgeo = pytest.importorskip("torchgeo.datasets", reason=TRIED)
    chips = generate(done, tmp_path / "out")
    loaded = torchgeo.NonGeoClassificationDataset(str(tmp_path / "out"))
    values = [loaded[number]["image"].numpy().transpose(1, 2, 0) for number in range(len(loaded))]
    np.testing.assert_array_equal(values, chips)
    assert [int(loaded[number]["label"]) for number in range(len(loaded))] == [0] * 5 + [1] * 5


def test_fiftyone_reads_folders_of_classes(done: Finished, tmp_path: Path) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason=TRIED)
    generate(done, tmp_path / "out")
    with importers.ImageClassificationDirectoryTreeImporter(dataset_dir=str(tmp_path / "out")) as samples:
        labels = {Path(path).name: label.label for path, _, label in samples}
    assert labels == {f"{number:06d}.png": "non-ship" if number < 5 else "ship" for number in range(10)}


# -------------------------------------------------------------------------------------------------------- detectors


@pytest.fixture(scope="module")
def bay(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return harbour(tmp_path_factory.mktemp("bay"))


def boxes_of(folder: Path) -> dict[str, list[list[float]]]:
    """The boxes (left, top, width, height) of each image, as pycocotools reads them, from left to right."""
    coco = COCO(str(folder / "annotations.json"))
    return {
        Path(image["file_name"]).stem: sorted(item["bbox"] for item in coco.loadAnns(coco.getAnnIds(imgIds=number)))
        for number, image in coco.imgs.items()
    }


@pytest.fixture(scope="module")
def boxes(bay: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[float]]]:
    """The boxes of each chip."""
    folder = tmp_path_factory.mktemp("boxes") / "out"
    export(bay, folder)
    return boxes_of(folder)


def assert_same(read: dict[str, list[list[float]]], wanted: dict[str, list[list[float]]], pixels: float = 0.01) -> None:
    assert read.keys() == wanted.keys()
    for name, some in read.items():
        assert sorted(some) == [pytest.approx(box, abs=pixels) for box in wanted[name]], name


@pytest.mark.parametrize("layout", ["one", "splits"])
def test_ultralytics_reads_yolo(layout: str, bay: Run, boxes, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason=TRIED)
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    names = objects_of(bay)[0].store.index["chip_id"]
    roles = dict(zip(names, ["train", "validation", "test"] * len(names), strict=False))
    export(bay, tmp_path / "out", "yolo", **({"roles": roles, "by_split": True} if layout == "splits" else {}))
    data = check_det_dataset(str(tmp_path / "out" / "data.yaml"), autodownload=False)
    assert (data["names"], data["nc"]) == ({0: "ship"}, 1)
    read = {}
    for part in ("train", "val", "test") if layout == "splits" else ("train",):
        for item in YOLODataset(img_path=data[part], imgsz=SIZE, data=data, task="detect", augment=False).labels:
            middles, sides = item["bboxes"][:, :2] * SIZE, item["bboxes"][:, 2:] * SIZE
            read[Path(item["im_file"]).stem] = np.concatenate([middles - sides / 2, sides], axis=1).tolist()
    assert_same(read, boxes)


def test_ultralytics_reads_polygons(bay: Run, boxes, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason=TRIED)
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    export(bay, tmp_path / "out", "yolo-seg")
    data = check_det_dataset(str(tmp_path / "out" / "data.yaml"), autodownload=False)
    loaded = YOLODataset(img_path=data["train"], imgsz=SIZE, data=data, task="segment", augment=False)
    read = {}
    for item in loaded.labels:
        assert len(item["segments"]) == len(item["cls"])
        edges = [(ring.min(axis=0) * SIZE, ring.max(axis=0) * SIZE) for ring in item["segments"]]
        read[Path(item["im_file"]).stem] = [[*first, *(last - first)] for first, last in edges]
    assert_same(read, boxes)


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
def test_fiftyone_reads_labels(kind: str, bay: Run, boxes, tmp_path: Path) -> None:
    pytest.importorskip("fiftyone", reason=TRIED)
    from fiftyone.utils.coco import COCODetectionDatasetImporter
    from fiftyone.utils.voc import VOCDetectionDatasetImporter
    from fiftyone.utils.yolo import YOLOv5DatasetImporter

    out = str(tmp_path / "out")
    export(bay, tmp_path / "out", kind)
    places = {"data_path": f"{out}/images", "labels_path": f"{out}/annotations.json"}
    importer = {
        "coco": lambda: COCODetectionDatasetImporter(**places, label_types="detections", include_id=False),
        "yolo": lambda: YOLOv5DatasetImporter(dataset_dir=out, yaml_path="data.yaml", split="train"),
        "voc": lambda: VOCDetectionDatasetImporter(data_path=f"{out}/JPEGImages", labels_path=f"{out}/Annotations"),
    }[kind]()
    read: dict[str, list[list[float]]] = {}
    with importer as samples:
        for path, _, label in samples:
            result = [] if label is None else label.detections
            assert {item.label for item in result} <= {"ship"}
            read[Path(path).stem] = [[value * SIZE for value in item.bounding_box] for item in result]
    # FiftyOne takes the corners of VOC, which count pixels from 1, for edges.
    assert_same(read, boxes, pixels=1.01 if kind == "voc" else 0.01)


def test_torchvision_reads_coco(bay: Run, boxes, tmp_path: Path) -> None:
    folder = pytest.importorskip("torchvision.datasets", reason=TRIED)
    export(bay, tmp_path / "out")
    loaded = folder.CocoDetection(str(tmp_path / "out" / "images"), str(tmp_path / "out" / "annotations.json"))
    assert len(loaded) == len(boxes)
    assert [image.size for image, _ in loaded] == [(SIZE, SIZE)] * len(boxes)
    assert sum(len(objects) for _, objects in loaded) == sum(map(len, boxes.values()))


def test_torchgeo_reads_scenes_and_labels(bay: Run, tmp_path: Path) -> None:
    torchgeo = pytest.importorskip("torchgeo.datasets", reason=TRIED)
    export_labels(bay, tmp_path / "out", "geojson")

    class Scenes(torchgeo.RasterDataset):
        filename_glob = "*.tif"

    class Ships(torchgeo.VectorDataset):
        filename_glob = "*.geojson"

    scenes = Scenes(str(tmp_path / "out" / "images"))
    ships = Ships(str(tmp_path / "out" / "labels"), res=scenes.res)
    mask = ships[ships.bounds]["mask"].numpy()
    assert mask.sum() == pytest.approx(3 * 6 * 16, rel=0.1)
    assert scenes[scenes.bounds]["image"].shape == (3, 160, 160)
