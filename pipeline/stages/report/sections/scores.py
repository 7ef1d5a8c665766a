"""Worth of the scores: precision against recall, calibration, confusion, and what a random split would claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ....composition.surroundings import CROWDED, crowded
from ....utils.plural import plural
from ..gather import ReportData, json_lines
from ..html import blocks, figures
from ..html.drawing import number_of
from ..html.words import number, points, unit_name
from ..stats.curves import RECALLS, precision_at_recall, reliability
from .chips import scaling_of


def right_shares(data: ReportData) -> pd.DataFrame:
    """Return per test chip the share of replicates that are right, by arm: columns baseline, treatment, change."""
    rows, (baseline, treatment) = data.tested, data.two_arms
    rows = rows.assign(right=(rows["class"] == rows["predicted"]).astype(float))
    shares = rows.pivot_table(
        index=["fold", "chip_id", "unit", "class"], columns="arm", values="right", aggfunc="mean", observed=True
    )
    shares = shares[[baseline, treatment]].rename(columns={baseline: "baseline", treatment: "treatment"})
    return shares.assign(change=shares["treatment"] - shares["baseline"]).reset_index()


def section_scores(data: ReportData) -> blocks.Section:
    """Return precision-recall, calibration and confusion of the two arms of the verdict."""
    rows, background = data.tested, data.classes[0]
    section = blocks.Section("scores", "Precision, recall and calibration")
    precision, calibration = [], []
    for arm in data.two_arms:
        of_arm = rows[rows["arm"] == arm]
        series = number_of(arm, data.arms)
        curve = mean_precision(of_arm, background)
        precision.append(figures.Line(arm, RECALLS.tolist(), curve.tolist(), series))
        mean, share, count = reliability(
            (of_arm["class"] != background).to_numpy(bool), of_arm["score"].to_numpy(np.float64)
        )
        full = count > 0
        calibration.append(figures.Line(arm, mean[full].tolist(), share[full].tolist(), series, marked=True))
        section.data[arm] = {
            "precision_at_recall": dict(zip((f"{value:.2f}" for value in RECALLS[::10]), curve[::10], strict=True)),
            "reliability": {"score": mean.tolist(), "share": share.tolist(), "chips": count.tolist()},
        }
    diagonal = figures.Line("", [0.0, 1.0], [0.0, 1.0], 0, plain=True)
    objects = " or ".join(data.classes[1:])
    section.blocks = [
        blocks.figures(
            [
                blocks.figure(
                    "precision-recall",
                    figures.lines(
                        "precision-recall", "Precision against recall", precision, "recall", "precision", square=True
                    ),
                    f"Precision at each recall of {objects}: every threshold, not only the chosen one; mean of"
                    " replicates.",
                ),
                blocks.figure(
                    "calibration",
                    figures.lines(
                        "calibration", "Calibration", [*calibration, diagonal], "score", f"share that is {objects}",
                        square=True,
                    ),
                    "Calibration: of the chips with a score near 0.8, 80 % should be objects (thin line)."
                    " All replicates pooled.",
                ),
            ]
        ),
        confusion_table(data, rows),
    ]  # fmt: skip
    return section


MOST_MASKED = 2_000
"""Test objects whose surroundings are examined."""


def section_surroundings(data: ReportData) -> blocks.Section | None:
    """Return the recall of objects in the open and beside structures, by arm; None where the test lacks one of them."""
    rows = data.tested
    objects = rows[(rows["class"] != data.classes[0]).to_numpy()]
    chips = data.chips.of(objects["chip_id"].drop_duplicates().sort_values())
    chips = chips.where(chips.has_masks)
    chips = chips.take(np.linspace(0, len(chips) - 1, min(len(chips), MOST_MASKED)).astype(np.int64))
    if not len(chips):
        return None
    alphas = chips.masks().astype(np.float32) / np.float32(255)
    beside = pd.Series(crowded(chips.read(), alphas, scaling_of(data).width), index=chips.index["chip_id"])
    if beside.all() or not beside.any():
        return None
    with_surroundings = objects[objects["chip_id"].isin(beside.index)]
    with_surroundings = with_surroundings.assign(
        beside=beside.loc[with_surroundings["chip_id"]].to_numpy(),
        right=(with_surroundings["class"] == with_surroundings["predicted"]).to_numpy(float),
    )
    recall = with_surroundings.groupby(["arm", "beside"], observed=True)["right"].mean()
    places = {"open": False, "structures": True}
    values = {arm: {place: float(recall[arm, flag]) for place, flag in places.items()} for arm in data.arms}
    table = [blocks.row([arm, *map(number, shares.values())]) for arm, shares in values.items()]
    section = blocks.Section("surroundings", "Objects in the open and beside structures")
    shown = blocks.table(
        "Recall by surroundings",
        f"Share of {' or '.join(data.classes[1:])} chips that are recognised, mean of replicates: those with no"
        f" structures near them, and those with more than {100 * CROWDED:g} % edges in the ring around their mask, such"
        " as quays or other objects. Objects without a mask are left out.",
        ["Arm", f"in the open ({(~beside).sum()})", f"beside structures ({beside.sum()})"],
        table,
    )
    section.blocks, section.data = [shown], values
    return section


HISTORY = "history.jsonl"
CURVES = {
    "validation_balanced_accuracy": ("classifier-accuracy", "balanced accuracy"),
    "validation_loss": ("classifier-loss", "loss"),
}
"""What is drawn of the classifiers' trainings, by its name in their logs: name of the figure, and what it is called."""


