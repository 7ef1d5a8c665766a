"""How good the GAN is, and where it was over-trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from . import blocks, figures
from .gather import Material, Split, curve, facts_of
from .pictures import data_uri
from .words import plural

LOSSES = {"loss_discriminator": "discriminator", "loss_generator": "generator"}
TITLES = {
    "score": "score (lower is better)",
    "kid": "kernel distance",
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
SHEETS = 4


def section_gan(material: Material) -> blocks.Section | None:
    """Curves of one generator per fold, quality by class, and the sample sheets of one training."""
    splits = [split for split in material.shown_splits() if split.gan is not None]
    histories = {split.name: curve(split.gan) for split in splits if split.gan is not None}
    histories = {name: lines for name, lines in histories.items() if lines}
    if not histories:
        return None
    section = blocks.Section("gan", "How good the GAN is")
    generators = sum(split.gan is not None for split in material.splits.values())
    section.blocks.append(
        blocks.text(
            f"{plural(generators, 'generator')} were trained, one per split, on that split's training chips. The one"
            " used is the best on validation chips, not the last; a curve that rises after the dotted line shows"
            f" over-training. Shown are those of replicate {splits[0].facts['replicate']}."
        )
    )
    drawn = [drawing for name in ("score", *LOSSES) if (drawing := _over_training(name, histories, splits)) is not None]
    section.blocks += [blocks.figures(drawn)] if drawn else []
    quality = quality_table(material)
    section.blocks += [quality] if quality else []
    section.blocks += sheets(splits[0])
    return section


def _over_training(name: str, histories: Mapping[str, Sequence[Mapping[str, Any]]], splits: Sequence[Split]) -> Any:
    curves = [
        figures.Line(f"fold {split.facts['fold']}", x, y, series)
        for series, split in enumerate(splits)
        if split.name in histories
        for x, y in [_series(histories[split.name], name)]
        if len(x) > 1
    ]
    if not curves:
        return None
    title = TITLES.get(name, f"loss of the {LOSSES.get(name, name)}")
    marks = {}
    if len(curves) == 1 and name == "score":
        best = facts_of(splits[0].gan)["best_images"] if splits[0].gan is not None else None
        marks = {"used": best} if best is not None else {}
    svg = figures.lines(f"gan-{name.replace('_', '-')}", title, curves, "real images shown", title, marks)
    return blocks.figure(f"gan-{name.replace('_', '-')}", svg, f"{title[:1].upper() + title[1:]} while training.")


def _series(lines: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    rows = [(float(line["images"]), float(line[name])) for line in lines if isinstance(line.get(name), (int, float))]
    return [x for x, _ in rows], [y for _, y in rows]


def quality_table(material: Material) -> blocks.Block | None:
    """Quality of the chosen generators by class, mean over all splits of the verdict's fraction."""
    fraction = material.answer["question"]["fraction"]
    found: dict[str, dict[str, list[float]]] = {}
    for split in material.splits.values():
        if split.gan is None or abs(split.facts["fraction"] - fraction) > 1e-9:
            continue
        for label, values in facts_of(split.gan).get("quality", {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    found.setdefault(label, {}).setdefault(name, []).append(float(value))
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    if not names:
        return None
    rows = [
        blocks.row([label, *(f"{fmean(values[name]):.3g}" if name in values else "–" for name in names)])
        for label, values in found.items()
    ]
    caption = (
        "Quality of the chosen generators against real validation chips, in features learned on training chips; mean"
        " over splits. A floor is what real chips score against other real chips."
    )
    return blocks.table("GAN quality", caption, ["Class", *(TITLES.get(name, name) for name in names)], rows)


def sheets(split: Split) -> list[blocks.Block]:
    """A few sample sheets of one training, early to late; the latents are the same in each."""
    found = sorted((split.gan / "sheets").glob("*.png")) if split.gan is not None else []
    if not found:
        return []
    last = len(found) - 1
    chosen = sorted({round(last * step / max(1, SHEETS - 1)) for step in range(SHEETS)})
    entries: list[blocks.Block] = [
        blocks.heading("While it trained"),
        blocks.text(f"The same latent vectors and labels at each look, {split.name}; rows are classes in order."),
    ]
    for position in chosen:
        images = int(found[position].stem) if found[position].stem.isdigit() else None
        label = f"after {images:,} images" if images is not None else found[position].stem
        content = data_uri(found[position].read_bytes())
        entries.append(blocks.sheet(content, f"Sample sheet {label}", label[:1].upper() + label[1:]))
    return entries
