"""When a training is better, ill, diverged, over-trained; and that it goes back and goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_toy import digests

from pipeline.errors import TrainingError
from pipeline.gan import train
from pipeline.gan.course import Log, divergence, is_better, over_trained
from pipeline.gan.stage import make_generator
from pipeline.parts import Job

MakeJob = Callable[..., Job]


def line(
    images: int = 100, loss: float = 1.2, score: float | None = 1.0, collapsed: tuple[str, ...] = ()
) -> dict[str, Any]:
    made: dict[str, Any] = {"images": images, "loss_discriminator": loss, "loss_generator": 0.8}
    return made | {"collapsed": list(collapsed)} | ({} if score is None else {"score": score})


FINE, WON, COLLAPSED, NAN = line(), line(loss=0.001), line(collapsed=("ship",)), line(loss=math.nan)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([FINE], None),
        ([WON, WON], None),
        ([WON, WON, WON], "the discriminator wins"),
        ([WON, FINE, WON], None),
        ([FINE, COLLAPSED, COLLAPSED, COLLAPSED], "class ship has collapsed"),
        ([COLLAPSED, WON, COLLAPSED], None),
        ([NAN], "not a number"),
        ([NAN, FINE], None),
    ],
)
def test_divergence_is_what_lasts_and_what_is_no_number(lines: list[dict[str, Any]], expected: str | None) -> None:
    found = divergence(lines)
    assert found is None if expected is None else found is not None and expected in found


@pytest.mark.parametrize(
    ("score", "best", "better"),
    [(1.0, 2.0, True), (2.0, 1.0, False), (1.0, 1.0, False), (None, 1.0, True), (math.nan, 1.0, False)],
)
def test_the_best_has_the_lowest_score_and_without_scores_the_last_one_is(
    score: float | None, best: float, better: bool
) -> None:
    assert is_better(line(score=score), line(score=best)) is better
    assert is_better(line(score=score), None)


@pytest.mark.parametrize(("patience", "stops"), [(None, False), (400, True), (401, False)])
def test_patience_counts_images_since_the_best_look(patience: int | None, stops: bool) -> None:
    log = Log(lines=[line(100), line(500)], best=line(100))
    assert over_trained(log, patience) is stops


def test_a_training_past_its_best_stops_and_says_so(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(images=640, patience_images=64)
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("pipeline.gan.judge.Judge.look", lambda self, network: {"score": next(scores)})
    facts = make_generator(made)
    assert (facts["stopped"], facts["best_images"], facts["images"]) == ("patience", 64, 128)


def poison(monkeypatch: pytest.MonkeyPatch, at: set[int], once: bool = True) -> None:
    """Make the losses of some steps no numbers, and the weights with them."""
    step = train.train_step

    def poisoned(setting: train.Setting, networks: train.Networks, number: int, device: torch.device) -> torch.Tensor:
        losses = step(setting, networks, number, device)
        if number in at:
            if once:
                at.discard(number)
            with torch.no_grad():
                next(networks.generator.parameters()).fill_(math.nan)
            return losses * math.nan
        return losses

    monkeypatch.setattr(train, "train_step", poisoned)


def test_a_diverged_training_goes_back_and_records_the_change(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job()
    poison(monkeypatch, {6})
    facts = make_generator(made)
    assert facts["restarts"] == [
        {"images": 64, "reason": "a loss is not a number", "resumed_from": 32, "learning_rate": 1e-4}
    ]
    lines = [json.loads(text) for text in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images"] for entry in lines] == [32, 64]
    assert all(math.isfinite(entry["loss_generator"]) for entry in lines)


def test_a_training_that_keeps_diverging_fails_with_a_sentence(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(restarts=1)
    poison(monkeypatch, {6}, once=False)
    with pytest.raises(TrainingError, match=r"gan/fold0-f100-r0: .* diverged at 64 images .* after 1 restarts"):
        make_generator(made)


def test_a_kill_after_a_restart_changes_no_byte(job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, killed = job("whole", images=96), job("killed", images=96)
    with monkeypatch.context() as patch:
        poison(patch, {6})
        make_generator(whole)
    with monkeypatch.context() as patch:
        poison(patch, {6})
        step = train.train_step
        seen = []

        def dies(setting: train.Setting, networks: train.Networks, number: int, device: torch.device) -> torch.Tensor:
            seen.append(number)
            if seen.count(5) == 2:
                raise KeyboardInterrupt
            return step(setting, networks, number, device)

        patch.setattr(train, "train_step", dies)
        with pytest.raises(KeyboardInterrupt):
            make_generator(killed)
    make_generator(killed)
    assert digests(killed.out) == digests(whole.out)
