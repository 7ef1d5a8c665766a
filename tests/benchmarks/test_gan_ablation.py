"""The variants of the ablation are variants."""

from __future__ import annotations

import importlib
from dataclasses import asdict

from fixtures import REPOSITORY
from satpipe.config.gan_presets import PRESETS

BENCHMARKS = REPOSITORY / "benchmarks"


def trained(preset, split, tstr):
    quality = {"kid": 0.5, "kid_floor": 0.1, "coverage": 0.8, "coverage_floor": 1.0}
    precision = {way: {"average_precision": {"ship": value}} for way, value in tstr.items()}
    return {"preset": preset, "split": split, "images": 10, "quality": {"ship": quality}, "usefulness": precision}


def test_a_difference_is_bold_where_a_t_interval_leaves_zero_out(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    ablation = importlib.import_module("gan_ablation")
    results = []
    for split, clear, twice_its_error in (("a", -0.10, -0.01), ("b", -0.11, -0.05), ("c", -0.12, -0.09)):
        for preset, by in ((ablation.WHOLE, 0.0), ("no colour", clear), ("no symmetries", twice_its_error)):
            results.append(trained(preset, split, {"synthetic_to_real": 0.8 + by, "real_to_real": 1.0}))
    rows = {line.split(" | ")[0].strip("| "): line for line in ablation.table(results)}
    assert rows["no colour"].endswith("| **-0.110 ± 0.010** |")
    assert rows["no symmetries"].endswith("| -0.050 ± 0.040 |")  # 2.2 standard errors, of two degrees of freedom
    assert rows[ablation.WHOLE].endswith("| 0.800 ± 0.000 |  |")


def test_every_value_of_a_variant_is_another_than_the_recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    ablation = importlib.import_module("gan_ablation")
    recipe = asdict(PRESETS["dcgan-lowdata"])
    for variant, changes in ablation.VARIANTS.items():
        assert bool(changes) == (variant != ablation.WHOLE), variant
        assert all(recipe[name] != value for name, value in changes.items()), variant
