"""Losses other than the logistic one: their values, and trainings that end without a false alarm."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from satpipe.engine.task import TaskContext
from satpipe.stages.gan.losses import LOSSES
from satpipe.stages.gan.stage import make_generator
from torch import nn


def test_hinge_loss_is_that_of_the_margin() -> None:
    real, fake = torch.randn(64), torch.randn(64)
    margin = nn.HingeEmbeddingLoss(margin=1.0)  # of input 1 - real: max(0, real side) with target -1
    expected = margin(real, -torch.ones(64)) + margin(-fake, -torch.ones(64))
    torch.testing.assert_close(LOSSES["hinge"].discriminator(real, fake), expected)
    torch.testing.assert_close(LOSSES["hinge"].generator(fake), -fake.mean())


def test_hinge_and_spectral_norm_train_to_the_end(context: Callable[..., TaskContext]) -> None:
    made = context(loss="hinge", discriminator_norm="spectral", images=256, checkpoint_images=64, restarts=0)
    metadata = make_generator(made)
    assert metadata["stopped"] == "length"
    assert metadata["restarts"] == []
    lines = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert any(line["loss_generator"] < 0.02 for line in lines) or min(line["loss_generator"] for line in lines) < 1


@pytest.mark.parametrize("loss", LOSSES)
def test_alarms_read_the_logits_and_not_the_loss(context: Callable[..., TaskContext], loss: str) -> None:
    made = context(loss=loss, images=64, checkpoint_images=32)
    make_generator(made)
    for line in map(json.loads, (made.out / "metrics.jsonl").read_text().splitlines()):
        assert line["cross_entropy_discriminator"] > 0
        if loss == "logistic":
            assert line["cross_entropy_discriminator"] == pytest.approx(line["loss_discriminator"], rel=1e-5)
            assert line["cross_entropy_generator"] == pytest.approx(line["loss_generator"], rel=1e-5)
