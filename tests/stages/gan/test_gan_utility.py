"""A classifier trained on good chips passes, one trained on chips without information does not."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.gan_project import striped_chips
from satpipe.models import probe
from satpipe.models.device import Profile
from satpipe.stages.gan.utility import usefulness


def test_informative_chips_train_and_noise_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STEPS", 40)
    real, held_out, alike = ((striped_chips(60, seed=seed)[0] / 127.5 - 1).astype(np.float32) for seed in (1, 2, 3))
    labels = np.arange(60) % 2
    noise = np.random.default_rng(0).uniform(-1, 1, alike.shape).astype(np.float32)
    found = [
        usefulness((real, labels), (fake, labels), (held_out, labels), ("sea", "ship"), 1, Profile())
        for fake in (alike, noise)
    ]
    assert found[0]["real_to_real"] == found[1]["real_to_real"]
    assert found[0]["synthetic_to_real"]["average_precision"]["ship"] > 0.95
    assert found[1]["synthetic_to_real"]["balanced_accuracy"] < 0.8
    assert found[1]["real_to_synthetic"]["balanced_accuracy"] < 0.8
