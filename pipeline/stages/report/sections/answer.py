"""By how much, and how sure: arms, differences, where the difference comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks, figures
from ..html.drawing import number_of
from ..html.words import ends, number, points, short_names, unit_name
from ..stats.metrics import METRICS
from .scores import right_shares


def _of(metrics: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    rows = metrics
    for column, value in wanted.items():
        rows = rows[rows[column].isna()] if value is None else rows[rows[column] == value]
    return rows


def _value(row: Mapping[str, Any]) -> dict[str, str]:
    interval = "no interval" if pd.isna(row["low"]) else f"{number(row['low'])} – {number(row['high'])}"
    return blocks.cell(number(row["estimate"]), interval)


def arms_table(data: ReportData) -> blocks.Block:
    """Return every arm and metric at the verdict's fraction, with intervals."""
    question, arms = data.answer["question"], data.arms
    order = [question["metric"], *(name for name in METRICS if name != question["metric"])]
    selected = _of(data.metrics, kind="arm", fold=None, fraction=question["fraction"]).set_index(["arm", "metric"])
    rows = [
        blocks.row(
            [arm, *(_value(selected.loc[(arm, metric)].to_dict()) for metric in order)],
            strong=arm in (question["treatment"], question["baseline"]),
            series=number_of(arm, arms),
        )
        for arm in arms
    ]
    caption = (
        f"Each arm over all {plural(data.answer['chips'], 'test chip')}, mean of"
        f" {plural(data.answer['replicates'], 'replicate')}; below it the {100 * question['confidence']:g} % interval."
        " Bold: the two arms of the verdict. Intervals of single arms include variation that arms share, so they"
        " overlap more than the differences below suggest."
    )
    return blocks.table("Arms", caption, ["Arm", *(METRICS[name] for name in order)], rows)


def verdict_figure(answer: Mapping[str, Any]) -> blocks.Block:
    """Return the primary difference with its replicates and the bootstrap's draws."""
    caption = "Diamond and bar: the difference and its interval. Ticks: single replicates. Grey: bootstrap draws."
    if answer["verdict"] == "no detectable difference":
        caption += " Shaded: effects too small to detect."
    return blocks.figure("verdict", figures.verdict(answer), caption)


def arms_figure(data: ReportData) -> blocks.Block:
    """Return the verdict's metric of each arm."""
    question, arms = data.answer["question"], data.arms
    selected = _of(
        data.metrics, kind="arm", fold=None, fraction=question["fraction"], metric=question["metric"]
    ).set_index("arm")
    bars = [_bar(selected.loc[arm], arm, number_of(arm, arms), data.answer["arms_by_replicate"][arm]) for arm in arms]
    svg = figures.intervals("arms", "Arms", bars, f"{question['title']}, %")
    return blocks.figure("arms", svg, "Each arm with its interval; small ticks are single replicates.")


def _bar(row: Any, label: str, series: int, dots: Sequence[float] = (), strong: bool = False) -> figures.Bar:
    low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("low", "high"))
    estimate = None if pd.isna(row["estimate"]) else float(row["estimate"])
    return figures.Bar(label, estimate, low, high, dots, series, strong)


def differences_figure(data: ReportData) -> blocks.Block:
    """Return differences between arms on the verdict's metric, the primary one first."""
    question, arms = data.answer["question"], data.arms
    selected = _of(data.metrics, kind="difference", fold=None, fraction=question["fraction"], metric=question["metric"])
    bars = [
        _bar(
            row,
            f"{row['arm']} − {row['baseline']}",
            number_of(str(row["arm"]), arms),
            strong=row["role"] == "primary",
        )
        for _, row in selected.iterrows()
    ]
    svg = figures.intervals(
        "differences", "Differences", bars, f"difference in {question['title']}, points", signed=True, zero=True
    )
    return blocks.figure(
        "differences", svg, "Paired differences. The first one is the question; the rest is exploratory."
    )


def differences_table(data: ReportData) -> blocks.Block:
    """Return the primary comparison and the explorations on every metric."""
    question = data.answer["question"]
    order = [question["metric"], *(name for name in METRICS if name != question["metric"])]
    selected = _of(data.metrics, kind="difference", fold=None, fraction=question["fraction"])
    rows = []
    for (arm, baseline), group in selected.groupby(["arm", "baseline"], sort=False):
        cells: list[Any] = [f"{arm} − {baseline}"]
        by_metric = group.set_index("metric")
        for metric in order:
            row = by_metric.loc[metric].to_dict()
            cells.append(blocks.cell(points(row["estimate"]), ends(row)))
        cells.append(number(by_metric.loc[question["metric"], "sign_flip_p"]))
        primary = (arm, baseline) == (question["treatment"], question["baseline"])
        rows.append(blocks.row(cells, strong=primary))
    caption = (
        "Differences in percentage points. Bold is the one comparison that determines the verdict, for which"
        f" {question['title']} is the metric; everything else is exploratory, without correction for"
        f" multiple comparisons. The last column is a sign-flip test of {question['title']} over replicates only."
        f" {question['baseline']} against itself with other seeds, one half of the replicates against the other, is a"
        " control: it shows the result if there is no difference."
    )
    head = ["Difference", *(METRICS[metric] for metric in order), "sign-flip p"]
    return blocks.table("Differences between arms", caption, head, rows)


