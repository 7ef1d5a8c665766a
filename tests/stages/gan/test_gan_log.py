"""When a training is better, ill, diverged, over-trained; and that it goes back and goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from fixtures.gan_project import digests
from fixtures.ranks import setting
from satpipe.config.gan_presets import PRESETS
from satpipe.engine.task import TaskContext
from satpipe.models.device import Profile
from satpipe.models.generator import load
from satpipe.stages.gan import train
from satpipe.stages.gan.batches import Batches
from satpipe.stages.gan.log import Log, divergence, is_better, over_trained
from satpipe.stages.gan.losses import LOSSES, Loss
from satpipe.stages.gan.stage import make_generator
from satpipe.stages.gan.step import Networks
from satpipe.stages.gan.training_config import TrainingConfig
from satpipe.stages.gan.utility import Sampler, whole_sampler
from satpipe.utils.errors import TrainingError

MakeContext = Callable[..., TaskContext]


def line(
    images: int = 100, loss: float = 1.2, score: float | None = 1.0, collapsed: tuple[str, ...] = ()
) -> dict[str, Any]:
    losses: dict[str, Any] = {"loss_discriminator": loss, "loss_generator": 0.8}
    losses |= {name.replace("loss", "cross_entropy"): value for name, value in losses.items()}
    return {"images": images} | losses | {"collapsed": list(collapsed)} | ({} if score is None else {"score": score})


FINE, WON, LOST, COLLAPSED, NAN = (
    line(),
    line(loss=0.001),
    line() | {"cross_entropy_generator": 0.001},
    line(collapsed=("ship",)),
    line(loss=math.nan),
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([FINE], None),
        ([WON, WON], None),
        ([WON, WON, WON], "the discriminator wins"),
        ([LOST, LOST, LOST], "the generator wins"),
        ([LOST, WON, LOST], None),
        ([WON, FINE, WON], None),
        ([FINE, COLLAPSED, COLLAPSED, COLLAPSED], "class ship has collapsed"),
        ([COLLAPSED, WON, COLLAPSED], None),
        ([NAN], "not a number"),
        ([NAN, FINE], None),
    ],
)
def test_divergence_is_what_lasts_and_what_is_no_number(lines: list[dict[str, Any]], expected: str | None) -> None:
    found = divergence(lines, 100)
    assert found is None if expected is None else found is not None and expected in found


def test_alike_chips_are_a_collapse_from_half_of_the_training_on() -> None:
    alike = [line(images, collapsed=("ship",)) for images in (100, 200, 300, 400, 500, 600, 700)]
    assert divergence(alike[:4], 1000) is None
    assert divergence(alike[:6], 1000) is None
    assert "class ship has collapsed" in str(divergence(alike, 1000))


def test_a_class_that_loses_its_variety_early_has_collapsed() -> None:
    lines = [line(100, collapsed=("ship",)), line(200), *(line(at, collapsed=("ship",)) for at in (300, 400, 500))]
    assert divergence(lines[:4], 10_000) is None
    assert "class ship has collapsed" in str(divergence(lines, 10_000))


@pytest.mark.parametrize(
    ("score", "best", "better"),
    [(1.0, 2.0, True), (2.0, 1.0, False), (1.0, 1.0, False), (None, 1.0, True), (math.nan, 1.0, False)],
)
def test_the_best_has_the_lowest_score_or_is_the_last_one(score: float | None, best: float, better: bool) -> None:
    lines = [line(100, score=best), line(200, score=score)]
    assert is_better(lines, lines[0], 1000) is better
    assert is_better(lines, None, 1000)


@pytest.mark.parametrize(
    "ill", [{"cross_entropy_discriminator": 0.001}, {"cross_entropy_generator": 0.001}, {"collapsed": ["ship"]}]
)
def test_an_evaluation_with_a_failure_is_never_the_best(ill: dict[str, Any]) -> None:
    sound, wrong = line(600, score=2.0), line(700, score=1.0) | ill
    assert not is_better([sound, wrong], sound, 1000)
    assert is_better([wrong, line(800, score=3.0)], wrong, 1000)


@pytest.mark.parametrize(("patience", "stops"), [(None, False), (400, True), (401, False)])
def test_patience_counts_images_since_the_best_look(patience: int | None, stops: bool) -> None:
    log = Log(lines=[line(100), line(500)], best=line(100))
    assert over_trained(log, patience) is stops


def test_a_training_past_its_best_stops_and_says_so(context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    made = context(images=640, patience_images=64)
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    evaluate = "satpipe.stages.gan.evaluate.Evaluator.evaluate"
    monkeypatch.setattr(evaluate, lambda self, sampler, labels=None: {"score": next(scores)})
    metadata = make_generator(made)
    assert (metadata["stopped"], metadata["best_images"], metadata["images"]) == ("patience", 64, 128)


def poison(monkeypatch: pytest.MonkeyPatch, at: set[int], once: bool = True) -> None:
    """Make the losses of some steps no numbers, and the weights with them."""
    step = train.train_step

    def poisoned(setting: TrainingConfig, networks: Networks, number: int, device: torch.device) -> torch.Tensor:
        losses = step(setting, networks, number, device)
        if number in at:
            if once:
                at.discard(number)
            with torch.no_grad():
                next(networks.generator.parameters()).fill_(math.nan)
            return losses * math.nan
        return losses

    monkeypatch.setattr(train, "train_step", poisoned)


def test_a_diverged_training_goes_back_and_records_the_change(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(learning_rate=2e-4)
    poison(monkeypatch, {6})
    metadata = make_generator(made)
    assert metadata["restarts"] == [
        {"images": 64, "reason": "a loss is not a number", "resumed_from": 32, "learning_rate": 1e-4}
    ]
    lines = [json.loads(text) for text in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images"] for entry in lines] == [32, 64]
    assert all(math.isfinite(entry["loss_generator"]) for entry in lines)


def test_a_training_that_keeps_diverging_fails_with_a_sentence(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(restarts=1)
    poison(monkeypatch, {6}, once=False)
    with pytest.raises(TrainingError, match=r"gan/fold0-f100-r0: .* diverged at 64 images .* after 1 restart"):
        make_generator(made)


def test_a_kill_after_a_restart_changes_no_byte(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, killed = context("whole", images=96), context("killed", images=96)
    with monkeypatch.context() as patch:
        poison(patch, {6})
        make_generator(whole)
    with monkeypatch.context() as patch:
        poison(patch, {6})
        step = train.train_step
        seen = []

        def dies(setting: TrainingConfig, networks: Networks, number: int, device: torch.device) -> torch.Tensor:
            seen.append(number)
            if seen.count(5) == 2:
                raise KeyboardInterrupt
            return step(setting, networks, number, device)

        patch.setattr(train, "train_step", dies)
        with pytest.raises(KeyboardInterrupt):
            make_generator(killed)
    make_generator(killed)
    assert digests(killed.out) == digests(whole.out)


def test_what_a_device_may_lack_stays_on_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Apple's MPS knows no float64; a tensor that is moved there must not be one."""
    made = setting(tmp_path, preset="dcgan-lowdata")
    shown: list[Any] = []
    monkeypatch.setattr(
        "satpipe.stages.gan.step.learn", lambda setting, networks, there, penalised: shown.append(there)
    )
    train.train_step(made, train.start(made, torch.device("cpu")), 0, torch.device("meta"))
    there: list[torch.Tensor] = []
    shown[0].each(lambda tensor: there.append(tensor) or tensor)
    assert {tensor.dtype for tensor in there if tensor.device.type == "meta"} == {torch.float32, torch.int64}
    assert [tensor.dtype for tensor in there if tensor.device.type == "cpu"] == [torch.float64]


