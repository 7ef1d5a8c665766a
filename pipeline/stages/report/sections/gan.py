"""Quality of the GAN, and where it was over-trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

from PIL import Image

from ....dataset.names import LOSSES, METRICS
from ....engine.task import read_metadata
from ....models.quality import experiment_verdict, mean_of, narrow
from ....utils.plural import plural
from ..gather import ReportData, Split, json_lines
from ..html import blocks, figures
from ..html.pictures import webp_uri

History = Sequence[Mapping[str, Any]]
MEASURES = {
    "kid": "kernel distance",
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "diversity": "diversity",
    "copies": "copies",
}
"""Measures of quality and what people call them; others are shown by their own name."""
MEANINGS = (
    ("Kernel and Fréchet distance", ("How far apart the two sets of chips are overall. They are not KID and FID: the"
     " features are learned here and not on everyday photographs.")),
    ("Precision", "Share of the synthetic chips that lie in regions of real ones."),
    ("Recall", "Share of the real chips that lie in regions of synthetic ones: low if kinds of chips are missing."),
    ("Density", "Like precision, but a synthetic chip among many real ones counts more."),
    ("Coverage", "Like recall, but measured around real chips: low if kinds of chips are missing."),
    ("Diversity", "How much synthetic chips differ from one another; real ones of the class have 1."),
    ("Copies", "Share of the synthetic chips that are copies of a training chip, also flipped or rotated."),
)  # fmt: skip
"""The measures in words."""
ALL, MUCH = 0.9, 0.6
"""Shares of what a classifier learns from real chips from which synthetic ones show nearly all of it, or much."""
SHEETS = 4
LASTING = 3
"""Evaluations without a better one after which a training counts as over-trained."""


def section_gan(data: ReportData) -> blocks.Section | None:
    """Return curves of one generator per fold, quality by class, and the sample sheets of one training."""
    splits = [split for split in data.shown_splits() if split.gan is not None]
    histories = {split.name: json_lines(split.gan / METRICS) for split in splits if split.gan is not None}
    splits = [split for split in splits if histories.get(split.name)]
    if not splits:
        return None
    section = blocks.Section("gan", "How good the GAN is")
    generators = sum(split.gan is not None for split in data.splits.values())
    if (warning := experiment_verdict(list(chosen(data))).sentence) is not None:
        section.blocks.append(blocks.warning(warning))
    drawings = [score_figure(splits, histories)]
    drawings += [distance_figure(label, splits, histories) for label in [*data.classes[1:], data.classes[0]]]
    drawings += [loss_figure([json_lines(split.gan / LOSSES) for split in splits if split.gan is not None])]
    shown = [drawing for drawing in drawings if drawing is not None]
    text = f"{plural(generators, 'generator')}, one per split, each trained only on that split's training chips. "
    several = any(len(history) > 1 for history in histories.values())
    text += curves_in_words(splits[0].metadata["replicate"]) if several else "Each was evaluated once, at its end."
    section.blocks += [blocks.text(text), *([blocks.figures(shown)] if shown else [])]
    quality = mean_quality(data)
    if quality:
        section.blocks += [quality_table(quality, several), blocks.terms("What the measures mean", MEANINGS)]
        section.blocks += [
            blocks.text(missing_kinds(label, quality[label])) for label in quality if narrow(quality[label])
        ]
    usefulness = mean_usefulness(data)
    if "real_to_real" in usefulness:
        section.blocks += [
            usefulness_table(usefulness),
            blocks.text(usefulness_in_words(usefulness, len(data.classes))),
        ]
        why = ungraded_in_words(accepted_grades(data))
        section.blocks += [blocks.text(why, quiet=True)] if why else []
    section.blocks += alarms(data)
    section.blocks += sheets(splits[0])
    section.data = {"quality": quality, "usefulness": usefulness, "generators": generators, "best_images": _best(data)}
    return section


def curves_in_words(replicate: int) -> str:
    """Return what the curves of trainings show."""
    return (
        "The checkpoint used is the best on validation chips (ringed), not the last. Its score, lower is better, is"
        " the mean kernel distance of the classes plus twice the gap of a classifier trained only on its chips to an"
        " average precision of 1. A score that stays above the ring means over-training."
        f" The curves are those of replicate {replicate}."
    )


def missing_kinds(label: str, values: Mapping[str, float]) -> str:
    """Return that kinds of a class's real chips are missing among the generated ones."""
    return (
        f"Most kinds of real {label} chips are missing among the generated ones: recall is {values['recall']:.2f},"
        f" and {values['recall_floor']:.2f} for real training chips. More images or labels of such kinds may help."
    )


