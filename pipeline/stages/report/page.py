"""Page: sections in the order in which a person asks, one HTML file, and the same in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ...dataset.contact_sheet import draw_sheet
from ...models.quality import mean_of
from ...utils.csv_safety import csv_escaped_table
from ...utils.plural import plural
from .analysis import finite, write_json
from .gather import ReportData
from .html import blocks, figures
from .html.glossary import section_words
from .html.pictures import png
from .html.words import NOT_ABOUT_GANS, ends, number, points, unit_name
from .schema import Report, json_schema
from .sections.answer import section_sure, section_where, verdict_figure
from .sections.chips import examples, scaling_of, section_chips
from .sections.data import section_counts, section_left_out
from .sections.errors import contradicted, error_table, section_errors
from .sections.gan import section_gan
from .sections.labels import labels_text, section_labels
from .sections.map import section_map
from .sections.next_steps import section_next
from .sections.run import section_run
from .sections.scores import section_leakage, section_scores, section_surroundings, section_training

TEMPLATES = Path(__file__).parent / "html" / "templates"
SHEET_COLUMNS = 6

WORDS = {
    "helps": ("▲", "It helps"),
    "hurts": ("▼", "It hurts"),
    "no detectable difference": ("=", "No detectable difference"),
    "too little data to tell": ("…", "Too little data to tell"),
}
FOOTER = (
    "Made by satpipe. Accuracies, differences and intervals can be recomputed from predictions.parquet in"
    " the same folder."
)
SIMULATED = "The scenes were simulated; these figures say nothing about real satellite imagery."


def sections(data: ReportData, libraries: Sequence[str]) -> list[blocks.Section]:
    """Return all sections that the run has data for."""
    scaling = scaling_of(data)
    content = [
        section_next(data),
        section_sure(data),
        section_where(data),
        section_labels(data),
        section_chips(data, scaling),
        section_gan(data),
        section_errors(data, scaling),
        section_scores(data),
        section_surroundings(data),
        section_training(data),
        section_leakage(data),
        section_left_out(data),
        section_counts(data),
        section_map(data),
        section_words(data.answer, data.arms),
        section_run(data, libraries),
    ]
    return [section for section in content if section is not None]


def training_chips(data: ReportData) -> str:
    """Return the number of real training chips of each class at the verdict's fraction, mean over splits."""
    means = mean_of([split.metadata.get("counts", {}).get("train", {}) for split in data.verdict_splits()])
    return " + ".join(f"{means.get(name, 0):,.0f} {name}" for name in reversed(data.classes))


def key_figures(data: ReportData, gains: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, str]]:
    """Return the figures that stand directly below the verdict."""
    answer = data.answer
    question, content = answer["question"], answer["difference"]
    before, after = answer["values"][question["baseline"]], answer["values"][question["treatment"]]
    unit = unit_name(question["unit"])
    title = question["title"].capitalize()
    entries = [
        (f"{title}, {question['baseline']}", number(before), "the baseline"),
        (f"{title}, {question['treatment']}", number(after), "the treatment"),
        (
            "Difference",
            f"{points(content['estimate'])} points",
            ends(content) if content["low"] is None else f"{100 * content['confidence']:g} % interval {ends(content)}",
        ),
    ]
    if before < 1:
        share = content["estimate"] / (1 - before)
        left = f"of {number(1 - before)} that the baseline leaves"
        entries.append(("Change in the remaining error", f"{points(-share, 0)} %", left))
    effect = f"{number(100 * answer['detectable'], 1)} points" if answer["detectable"] else "–"
    entries.append(("Smallest detectable effect", effect, "8 times in 10"))
    # The curve says nothing at its end, where the verdict may be; there the smallest fraction speaks.
    finite = [gain for gain in gains if gain["gain"] < math.inf]
    if finite:
        worth = min(finite, key=lambda gain: (gain["fraction"] != question["fraction"], gain["fraction"]))
        labels = f"with {100 * worth['fraction']:g} % of the labels, {worth['labels']:,.0f}"
        entries.append(("Worth in labels", labels_text(worth["gain"]), labels))
    tested = (plural(answer["units"], f"test {unit}"), plural(answer["chips"], "chip"), plural(answer["folds"], "fold"))
    entries.append(("Rests on", plural(answer["replicates"], "replicate"), f"× {', '.join(tested)}"))
    note = f"of a split, mean; {100 * question['fraction']:g} % of the labels"
    entries.append(("Real training chips", training_chips(data), note))
    return [{"name": name, "value": value, "note": note} for name, value, note in entries]


