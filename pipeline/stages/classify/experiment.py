"""One arm of one split: read its chips, train, calibrate, predict, write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...config.run import ClassifyConfig
from ...dataset import scaling as scalings
from ...dataset.arms import Arm, parse
from ...dataset.chip_store import ChipStore, with_store_after
from ...dataset.split_chips import RealChips, class_indices
from ...dataset.tables import PREDICTIONS, SYNTHETIC
from ...engine.task import TaskContext
from ...models.classifier import SHIP_CONVNET, Architecture, Classifier, decide, run_blocks, softmax
from ...utils.errors import TooLittleDataError
from .calibrate import balanced_accuracy, fit_temperature, fit_threshold
from .train import ChipSet, Trained, train

HISTORY = "history.jsonl"
INDEX = "index.parquet"


@dataclass(frozen=True)
class SplitChips:
    """Real chips of a split.

    Attributes:
        rows: The split table with the class of each chip.
        chips: The chip store of the same chips.
        classes: Class names; the position is the class index.
    """

    rows: pd.DataFrame
    chips: ChipStore
    classes: tuple[str, ...]

    @classmethod
    def open(cls, context: TaskContext) -> SplitChips:
        """Read the tables of the task's inputs ``index`` and ``split``."""
        folders = context.folder("index"), context.folder("split")
        real = RealChips.open(*folders, context.store, context.config["classes"])
        classes = real.store.index["class"].iloc[real.store.positions(real.split["chip_id"])]
        rows = real.split.assign(**{"class": classes.astype("string").to_numpy(object)})
        return cls(rows, real.store, real.classes)

    def of(self, role: str) -> tuple[pd.DataFrame, ChipSet]:
        """Return rows and chips of one role, in the order of the split table."""
        rows = self.rows[self.rows["role"] == role].reset_index(drop=True)
        store = self.chips.of(rows["chip_id"])
        chips = store.pixels() if len(rows) else np.zeros((0, 1, 1, 1), np.uint8)
        labels = class_indices(rows["class"], self.classes)
        return rows, ChipSet(chips, labels, np.zeros(len(rows), bool))


def run_arm(context: TaskContext) -> dict[str, Any]:
    """Run one task of the experiment: the classifier of an arm, and its predictions on validation and test chips."""
    split = SplitChips.open(context)
    classifier, trained, metadata = fit(context, split)
    tables = []
    for role in ("validation", "test"):
        rows, chips = split.of(role)
        if len(rows):
            tables.append(predictions(classifier, rows, chips, context.config, role))
    PREDICTIONS.write(pd.concat(tables, ignore_index=True), context.out / "predictions.parquet")
    write(context.out, classifier, trained)
    return metadata


def run_final(context: TaskContext) -> dict[str, Any]:
    """Make the classifier of all labelled chips."""
    classifier, trained, metadata = fit(context, SplitChips.open(context))
    write(context.out, classifier, trained)
    return metadata


def fit(context: TaskContext, split: SplitChips) -> tuple[Classifier, Trained, dict[str, Any]]:
    """Train and calibrate the classifier of the job's arm.

    Raises:
        TooLittleDataError: If a class has no training chip.
    """
    arm, config = parse(context.config["arm"]), ClassifyConfig.model_validate(context.config["classify"])
    _, real = split.of("train")
    _, validation = split.of("validation")
    missing = [name for number, name in enumerate(split.classes) if not (real.labels == number).any()]
    if missing:
        raise TooLittleDataError(
            f"split {context.task.name} has no training chip of class {missing[0]}; use more labels, fewer folds"
            " or a larger split.fractions"
        )
    training = with_synthetic(real, context, arm, split.classes)
    scaling = scalings.fit(real.chips, **context.config["scaling"])
    size_px, bands = int(real.chips.shape[1]), int(real.chips.shape[3])
    architecture = Architecture(config.model or SHIP_CONVNET, bands, split.classes, size_px, config.base_channels)
    trained = train(
        training,
        validation,
        architecture,
        scaling,
        config,
        context.profile,
        augmentation=arm.augmentation,
        seed=training_seed(context.config),
        report=lambda step: context.progress.update(step, config.steps, "steps"),
    )
    network = trained.network.to("cpu")
    logits = run_blocks(network, scaling, validation.chips, config.orientations)
    temperature = fit_temperature(logits, validation.labels)
    probabilities = softmax(logits, temperature)
    threshold = fit_threshold(1.0 - probabilities[:, 0], validation.labels) if len(logits) else 0.5
    metadata = {
        "arm": arm.name,
        "profile": context.profile.as_json(),
        "steps": int(trained.history[-1]["step"]),
        "best_step": trained.step,
        "temperature": temperature,
        "threshold": threshold,
        "validation": _measures(decide(probabilities, threshold), validation.labels) if len(logits) else {},
        "training": counts(training, split.classes, synthetic=False),
        "synthetic": counts(training, split.classes, synthetic=True),
    }
    without = [name for name, number in counts(training, split.classes, synthetic=True).items() if not number]
    if arm.source is not None and without:
        metadata["note"] = f"no accepted synthetic chips of {', '.join(without)}: real chips are used instead"
    card = {name: metadata[name] for name in ("arm", "steps", "best_step", "validation", "training", "synthetic")}
    classifier = Classifier(architecture, network, scaling, temperature, threshold, card, config.orientations)
    return classifier, trained, metadata


