"""A trained classifier on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from satpipe.dataset.scaling import Scaling
from satpipe.models.classifier import (
    SHIP_CONVNET,
    Architecture,
    Classifier,
    ShipConvNet,
    build,
    decide,
    load,
    softmax,
    standardised,
)
from satpipe.utils.errors import StoreError

ARCHITECTURE = Architecture(SHIP_CONVNET, 3, ("water", "ship", "barge"), 32, 8)
BYTES = Scaling((0.0,) * 3, (255.0,) * 3, "uint8")


@pytest.fixture
def trained() -> Classifier:
    return Classifier(ARCHITECTURE, build(ARCHITECTURE, 4).eval(), BYTES, 1.7, 0.4, {"arm": "classic"})


def some_chips(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_what_is_saved_is_what_is_loaded(trained, tmp_path):
    trained.save(tmp_path)
    again = load(tmp_path)
    np.testing.assert_array_equal(again.probabilities(some_chips()), trained.probabilities(some_chips()))
    assert (again.architecture, again.scaling, again.threshold) == (ARCHITECTURE, BYTES, 0.4)
    assert again.card["arm"] == "classic"


def test_scores_are_the_probability_of_not_being_background(trained):
    probabilities = trained.probabilities(some_chips())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(trained.scores(some_chips()), probabilities[:, 1:].sum(axis=1))


def test_temperature_divides_the_logits():
    logits = np.array([[0.0, 2.0]])
    assert softmax(logits, 2.0)[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_above_the_threshold_the_likeliest_other_class_is_taken():
    probabilities = np.array([[0.55, 0.30, 0.15], [0.70, 0.10, 0.20], [0.20, 0.35, 0.45]])
    assert decide(probabilities, 0.4).tolist() == [1, 0, 2]


@pytest.mark.parametrize("size", [16, 32, 48, 64, 80, 128, 256])
def test_the_network_takes_any_size_that_is_a_multiple_of_16(size):
    network = ShipConvNet(4, 3, size, 4).eval()
    assert network(torch.zeros(2, 4, size, size)).shape == (2, 3)


def test_initial_weights_follow_from_the_seed_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = (build(ARCHITECTURE, seed) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.body[0].weight, other.body[0].weight)


@pytest.mark.parametrize("damage", ["no card", "no json", "no classes", "no weights", "other weights"])
def test_a_damaged_folder_is_one_sentence(trained, tmp_path, damage):
    trained.save(tmp_path)
    card, weights = tmp_path / "classifier.json", tmp_path / "classifier.safetensors"
    if damage == "no card":
        card.unlink()
    elif damage == "no json":
        card.write_text("{")
    elif damage == "no classes":
        card.write_text(json.dumps({k: v for k, v in json.loads(card.read_text()).items() if k != "classes"}))
    elif damage == "no weights":
        weights.write_bytes(b"nothing")
    else:
        card.write_text(json.dumps(json.loads(card.read_text()) | {"base_channels": 4}))
    with pytest.raises(StoreError) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_card_cannot_name_a_function_to_call(trained, tmp_path):
    trained.save(tmp_path)
    card = tmp_path / "classifier.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"architecture": "os:system"}))
    with pytest.raises(StoreError, match="--model os:system"):
        load(tmp_path)


def test_scores_over_orientations_ignore_how_a_chip_is_turned(trained):
    averaged = replace(trained, orientations=8)
    turned = np.rot90(some_chips(), axes=(1, 2))[:, ::-1].copy()
    np.testing.assert_allclose(averaged.scores(turned), averaged.scores(some_chips()), atol=1e-6)
    assert not np.allclose(trained.scores(turned), trained.scores(some_chips()), atol=1e-6)


def test_brightness_and_contrast_of_a_chip_hardly_matter(trained):
    chips = torch.rand(4, 3, 32, 32) - 0.5
    np.testing.assert_allclose(standardised(chips + 0.3), standardised(chips), atol=1e-5)
    stretched = standardised(chips * 1.5)
    assert (stretched / standardised(chips)).median() < 1.2
    flat = standardised(torch.full((1, 3, 32, 32), 0.7))
    np.testing.assert_allclose(flat, torch.zeros_like(flat), atol=1e-5)