def environment() -> jinja2.Environment:
    """Return templates that escape all text."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def stylesheet() -> Markup:
    """Return the style of all pages: our own file, not to be escaped."""
    return Markup((TEMPLATES / "page.css").read_text("utf-8"))


def render(data: ReportData, content: Sequence[blocks.Section], title: str) -> str:
    """Return the page as HTML; all text is escaped, figures are ours."""
    mark, word = WORDS[data.answer["verdict"]]
    failure, _, sentence = data.answer["sentence"].rpartition(NOT_ABOUT_GANS)
    gains: Sequence[Mapping[str, Any]] = next(
        (section.data.get("gains", []) for section in content if section.id == "labels"), []
    )
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            css=stylesheet(),
            answer=data.answer,
            sentence=sentence.strip(),
            verdict_figure=verdict_figure(data.answer),
            warning=f"{failure}{NOT_ABOUT_GANS}" if failure else None,
            mark=mark,
            word=word,
            key=key_figures(data, gains),
            simulated=SIMULATED if data.tables.get("simulated") else None,
            sections=content,
            footer=FOOTER,
        )
    )


def write(data: ReportData, libraries: Sequence[str], out: Path) -> dict[str, Any]:
    """Write report.html and figures/ to ``out`` and return the data of report.json."""
    title = data.config["report"]["title"] or f"Does GAN augmentation help? Run {data.config['name']}"
    content = sections(data, libraries)
    (out / "figures").mkdir()
    drawings = {"verdict": figures.verdict(data.answer)}
    for section in content:
        drawings |= section.figures()
    for name, drawing in drawings.items():
        (out / "figures" / f"{name}.svg").write_text(drawing + "\n", "utf-8")
    (out / "report.html").write_text(render(data, content, title), "utf-8")
    pictures = write_sheets(data, out / "figures")
    write_json(json_schema(), out / "report.schema.json")
    for name, table in (("labels-to-check", labels_to_check(data)), ("errors", error_table(data))):
        csv_escaped_table(table).to_csv(out / f"{name}.csv", index=False, float_format="%.4f", lineterminator="\n")
    return as_data(data, title, content, [*(f"{name}.svg" for name in drawings), *pictures])


def write_sheets(data: ReportData, folder: Path) -> list[str]:
    """Write contact sheets of synthetic chips, one per class, named by class index; returns the file names."""
    scaling, count = scaling_of(data), data.config["report"]["examples"]
    names = []
    for position, label in enumerate(data.classes):
        _, synthetic_chips = examples(data, scaling, label, count)
        if len(synthetic_chips):
            names.append(f"synthetic-{position}.png")
            (folder / names[-1]).write_bytes(png(draw_sheet([synthetic_chips], SHEET_COLUMNS)))
    return names


def labels_to_check(data: ReportData) -> pd.DataFrame:
    """Return the chips whose labels should be checked, with their locations."""
    content = contradicted(data)
    places = data.chips.index[["chip_id", "scene_id", "row", "col"]]
    return content.merge(places, on="chip_id", how="left")


def as_data(data: ReportData, title: str, content: Sequence[blocks.Section], files: Sequence[str]) -> dict[str, Any]:
    """Return the data of report.json, checked against its published form."""
    by_section = {section.id: section.data for section in content}
    report = {
        "run": data.config["name"],
        "title": title,
        "simulated": bool(data.tables.get("simulated")),
        "answer": dict(data.answer),
        "gains": by_section.get("labels", {}).get("gains", []),
        "scores": by_section["scores"],
        "errors": by_section["errors"],
        "gan": by_section.get("gan"),
        "surroundings": by_section.get("surroundings", {}),
        "nearest": by_section.get("chips", {}).get("nearest_correlation", {}),
        "screening": by_section.get("chips", {}).get("screening"),
        "data": {
            **by_section["data"],
            **by_section["left-out"],
            "georeferenced_scenes": by_section.get("map", {}).get("georeferenced_scenes", 0),
        },
        "provenance": by_section["run"],
        "figures": sorted(f"figures/{name}" for name in files),
    }
    return Report.model_validate(finite(report)).model_dump(mode="json")
