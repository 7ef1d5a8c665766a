"""The benchmark of near-duplicates: copies that are planted are counted, and chips of other ground are not."""

from __future__ import annotations

import importlib

import cv2
import numpy as np
import pytest
from fixtures import REPOSITORY


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        yield importlib.import_module("duplicates")


def textured(seed: int) -> np.ndarray:
    """A scene (240, 240, 3) of smoothed noise."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(240, 240)), (0, 0), 2)
    grey = np.clip(120 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def test_a_cut_is_what_lies_in_the_scene(benchmark):
    scene = textured(1)
    place = benchmark.Place(scene, "a", 100, 120)
    assert (place.cut() == scene[60:140, 80:160]).all()
    assert (place.cut(shift=4) == scene[64:144, 76:156]).all()


def test_copies_of_the_same_pixels_are_all_found(benchmark):
    ships = [benchmark.Place(textured(seed), f"site{seed}/{seed}", 120, 120) for seed in range(6)]
    others = [benchmark.Place(textured(9), "site9/9", 100, 100)]
    lines = benchmark.recall_table((ships, others), 5)
    assert "| copy | of 5 found |" in lines
    for kind in ("same pixels", "one byte changed", "mirrored", "turned by 90 degrees"):
        assert f"| {kind} | 5 |" in lines
    assert lines[-1] == "Of 7 chips, 0 pairs of different sites are taken for one picture."


def test_chips_of_the_same_site_are_no_false_pairs(benchmark):
    scene = textured(1)
    ships = [benchmark.Place(scene, "site1/1", 120, 120), benchmark.Place(scene, "site1/2", 121, 120)]
    lines = benchmark.recall_table((ships, []), 1)
    assert lines[-1].startswith("Of 2 chips, 0 pairs")
