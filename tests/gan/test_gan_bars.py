"""The benchmark of generators on left-out areas: what it judges, and that it goes on from what it has."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from gan_toy import planned, write_store

from pipeline.compute import Profile
from pipeline.config import SynthConfig
from pipeline.parts import Ref
from pipeline.section import as_json

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_all_chips_and_accepted_ones_are_judged_and_a_made_generator_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bars = importlib.import_module("gan_bars")
    store = tmp_path / "parts"
    write_store(store, test=10)
    part = planned(store, images=64, base_channels=4, checkpoint_images=32, batch=8)[0]
    folders = {name: str(store / ref.stage / ref.digest) for name, ref in part.inputs.items() if isinstance(ref, Ref)}
    synth = {
        "synth": as_json(SynthConfig(per_class=12, min_label_score=0.001, distance_quantile=1.0, oversample=8.0)),
        "classes": ["non-ship", "ship"],
        "seed": 1,
        "fold": 0,
        "fraction": 1.0,
        "replicate": 0,
    }
    task = bars.Task("dcgan-lowdata", part, str(store), folders, Profile(), str(tmp_path / "generators"), synth)
    (tmp_path / "generators" / task.key.replace(" ", "-") / "sheets").mkdir(
        parents=True
    )  # of a training that was stopped
    first, again = bars.run(task), bars.run(task)
    assert first["processor_s"] is not None
    assert again["processor_s"] is None
    for name in ("quality", "usefulness", "test", "screened"):
        assert first[name] == again[name]
    assert set(first["screened"]) == {"validation", "test"}
    assert first["test"]["real_to_real"] != first["usefulness"]["real_to_real"]  # ten other chips
    closed = bars.run(bars.replace(task, test=False))
    assert "test" not in closed
    assert "screened" not in closed
