"""Jobs of the gan stage on a small chip store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gan_toy import job_in, write_store

from pipeline.compute import Profile
from pipeline.parts import Job


@pytest.fixture(autouse=True)
def short_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests are about does not depend on good features or classifiers."""
    monkeypatch.setattr("pipeline.gan.features.STEPS", 3)
    monkeypatch.setattr("pipeline.teaching.STEPS", 3)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes a job for the first planned part; `folder` tells jobs of one test apart."""
    store = tmp_path / "parts"
    write_store(store)

    def make(folder: str = "a", profile: Profile | None = None, **gan: Any) -> Job:
        return job_in(store, tmp_path / folder, profile, **gan)

    return make


@pytest.fixture
def with_part() -> Callable[..., Job]:
    """A job whose part has other configuration values."""

    def change(job: Job, **config: Any) -> Job:
        return replace(job, part=replace(job.part, config=dict(job.part.config) | config))

    return change
