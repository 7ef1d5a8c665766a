"""The evaluator on generators with known faults: copies, one chip for every latent, and chips as good as real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.scaling import fit
from satpipe.models import probe
from satpipe.models.device import Profile
from satpipe.stages.gan import evaluate as module
from satpipe.stages.gan.evaluate import COLLAPSED, Evaluator, copies, copy_distance, prepare_evaluator
from satpipe.stages.gan.inputs import Inputs
from satpipe.stages.gan.metrics import texture, thumbnails
from satpipe.stages.gan.utility import Sampler
from sklearn.metrics.pairwise import polynomial_kernel

Chips = np.ndarray[Any, Any]
CLASSES = ("sea", "ship")
NO_STORE = ChipStore(pd.DataFrame(), Path())


def pictures(count: int, seed: int, ship: bool, size: int = 32) -> Chips:
    """Smooth random pictures (count, size, size, 3) uint8; ships have a bright bar somewhere."""
    rng = np.random.default_rng([seed, ship])
    coarse = rng.uniform(40, 160, (count, 8, 8, 3))
    chips = coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    for chip in chips if ship else ():
        row, column = rng.integers(4, size - 12, 2)
        chip[row : row + 8, column : column + 4] += 90
    return chips.astype(np.uint8)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    train = np.concatenate([pictures(40, 1, ship) for ship in (False, True)])
    validation = np.concatenate([pictures(30, 2, ship) for ship in (False, True)])
    return Inputs(train, np.repeat([0, 1], 40), validation, np.repeat([0, 1], 30), fit(train), CLASSES, NO_STORE)


@pytest.fixture
def evaluator(inputs: Inputs) -> Evaluator:
    return prepare_evaluator(inputs, 1, Profile())


Generate = Callable[[int, int], Chips]


def sampler(inputs: Inputs, generate: Generate) -> Sampler:
    """Return what draws ``generate(label, count)``."""
    return lambda label, count, seed: inputs.scaling.apply(generate(label, count))


def fresh(label: int, count: int) -> Chips:
    return pictures(count, 3, bool(label))


def test_copied_training_chips_are_caught_in_any_orientation(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeats(label: int, count: int) -> Chips:
        known = inputs.train[inputs.train_labels == label]
        return np.stack([np.rot90(known[at % len(known)], at % 4) for at in range(count)])

    found = evaluator.thorough(sampler(inputs, repeats))
    assert [found[name]["copies"] for name in CLASSES] == [1.0, 1.0]
    found = evaluator.thorough(sampler(inputs, fresh))
    assert [found[name]["copies"] for name in CLASSES] == [0.0, 0.0]


def test_a_share_of_copies_is_that_share(inputs: Inputs) -> None:
    train, held_out = (inputs.scaling.apply(pictures(40, seed, True)) for seed in (1, 2))
    distance = copy_distance(train, held_out)
    mixed = np.concatenate([train[:10], inputs.scaling.apply(pictures(30, 4, True))])
    assert copies(mixed, thumbnails(train), distance) == 0.25
    assert copies(held_out, thumbnails(train), distance) <= 0.05


def test_flat_chips_are_no_copies_of_each_other(inputs: Inputs) -> None:
    flat = np.full((20, 32, 32, 3), 0.1, np.float32) + np.linspace(0, 0.02, 20, dtype=np.float32)[:, None, None, None]
    assert texture(flat).max() < 1e-6
    assert copies(flat, thumbnails(flat), 0.5) == 0.0
    assert (
        copies(inputs.scaling.apply(pictures(4, 1, True)), thumbnails(flat[:0]), 0.5) == 0.0
    )  # all training chips flat


def test_a_collapsed_class_raises_the_alarm_for_itself_alone(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapsed(label: int, count: int) -> Chips:
        return np.repeat(pictures(1, 5, True), count, axis=0) if label else fresh(label, count)

    line = evaluator.evaluate(sampler(inputs, collapsed))
    assert line["collapsed"] == ["ship"]
    assert line["quality"]["ship"]["diversity"] < 1e-3
    assert line["quality"]["sea"]["diversity"] > COLLAPSED
    assert evaluator.evaluate(sampler(inputs, fresh))["collapsed"] == []


def test_a_few_chips_for_every_latent_have_no_coverage(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = evaluator.evaluate(sampler(inputs, lambda label, count: fresh(label, 3)[np.arange(count) % 3]))
    many = evaluator.evaluate(sampler(inputs, fresh))
    for name in CLASSES:
        assert few["quality"][name]["coverage"] < 0.5 < many["quality"][name]["coverage"]
        assert few["quality"][name]["kid"] > many["quality"][name]["kid"]


def test_chips_as_good_as_real_ones_score_what_real_ones_score(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluator.thorough(sampler(inputs, fresh))
    noise = evaluator.thorough(
        sampler(inputs, lambda label, count: np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3)))
    )
    for name in CLASSES:
        assert abs(found[name]["kid"] - found[name]["kid_floor"]) < 0.1 * noise[name]["kid"]
        assert noise[name]["coverage"] == 0


def test_the_score_is_kernel_distance_plus_the_tstr_gap(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 40)
    line = evaluator.evaluate(sampler(inputs, fresh))
    distances = []
    for label in (0, 1):
        real = evaluator.embedding(inputs.scaling.apply(inputs.validation[inputs.validation_labels == label]))
        fake = evaluator.embedding(inputs.scaling.apply(fresh(label, module.GENERATED)))
        among = [polynomial_kernel(x, degree=3, coef0=1)[~np.eye(len(x), dtype=bool)].mean() for x in (real, fake)]
        distances.append(sum(among) - 2 * polynomial_kernel(real, fake, degree=3, coef0=1).mean())
    assert set(line["tstr"]) == set(CLASSES)
    missing = 1 - np.mean(list(line["tstr"].values()))
    assert line["score"] == pytest.approx(np.mean(distances) + module.USE_WEIGHT * missing, rel=2e-3)


def test_a_generator_that_ignores_the_label_scores_worse(
    evaluator: Evaluator, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 100)
    right = evaluator.evaluate(sampler(inputs, fresh))
    wrong = evaluator.evaluate(sampler(inputs, lambda label, count: pictures(count, 3, False)))
    assert right["tstr"]["ship"] > 0.8 > 0.65 > wrong["tstr"]["ship"]
    assert right["score"] < wrong["score"]


def test_a_class_with_too_few_validation_chips_is_not_evaluated(inputs: Inputs) -> None:
    few = np.r_[:30, 30:33]  # three ships
    short = Inputs(
        inputs.train,
        inputs.train_labels,
        inputs.validation[few],
        inputs.validation_labels[few],
        inputs.scaling,
        CLASSES,
        NO_STORE,
    )
    evaluator = prepare_evaluator(short, 1, Profile())
    assert [floor.name for floor in evaluator.floors] == ["sea"]
    assert evaluator.tstr is None
