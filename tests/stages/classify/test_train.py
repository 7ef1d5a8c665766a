"""The training of one classifier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.classify_project import SIZE, draw_chips
from satpipe.config.run import ClassifyConfig
from satpipe.dataset.scaling import Scaling
from satpipe.models.classifier import SHIP_CONVNET, Architecture
from satpipe.models.device import Profile
from satpipe.stages.classify.train import ChipSet, Trained, train

LABELS = np.arange(36) % 2
CHIPS = ChipSet(draw_chips(LABELS), LABELS, np.zeros(36, bool))
WRONG = replace(CHIPS, labels=1 - LABELS)
"""Every label is wrong, so the loss rises as long as the network learns."""


def trained(validation: ChipSet, patience: int) -> Trained:
    config = ClassifyConfig(steps=40, batch=16, base_channels=4, validate_every=5, patience=patience)
    architecture = Architecture(SHIP_CONVNET, 3, ("non-ship", "ship"), SIZE, config.base_channels)
    scaling = Scaling((0.0,) * 3, (255.0,) * 3, "uint8")
    return train(CHIPS, validation, architecture, scaling, config, Profile(), augmentation=None, seed=1)


@pytest.mark.parametrize(("patience", "last"), [(10, 15), (12, 20), (0, 40)])
def test_training_stops_without_a_lower_loss(patience, last):
    result = trained(WRONG, patience)
    assert result.step == 5
    assert [row["step"] for row in result.history] == list(range(5, last + 1, 5))


def test_what_training_stops_at_is_what_all_steps_choose():
    early, full = trained(WRONG, 10).network.state_dict(), trained(WRONG, 0).network.state_dict()
    assert all(torch.equal(early[name], full[name]) for name in full)


def test_training_that_learns_takes_all_steps():
    assert trained(CHIPS, 10).history[-1]["step"] == 40
