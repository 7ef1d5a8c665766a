"""Folders of chips, read by the libraries that people have: nothing about them is satpipe's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.chip_index import index_rows
from fixtures.finished_run import SIZE, Finished, spots
from satpipe import load_generator
from satpipe.commands import cli
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.dataset.tables import CHIPS
from satpipe.engine.runs import find_run
from satpipe.stages.chips.export import export_chips

INTEROP = "an extra of satpipe: interop"


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
    assert values.shape == (10, SIZE, SIZE, 5)
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
    folder = pytest.importorskip("torchvision.datasets", reason="torchvision is not needed by satpipe")
    chips = generate(done, tmp_path / "out")
    loaded = folder.ImageFolder(str(tmp_path / "out"))
    assert loaded.classes == ["non-ship", "ship"]
    np.testing.assert_array_equal([np.asarray(image) for image, _ in loaded], chips)