def section_sure(data: ReportData) -> blocks.Section:
    """Return the section on the size of the difference and its uncertainty."""
    answer = data.answer
    interval, bootstrap = answer["difference"], answer["bootstrap"]
    unit = unit_name(answer["question"]["unit"])
    section = blocks.Section("how-sure", "By how much, and how sure")
    section.blocks = [
        blocks.figures([arms_figure(data), differences_figure(data)]),
        arms_table(data),
        differences_table(data),
        *composition(data),
        blocks.heading("How the interval is made"),
        blocks.text(
            f"Every arm was trained {plural(answer['replicates'], 'time')} per fold, each time with other real labels"
            " drawn if there are more than needed, another GAN, other synthetic chips and another initialisation of the"
            f" classifier, and scored once on {plural(answer['units'], f'test {unit}')} never used for training. The"
            " interval treats both replicates and test groups as random samples: it is a t interval from the crossed"
            f" jackknife, with {number(interval['df'], 1)} degrees of freedom."
            if interval["df"] is not None
            else "There is no interval: it needs at least two replicates and two test groups."
        ),
    ]
    if interval["variance_replicates"] is not None:
        folds = ""
        if answer["folds"] > 1 and answer["question"]["folds"] == "random":
            folds = f" {100 * interval['variance_folds']:.0f} % from differences between the few folds,"
        section.blocks.append(
            blocks.text(
                f"Of the uncertainty, {100 * interval['variance_replicates']:.0f} % comes from repeating the training,"
                f" {100 * interval['variance_units']:.0f} % from the choice of test groups,{folds} and"
                f" {100 * interval['variance_rest']:.0f} % from their interaction. As a cross-check, the crossed"
                f" bootstrap with {bootstrap['draws']:,} draws (grey in the top figure) gives"
                f" {ends(bootstrap)} points.",
                quiet=True,
            )
        )
    return section


def composition(data: ReportData) -> list[blocks.Block]:
    """Return how much of the gain composition alone gives and how much the GAN adds, where both were run."""
    question = data.answer["question"]
    selected = _of(data.metrics, kind="difference", fold=None, fraction=question["fraction"], metric=question["metric"])
    rows = {(row["arm"], row["baseline"]): row for row in selected.to_dict("records")}
    steps = {
        "composition alone": ("classic+cutpaste", "classic"),
        "the GAN's objects instead of real ones": ("classic+gan", "classic+cutpaste"),
    }
    if not set(steps.values()) <= set(rows):
        return []
    shares = [(name, rows[pair]) for name, pair in steps.items()]
    text = "; ".join(f"{name} {points(row['estimate'])} points ({ends(row)})" for name, row in shares)
    without = ""
    if any(pd.isna(row["low"]) for _, row in shares):
        without = " An interval needs at least two replicates and two test groups: both may be chance."
    return [
        blocks.heading("Composition or GAN"),
        blocks.text(
            "Pasting objects onto other backgrounds can help by itself. The gain of classic+gan over classic is"
            f" divided: {text}.{without} Exploratory."
        ),
    ]


def _where_row(row: Any, label: str, baseline: Any, treatment: Any, chips: int) -> dict[str, Any]:
    ci = "" if pd.isna(row["low"]) else ends(row)
    cells = [
        label,
        blocks.cell(points(row["estimate"]), ci),
        number(baseline["estimate"]),
        number(treatment["estimate"]),
        f"{chips:,}",
        f"{int(row['units']):,}",
    ]
    return blocks.row(cells)


def section_where(data: ReportData) -> blocks.Section:
    """Return the section on the difference by class, fold, fraction and test group."""
    question, metrics = data.answer["question"], data.metrics
    treatment, baseline = question["treatment"], question["baseline"]
    section = blocks.Section("where", "Where")
    difference = _of(metrics, kind="difference", arm=treatment, baseline=baseline)
    single = _of(metrics, kind="arm")
    of_class = right_shares(data)["class"].value_counts()
    rows, bars = [], []
    for label, wanted in _places(data):
        interval = _of(difference, **wanted)
        if interval.empty:
            continue
        row = interval.iloc[0]
        first, second = (_of(single, arm=arm, **wanted).iloc[0] for arm in (baseline, treatment))
        name = str(wanted["metric"]).removeprefix("recall of ")
        chips = int(of_class.get(name, 0)) if label == f"class {name}" else int(row["chips"])
        rows.append(_where_row(row, label, first, second, chips))
        bars.append(_bar(row, label, number_of(treatment, data.arms)))
    head = ["Where", "difference", baseline, treatment, "chips", "groups"]
    caption = (
        f"{treatment} against {baseline}: {question['title']} by fold and real fraction, recall by class. All of this"
        " is exploratory. A fold that tests a single group has no interval."
    )
    axis = f"{treatment} − {baseline}, points"
    places = blocks.figure(
        "where",
        figures.intervals("where", "Where the difference is", bars, axis, signed=True, zero=True),
        f"The difference in {question['title']} by fold and real fraction, and in recall by class.",
    )
    units, table = units_blocks(data)
    agreement = folds_agree(difference, question)
    section.blocks = [
        blocks.figures([places, units]),
        blocks.table("The difference by class, fold and fraction", caption, head, rows),
        *agreement,
        table,
    ]
    return section


