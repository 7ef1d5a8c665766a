"""The benchmark of generators on left-out areas: what it evaluates, and that it resumes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from fixtures import REPOSITORY
from fixtures.gan_project import planned, write_store
from satpipe.config.run import SynthConfig
from satpipe.engine.task import ArtifactRef
from satpipe.models.device import Profile
from satpipe.utils.section import as_json

BENCHMARKS = REPOSITORY / "benchmarks"


def test_all_chips_and_accepted_ones_are_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("satpipe.stages.gan.features.STEPS", 3)
    monkeypatch.setattr("satpipe.models.probe.STEPS", 3)
    bars = importlib.import_module("gan_bars")
    store = tmp_path / "parts"
    write_store(store, test=10)
    training = planned(store, images=64, base_channels=4, checkpoint_images=32, batch=8)[0]
    folders = {
        name: str(store / ref.stage / ref.digest)
        for name, ref in training.inputs.items()
        if isinstance(ref, ArtifactRef)
    }
    synth = {
        "synth": as_json(SynthConfig(per_class=12, screen=False)),
        "classes": ["non-ship", "ship"],
        "seed": 1,
        "fold": 0,
        "fraction": 1.0,
        "replicate": 0,
    }
    task = bars.Trial("dcgan-lowdata", training, str(store), folders, Profile(), str(tmp_path / "generators"), synth)
    stopped = tmp_path / "generators" / task.key.replace(" ", "-") / "sheets"
    stopped.mkdir(parents=True)
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
    lines = bars.table([first, first | {"split": "fold0-f100-r1"}])
    precision = first["screened"]["test"]["average_precision"]["ship"]
    share = precision / first["test"]["real_to_real"]["average_precision"]["ship"]
    assert sum(f" | {precision:.3f} |" in line for line in lines) == 2
    assert lines[-1].endswith(f" | {share:.3f} ± 0.000 | {share:.2f} |")
    other = bars.replace(task, task=bars.replace(training, config={**training.config, "seed": [2, 0]}))
    assert bars.run(other)["processor_s"] is not None  # another training of the same name