def _best(data: ReportData) -> dict[str, int]:
    return {
        split.name: int(metadata["best_images"])
        for split in data.splits.values()
        if split.gan is not None and "best_images" in (metadata := read_metadata(split.gan))
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def over_trained(history: History, best: int | None) -> str | None:
    """Return what to write at a training's best evaluation where :data:`LASTING` after it were worse, or None."""
    scores = {int(line["images"]): _number(line.get("score")) for line in history}
    reference = scores.get(best) if best is not None else None
    if reference is None or best is None:
        return None
    later = [score for images, score in scores.items() if images > best and score is not None]
    return "over-trained from here" if len(later) >= LASTING and min(later) > reference else None


def _curve(
    split: Split, series: int, histories: Mapping[str, History], value_of: Callable[[Mapping[str, Any]], Any]
) -> figures.Line | None:
    """Return a measure of a training over the images shown; None where it was not measured twice."""
    rows = [
        (float(line["images"]), value)
        for line in histories[split.name]
        if (value := _number(value_of(line))) is not None
    ]
    if len(rows) < 2:
        return None
    x, y = zip(*rows, strict=True)
    return figures.Line(f"fold {split.metadata['fold']}", x, y, series)


def distance_figure(label: str, splits: Sequence[Split], histories: Mapping[str, History]) -> blocks.Block | None:
    """Return kernel distance of a class over the training, and the floor of real chips."""
    curves, floors = [], []
    for series, split in enumerate(splits):
        metadata = read_metadata(split.gan) if split.gan is not None else {}
        floor = _number(metadata.get("quality", {}).get(label, {}).get("kid_floor"))
        floors += [floor] if floor is not None else []
        curve = _curve(split, series, histories, lambda line: line.get("quality", {}).get(label, {}).get("kid"))
        curves += [replace(curve, ringed=metadata.get("best_images"))] if curve is not None else []
    if not curves:
        return None
    if floors:
        last = max(max(curve.x) for curve in curves)
        curves.append(figures.Line("floor", [0.0, last], [fmean(floors)] * 2, plain=True))
    name = "gan-distance-" + "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in label)
    title = f"Kernel distance of {label} chips"
    caption = f"{title} to real validation chips; lower is better. Thin line: real training chips, the floor."
    return blocks.figure(name, figures.lines(name, title, curves, "real images shown", "kernel distance"), caption)


def score_figure(splits: Sequence[Split], histories: Mapping[str, History]) -> blocks.Block | None:
    """Return the score that chooses the checkpoint, and from where a training was over-trained."""
    curves, noted = [], False
    for series, split in enumerate(splits):
        curve = _curve(split, series, histories, lambda line: line.get("score"))
        if curve is not None:
            best = read_metadata(split.gan).get("best_images") if split.gan is not None else None
            note = None if noted else over_trained(histories[split.name], best)
            noted = noted or note is not None
            curves.append(replace(curve, ringed=best, note=note))
    if not curves:
        return None
    svg = figures.lines("gan-score", "Score while training", curves, "real images shown", "score")
    caption = "The score that chooses the checkpoint; lower is better. After over-training sets in, curves are paler."
    return blocks.figure("gan-score", svg, caption)


def loss_figure(histories: Sequence[History]) -> blocks.Block | None:
    """Return both losses, mean over the shown trainings, of which each is logged at the same numbers of images."""
    curves = []
    for series, (key, label) in enumerate((("loss_discriminator", "discriminator"), ("loss_generator", "generator"))):
        by_images: dict[float, list[float]] = {}
        for history in histories:
            for line in history:
                if (value := _number(line.get(key))) is not None:
                    by_images.setdefault(float(line["images"]), []).append(value)
        if len(by_images) > 1:
            places = sorted(by_images)
            curves.append(figures.Line(label, places, [fmean(by_images[place]) for place in places], series))
    if not curves:
        return None
    svg = figures.lines("gan-losses", "Losses while training", curves, "real images shown", "loss")
    return blocks.figure(
        "gan-losses", svg, "Losses of both networks, mean over the trainings shown; neither measures quality."
    )


def chosen(data: ReportData, stage: Literal["gan", "synth"] = "gan") -> Iterator[Mapping[str, Any]]:
    """Yield the metadata of the generators of the verdict's fraction, or of the synthetic chips that they made."""
    for split in data.verdict_splits():
        if (folder := getattr(split, stage)) is not None:
            yield read_metadata(folder)


def mean_quality(data: ReportData) -> dict[str, dict[str, float]]:
    """Return the quality of the chosen generators by class, mean over all splits of the verdict's fraction."""
    return mean_of([metadata.get("quality", {}) for metadata in chosen(data)])


def quality_table(quality: Mapping[str, Mapping[str, float]], curves: bool) -> blocks.Block:
    """Return quality by class, with the floor below each value; ``curves`` of one replicate may stand above it."""
    names = list(dict.fromkeys(name for values in quality.values() for name in values))
    columns = [*MEASURES, *sorted(set(names) - set(MEASURES))]
    names = [name for name in columns if name in names and not name.endswith("_floor")]
    rows = []
    for label, values in quality.items():
        cells: list[Any] = [label]
        for name in names:
            floor = values.get(f"{name}_floor")
            shown = shown_measure(name, values[name]) if name in values else "–"
            cells.append(blocks.cell(shown, f"real {shown_measure(name, floor)}" if floor is not None else ""))
        rows.append(blocks.row(cells))
    caption = (
        "The chosen generators against real validation chips, mean over splits"
        f"{' (the curves above are of one replicate)' if curves else ''}, in features learned on training chips;"
        " below each value that of real training chips instead of generated ones. Lower is better for both distances"
        " and for copies, higher for the others. A value better than the one below it does not mean that the chips are"
        " better than real ones, only that these features do not see the difference."
    )
    return blocks.table("GAN quality", caption, ["Class", *(MEASURES.get(name, name) for name in names)], rows)


ACCEPTED = "accepted_to_real"
WAYS = {
    "real_to_real": "real chips, tested on real ones",
    ACCEPTED: "accepted synthetic chips, tested on real ones",
    "synthetic_to_real": "synthetic chips as generated, tested on real ones",
    "real_to_synthetic": "real chips, tested on synthetic ones",
}
"""What a small classifier was trained on and tested on, by the name in report.json."""


def mean_usefulness(data: ReportData) -> dict[str, dict[str, float]]:
    """Return TSTR of generated chips, and the reverse, mean over all splits of the verdict's fraction."""
    grades = mean_of([metadata.get("usefulness", {}) for metadata in chosen(data)])
    accepted = accepted_grades(data)
    # A split where screening accepted no chip of some class has no grade, and the mean of the others would flatter.
    if accepted and all(accepted):
        grades[ACCEPTED] = mean_of(accepted)
    return {way: _grades(grade) for way, grade in grades.items()}


def accepted_grades(data: ReportData) -> list[Mapping[str, Any]]:
    """Return TSTR of accepted chips of each split that has screened chips; empty where a class has none to train on."""
    return [metadata.get("tstr", {}) for metadata in chosen(data, "synth") if metadata.get("screened")]


def ungraded_in_words(grades: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why accepted chips have no row in the table of usefulness, or None where they have one."""
    without = sum(not grade for grade in grades)
    if not without:
        return None
    return (
        f"In {without} of {plural(len(grades), 'split')} screening accepted no chips of some class, so there is no row"
        " for accepted chips: the mean of the other splits would be too optimistic."
    )


def _grades(grade: Mapping[str, Any]) -> dict[str, float]:
    each = {f"average precision, {label}": value for label, value in grade["average_precision"].items()}
    return {"balanced accuracy": grade["balanced_accuracy"], **each}


def usefulness_table(usefulness: Mapping[str, Mapping[str, float]]) -> blocks.Block:
    """Train on synthetic, test on real, and the reverse."""
    names = list(dict.fromkeys(name for grades in usefulness.values() for name in grades))
    rows = [
        blocks.row([text, *(f"{usefulness[way][name]:.3f}" if name in usefulness[way] else "–" for name in names)])
        for way, text in WAYS.items()
        if way in usefulness
    ]
    caption = (
        "A small classifier is trained only on one kind of chips and tested on the other; real test chips are those of"
        " validation. The closer the accepted chips, those that classifiers are trained on, come to the"
        " real ones, the more of the classes they show. A low last row means that chips have wrong labels. For"
        " composites, the same backgrounds without objects are the background class. Mean over splits."
    )
    return blocks.table("Train on synthetic, test on real", caption, ["Trained on", *names], rows)


def usefulness_in_words(usefulness: Mapping[str, Mapping[str, float]], classes: int) -> str:
    """Return what the table of usefulness comes to, as a share of what real chips reach above chance."""
    way, kind = (ACCEPTED, "accepted synthetic") if ACCEPTED in usefulness else ("synthetic_to_real", "synthetic")
    real, synthetic = usefulness["real_to_real"]["balanced accuracy"], usefulness[way]["balanced accuracy"]
    text = (
        f"A classifier trained only on {kind} chips has a balanced accuracy of {synthetic:.3f} on real ones, one"
        f" trained on real chips {real:.3f}"
    )
    chance = 1 / classes
    if real <= chance:
        return f"{text}: no better than chance, so this says nothing about the generator."
    share = max(0.0, (synthetic - chance) / (real - chance))
    word = "nearly all" if share >= ALL else "much" if share >= MUCH else "little"
    return f"{text}. Above chance ({chance:.2g}) that is {100 * share:.0f} %: they show {word} of it."


def shown_measure(name: str, value: float) -> str:
    """Return a measure of quality as it is shown."""
    return f"{100 * value:.1f} %" if name == "copies" else f"{value:.3g}"


def alarms(data: ReportData) -> list[blocks.Block]:
    """Return how many chosen generators collapsed on a class, and how many trainings were restarted."""
    collapsed: dict[str, int] = {}
    restarts = restarted = 0
    for split in data.splits.values():
        if split.gan is None:
            continue
        metadata = read_metadata(split.gan)
        restarts += len(metadata.get("restarts", []))
        restarted += bool(metadata.get("restarts"))
        chosen = [line for line in json_lines(split.gan / METRICS) if line["images"] == metadata.get("best_images")]
        for label in chosen[-1].get("collapsed", []) if chosen else []:
            collapsed[label] = collapsed.get(label, 0) + 1
    lines = []
    if collapsed:
        counted = "; ".join(f"{label}: {plural(count, 'generator')}" for label, count in sorted(collapsed.items()))
        lines.append(f"Mode collapse (chips of a class hardly differ from one another): {counted}.")
    if restarts:
        lines.append(
            f"{plural(restarted, 'training')} diverged and resumed from a good checkpoint,"
            f" {plural(restarts, 'time')} in all."
        )
    return [blocks.text(" ".join(lines))] if lines else []


def sheets(split: Split) -> list[blocks.Block]:
    """Return a few sample sheets of one training, early to late; the latents are the same in each."""
    paths = sorted((split.gan / "sheets").glob("*.png")) if split.gan is not None else []
    if not paths:
        return []
    last = len(paths) - 1
    chosen = sorted({round(last * step / max(1, SHEETS - 1)) for step in range(SHEETS)})
    entries = []
    for position in chosen:
        stem = paths[position].stem
        label = f"after {int(stem):,} images" if stem.isdigit() else stem
        with Image.open(paths[position]) as image:
            content = webp_uri(image.convert("RGB"))
        entries.append(blocks.sheet(content, f"Generated chips {label}", label[:1].upper() + label[1:]))
    return [
        blocks.heading("While it trained"),
        blocks.text(f"The same latent vectors and labels at each evaluation ({split.name}); rows by class."),
        blocks.sheets(entries),
    ]
