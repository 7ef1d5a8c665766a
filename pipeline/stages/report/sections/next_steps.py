"""Next steps by verdict, each with a command to paste."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks
from ..html.words import arm_name, number, short_names, unit_name
from ..stats.statistics import MIN_EFFECTIVE_UNITS, MIN_REPLICATES, MIN_UNITS
from .scores import right_shares

DEMO = "demo"
"""The run of the default configuration, which needs no --config."""
MOST_REPLICATES = 60
WORST = 3
"""Test groups that are named as the worst."""


def section_next(data: ReportData) -> blocks.Section:
    """Return the steps that the verdict suggests, the most useful first."""
    section = blocks.Section("next", "What now")
    section.blocks = [blocks.steps(list(_steps(data)))]
    if data.config["name"] != DEMO:
        section.blocks.append(blocks.text("FILE.yaml stands for the configuration of this run.", quiet=True))
    return section


def _steps(data: ReportData) -> Iterator[dict[str, Any]]:
    verdict = data.answer["verdict"]
    learned = (data.answer.get("generator") or {}).get("learned")
    if learned is False:
        yield _train_longer(data)
    yield _use(data)
    if verdict == "helps":
        yield _generate(data)
    else:
        yield from deciding_steps(data)
    yield _label(data)
    if verdict != "helps" and len(data.metrics["fraction"].unique()) == 1:
        yield _fewer_labels(data)
    if data.tables.get("simulated"):
        yield _own_scenes()


def run_command(data: ReportData, *words: str, name: str = "") -> str:
    """Return a command that runs this experiment again with other settings."""
    config = [] if data.config["name"] == DEMO else ["--config", "FILE.yaml"]
    changes = [word for setting in words for word in ("--set", shlex.quote(setting))]
    named = ["--name", shlex.quote(f"{data.config['name']}-{name}")] if name else []
    return " ".join(["satpipe run all", *config, *changes, *named])


def _step(title: str, text: str, command: str, replicates: int = 0) -> dict[str, Any]:
    """Return a step; the time of so many more replicates is filled in where the page is published."""
    return {"title": title, "text": text, "command": command, "replicates": replicates}


def _use(data: ReportData) -> dict[str, Any]:
    arm = data.answer["favoured"]
    unsure = " This is the baseline, since nothing shows that another arm does better." if not _helps(data) else ""
    return _step(
        "Use the classifier",
        f"It is trained on all labelled chips with {arm_name(arm)}.{unsure}",
        f"satpipe detect SCENE.tif --to found.geojson --run {shlex.quote(data.config['name'])}",
    )


def _helps(data: ReportData) -> bool:
    return bool(data.answer["verdict"] == "helps")


def _generate(data: ReportData) -> dict[str, Any]:
    return _step(
        "Use the generator",
        "Generates chips with the final generator, with labels, a card and their licence.",
        f"satpipe generate --count 1000 --to chips --run {shlex.quote(data.config['name'])}",
    )


def _train_longer(data: ReportData) -> dict[str, Any]:
    images = data.config["gan"].get("images")
    return _step(
        "Train a generator that learns",
        "The generator did not learn, so its chips could not help. Train it longer, or try other settings"
        " (see the guide to GAN settings).",
        run_command(data, f"gan.images={10 * images if images else 150000}", name="longer"),
    )


def deciding_steps(data: ReportData) -> Iterator[dict[str, Any]]:
    """Yield what would decide it: more areas, more replicates, more test groups, or both."""
    answer = data.answer
    replicates, unit = answer["replicates"], unit_name(answer["question"]["unit"])
    if replicates < MIN_REPLICATES:
        yield _more_replicates(data, MIN_REPLICATES, f"A verdict needs {MIN_REPLICATES}.")
    elif answer["detectable"] is not None:
        needed, twice = replicates_needed(answer), detectable_with(answer, 2 * replicates)
        if needed is not None and replicates < needed <= MOST_REPLICATES:
            text = f"If the true difference is as estimated, {needed} replicates would detect it with 80 % probability."
            yield _more_replicates(data, needed, text)
        elif twice < 0.95 * answer["detectable"]:
            text = (
                f"Twice as many would detect a difference of {number(100 * twice, 1)} points instead of"
                f" {number(100 * answer['detectable'], 1)}, with 80 % probability; the estimate here is smaller"
                " than that."
            )
            yield _more_replicates(data, 2 * replicates, text)
    too_few = answer["units"] < MIN_UNITS or answer["effective_units"] < MIN_EFFECTIVE_UNITS
    if not too_few and _folds_dominate(answer):
        yield _step(
            "Leave out more areas, or ask about these",
            f"Most of the uncertainty is how well {plural(answer['folds'], 'fold')} represent others: more areas"
            f" help more than more replicates. To ask only about the places you have, assign each {unit} to a"
            " fold at random.",
            run_command(data, "split.scheme=folds", f"split.by={answer['question']['unit']}", name="by-chance"),
        )
    elif too_few or (replicates >= MIN_REPLICATES and _groups_dominate(answer)):
        yield _step(
            "Test on more places",
            f"The verdict rests on {plural(answer['units'], f'test {unit}')}, and most of the uncertainty is how"
            f" these differ. More labelled {unit}s help more than more replicates: add them and run again.",
            run_command(data),
        )


def _groups_dominate(answer: Mapping[str, Any]) -> bool:
    return (answer["difference"]["variance_units"] or 0.0) > 0.5


def _folds_dominate(answer: Mapping[str, Any]) -> bool:
    return (answer["difference"]["variance_folds"] or 0.0) > 0.5


def _more_replicates(data: ReportData, count: int, why: str) -> dict[str, Any]:
    more = count - data.answer["replicates"]
    command = run_command(data, f"split.replicates={count}")
    return _step("Run more replicates", f"{why} Existing replicates are reused.", command, more)


def replicates_needed(answer: Mapping[str, Any]) -> int | None:
    """Return how many replicates would find the difference that was seen 8 times in 10; None if no number would.

    The standard error falls with replicates as far as it comes from them: se(R')^2 = se^2 (1 - s + s R / R'), where s
    is the share of the variance that replicates and the rest have. The difference is found where it is as many
    standard errors large as the smallest detectable one is now.
    """
    share = _share_of_replicates(answer)
    ratio = (answer["difference"]["estimate"] / answer["detectable"]) ** 2
    left = ratio - (1 - share)
    return math.ceil(share * answer["replicates"] / left) if left > 0 else None


def detectable_with(answer: Mapping[str, Any], replicates: int) -> float:
    """Return the smallest difference that so many replicates would find 8 times in 10."""
    share = _share_of_replicates(answer)
    smaller = 1 - share + share * answer["replicates"] / replicates
    return float(answer["detectable"] * math.sqrt(smaller))


def _share_of_replicates(answer: Mapping[str, Any]) -> float:
    difference = answer["difference"]
    return float(sum(difference[f"variance_{name}"] or 0.0 for name in ("replicates", "rest")))


def _own_scenes() -> dict[str, Any]:
    return _step(
        "Try it on your own scenes",
        "These were simulated. The command inspects a folder of scenes and labels and writes a configuration.",
        "satpipe init FOLDER",
    )


def _label(data: ReportData) -> dict[str, Any]:
    """Return which labels would help most: the class and the groups with most errors of the favoured arm."""
    question, favoured = data.answer["question"], data.answer["favoured"]
    column = "treatment" if favoured == question["treatment"] else "baseline"
    shares = right_shares(data).assign(wrong=lambda rows: 1 - rows[column])
    by_class = shares.groupby("class", observed=True)["wrong"].mean().sort_values(ascending=False, kind="stable")
    groups = (
        shares.groupby("unit", observed=True)["wrong"].sum().sort_values(ascending=False, kind="stable").head(WORST)
    )
    unit = unit_name(question["unit"])
    short = short_names([str(name) for name in shares["unit"].unique()])
    count = shares["unit"].value_counts().to_dict()
    named = ", ".join(
        f"{short[str(name)]} ({value:.0f} of {count[name]:,})" for name, value in groups[groups >= 0.5].items()
    )
    text = (
        f"Most often wrong is {by_class.index[0]}: {100 * by_class.iloc[0]:.0f} % of its test chips. "
        + (f"The {unit}s with the most errors: {named}. " if named else "")
        + "Label more of these, and check labels-to-check.csv; a run then repeats only what changed."
    )
    return _step("Label more of these", text, run_command(data))


def _fewer_labels(data: ReportData) -> dict[str, Any]:
    fraction = data.answer["question"]["fraction"]
    quarter = f"{max(fraction / 4, 0.01):.2f}".rstrip("0")
    return _step(
        "See what synthetic chips are worth with fewer labels",
        "With so many labels there may be little left to gain. With a quarter of them the learning curve shows"
        " how many labels the synthetic chips replace.",
        run_command(data, f"split.fractions=[{quarter},{fraction}]", f"report.fraction={quarter}", name="quarter"),
        data.answer["replicates"],
    )