def section_training(data: ReportData) -> blocks.Section | None:
    """Return the learning curves of the classifiers: each arm on validation chips, mean over its trainings."""
    splits = data.verdict_splits()
    logs = {
        arm: [line for split in splits if (folder := data.classifiers.get(f"{split.name}-{arm}")) is not None
              for line in json_lines(folder / HISTORY)]
        for arm in data.arms
    }  # fmt: skip
    drawings = []
    for key, (name, what) in CURVES.items():
        curves = []
        for arm, lines in logs.items():
            rows = pd.DataFrame(lines, columns=["step", key]).dropna()
            means = rows.groupby("step")[key].mean()
            if len(means) > 1:
                curves.append(
                    figures.Line(arm, means.index.tolist(), means.tolist(), number_of(arm, data.arms), marked=True)
                )
        if curves:
            svg = figures.lines(name, f"Classifiers: {what} while training", curves, "optimiser steps", what)
            drawings.append(blocks.figure(name, svg, f"{what.capitalize()} on validation chips while training."))
    if not drawings:
        return None
    section = blocks.Section("training", "How the classifiers learned")
    section.blocks = [
        blocks.text(
            f"Each arm, mean over {plural(len(splits), 'training')}: its folds and replicates at"
            f" {100 * data.answer['question']['fraction']:g} % of the labels. Validation chips are not test chips, so"
            " levels differ from the tables."
        ),
        blocks.figures(drawings),
    ]
    return section


def mean_precision(rows: pd.DataFrame, background: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return precision at fixed recalls, mean over replicates."""
    curves = [
        precision_at_recall(
            (of_replicate["class"] != background).to_numpy(bool), of_replicate["score"].to_numpy(np.float64)
        )
        for _, of_replicate in rows.groupby("replicate")
    ]
    return np.asarray(np.mean(curves, axis=0), dtype=np.float64)


def confusion_table(data: ReportData, rows: pd.DataFrame) -> blocks.Block:
    """Return chips by true and predicted class, mean of replicates, for both arms."""
    classes = data.classes
    table = []
    for arm in data.two_arms:
        of_arm = rows[rows["arm"] == arm]
        replicates = of_arm["replicate"].nunique()
        counts = of_arm.groupby(["class", "predicted"], observed=True).size()
        for true in classes:
            values = [counts.get((true, predicted), 0) / replicates for predicted in classes]
            total = sum(values)
            cells = [blocks.cell(f"{value:,.1f}", f"{100 * value / total:.1f} %" if total else "") for value in values]
            table.append(blocks.row([f"{arm}: {true}", *cells]))
    caption = "Confusion: test chips of each true class (rows) by predicted class (columns), mean of replicates."
    return blocks.table("Confusion", caption, ["True class", *(f"as {name}" for name in classes)], table)


def section_leakage(data: ReportData) -> blocks.Section | None:
    """Return the score of a random split beside the score of the group split."""
    random = data.answer.get("random_split")
    if not random:
        return None
    question, group = data.answer["question"], data.answer["arm_values"]
    arms = [arm for arm in random["values"] if arm in group and random["values"][arm] is not None]
    if not arms:
        return None
    section = blocks.Section("leakage", "What a random split would have claimed")
    arm = question["baseline"] if question["baseline"] in arms else arms[0]
    gap = random["values"][arm] - group[arm]
    rows = [
        blocks.row([arm, number(group[arm]), number(random["values"][arm]), points(random["values"][arm] - group[arm])])
        for arm in arms
    ]
    section.blocks = [
        blocks.text(
            f"Assigned at random instead of by {unit_name(data.config['split']['by'])}, {arm} scores"
            f" {number(random['values'][arm])} instead of {number(group[arm])}: {points(gap)} points. Chips of one"
            " scene resemble one another; if some are used for training and others for testing, the score says"
            " how well a"
            " classifier knows these scenes, not how well it does on new ones. The group split gives the honest figure."
        ),
        blocks.table(
            "Random split and group split",
            f"{question['title'].capitalize()} with {100 * random['fraction']:g} % of the labels: group split, mean of"
            f" {plural(data.answer['replicates'], 'replicate')}; random split, mean of"
            f" {plural(random['replicates'], 'replicate')}. Not part of the verdict.",
            ["Arm", "group split", "random split", "difference, points"],
            rows,
        ),
    ]
    section.data = dict(random)
    return section
