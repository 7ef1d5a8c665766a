"""Jobs of the gan stage on a small chip store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gan_toy import planned, write_store

from pipeline.compute import Profile
from pipeline.parts import Job, Ref
from pipeline.progress import Progress


@pytest.fixture(autouse=True)
def short_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests are about does not depend on good features or classifiers."""
    monkeypatch.setattr("pipeline.gan.features.STEPS", 3)
    monkeypatch.setattr("pipeline.gan.usefulness.STEPS", 3)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes a job for the first planned part; `folder` tells jobs of one test apart."""
    store = tmp_path / "parts"
    write_store(store)

    def make(folder: str = "a", profile: Profile | None = None, **gan: Any) -> Job:
        part = planned(store, **({"images": 64, "base_channels": 4, "checkpoint_images": 32, "batch": 8} | gan))[0]
        out, scratch = tmp_path / folder / "out", tmp_path / folder / "scratch"
        out.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        inputs = {name: store / ref.stage / ref.digest for name, ref in part.inputs.items() if isinstance(ref, Ref)}
        return Job(part, out, scratch, store, inputs, profile or Profile(), Progress(None))

    return make


@pytest.fixture
def with_part() -> Callable[..., Job]:
    """A job whose part has other configuration values."""

    def change(job: Job, **config: Any) -> Job:
        return replace(job, part=replace(job.part, config=dict(job.part.config) | config))

    return change
