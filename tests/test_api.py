"""What a run left, from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import satpipe
import torch
from click.testing import CliRunner
from fixtures.finished_run import CLASSES, MODEL, SIZE, Finished, spots
from satpipe import load_chips, load_classifier, load_generator
from satpipe.commands import cli
from satpipe.utils.errors import ConfigError, StoreError
from torch.utils.data import DataLoader


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("api")).generator().screening().chips().classifier().write()


def test_three_lines_from_a_generator_to_a_tensor(done: Finished) -> None:
    images, labels = load_generator("harbour", done.root).tensors(6, seed=3, screen=False)
    assert (images.shape, images.dtype) == ((6, 3, SIZE, SIZE), torch.float32)
    assert images.abs().max() <= 1
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("label", "screen", "truncation"),
    [("ship", False, 0.5), ("non-ship", True, None), ("non-ship", None, 0.8), (None, False, None)],
)
def test_generated_chips_are_those_of_the_command(
    done: Finished, tmp_path: Path, label: str | None, screen: bool | None, truncation: float | None
) -> None:
    words = ["--count", "20", "--seed", "3", "--format", "npy", "--to", str(tmp_path / "out")]
    words += [] if label is None else ["--label", label]
    words += {True: ["--screen"], False: ["--no-screen"], None: []}[screen]
    words += [] if truncation is None else ["--truncation", str(truncation)]
    assert CliRunner().invoke(cli, ["generate", "--root", str(done.root), *words]).exit_code == 0
    chips = load_generator(root=done.root).sample(20, label, seed=3, screen=screen, truncation=truncation)
    np.testing.assert_array_equal(chips.read(), np.load(tmp_path / "out" / "chips.npy"))
    rows = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert chips.table["seed"].tolist() == rows["seed"].tolist()
    assert [chips.classes[number] for number in chips.labels()] == rows["class"].tolist()
    assert rows["label_score"].isna().all() == (screen is False)


def test_chips_are_screened_unless_told_otherwise(done: Finished) -> None:
    generator = load_generator(root=done.root)
    with pytest.warns(UserWarning, match="only 0 of 2 ship chips passed screening.*screen=False"):
        assert len(generator.sample(2, "ship")) == 0
    assert len(generator.sample(2, "ship", screen=False)) == 2


def test_a_generator_says_what_it_may_be_used_for(done: Finished) -> None:
    generator = load_generator("harbour", done.root)
    assert generator.licences == ("CC-BY-4.0 (the test)",)
    assert (generator.classes, generator.shape) == (("non-ship", "ship"), (SIZE, SIZE, 3))


def test_three_lines_from_chips_to_a_tensor(done: Finished) -> None:
    chips = load_chips("harbour", done.root, role="train")
    images, labels = chips.tensors()
    assert (len(chips), images.shape, labels.tolist()) == (8, (8, 3, SIZE, SIZE), [0, 1] * 4)
    np.testing.assert_allclose(images[5].permute(1, 2, 0), spots(np.arange(12) % 2, seed=4)[5] / 127.5 - 1, atol=1e-6)


def test_chips_are_a_dataset_of_torch(done: Finished) -> None:
    chips = load_chips("harbour", done.root, label="ship")
    assert len(chips) == 6
    batches = list(DataLoader(chips, batch_size=4))
    assert [len(labels) for _, labels in batches] == [4, 2]
    torch.testing.assert_close(torch.cat([images for images, _ in batches]), chips.tensors()[0])
    with pytest.raises(IndexError):
        chips[6]


def test_a_slice_of_chips_is_chips(done: Finished) -> None:
    chips = load_chips("harbour", done.root)
    some = chips[2:9:3]
    assert some.table["chip_id"].tolist() == ["c2", "c5", "c8"]
    np.testing.assert_array_equal(some.read(), chips.read([2, 5, 8]))
    assert chips[np.array([8, 2])].labels().tolist() == [0, 0]
    assert torch.equal(chips[-1][0], chips[11][0])
    assert len(chips[5:5]) == 0


def test_real_and_synthetic_chips_make_one_dataset(done: Finished) -> None:
    both = load_chips("harbour", done.root, role="train") + load_generator(root=done.root).sample(4, screen=False)
    labels = torch.cat([labels for _, labels in DataLoader(both, batch_size=5)])
    assert labels.tolist() == [0, 1] * 4 + [0, 0, 1, 1]


def test_what_is_printed_is_two_lines(done: Finished) -> None:
    chips = load_chips("harbour", done.root, role="train")
    size = f"{SIZE} x {SIZE} pixels, 3 bands, uint8"
    expected = f"LabelledChips: 8 train chips of run harbour (split final), {size}\n  4 non-ship, 4 ship"
    assert repr(chips) == expected
    generator = load_generator("harbour", done.root)
    assert repr(generator) == f"ChipGenerator of run harbour: chips of {size}\n  classes: non-ship, ship"


def test_a_role_that_a_split_lacks_names_those_that_have_it(done: Finished) -> None:
    with pytest.raises(ConfigError, match="split final of run harbour has no test chips; splits that have some: fold0"):
        load_chips("harbour", done.root, role="test")
    assert len(load_chips("harbour", done.root, split="fold0-f100-r0", role="test")) == 2


def test_errors_name_arguments_and_no_options(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Finished(tmp_path, name).generator().chips().write()
    with pytest.raises(ConfigError, match=r"several runs .*: one, two; name one with run=$"):
        load_chips(root=tmp_path)
    with pytest.raises(ConfigError, match=r"`satpipe run synth .*--root .*`.*, or .*screen=False"):
        load_generator("one", tmp_path).sample(2, screen=True)
    with pytest.warns(UserWarning, match="chips are not screened"):
        assert len(load_generator("one", tmp_path).sample(2)) == 2


def test_a_classifier_scores_chips(done: Finished) -> None:
    scores = load_classifier("harbour", done.root, model=MODEL).scores(load_chips("harbour", done.root).read())
    assert ((scores > 0.5) == (np.arange(12) % 2 == 1)).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda root: load_generator("harbor", root), "did you mean harbour"),
        (lambda root: load_chips("harbour", root, split="fold0-f100-r9"), "it has final, fold0-f100-r0"),
        (lambda root: load_chips("harbour", root, role="tested"), "roles are train"),
        (lambda root: load_chips("harbour", root, label="shop"), "did you mean ship"),
        (lambda root: load_chips("harbour", root, split="fold0-f100-r0", synthetic=True), "satpipe run synth"),
        (lambda root: load_generator("harbour", root / "nowhere"), "satpipe run all"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(done: Finished, call, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        call(done.root)
    assert len(str(caught.value).splitlines()) == 1


def test_a_tampered_generator_is_refused(tmp_path: Path) -> None:
    done = Finished(tmp_path).generator().write()
    (weights,) = tmp_path.rglob("generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(StoreError, match="was changed"):
        load_generator("harbour", done.root)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import satpipe, sys; satpipe.__all__; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(satpipe.__file__).parents[1]).returncode == 0
    assert set(satpipe.__all__) <= set(dir(satpipe))
    with pytest.raises(AttributeError, match="no attribute 'load_scenes'"):
        satpipe.load_scenes  # noqa: B018


def test_a_function_that_only_the_record_names_is_not_called(tmp_path: Path) -> None:
    done = Finished(tmp_path).chips().classifier().write()
    with pytest.raises(StoreError, match=f"built by {MODEL}, which is not bundled; .*--model {MODEL}"):
        load_classifier("harbour", done.root)
    assert load_classifier("harbour", done.root, model=MODEL).architecture.classes == CLASSES