def with_synthetic(real: ChipSet, context: TaskContext, arm: Arm, classes: tuple[str, ...]) -> ChipSet:
    """Return the training chips with the accepted synthetic chips of the arm, real ones first.

    Where some synthetic chips are composites, they alone are used: the other classes have real chips in plenty.
    """
    if arm.source is None:
        return real
    store = ChipStore.open(SYNTHETIC.read_bare, context.folder("synth") / INDEX, context.store)
    store = store.where(store.index["accepted"].to_numpy(bool))
    if store.has_masks.any():
        store = store.where(store.has_masks)
    if not len(store):
        return real
    labels = class_indices(store.index["class"], classes)
    if arm.shuffled:
        labels = shuffled(labels, len(classes), training_seed(context.config))
    is_synthetic = np.ones(len(labels), bool)
    return ChipSet(
        with_store_after(real.chips, store),
        np.concatenate([real.labels, labels]),
        np.concatenate([real.synthetic, is_synthetic]),
    )


def shuffled(labels: npt.NDArray[np.int64], classes: int, seed: int) -> npt.NDArray[np.int64]:
    """Return labels (N,) that tell nothing: as many of each class as before, or of all classes where there is one."""
    if len(np.unique(labels)) < 2:
        labels = np.arange(len(labels)) % classes
    return np.random.default_rng([seed, 6]).permutation(labels)


def training_seed(config: Mapping[str, Any]) -> int:
    """Return the seed of a training: the same for every arm of a split, so that arms differ in their chips alone."""
    fold, fraction, replicate = (config.get(name, 0) for name in ("fold", "fraction", "replicate"))
    words = [config["seed"], replicate, fold, round(1000 * fraction), 5]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def predictions(
    classifier: Classifier, rows: pd.DataFrame, chips: ChipSet, config: Mapping[str, Any], role: str
) -> pd.DataFrame:
    """Return the rows of the prediction table for the chips of one role."""
    predicted, scores = classifier.predict(chips.chips)
    names = np.array(classifier.architecture.classes)
    return PREDICTIONS.frame(
        pd.DataFrame(
            {
                "fold": config["fold"],
                "fraction": config["fraction"],
                "replicate": config["replicate"],
                "arm": config["arm"],
                "role": role,
                "chip_id": rows["chip_id"],
                "unit": rows["unit"],
                "class": rows["class"],
                "predicted": names[predicted],
                "score": scores,
                "threshold": classifier.threshold,
            }
        )
    )


def counts(chips: ChipSet, classes: tuple[str, ...], synthetic: bool) -> dict[str, int]:
    """Count the real or the synthetic chips by class name."""
    chosen = chips.labels[chips.synthetic == synthetic]
    return {name: int((chosen == number).sum()) for number, name in enumerate(classes)}


def _measures(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> dict[str, float]:
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
    }


def write(folder: Path, classifier: Classifier, trained: Trained) -> None:
    """Write weights, card and history."""
    classifier.save(folder)
    lines = [json.dumps(row, sort_keys=True) for row in trained.history]
    (folder / HISTORY).write_text("\n".join(lines) + "\n", "utf-8")
