"""What a run left, from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import satpipe
import torch
from fixtures.finished_run import CLASSES, MODEL, SIZE, Finished, spots
from satpipe import load_chips, load_classifier, load_generator
from satpipe.utils.errors import ConfigError, StoreError
from torch.utils.data import DataLoader


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("api")).generator().chips().classifier().write()


def test_three_lines_from_a_generator_to_a_tensor(done: Finished) -> None:
    images, labels = load_generator("harbour", done.root).tensors(6, seed=3)
    assert (images.shape, images.dtype) == ((6, 3, SIZE, SIZE), torch.float32)
    assert images.abs().max() <= 1
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_generated_chips_are_those_of_the_command(done: Finished, tmp_path: Path) -> None:
    from satpipe.engine.runs import find_run
    from satpipe.inference.generate.make import Wish, make

    wish = Wish(("ship",), 40, "npy", 3, 0.5, False)
    make(find_run("harbour", done.root), wish, tmp_path / "out", lambda done, total: None)
    chips, labels = load_generator(root=done.root).chips(40, label="ship", seed=3, truncation=0.5)
    assert set(labels) == {1}
    np.testing.assert_array_equal(chips, np.load(tmp_path / "out" / "chips.npy"))


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


def test_a_classifier_scores_chips(done: Finished) -> None:
    scores = load_classifier("harbour", done.root, model=MODEL).scores(load_chips("harbour", done.root).read())
    assert ((scores > 0.5) == (np.arange(12) % 2 == 1)).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda root: load_generator("harbor", root), "did you mean harbour"),
        (lambda root: load_chips("harbour", root, split="fold0-f100-r0"), "it has final"),
        (lambda root: load_chips("harbour", root, role="tested"), "roles are train"),
        (lambda root: load_chips("harbour", root, label="shop"), "did you mean ship"),
        (lambda root: load_chips("harbour", root, synthetic=True), "satpipe run synth"),
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
