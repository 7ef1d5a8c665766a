"""Generators of layers: which classes get them, what is learned, and that nothing needs the training chips later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures.gan_project import context_in, digests, write_store
from satpipe.models.generator import generate, load
from satpipe.stages.gan.stage import make_generator

FAST = {"images": 128, "checkpoint_images": 64}


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    write_store(store, masks=True)
    return store


def test_objects_with_masks_become_layers(masked: Path, tmp_path: Path) -> None:
    made = context_in(masked, tmp_path / "a", **FAST)
    metadata = make_generator(made)
    assert metadata["layers"] == ["ship"]
    assert metadata["whole"] == {"non-ship": "it is the background"}
    assert set(metadata["quality"]) == {"non-ship", "ship"}
    generator = load(made.out)
    assert generator.whole == (0,)
    assert generator.layers is not None
    assert generator.layers.classes == (1,)
    assert {path.name for path in made.out.iterdir()} >= {"layers.safetensors", "metrics.jsonl", "metrics-whole.jsonl"}


def test_a_generator_of_layers_needs_no_training_chips(masked: Path, tmp_path: Path) -> None:
    made = context_in(masked, tmp_path / "a", **FAST)
    make_generator(made)
    shutil.rmtree(masked / "chips")
    generator = load(made.out)
    chips = generate(generator, [0, 1, 1, 0, 1], [3, 4, 5, 6, 7])
    assert chips.shape == (5, 16, 16, 3)
    assert abs(chips).max() <= 1
    np.testing.assert_array_equal(generate(load(made.out), [1], [5])[0], chips[2])


def test_layers_have_no_colour_without_alpha(masked: Path, tmp_path: Path) -> None:
    made = context_in(masked, tmp_path / "a", **FAST)
    make_generator(made)
    generator = load(made.out).layers
    assert generator is not None
    layers = generator.layers(np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32), np.ones(8, np.int64))
    bands, alpha = layers[..., :-1], layers[..., -1:]
    assert ((alpha >= 0) & (alpha <= 1)).all()
    assert (bands <= 255 * alpha + 1e-3).all()
    assert (bands >= -1e-3).all()


def test_too_few_masks_leave_a_class_whole(tmp_path: Path) -> None:
    write_store(tmp_path / "store", train=14, masks=True)  # seven ships
    made = context_in(tmp_path / "store", tmp_path / "a", **FAST)
    metadata = make_generator(made)
    assert metadata["layers"] == []
    assert "8 are needed" in metadata["whole"]["ship"]
    assert load(made.out).layers is None


@pytest.mark.parametrize("settings", [{"layers": "never"}, {"preset": "dcgan-lowdata"}])
def test_whole_chips_can_be_asked_for(masked: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    metadata = make_generator(context_in(masked, tmp_path / "a", **FAST, **settings))
    assert metadata["layers"] == []


def test_the_same_task_gives_the_same_bytes(masked: Path, tmp_path: Path) -> None:
    made = [context_in(masked, tmp_path / name, **FAST) for name in ("a", "b")]
    for one in made:
        make_generator(one)
    assert digests(made[0].out) == digests(made[1].out)


def test_a_training_that_goes_on_gives_the_same_bytes(masked: Path, tmp_path: Path) -> None:
    whole, again = (context_in(masked, tmp_path / name, **FAST) for name in ("a", "b"))
    make_generator(whole)
    make_generator(again)
    shutil.rmtree(again.out)
    again.out.mkdir()
    for path in (again.scratch / "whole").glob("*.safetensors"):  # killed while the second network trained
        path.unlink()
    make_generator(again)
    assert digests(whole.out) == digests(again.out)


def test_layers_log_is_that_of_the_layers(masked: Path, tmp_path: Path) -> None:
    made = context_in(masked, tmp_path / "a", **FAST)
    make_generator(made)
    lines = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [64, 128]
    assert all(set(line["quality"]) == {"ship"} for line in lines)
