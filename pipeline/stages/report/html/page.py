"""The page: sections in the order in which a person asks, one HTML file, and the same in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ....dataset.contact_sheet import draw_sheet
from ....models.quality import mean_of
from ....utils.csv_safety import csv_escaped_table
from ..analysis import finite, write_json
from ..gather import Material
from ..schema import Report, json_schema
from ..sections.answer import arms_of, section_sure, section_where, verdict_figure
from ..sections.chips import examples, scaling_of, section_chips
from ..sections.data import section_counts, section_left_out
from ..sections.errors import contradicted, error_table, section_errors
from ..sections.gan import section_gan
from ..sections.labels import labels_text, section_labels
from ..sections.map import section_map
from ..sections.next_steps import section_next
from ..sections.run import section_run
from ..sections.scores import section_leakage, section_scores, section_training
from . import blocks, figures
from .glossary import section_words
from .pictures import png
from .words import NOT_ABOUT_GANS, number, plural, points, unit_name

TEMPLATES = Path(__file__).parent / "templates"
SHEET_COLUMNS = 6

WORDS = {
    "helps": ("▲", "It helps"),
    "hurts": ("▼", "It hurts"),
    "no detectable difference": ("=", "No detectable difference"),
    "too little data to tell": ("…", "Too little data to tell"),
}
FOOTER = "Made by satpipe. Accuracies, differences and intervals can be recomputed from predictions.parquet beside it."
SIMULATED = "The scenes were drawn by a program; these figures say nothing about real satellite imagery."


def sections(material: Material, libraries: Sequence[str]) -> list[blocks.Section]:
    """All sections that the run has material for."""
    scaling = scaling_of(material)
    found = [
        section_next(material),
        section_sure(material),
        section_where(material),
        section_labels(material),
        section_chips(material, scaling),
        section_gan(material),
        section_errors(material, scaling),
        section_scores(material, arms_of(material)),
        section_training(material, arms_of(material)),
        section_leakage(material),
        section_left_out(material),
        section_counts(material),
        section_map(material),
        section_words(material.answer, arms_of(material)),
        section_run(material, libraries),
    ]
    return [section for section in found if section is not None]


def training_chips(material: Material) -> str:
    """Return the number of real training chips of each class at the verdict's fraction, mean over splits."""
    fraction = material.answer["question"]["fraction"]
    splits = [one.metadata for one in material.splits.values() if math.isclose(one.metadata["fraction"], fraction)]
    means = mean_of([metadata.get("counts", {}).get("train", {}) for metadata in splits])
    return " + ".join(f"{means.get(name, 0):,.0f} {name}" for name in reversed(material.classes))


def key_figures(material: Material, gains: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, str]]:
    """Return the figures that stand directly below the verdict."""
    answer = material.answer
    question, found = answer["question"], answer["difference"]
    before, after = answer["values"][question["baseline"]], answer["values"][question["treatment"]]
    unit = unit_name(question["unit"])
    entries = [
        {
            "name": f"{question['title'].capitalize()}, {question['baseline']}",
            "value": number(before),
            "note": "the baseline",
        },
        {
            "name": f"{question['title'].capitalize()}, {question['treatment']}",
            "value": number(after),
            "note": "the treatment",
        },
        {
            "name": "Difference",
            "value": f"{points(found['estimate'])} points",
            "note": f"{100 * found['confidence']:g} % interval {points(found['low'])} to {points(found['high'])}",
        },
    ]
    if before < 1:
        share = 100 * found["estimate"] / (1 - before)
        entries.append(
            {
                "name": "Change of the remaining error",
                "value": f"{points(-share / 100, 0)} %",
                "note": f"of {number(1 - before)} that the baseline leaves",
            }
        )
    entries.append(
        {
            "name": "Smallest effect it could have found",
            "value": f"{number(100 * answer['detectable'], 1)} points" if answer["detectable"] else "–",
            "note": "8 times in 10",
        }
    )
    # The curve says nothing at its end, where the verdict may be; there the smallest fraction speaks.
    known = [gain for gain in gains if gain["gain"] < math.inf]
    if known:
        worth = min(known, key=lambda gain: (gain["fraction"] != question["fraction"], gain["fraction"]))
        entries.append(
            {
                "name": "Worth in labels",
                "value": labels_text(worth["gain"]),
                "note": f"with {100 * worth['fraction']:g} % of the labels, {worth['labels']:,.0f}",
            }
        )
    entries.append(
        {
            "name": "Rests on",
            "value": plural(answer["replicates"], "replicate"),
            "note": f"× {plural(answer['units'], f'test {unit}')}, {plural(answer['chips'], 'chip')},"
            f" {plural(answer['folds'], 'fold')}",
        }
    )
    entries.append(
        {
            "name": "Real training chips",
            "value": training_chips(material),
            "note": f"of a split, mean; {100 * question['fraction']:g} % of the labels",
        }
    )
    return entries