def folds_agree(difference: pd.DataFrame, question: Mapping[str, Any]) -> list[blocks.Block]:
    """Return whether folds differ from one another by more than their intervals explain (Cochran 1954, the Q test)."""
    rows = _of(difference, fraction=question["fraction"], metric=question["metric"])
    rows = rows[rows["fold"].notna()]
    with_error = rows[rows["se"] > 0]
    if len(rows) < 2:
        return []
    text = f"The verdict is on these {len(rows)} folds together" + (
        ", and its interval is wider if they disagree: it is meant to hold for other folds like them too."
        if question["folds"] == "random"
        else ". Test groups were assigned to them at random, so folds differ in their groups, which the interval"
        " accounts for, and in their training chips, which are taken as given."
    )
    if len(with_error) > 1:
        weight = 1 / with_error["se"] ** 2
        mean = (with_error["estimate"] * weight).sum() / weight.sum()
        chance = float(stats.chi2.sf((weight * (with_error["estimate"] - mean) ** 2).sum(), len(with_error) - 1))
        text += f" They differ from one another {'more than' if chance < 0.05 else 'no more than'} by chance"
        text += f" (Cochran's Q, p = {number(chance, 2)})."
    return [blocks.text(text, quiet=True)]


def units_blocks(data: ReportData) -> tuple[blocks.Block, blocks.Block]:
    """Return the difference of every test unit, as a figure and as a table: share of its chips that are right."""
    question = data.answer["question"]
    treatment, baseline = question["treatment"], question["baseline"]
    shares = (
        right_shares(data)
        .groupby("unit", observed=True)
        .agg(chips=("chip_id", "size"), baseline=("baseline", "mean"), treatment=("treatment", "mean"))
    )
    shares = shares.assign(change=shares["treatment"] - shares["baseline"]).sort_values("change", ascending=False)
    unit = unit_name(question["unit"])
    short = short_names([str(name) for name in shares.index])
    stems = [figures.Stem(short[str(name)], row["change"], row["chips"]) for name, row in shares.iterrows()]
    axis = f"{treatment} − {baseline}, points of accuracy"
    rows = [
        blocks.row(
            [
                str(name),
                f"{int(row['chips']):,}",
                number(row["baseline"]),
                number(row["treatment"]),
                points(row["change"]),
            ]
        )
        for name, row in shares.iterrows()
    ]
    svg = figures.stems("units", f"Difference by {unit}", stems, axis, number_of(treatment, data.arms))
    return (
        blocks.figure(
            "units", svg, f"Accuracy on each test {unit}, mean of replicates; larger dots have more chips. Exploratory."
        ),
        blocks.table(
            f"Difference by {unit}",
            f"Share of each test {unit}'s chips that are classified correctly, mean of replicates.",
            [unit.capitalize(), "chips", baseline, treatment, "difference"],
            rows,
            fold=f"All {plural(len(shares), f'test {unit}')}",
        ),
    )


def _places(data: ReportData) -> list[tuple[str, dict[str, Any]]]:
    """Return labels of the places to compare at, and the rows of the metrics table that they mean."""
    question, metrics = data.answer["question"], data.metrics
    fraction, metric = question["fraction"], question["metric"]
    places: list[tuple[str, dict[str, Any]]] = [
        (f"class {name}", {"fraction": fraction, "fold": None, "metric": f"recall of {name}"}) for name in data.classes
    ]
    folds = sorted(int(fold) for fold in metrics["fold"].dropna().unique())
    places += [(fold_label(data, fold), {"fraction": fraction, "fold": fold, "metric": metric}) for fold in folds]
    fractions = sorted(metrics["fraction"].unique())
    if len(fractions) > 1:
        places += [
            (f"{100 * value:g} % of the labels", {"fraction": value, "fold": None, "metric": metric})
            for value in fractions
        ]
    return places


def fold_label(data: ReportData, fold: int) -> str:
    """Name a fold, as ``fold 0``, with the group that it tests where it is a single one."""
    groups = {
        str(group)
        for split in data.splits.values()
        if split.metadata["fold"] == fold
        for group in split.metadata.get("test_groups", [])
    }
    return f"fold {fold} ({next(iter(groups))})" if len(groups) == 1 else f"fold {fold}"
