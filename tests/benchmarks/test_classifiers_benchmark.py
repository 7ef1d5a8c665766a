"""The benchmark that chooses the classifier evaluates on groups that nothing was trained on, never on a test."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY
from satpipe.stages.classify.experiment import SplitChips

BENCHMARKS = REPOSITORY / "benchmarks"
CLASSES = ("non-ship", "ship")


@pytest.fixture(scope="module")
def classifiers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("classifiers")


def some_split(fraction: float) -> SplitChips:
    """Twenty units of six chips: four are tested; of the others a fraction trains and validates, unit by unit."""
    unit = np.repeat([f"u{number:02d}" for number in range(20)], 6)
    number = np.repeat(np.arange(20), 6)
    used = 4 + round(16 * fraction)
    role = np.select(
        [number < 4, number < 4 + (used - 4) // 4, number < used], ["test", "validation", "train"], "unused"
    )
    # The draw may end within a unit: its other chips are unused.
    edge = np.flatnonzero(number == used - 1)[:3] if fraction < 1 else []
    role[edge] = "unused"
    rows = pd.DataFrame(
        {"chip_id": [f"c{n:03d}" for n in range(120)], "role": role, "unit": unit, "class": np.resize(CLASSES, 120)}
    )
    return SplitChips(rows, None, CLASSES)  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_evaluated_chips_are_of_neither_training_nor_test(classifiers, fraction):
    before = some_split(fraction)
    after = classifiers.evaluation_split(before, fraction, [1, 0], "non-ship").rows
    role = after.set_index("chip_id")["role"]
    tested = before.rows.loc[before.rows["role"] == "test", "chip_id"]
    assert not set(tested) & set(role.index)
    units = {name: set(after.loc[after["role"] == name, "unit"]) for name in ("train", "validation", "test")}
    assert all(units.values())
    assert not units["test"] & (units["train"] | units["validation"])
    assert not units["train"] & units["validation"]


def test_with_all_labels_validation_chips_are_evaluated(classifiers):
    before = some_split(1.0)
    after = classifiers.evaluation_split(before, 1.0, [1, 0], "non-ship").rows
    was = before.rows.set_index("chip_id")["role"]
    evaluated = after.loc[after["role"] == "test", "chip_id"]
    assert set(was[evaluated]) == {"validation"}
    assert set(was[after.loc[after["role"] == "validation", "chip_id"]]) == {"train"}


def test_histograms_of_gradients_ignore_brightness(classifiers):
    networks = importlib.import_module("classifier_networks")
    stripes = np.tile(np.sin(np.arange(32) / 2), (32, 1))[None]
    upright, lying = networks.hog(stripes), networks.hog(stripes.transpose(0, 2, 1))
    np.testing.assert_allclose(networks.hog(0.5 * stripes + 3), upright, atol=1e-3)
    assert np.abs(upright - lying).max() > 0.1
    strongest = [found.reshape(-1, 9).sum(0).argmax() for found in (upright, lying)]
    assert strongest[0] in (0, 8)
    assert strongest[1] == 4


def test_the_support_vector_machine_learns_what_can_be_learnt(classifiers):
    networks = importlib.import_module("classifier_networks")
    rng = np.random.default_rng(0)

    def draw(count):
        labels = np.arange(count) % 2
        chips = rng.normal(90, 10, (count, 32, 32, 3))
        for number in np.flatnonzero(labels):
            chips[number, 12:18, 6:26] += 90
        return chips.clip(0, 255).astype(np.uint8), labels

    train, choose, (evaluated, labels) = draw(40), draw(16), draw(30)
    _, decisions = networks.svm_decisions(train, choose, evaluated, 255.0, 1)
    assert ((decisions > 0) == labels).mean() > 0.95