def test_a_discriminator_that_wins_fails_with_a_sentence(context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    made = context(**FAST, restarts=1)
    still = LOSSES["logistic"]._replace(generator=without_gradient(LOSSES["logistic"].generator))
    monkeypatch.setitem(LOSSES, "logistic", still)
    with pytest.raises(TrainingError, match=r"the discriminator wins, 3 evaluations in a row\) after 1 restart; lower"):
        make_generator(made)


def test_a_generator_that_wins_for_good_fails_with_a_sentence(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(**FAST, restarts=1)
    loss = LOSSES["logistic"]
    still = without_gradient(loss.discriminator)

    def fooled(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        wish = loss.generator(fake)
        return still(real, fake) + wish - wish.detach()

    monkeypatch.setitem(LOSSES, "logistic", Loss(fooled, loss.generator))
    with pytest.raises(TrainingError, match=r"the generator wins, 3 evaluations in a row\) after 1 restart; lower"):
        make_generator(made)


def test_the_learning_rate_is_lower_after_a_restart() -> None:
    preset = replace(PRESETS["dcgan-lowdata"], learning_rate=4e-4, decay=0.5, images=1600, batch=16)
    setting = cast("TrainingConfig", SimpleNamespace(preset=preset, steps=100))
    rates = [train.learning_rate(setting, Log(step=step)) for step in (0, 49, 50, 75, 99)]
    assert rates == pytest.approx([4e-4, 4e-4, 4e-4, 2e-4, 4e-4 / 50])
    restarted = Log(step=75, restarts=[{"learning_rate": 1e-4}])
    assert train.learning_rate(setting, restarted) == pytest.approx(0.5e-4)
    steady = cast("TrainingConfig", SimpleNamespace(preset=replace(preset, decay=0.0), steps=100))
    assert train.learning_rate(steady, Log(step=99)) == 4e-4


@pytest.mark.parametrize(
    ("steps", "every", "looks"),
    [(100, 25, [25, 50, 75, 100]), (101, 25, [25, 50, 75, 101]), (113, 25, [25, 50, 75, 100, 113]), (10, 25, [10])],
)
def test_evaluations_come_regularly_and_at_the_end(steps: int, every: int, looks: list[int]) -> None:
    preset = replace(PRESETS["dcgan-lowdata"], images=16 * steps, batch=16)
    profile, batches = Profile(), cast("Batches", None)
    setting = TrainingConfig(preset, batches, (32, 32, 3), 2, profile, 16 * every, None, 0, Path())
    assert [step for step in range(1, steps + 1) if setting.evaluates_at(step)] == looks


FAST: dict[str, Any] = {
    "images": 2000,
    "checkpoint_images": 40,
    "learning_rate": 0.01,
    "r1": 0,
    "patience_images": None,
}
"""Long enough, and at a rate at which one side wins within a few looks."""


def without_gradient(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same loss, from which nothing is learned: one side stands still while the other learns for real."""
    return lambda *logits: loss(*logits).detach() + 0 * sum(logit.sum() for logit in logits)


def collapse_generator(monkeypatch: pytest.MonkeyPatch, steps: Callable[[int], bool]) -> None:
    """Cut the latent off in some steps, so that each class becomes one chip for every latent."""
    step = train.train_step

    def collapsing(setting: TrainingConfig, networks: Networks, number: int, device: torch.device) -> torch.Tensor:
        losses = step(setting, networks, number, device)
        if steps(number):
            with torch.no_grad():
                networks.generator.entry.weight.zero_()
                networks.average.entry.weight.zero_()
        return losses

    monkeypatch.setattr(train, "train_step", collapsing)
    monkeypatch.setattr(
        "satpipe.stages.gan.evaluate.COLLAPSED", 1e-3
    )  # so short a training leaves little variety anyway


def test_a_collapsed_generator_restarts_from_a_checkpoint(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(images=160, checkpoint_images=16)
    seen: list[int] = []

    def first_time(number: int) -> bool:
        seen.append(number)
        return number >= 4 and seen.count(number) == 1 and seen.count(0) + seen.count(4) == 2 and number < 10

    collapse_generator(monkeypatch, first_time)
    metadata = make_generator(made)
    (restart,) = metadata["restarts"]
    assert "has collapsed to few chips, 3 evaluations in a row" in restart["reason"]
    assert (restart["images"], restart["resumed_from"], metadata["images"]) == (80, 32, 160)
    lines = [json.loads(text) for text in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert not any(entry["collapsed"] for entry in lines)


def test_a_generator_without_variety_fails_with_a_sentence(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(images=160, checkpoint_images=16, restarts=1)
    collapse_generator(monkeypatch, lambda number: True)
    with pytest.raises(TrainingError, match=r"at 112 images \(class .* has collapsed .*\) after 1 restart"):
        make_generator(made)


def test_the_saved_generator_is_the_best_one(context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = {"score": 1.0, "quality": {}, "collapsed": []}
    looks = iter([sound, sound | {"score": 2.0}, *([sound | {"score": 0.5, "collapsed": ["ship"]}] * 2)])
    seen = []

    def evaluate(self: object, sampler: Sampler, labels: object = None) -> dict[str, Any]:
        seen.append(sampler(1, 4, 0))
        return next(looks)

    monkeypatch.setattr("satpipe.stages.gan.evaluate.Evaluator.evaluate", evaluate)
    made = context(images=128)
    metadata = make_generator(made)
    assert (metadata["best_images"], metadata["images"]) == (32, 128)
    np.testing.assert_array_equal(whole_sampler(load(made.out).network)(1, 4, 0), seen[0])
