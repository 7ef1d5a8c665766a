"""`satpipe generate`: chips, table, card and pictures."""

from __future__ import annotations

import csv
import io
import re
import warnings
from base64 import b64decode
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from click.testing import CliRunner
from fixtures.finished_run import SIZE, Finished, read_json, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from satpipe import load_generator
from satpipe.commands import cli
from satpipe.dataset import png
from satpipe.engine.runs import find_run
from satpipe.inference.generate.make import Wish, make
from satpipe.inference.generate.pictures import slerp
from satpipe.inference.generate.sample import shares
from satpipe.utils.errors import ConfigError, SatpipeError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("dossier à part")).generator().screening().write()


def generate(done: Finished, to: Path, workers: int = 1, **wish: object) -> dict[str, bytes]:
    given = {"labels": (), "count": 10, "file_format": "png", "seed": 1, "truncation": None, "screen": False} | wish
    make(find_run(done.name, done.root), Wish(**given), to, lambda done, total: None, workers)
    return tree(to)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def previews(folder: Path) -> list[Image.Image]:
    page = (folder / "preview.html").read_text("utf-8")
    return [Image.open(io.BytesIO(b64decode(text))) for text in re.findall(r'base64,([^"]+)"', page)]


def invoke(done: Finished, *words: object) -> tuple[int, str]:
    arguments = ["generate", "--root", str(done.root), *map(str, words)]
    result = CliRunner().invoke(cli, arguments)
    if isinstance(result.exception, SatpipeError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_chips_labels_card_and_pictures(done: Finished, tmp_path: Path) -> None:
    code, said = invoke(done, "--count", 7, "--to", tmp_path / "out", "--no-screen")
    assert code == 0, said
    assert "4 non-ship, 3 ship" in said
    table = rows(tmp_path / "out")
    assert [row["class"] for row in table] == ["non-ship"] * 4 + ["ship"] * 3
    assert len({row["seed"] for row in table}) == 7
    for row in table:
        with Image.open(tmp_path / "out" / row["file"]) as image:
            assert (image.size, image.mode) == ((SIZE, SIZE), "RGB")
            assert "Synthetic" in image.info["Description"]
            assert image.info["Copyright"] == "CC-BY-4.0 (the test)"
    card = read_json(tmp_path / "out" / "card.json")
    assert card["synthetic"] is True
    assert card["licences"] == ["CC-BY-4.0 (the test)"]
    assert card["data"]["sources"] == ["bay"]
    assert card["settings"] | {"seed": 1, "truncation": 1.0, "screened": False} == card["settings"]
    assert "synthetic" in (tmp_path / "out" / "README.md").read_text()
    assert len(previews(tmp_path / "out")) == 3


def test_bytes_do_not_depend_on_the_number_of_threads(done: Finished, tmp_path: Path) -> None:
    wish = {"count": 70, "labels": ("non-ship",), "screen": True}
    one = generate(done, tmp_path / "1", **wish)
    assert one == generate(done, tmp_path / "3", workers=3, **wish)
    assert one != generate(done, tmp_path / "other", seed=2, **wish)


@pytest.mark.parametrize("screen", [False, True])
def test_a_chip_does_not_depend_on_how_many_are_wanted(done: Finished, tmp_path: Path, screen: bool) -> None:
    few = generate(done, tmp_path / "few", count=5, labels=("non-ship",), screen=screen)
    many = generate(done, tmp_path / "many", count=40, labels=("non-ship",), screen=screen)
    chips = [name for name in few if name.startswith("non-ship/")]
    assert len(chips) == 5
    assert all(few[name] == many[name] for name in chips)


def test_bf16_keeps_the_promise_too(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator(precision="bf16").write()
    few = generate(done, tmp_path / "few", count=3, labels=("ship",))
    many = generate(done, tmp_path / "many", workers=2, count=40, labels=("ship",))
    assert all(many[name] == content for name, content in few.items() if name.startswith("ship/"))


def test_every_format_holds_the_same_pixels(done: Finished, tmp_path: Path) -> None:
    for name in ("png", "tif", "npy", "parquet"):
        generate(done, tmp_path / name, file_format=name, count=40)
    array = np.load(tmp_path / "npy" / "chips.npy")
    assert array.shape == (40, SIZE, SIZE, 3)
    table = pq.read_table(tmp_path / "parquet" / "chips.parquet")
    assert table.schema.metadata[b"synthetic"] == b"yes"
    pictures = [np.asarray(Image.open(io.BytesIO(one["bytes"]))) for one in table["image"].to_pylist()]
    np.testing.assert_array_equal(pictures, array)
    assert table["class"].to_pylist() == [row["class"] for row in rows(tmp_path / "npy")]
    for place, row in enumerate(rows(tmp_path / "png")):
        assert int(row["position"]) == place
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png" / row["file"])), array[place])
    for place, row in enumerate(rows(tmp_path / "tif")):
        with rasterio.open(tmp_path / "tif" / row["file"]) as file:
            np.testing.assert_array_equal(file.read().transpose(1, 2, 0), array[place])


def test_a_geotiff_says_that_it_is_synthetic_and_has_no_position(done: Finished, tmp_path: Path) -> None:
    generate(done, tmp_path / "out", file_format="tif", count=2)
    with rasterio.open(tmp_path / "out" / "ship" / "000001.tif") as file:
        tags = file.tags()
        assert (file.crs, file.transform.is_identity, file.gcps[0]) == (None, True, [])
    assert tags["SYNTHETIC"] == "YES"
    assert tags["CLASS"] == "ship"
    assert "no real place" in tags["TIFFTAG_IMAGEDESCRIPTION"]
    assert tags["TIFFTAG_COPYRIGHT"] == "CC-BY-4.0 (the test)"


def test_geotiffs_from_several_threads_raise_no_warnings(done: Finished, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        generate(done, tmp_path / "out", workers=3, file_format="tif", count=100)
    assert not [str(one.message) for one in raised if "geotransform" in str(one.message)]


def test_screened_chips_have_scores_and_the_others_are_counted(done: Finished, tmp_path: Path) -> None:
    generate(done, tmp_path / "out", count=40, labels=("non-ship",), screen=True)
    card = read_json(tmp_path / "out" / "card.json")
    table = rows(tmp_path / "out")
    assert card["not_kept"]["unlike the real chips of its class"] > 0
    assert sum(card["candidates"].values()) == len(table) + sum(card["not_kept"].values())
    assert all(float(row["label_score"]) >= 0.5 for row in table)
    assert all(float(row["nearest_distance"]) <= 6.9 for row in table)


def test_few_that_pass_are_said_and_not_hidden(done: Finished, tmp_path: Path) -> None:
    code, said = invoke(done, "--count", 2, "--label", "ship", "--to", tmp_path / "out", "--screen")
    assert code == 0
    assert "only 0 of 2 ship passed screening, out of 64 candidates" in said


def test_truncation_brings_chips_nearer_to_each_other(done: Finished, tmp_path: Path) -> None:
    spread = []
    for name, truncation in (("far", 1.0), ("near", 0.1)):
        generate(done, tmp_path / name, file_format="npy", count=30, labels=("ship",), truncation=truncation)
        spread.append(np.load(tmp_path / name / "chips.npy").astype(float).std(axis=0).mean())
    assert spread[1] < spread[0]


def test_the_same_z_under_each_label_differs_by_the_label_alone(done: Finished, tmp_path: Path) -> None:
    generate(done, tmp_path / "out", count=2)
    sheet = np.asarray(previews(tmp_path / "out")[2].convert("L"), float)
    half = len(sheet) // 2
    assert np.abs(sheet[:half] - sheet[-half:]).max() > 0


def test_chips_that_png_cannot_hold_are_written_as_tif(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator(dtype="float32", bands=4).write()
    with pytest.raises(ConfigError, match="--format tif, npy or parquet"):
        generate(done, tmp_path / "png")
    assert not (tmp_path / "png").exists()
    generate(done, tmp_path / "tif", file_format="tif")
    with rasterio.open(tmp_path / "tif" / "ship" / "000005.tif") as file:
        assert (file.count, file.dtypes[0]) == (4, "float32")


def test_a_run_without_generator_names_the_command_for_it(tmp_path: Path) -> None:
    done = Finished(tmp_path, "demo").write()
    code, said = invoke(done, "--to", tmp_path / "out")
    assert code == 2
    assert f"run demo has no generator yet; `satpipe run gan --root {tmp_path}` makes one" in said


def test_an_unknown_run_names_the_nearest(done: Finished, tmp_path: Path) -> None:
    code, said = invoke(done, "--run", "harbor", "--to", tmp_path / "out")
    assert (code, "did you mean harbour?" in said) == (2, True)


def test_an_unknown_label_names_the_nearest(done: Finished, tmp_path: Path) -> None:
    code, said = invoke(done, "--label", "shop", "--to", tmp_path / "out", "--no-screen")
    assert (code, "did you mean ship?" in said) == (2, True)


def test_without_anything_to_screen_with_the_way_out_is_named(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator().write()
    code, said = invoke(done, "--to", tmp_path / "out", "--screen")
    assert code == 2
    assert "satpipe run synth" in said
    assert "--no-screen" in said


def test_without_screening_chips_are_said_to_be_unscreened(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator().write()
    code, said = invoke(done, "--count", 2, "--to", tmp_path / "out")
    assert code == 0
    assert "has no screening model yet, so chips are not screened" in said
    assert read_json(tmp_path / "out" / "card.json")["settings"]["screened"] is False


def test_a_folder_with_files_is_left_alone(done: Finished, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, said = invoke(done, "--to", tmp_path / "out", "--no-screen")
    assert (code, "not an empty folder" in said) == (2, True)
    assert tree(tmp_path) == {"out/mine.txt": b"mine"}


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["uint8", "uint16"]),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
)
def test_png_reads_back_what_was_written(shape: tuple[int, int, int], dtype: str, bands: int, seed: int) -> None:
    chips = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*shape, bands), dtype, endpoint=True)
    for chip, content in zip(chips, png.encode(chips, {"Title": "é"}), strict=True):
        # GDAL, since Pillow reads 16-bit RGB as 8-bit.
        with rasterio.MemoryFile(content) as memory, memory.open(driver="PNG") as file:
            np.testing.assert_array_equal(file.read().transpose(1, 2, 0), chip)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_shares_add_up_and_differ_by_one_at_most(count: int, labels: list[int]) -> None:
    counts = shares(count, labels)
    assert sum(counts.values()) == count
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_way_between_two_z_keeps_their_length() -> None:
    first, last = np.array([3.0, 0.0], np.float32), np.array([0.0, 3.0], np.float32)
    way = slerp(first, last, 5)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3.0, rtol=1e-6)
    np.testing.assert_allclose(way[2], [3 / np.sqrt(2)] * 2, rtol=1e-6)


def test_chips_of_a_quick_look_say_so(tmp_path: Path) -> None:
    done = Finished(tmp_path / "run").generator().write(report={"title": "Quick look, not a verdict: run harbour"})
    code, output = invoke(done, "--count", 4, "--no-screen", "--to", tmp_path / "chips")
    assert code == 0, output
    said = "Quick look, not a verdict: trained for minutes on a part of the data."
    assert f"warning: {said}" in " ".join(output.split())
    assert read_json(tmp_path / "chips" / "card.json")["generator"]["warning"] == said
    assert f"**{said}**" in (tmp_path / "chips" / "README.md").read_text("utf-8")


def test_a_generator_that_did_not_learn_is_warned_of(tmp_path: Path) -> None:
    far = {"kid": 50.0, "kid_floor": 0.5, "precision": 0.0, "precision_floor": 0.7, "coverage": 0.0}
    measured = {"quality": {"ship": far | {"coverage_floor": 0.9}}}
    done = Finished(tmp_path / "run").generator(measured=measured).write()
    code, output = invoke(done, "--count", 4, "--no-screen", "--to", tmp_path / "chips")
    assert code == 0, output
    warning = "This generator did not learn: its ship chips are 100 times as far from real ones"
    assert f"warning: {warning}" in " ".join(output.split())
    card = read_json(tmp_path / "chips" / "card.json")
    assert card["generator"]["learned"] is False
    assert card["generator"]["quality"] == measured["quality"]
    assert warning in (tmp_path / "chips" / "README.md").read_text("utf-8")
    with pytest.warns(UserWarning, match=warning):
        load_generator(root=done.root)
