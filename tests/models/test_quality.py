"""Whether a generator learned, on measurements of generators after 0 to 18,000 images of the simulated harbours."""

from __future__ import annotations

import pytest
from satpipe.models.quality import experiment_verdict, generator_verdict, mean_of, narrow, tstr_share

REAL, CHANCE = 0.95, 0.5


def measured(non_ship: tuple[float, ...], ship: tuple[float, ...], tstr: float) -> dict:
    """Return metadata with kernel distance, its floor, precision, its floor, coverage, its floor of either class."""
    names = ("kid", "kid_floor", "precision", "precision_floor", "coverage", "coverage_floor")
    ways = {"real_to_real": REAL, "synthetic_to_real": tstr}
    return {
        "quality": {
            "non-ship": dict(zip(names, non_ship, strict=True)),
            "ship": dict(zip(names, ship, strict=True)),
        },
        "usefulness": {way: {"balanced_accuracy": value} for way, value in ways.items()},
    }


AT_0 = measured((186.0, 0.147, 0.0, 0.72, 0.0, 0.85), (183.1, 0.557, 0.0, 0.63, 0.0, 0.82), 0.5)
AT_600 = measured((52.5, 0.746, 0.023, 0.632, 0.031, 0.641), (57.6, 1.161, 0.0, 0.716, 0.0, 0.938), 0.63)
AT_1200 = measured((6.34, 0.147, 0.484, 0.699, 0.136, 0.852), (7.19, 0.686, 0.371, 0.704, 0.246, 0.825), 0.71)
AT_3000 = measured((25.7, 0.746, 0.555, 0.632, 0.359, 0.641), (4.32, 1.161, 0.684, 0.716, 0.625, 0.938), 0.51)
AT_6000 = measured((0.896, 0.746, 0.891, 0.632, 0.688, 0.641), (1.64, 1.161, 0.91, 0.716, 0.906, 0.938), 0.509)
ENOUGH = measured((0.902, 0.706, 0.785, 0.716, 0.766, 0.688), (7.246, 6.612, 0.582, 0.5, 0.485, 0.515), 0.92)
POOR = measured((2.55, 0.37, 0.6, 0.7, 0.63, 0.85), (2.6, 0.42, 0.5, 0.65, 0.61, 0.82), 0.73)
"""Transposed convolutions, the worst variant of the ablation: checkerboards, and yet chips of ships and water."""


@pytest.mark.parametrize(
    ("metadata", "learned"),
    [
        (AT_0, False),
        (AT_600, False),
        (AT_1200, False),
        (AT_3000, False),
        (AT_6000, False),
        (POOR, True),
        (ENOUGH, True),
    ],
)
def test_generators_of_few_images_did_not_learn(metadata, learned):
    verdict = generator_verdict(metadata)
    assert verdict.learned is learned
    assert (verdict.sentence is None) == learned


def test_the_worst_class_is_named_first_with_how_far_it_is():
    sentence = generator_verdict(AT_0).sentence
    assert sentence.startswith("This generator did not learn: its non-ship chips are 1,265 times as far from real ones")
    assert "0 % of them look real" in sentence


def test_chips_like_real_ones_under_any_label_are_not_learned():
    assert generator_verdict(AT_6000).reasons == (
        "a classifier trained only on its chips learns 2 % of what one trained on real chips does",
    )


def test_little_variety_is_a_property_and_no_failure():
    quality = {label: values | {"recall": 0.03, "recall_floor": 0.89} for label, values in ENOUGH["quality"].items()}
    assert generator_verdict(ENOUGH | {"quality": quality}).learned is True


@pytest.mark.parametrize(
    ("recall", "floor", "missing"), [(0.11, 0.47, True), (0.13, 0.47, False), (0.74, 0.74, False), (0.0, 0.2, False)]
)
def test_kinds_are_missing_below_a_quarter_of_real_recall(recall, floor, missing):
    assert narrow({"recall": recall, "recall_floor": floor}) is missing
    assert not narrow({"kid": 1.0})


def test_measures_that_real_chips_fail_too_say_nothing():
    ship = ENOUGH["quality"]["ship"]
    assert ship["kid"] > 7
    assert generator_verdict({"quality": {"ship": ship}}).learned is True


@pytest.mark.parametrize("metadata", [{}, {"quality": {}}, {"quality": {"ship": {"kid": 3.0}}, "usefulness": {}}])
def test_without_measures_nothing_is_said(metadata):
    assert generator_verdict(metadata).learned is None
    assert generator_verdict(metadata).sentence is None


@pytest.mark.parametrize(
    ("generators", "learned"),
    [([], None), ([ENOUGH] * 4 + [AT_600] * 2, True), ([ENOUGH, AT_600], False), ([AT_6000] * 6, False), ([{}], None)],
)
def test_an_experiment_fails_with_half_of_its_generators(generators, learned):
    assert experiment_verdict(generators).learned is learned


def test_means_are_taken_key_by_key_over_tables_that_have_it():
    tables = [{"ship": {"kid": 1.0}, "preset": "dcgan"}, {"ship": {"kid": 3.0, "copies": 0.5}, "preset": "dcgan"}]
    assert mean_of(tables) == {"ship": {"kid": 2.0, "copies": 0.5}}


def test_what_chips_teach_is_counted_above_chance():
    assert tstr_share(ENOUGH["usefulness"], 2) == pytest.approx((0.92 - CHANCE) / (REAL - CHANCE))
    assert tstr_share({"real_to_real": {"balanced_accuracy": 0.5}, "synthetic_to_real": {}}, 1) is None