def environment() -> jinja2.Environment:
    """Templates that escape all text."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def stylesheet() -> Markup:
    """The style of all pages: our own file, not to be escaped."""
    return Markup((TEMPLATES / "page.css").read_text("utf-8"))


def render(material: Material, found: Sequence[blocks.Section], title: str) -> str:
    """The page as HTML; all text is escaped, figures are ours."""
    mark, word = WORDS[material.answer["verdict"]]
    failure, _, sentence = material.answer["sentence"].rpartition(NOT_ABOUT_GANS)
    gains: Sequence[Mapping[str, Any]] = next(
        (section.data.get("gains", []) for section in found if section.id == "labels"), []
    )
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            css=stylesheet(),
            answer=material.answer,
            sentence=sentence.strip(),
            verdict_figure=verdict_figure(material.answer),
            warning=f"{failure}{NOT_ABOUT_GANS}" if failure else None,
            mark=mark,
            word=word,
            key=key_figures(material, gains),
            simulated=SIMULATED if material.tables.get("simulated") else None,
            sections=found,
            footer=FOOTER,
        )
    )


def write(material: Material, libraries: Sequence[str], out: Path) -> dict[str, Any]:
    """Write report.html and figures/ to ``out`` and return the data of report.json."""
    title = material.config["report"]["title"] or f"Does GAN augmentation help? Run {material.config['name']}"
    found = sections(material, libraries)
    (out / "figures").mkdir()
    drawings = {"verdict": figures.verdict(material.answer)}
    for section in found:
        drawings |= section.figures()
    for name, drawing in drawings.items():
        (out / "figures" / f"{name}.svg").write_text(drawing + "\n", "utf-8")
    (out / "report.html").write_text(render(material, found, title), "utf-8")
    pictures = write_sheets(material, out / "figures")
    write_json(json_schema(), out / "report.schema.json")
    for name, table in (("labels-to-check", labels_to_check(material)), ("errors", error_table(material))):
        csv_escaped_table(table).to_csv(out / f"{name}.csv", index=False, float_format="%.4f", lineterminator="\n")
    return as_data(material, title, found, [*(f"{name}.svg" for name in drawings), *pictures])


def write_sheets(material: Material, folder: Path) -> list[str]:
    """Contact sheets of synthetic chips, one per class, named by class number; returns the file names."""
    scaling, count = scaling_of(material), material.config["report"]["examples"]
    names = []
    for position, label in enumerate(material.classes):
        _, made = examples(material, scaling, label, count)
        if len(made):
            names.append(f"synthetic-{position}.png")
            (folder / names[-1]).write_bytes(png(draw_sheet([made], SHEET_COLUMNS)))
    return names


def labels_to_check(material: Material) -> pd.DataFrame:
    """The chips whose labels somebody should look at, with where they are."""
    found = contradicted(material)
    places = material.chips.index[["chip_id", "scene_id", "row", "col"]]
    return found.merge(places, on="chip_id", how="left")


def as_data(material: Material, title: str, found: Sequence[blocks.Section], files: Sequence[str]) -> dict[str, Any]:
    """The data of report.json, checked against its published form."""
    data = {section.id: section.data for section in found}
    report = {
        "run": material.config["name"],
        "title": title,
        "simulated": bool(material.tables.get("simulated")),
        "answer": dict(material.answer),
        "gains": data.get("labels", {}).get("gains", []),
        "scores": data["scores"],
        "errors": data["errors"],
        "gan": data.get("gan"),
        "nearest": data.get("chips", {}).get("nearest_correlation", {}),
        "screening": data.get("chips", {}).get("screening"),
        "data": {
            **data["data"],
            **data["left-out"],
            "georeferenced_scenes": data.get("map", {}).get("georeferenced_scenes", 0),
        },
        "provenance": data["run"],
        "figures": sorted(f"figures/{name}" for name in files),
    }
    return Report.model_validate(finite(report)).model_dump(mode="json")
