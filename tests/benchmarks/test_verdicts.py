"""The simulation behind the verdict: that it simulates what it says, and a small run of it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY

PATH = REPOSITORY / "benchmarks" / "verdicts.py"


@pytest.fixture(scope="module")
def verdicts():
    spec = importlib.util.spec_from_file_location("benchmark_verdicts", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PATH.parent))
        spec.loader.exec_module(module)
    return module


def as_predictions(margin, true, unit, fold):
    frames = []
    for arm, values in zip(("classic", "classic+gan"), margin, strict=True):
        for replicate, one in enumerate(values):
            frames.append(
                pd.DataFrame(
                    {
                        "fold": fold[unit],
                        "fraction": 1.0,
                        "replicate": replicate,
                        "arm": arm,
                        "role": "test",
                        "chip_id": np.arange(len(unit)).astype(str),
                        "unit": unit.astype(str),
                        "class": np.where(true == 1, "ship", "non-ship"),
                        "score": 1 / (1 + np.exp(-np.where(true == 1, one, -one))),
                        "threshold": 0.5,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def test_variances_that_were_planted_are_found_again(verdicts):
    planted = replace(verdicts.Components(), chip=1.5, unit=0.8, arm_unit=0.5, arm_chip=0.5, quality=0.3, mean=1.0)
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        simulated = verdicts.margins(rng, verdicts.Size(8, 60, 3, 40), planted, 0.0)
        found.append(verdicts.estimate(as_predictions(*simulated), ("classic", "classic+gan"), "non-ship"))
    for name in ("chip", "unit", "arm_chip", "arm_unit", "quality", "bias", "training_unit", "rest"):
        mean = np.sqrt(np.mean([getattr(one, name) ** 2 for one in found]))
        assert mean == pytest.approx(getattr(planted, name), rel=0.2), name


def test_without_a_difference_verdicts_are_rarely_false(verdicts):
    """Folds alike: where they are not, three of them cannot say by how much, and the interval errs on the wide side."""
    alike = replace(verdicts.Components(), arm_fold=0.0)
    size = verdicts.Size(6, 12, 1, 30)
    found = verdicts.rates(size, alike, 0.0, 400, 0, (1, 2))
    assert found.helps + found.hurts <= 0.09
    assert found.se == pytest.approx(found.spread, rel=0.15)
    folded = verdicts.rates(verdicts.SIZES[0], verdicts.Components(), 0.0, 400, 0, (1, 2))
    assert folded.helps + folded.hurts <= 0.09
    assert folded.se > 0.95 * folded.spread


def test_a_planted_difference_is_found_on_its_own_side(verdicts):
    clear = replace(verdicts.Components(), quality=0.1, bias=0.2, training_unit=0.2, arm_fold=0.05)
    fixed = verdicts.rates(replace(verdicts.SIZES[1], fold_effects="fixed"), clear, 0.8, 100, 0, (3,))
    areas = verdicts.rates(verdicts.SIZES[1], clear, 0.8, 100, 0, (3,))
    assert fixed.helps > 0.95
    assert 0.75 < areas.helps < fixed.helps
    assert fixed.hurts == areas.hurts == 0.0
    assert fixed.effect > 0.03


def test_units_are_as_uneven_as_scenarios_say(verdicts):
    simulation = sys.modules["verdicts_simulation"]
    rng = np.random.default_rng(0)
    rows = {row.kind: row.size for table in verdicts.scenarios().values() for row in table}
    for share in (0.4, 0.6, 0.75, 0.9):
        sizes = simulation.unit_sizes(rng, rows[f"one unit holds {100 * share:.0f} %, one fold"])
        assert sizes.max() / sizes.sum() == pytest.approx(share, abs=0.02)
        assert len(np.unique(sizes)) == 2
    for spread in (1.0, 1.5):
        size = replace(rows[f"log-normal sizes, {spread:g}, one fold"], units=4000)
        assert np.std(np.log(simulation.unit_sizes(rng, size))) == pytest.approx(spread, rel=0.1)


def test_every_scenario_simulates_what_it_names(verdicts):
    """Replicates by chips of two arms, chips in as many folds, and folds counted as the table's title says."""
    rng = np.random.default_rng(1)
    for title, rows in verdicts.scenarios().items():
        for row in rows:
            components = replace(verdicts.Components(), **row.changes)
            margin, true, unit, fold = verdicts.margins(rng, row.size, components, 0.0)
            assert margin.shape == (2, row.size.replicates, len(true))
            assert len(np.unique(fold[unit])) == row.size.folds
            if row.bounded and row.size.fold_effects == "fixed":
                assert components.arm_fold == 0.0, (title, row.kind)
