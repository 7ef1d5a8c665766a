"""Jobs of the gan stage on a small chip store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.gan_project import context_in, write_store
from satpipe.engine.task import TaskContext
from satpipe.models.device import Profile


@pytest.fixture(autouse=True)
def short_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests are about does not depend on good features or classifiers."""
    monkeypatch.setattr("satpipe.stages.gan.features.STEPS", 3)
    monkeypatch.setattr("satpipe.models.probe.STEPS", 3)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., TaskContext]:
    """Makes the context of the first planned task; `folder` tells contexts of one test apart."""
    store = tmp_path / "parts"
    write_store(store)

    def make(folder: str = "a", profile: Profile | None = None, **gan: Any) -> TaskContext:
        return context_in(store, tmp_path / folder, profile, **gan)

    return make


@pytest.fixture
def with_config() -> Callable[..., TaskContext]:
    """A context whose task has other configuration values."""

    def change(context: TaskContext, **config: Any) -> TaskContext:
        return replace(context, task=replace(context.task, config=dict(context.task.config) | config))

    return change
