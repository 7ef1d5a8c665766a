"""The variants of the ablation are variants."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.gan.presets import PRESETS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from gan_ablation import VARIANTS, WHOLE


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != WHOLE])
def test_every_value_of_a_variant_is_another_than_the_recipes(variant):
    recipe = asdict(PRESETS["dcgan-lowdata"])
    assert VARIANTS[variant]
    assert all(recipe[name] != value for name, value in VARIANTS[variant].items())
