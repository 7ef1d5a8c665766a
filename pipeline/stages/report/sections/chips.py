"""Synthetic chips beside real ones."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import Any

import numpy as np

from ....dataset.chip_store import ChipStore, subsample
from ....dataset.contact_sheet import Pixels, to_rgb, viewable
from ....dataset.scaling import Scaling, fit
from ....engine.task import read_metadata
from ....utils.plural import plural
from ..gather import ReportData, Split, chosen_mask, of_role, sample, synthetic
from ..html import blocks
from ..html.pictures import tiles
from ..html.words import number
from ..stats.neighbours import nearest

SCALING_CHIPS = 256
COMPARED = 256
"""Synthetic chips of a class that are compared with all training chips."""
PAIRS = 6
NO_PICTURES = np.empty((0, 1, 1, 3), np.uint8)
GREY = 128
"""Behind an object that is shown alone."""


def scaling_of(data: ReportData) -> Scaling:
    """Return the scaling of all chips in the page, fitted on real ones, so that real and synthetic can be compared."""
    rows = np.random.default_rng([data.config["seed"], 2]).permutation(len(data.chips))[:SCALING_CHIPS]
    return fit(data.chips.read(np.sort(rows)), (1, 99))


def examples(data: ReportData, scaling: Scaling, label: str, count: int) -> tuple[Pixels, Pixels]:
    """Return real training chips and accepted synthetic chips (N, H, W, 3) of a class, folds in turn."""
    splits = [split for split in data.shown_splits() if split.synth is not None]
    share = -(-count // max(1, len(splits)))

    def drawn(chips: ChipStore | None, stream: int, split: Split) -> Pixels:
        seed = [data.config["seed"], stream, split.metadata["fold"]]
        chosen = None if chips is None else sample(chips, label, share, seed)
        return viewable(chosen.read(), scaling) if chosen is not None and len(chosen) else NO_PICTURES

    real = [drawn(of_role(data, split, "train"), 3, split) for split in splits]
    synthetic_chips = [drawn(synthetic(split, data.store), 4, split) for split in splits]
    return _in_turn(real)[:count], _in_turn(synthetic_chips)[:count]


def _in_turn(groups: list[Pixels]) -> Pixels:
    turns = zip_longest(*(list(group) for group in groups))
    pictures = [picture for turn in turns for picture in turn if picture is not None]
    return np.stack(pictures) if pictures else NO_PICTURES


def section_chips(data: ReportData, scaling: Scaling) -> blocks.Section | None:
    """Return real chips beside synthetic ones, class by class."""
    count = data.config["report"]["examples"]
    section = blocks.Section("chips", "What the synthetic chips look like")
    # The class that the question is about comes first, background last.
    for place, label in enumerate([*data.classes[1:], data.classes[0]]):
        real, synthetic_chips = examples(data, scaling, label, count)
        if not len(real) or not len(synthetic_chips):
            continue
        sides = [
            {"id": f"{kind}-{place}", "title": f"{kind.capitalize()}: {label}", "pictures": tiles(chips), "what": what}
            for kind, chips, what in (
                ("real", real, f"real training chip of class {label}"),
                ("synthetic", synthetic_chips, f"synthetic chip of class {label}"),
            )
        ]
        section.blocks += [blocks.heading(label), blocks.beside(sides, "")]
    if not section.blocks:
        return None
    section.blocks.insert(
        0,
        blocks.text(
            "Real chips that the generators were trained on, and synthetic chips that passed screening. All were"
            " drawn at random, none was hand-picked. Folds alternate, replicate"
            f" {data.shown_splits()[0].metadata['replicate']}."
        ),
    )
    section.blocks += composites(data, scaling)
    section.blocks += acceptance(data, section.data)
    section.blocks += nearest_chips(data, scaling, section.data)
    return section


def composites(data: ReportData, scaling: Scaling) -> list[blocks.Block]:
    """Return composites beside their mask, the object that it cuts out and, where it is known, the real background."""
    split = next((split for split in data.shown_splits() if split.synth is not None), None)
    chips_of_split = synthetic(split, data.store) if split is not None else None
    chips_of_split = chips_of_split.where(chips_of_split.has_masks) if chips_of_split is not None else None
    if chips_of_split is None or not len(chips_of_split):
        return []
    on_real = chips_of_split.index["background_id"].isin(data.chips.index["chip_id"]).to_numpy(bool)
    chips_of_split = chips_of_split.where(on_real) if on_real.any() else chips_of_split
    drawn = chips_of_split.where(chosen_mask(len(chips_of_split), PAIRS, [data.config["seed"], 10]))
    pictures, alphas = viewable(drawn.read(), scaling), drawn.masks()[..., None] / np.float32(255)
    cut_out = np.rint(alphas * pictures + (1 - alphas) * GREY).astype(np.uint8)
    columns = {
        "composite": pictures,
        "mask of the object": to_rgb((2 * alphas - 1).astype(np.float32)),
        "object alone": cut_out,
    }
    if on_real.any():
        grounds = data.chips.of(drawn.index["background_id"]).read()
        columns = {"real background in its scene": viewable(grounds, scaling), **columns}
    rows = zip(*(tiles(column) for column in columns.values()), strict=True)
    return [
        blocks.heading("How composites are made"),
        blocks.text(f"Left to right: {'; '.join(columns)}. Drawn at random from one split.{_windows(data)}"),
        blocks.rows(
            [
                {"pictures": list(zip(row, columns, strict=True)), "text": str(label)}
                for row, label in zip(rows, drawn.index["class"], strict=True)
            ]
        ),
    ]


def _windows(data: ReportData) -> str:
    """Return sentences on the windows that composites lie on beside the training chips, or nothing."""
    unlabelled, extra = (
        max((split.metadata.get(key, 0) for split in data.splits.values()), default=0)
        for key in ("unlabelled", "extra")
    )
    text = ""
    if extra:
        text += f" Backgrounds are training chips and up to {plural(extra, 'further window')} of their scenes."
    share = data.config["synth"]["unlabelled_share"]
    if unlabelled and share:
        text += (
            f" Of the objects that are not in the place of a labelled one, {100 * share:.0f} % lie on up to"
            f" {plural(unlabelled, 'window')} of scenes without labels; none of them shows ground on which the"
            " classifier is evaluated."
        )
    return text


def acceptance(data: ReportData, results: dict[str, Any]) -> list[blocks.Block]:
    """Return how many candidates were accepted, by class, and why others were not."""
    candidates, accepted, reasons = Counter[str](), Counter[str](), Counter[str]()
    for split in data.splits.values():
        metadata = read_metadata(split.synth) if split.synth is not None else {}
        candidates.update(metadata.get("candidates", {}))
        accepted.update(metadata.get("accepted", {}))
        reasons.update(metadata.get("reasons", {}))
    if not candidates:
        return []
    rows = [
        blocks.row([label, f"{count:,}", f"{accepted[label]:,}", f"{100 * accepted[label] / max(1, count):.0f} %"])
        for label, count in candidates.items()
    ]
    classes = {label: {"candidates": count, "accepted": accepted[label]} for label, count in candidates.items()}
    results["screening"] = {"classes": classes, "not_accepted": dict(reasons)}
    table = blocks.table(
        "Screening of synthetic chips",
        "Synthetic chips of the experiment's splits together: candidates, and what the screening accepted.",
        ["Class", "candidates", "accepted", "share"],
        rows,
    )
    why = [f"{reason}: {count:,}" for reason, count in sorted(reasons.items()) if count]
    return [table, *([blocks.text("Not accepted: " + "; ".join(why) + ".", quiet=True)] if why else [])]


def nearest_chips(data: ReportData, scaling: Scaling, results: dict[str, Any]) -> list[blocks.Block]:
    """Return synthetic chips beside their nearest training chips, the nearest of all."""
    split = next((chips_of_kind for chips_of_kind in data.shown_splits() if chips_of_kind.synth is not None), None)
    synthetic_chips = synthetic(split, data.store) if split is not None else None
    if split is None or synthetic_chips is None:
        return []
    train, held_out = (of_role(data, split, role) for role in ("train", "validation"))
    numbers = np.array([data.classes.index(name) for name in train.index["class"]], np.int64)
    training = train.read(subsample(numbers, train.read([0]).shape[1:]))
    entries: list[blocks.Block] = []
    results["nearest_correlation"] = {}
    for label in [*data.classes[1:], data.classes[0]]:
        drawn = sample(synthetic_chips, label, COMPARED, [data.config["seed"], 8])
        if not len(drawn):
            continue
        chips = drawn.read()
        where, correlation = nearest(chips, training)
        control = sample(held_out, label, COMPARED, [data.config["seed"], 9])
        median = float(np.median(correlation))
        real = float(np.median(nearest(control.read(), training)[1])) if len(control) else float("nan")
        results["nearest_correlation"][label] = {"synthetic": median, "real": real}
        closest = np.argsort(-correlation, kind="stable")[:PAIRS]
        pictures = [tiles(viewable(chips_of_kind[closest], scaling)) for chips_of_kind in (chips, training[where])]
        entries += [
            blocks.heading(f"Nearest training chips: {label}"),
            blocks.text(
                f"Of {plural(len(drawn), f'synthetic {label} chip')} the {len(closest)} nearest to a training chip"
                " (left), with that training chip (right): by the correlation of small grey thumbnails, the best of"
                " eight orientations. A copy would be close and look the same; faint chips can be close without being"
                f" copies. Median correlation with the nearest training chip: {number(median, 2)} of a synthetic chip,"
                f" {number(real, 2)} of a real chip held out of training."
            ),
            blocks.rows(
                [
                    {
                        "pictures": [(left, f"synthetic {label} chip"), (right, "its nearest training chip")],
                        "text": f"correlation {value:.2f}",
                    }
                    for left, right, value in zip(*pictures, correlation[closest], strict=True)
                ]
            ),
        ]
    return entries
