"""The variants of the ablation are variants."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path

from pipeline.gan.presets import PRESETS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_value_of_a_variant_is_another_than_the_recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    ablation = importlib.import_module("gan_ablation")
    recipe = asdict(PRESETS["dcgan-lowdata"])
    for variant, changes in ablation.VARIANTS.items():
        assert bool(changes) == (variant != ablation.WHOLE), variant
        assert all(recipe[name] != value for name, value in changes.items()), variant
