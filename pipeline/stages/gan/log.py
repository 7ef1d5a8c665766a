"""Log of a training: what it has measured, which generator is its best, and when it has gone wrong or far enough.

Pure logic on the lines of the log; :mod:`satpipe.stages.gan.train` acts on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MEASURES = (
    "loss_discriminator",
    "loss_generator",
    "logit_real",
    "logit_fake",
    "cross_entropy_discriminator",
    "cross_entropy_generator",
)
"""Means over the steps since the last evaluation. The cross-entropies are the logistic losses of the logits, whatever
loss is trained with: they say how sure the discriminator is, and alarms are stated in them."""

Line = dict[str, Any]
"""What one evaluation logs: `images`, losses, mean logits, and, with validation chips, `score` and `quality`."""

EVALUATIONS = 3
"""A side that wins, or a class that has collapsed, in so many evaluations in a row does so for good."""
WON = 0.02
"""Cross-entropy of a side that wins nearly always: the other one learns no more from it."""
GROWN = 0.5
"""Share of a training after which every class's chips should differ."""
LOWER = 0.5
"""Factor on the learning rate after a restart."""


@dataclass
class Log:
    """Measurements of a training so far; part of every checkpoint.

    Attributes:
        step: Steps done.
        lines: One per evaluation, as `metrics.jsonl` gets them.
        losses: Number of `images` and mean losses since the previous of them, as `losses.jsonl` gets them.
        best: The line of the best generator so far, or None before the first evaluation.
        restarts: One per restart: `images` at which it was needed, `reason`, `resumed_from` and `learning_rate`.
        stopped: Why the training ended, or None while it has not.
        ranks: How many processes trained together, where they were several.
    """

    step: int = 0
    lines: list[Line] = field(default_factory=list)
    losses: list[Line] = field(default_factory=list)
    best: Line | None = None
    restarts: list[dict[str, Any]] = field(default_factory=list)
    stopped: str | None = None
    ranks: list[int] = field(default_factory=list)


def as_text(lines: Sequence[Line]) -> str:
    """Return lines as JSON, one below the other."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def is_better(lines: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, images: int) -> bool:
    """Return whether the generator of the last evaluation replaces the best one; without scores it always does.

    One whose evaluation found a failure never replaces a sound one, whatever its score.

    Args:
        lines: All evaluations.
        best: The line of the best generator so far.
        images: Images of the whole training.
    """
    line = lines[-1]
    if best is None:
        return True
    if training_failure(lines, images) is not None:
        return False
    position = next(number for number, other in enumerate(lines) if other["images"] == best["images"])
    if training_failure(lines[: position + 1], images) is not None or "score" not in line:
        return True
    return float(line["score"]) < float(best.get("score", math.inf))


def training_failure(lines: Sequence[Mapping[str, Any]], images: int) -> str | None:
    """Return what is wrong at the last evaluation, or None.

    Args:
        lines: All evaluations up to this one.
        images: Images of the whole training.
    """
    line = lines[-1]
    losses = (line["loss_discriminator"], line["loss_generator"])
    if not all(math.isfinite(loss) for loss in losses):
        return "a loss is not a number"
    if line["cross_entropy_discriminator"] < WON:
        return "the discriminator wins"
    if line["cross_entropy_generator"] < WON:
        return "the generator wins"
    collapsed = collapse(lines, images)
    return None if collapsed is None else f"class {collapsed} has collapsed to few chips"


def collapse(lines: Sequence[Mapping[str, Any]], images: int) -> str | None:
    """Return a class whose chips at the last evaluation hardly differ, though they should by now, or None.

    At the start all chips are alike. That is a collapse where they differed before, or where :data:`GROWN` of the
    training is over.
    """
    late = lines[-1]["images"] >= GROWN * images
    for name in lines[-1].get("collapsed", ()):
        if late or any("collapsed" in line and name not in line["collapsed"] for line in lines[:-1]):
            return str(name)
    return None


def divergence(lines: Sequence[Mapping[str, Any]], images: int) -> str | None:
    """Return why a training cannot go on, or None: a loss that is no number, or one failure in all the last ones.

    Args:
        lines: All evaluations.
        images: Images of the whole training.
    """
    if not lines:
        return None
    last = training_failure(lines, images)
    if last is None or last == "a loss is not a number":
        return last
    recent = [training_failure(lines[:end], images) for end in range(len(lines), max(0, len(lines) - EVALUATIONS), -1)]
    return (
        f"{last}, {EVALUATIONS} evaluations in a row" if len(recent) == EVALUATIONS and set(recent) == {last} else None
    )


def over_trained(log: Log, patience_images: int | None) -> bool:
    """Return whether the score has not improved for ``patience_images``."""
    if patience_images is None or log.best is None or "score" not in log.best:
        return False
    return bool(log.lines[-1]["images"] - log.best["images"] >= patience_images)
