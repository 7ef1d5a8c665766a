"""Runs side by side: what differs in configuration and data, and their difference on the same test chips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError
from scipy import stats

from ...config.renamed import RENAMED
from ...dataset.parquet import checked
from ...utils.bounded_files import read_json
from ...utils.errors import InputError, StoreError, first_line
from ...utils.plural import plural
from .analysis import finite
from .html.words import ends, number, points
from .schema import FORMAT
from .sections.gan import MEASURES, shown_measure
from .stats.metrics import METRICS
from .stats.predictions import prediction_arrays, tested
from .stats.statistics import MIN_REPLICATES, MIN_UNITS, Interval, decide, detectable_effect, difference, interval
from .verify import Verification, verify

WORDS = {"helps": "better", "hurts": "worse"}
"""What a verdict on a treatment is called between two runs."""


class _Question(BaseModel):
    metric: str
    title: str
    treatment: str
    baseline: str
    fraction: float
    confidence: float


class _Answer(BaseModel):
    question: _Question
    sentence: str
    arm_values: dict[str, Any]


class _Data(BaseModel):
    scenes: dict[str, str]


class _Ingest(BaseModel):
    classes: list[str]


class _Configuration(BaseModel):
    ingest: _Ingest


class _Provenance(BaseModel):
    configuration: _Configuration
    artifacts: dict[str, str]


class _Gan(BaseModel):
    quality: dict[str, dict[str, float | None]] = {}


class _Needed(BaseModel):
    """Content of a report that a comparison reads; a report that was damaged since it was written may lack it."""

    run: str
    answer: _Answer
    data: _Data
    provenance: _Provenance
    gan: _Gan | None = None


MAX_REPORT_BYTES = 1 << 28


@dataclass(frozen=True)
class Run:
    """A finished run's report, as it lies in ``reports/<run>``."""

    name: str
    folder: Path
    report: Mapping[str, Any]
    predictions: pd.DataFrame
    checked: Verification

    @property
    def question(self) -> Mapping[str, Any]:
        """Return what the run's verdict is on."""
        question: Mapping[str, Any] = self.report["answer"]["question"]
        return question

    @property
    def tested(self) -> pd.DataFrame:
        """Return the test predictions at the fraction of the run's verdict."""
        return tested(self.predictions, self.question["fraction"])


@dataclass(frozen=True)
class Comparison:
    """Result of comparing runs.

    Attributes:
        runs: The runs, the first one is what the others are compared with.
        warnings: What limits the comparison.
        configuration: Keys that differ, with the value in each run; a missing key is None.
        data: Digests that differ, with the value in each run.
        chips: How many test chips each run has and how many all share.
        paired: Whether runs are compared chip by chip and replicate by replicate, or as independent experiments.
        differences: One row per arm and further run: its metric minus the first run's, with interval and answer.
        quality: GAN quality by class, measure and run.
    """

    runs: tuple[Run, ...]
    warnings: list[str] = field(default_factory=list)
    configuration: dict[str, list[Any]] = field(default_factory=dict)
    data: dict[str, list[Any]] = field(default_factory=dict)
    chips: dict[str, Any] = field(default_factory=dict)
    paired: bool = True
    differences: list[dict[str, Any]] = field(default_factory=list)
    quality: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the data of compare.json."""
        data: dict[str, Any] = finite(
            {
                "format": FORMAT,
                "runs": [run.name for run in self.runs],
                "verdicts": [run.checked.sentence for run in self.runs],
                "verified": [run.checked.verified for run in self.runs],
                "warnings": self.warnings,
                "configuration": self.configuration,
                "data": self.data,
                "test_chips": self.chips,
                "paired": self.paired,
                "differences": self.differences,
                "gan_quality": self.quality,
            }
        )
        return data

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return head and rows of the differences on the first run's metric, for a terminal."""
        head = ["arm", *(run.name for run in self.runs), "points", "interval", ""]
        rows = []
        for row in self.differences:
            values = [number(row["values"].get(run.name)) if run.name in row["values"] else "" for run in self.runs]
            rows.append([row["arm"], *values, points(row["estimate"]), ends(row), outcome(row)])
        return head, rows

    def quality_table(self) -> tuple[list[str], list[list[str]]]:
        """Return head and rows of the GANs' quality, for a terminal; what real chips reach is in brackets."""
        head = ["class", "measure", *(run.name for run in self.runs)]
        rows = [
            [label, measure, *(f"{shown} ({floor})" if floor else shown for shown, floor in values)]
            for label, measure, values in self.quality_rows()
        ]
        return head, rows

    def quality_rows(self) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
        """Yield class and measure, and of each run the value and what real chips reach (empty if unknown), as shown."""
        for label, measures in self.quality.items():
            for name, values in measures.items():
                if name.endswith("_floor"):
                    continue
                floors = measures.get(f"{name}_floor", [None] * len(values))
                shown = [
                    ("–", "")
                    if value is None
                    else (shown_measure(name, value), "" if floor is None else shown_measure(name, floor))
                    for value, floor in zip(values, floors, strict=True)
                ]
                yield label, MEASURES.get(name, name), shown


def outcome(row: Mapping[str, Any]) -> str:
    """Return the answer of a row of differences in words."""
    return f"{row['run']} is {row['answer']}" if row["answer"] in WORDS.values() else str(row["answer"])


def load(folder: Path, root: Path | None = None) -> Run:
    """Read a run's report and check it.

    Args:
        folder: Where it lies.
        root: Folder that may hold the store of its run; without it nothing can be verified.

    Raises:
        InputError: If there is none, or one of another format, or one whose predictions give no answer.
    """
    try:
        report = read_json(folder / "report.json", MAX_REPORT_BYTES)
        predictions = pd.read_parquet(checked(folder / "predictions.parquet"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} has no {Path(error.filename).name}; `satpipe run all` writes it") from None
    except (OSError, ValueError, TypeError, NotImplementedError, RecursionError, StoreError) as error:
        raise InputError(f"the report in {folder} cannot be read: {first_line(error, 160)}") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"{folder / 'report.json'} is of another format than {FORMAT}; run its report again")
    try:
        _Needed.model_validate(report)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{folder / 'report.json'} is damaged, `{place[:80]}`: {first['msg'][:120]}; `satpipe run report` writes it"
        ) from None
    return Run(report["run"], folder, report, predictions, verify(folder, report, predictions, root))


def compare(folders: Sequence[Path], common: bool = False, root: Path | None = None) -> Comparison:
    """Compare runs with the first one.

    Runs of the same scenes that were tested on different chips, such as those of two seeds, are compared as independent
    experiments, each on its own chips.

    Args:
        folders: Folders of their reports, two or more.
        common: Whether to compare on the test chips that all share instead.
        root: Folder that may hold the store of the runs, to check the reports against.

    Raises:
        InputError: If a report is missing, or runs were tested on different chips and ``common`` was not given.
    """
    if len(folders) < 2:
        raise InputError("compare takes two runs or more")
    runs = _distinct([load(folder, root) for folder in folders])
    comparison = Comparison(runs)
    configurations = [flat(run.report["provenance"]["configuration"]) for run in runs]
    present = [{RENAMED.get(key, key): value for key, value in flattened.items()} for flattened in configurations]
    comparison.configuration.update(differing(present))
    comparison.configuration.pop("name", None)
    comparison.data.update(differing([digests(run) for run in runs]))
    comparison.warnings.extend(f"{run.checked.note}." for run in runs if run.checked.note is not None)
    comparison.chips.update(test_chips(runs, common))
    if comparison.chips["common"] < max(comparison.chips["each"]):
        each = ", ".join(f"{count:,}" for count in comparison.chips["each"])
        comparison = replace(comparison, paired=common)
        comparison.warnings.append(
            f"The runs were tested on different chips ({each}; {comparison.chips['common']:,} in common): "
            + (
                "the comparison uses those that all share."
                if common
                else "compared as independent experiments, each on its own chips, with unpaired intervals; --common"
                " compares them on the chips they share."
            )
        )
    other_pixels = any(key.startswith(("ingest.", "chips.")) for key in comparison.configuration)
    if "chips/index" in comparison.data and (other_pixels or any(key != "chips/index" for key in comparison.data)):
        comparison.warnings.append(
            "The chips were cut from other data or with other settings, so the same chip may look different."
        )
    if len({run.question["metric"] for run in runs}) > 1:
        comparison.warnings.append(
            f"The runs use different metrics; this comparison uses {METRICS[runs[0].question['metric']]}."
        )
    fractions = [run.question["fraction"] for run in runs]
    if len(set(fractions)) > 1:
        shares = ", ".join(f"{100 * fraction:g} %" for fraction in fractions)
        comparison.warnings.append(f"The verdicts of the runs are for different fractions of the labels: {shares}.")
    for other in runs[1:]:
        comparison.differences.extend(run_differences(runs[0], other, comparison.paired))
    comparison.quality.update(gan_quality(runs))
    return comparison


def _distinct(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs with different names; two of one name get their number."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return tuple(runs)
    return tuple(replace(run, name=f"{run.name} ({position + 1})") for position, run in enumerate(runs))


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as dotted keys."""
    if isinstance(data, Mapping):
        pairs: Any = data.items()
    elif isinstance(data, list) and any(isinstance(item, (Mapping, list)) for item in data):
        pairs = enumerate(data)
    else:
        return {prefix: data}
    return {
        inner: value
        for key, item in pairs
        for inner, value in flat(item, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def differing(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return keys whose values differ, with the value in each table."""
    keys = dict.fromkeys(itertools.chain.from_iterable(tables))
    comparison = {key: [table.get(key) for table in tables] for key in keys}
    return {key: values for key, values in comparison.items() if any(value != values[0] for value in values)}


def digests(run: Run) -> dict[str, Any]:
    """Return digests of the scenes and of the data artifacts of a run."""
    artifacts = run.report["provenance"]["artifacts"]
    shown = {name: digest for name, digest in artifacts.items() if name in ("ingest/tables", "chips/index")}
    return shown | {f"scene {name}": digest for name, digest in run.report["data"]["scenes"].items()}


def test_chips(runs: Sequence[Run], common: bool) -> dict[str, Any]:
    """Return how many test chips each run has, and how many all share.

    Raises:
        InputError: If they differ, the scenes too, and ``common`` is not given; if there are none in common; or if the
            runs know different classes.
    """
    classes = [run.report["provenance"]["configuration"]["ingest"]["classes"] for run in runs]
    if any(run_classes != classes[0] for run_classes in classes):
        runs_and_classes = " and ".join(
            f"{run.name} ({', '.join(run_classes)})" for run, run_classes in zip(runs, classes, strict=True)
        )
        raise InputError(f"{runs_and_classes} have different ingest.classes, so their scores cannot be compared")
    sets = [set(map(tuple, run.tested[["chip_id", "class"]].drop_duplicates().itertuples(index=False))) for run in runs]
    shared = set.intersection(*sets)
    scenes = [run.report["data"]["scenes"] for run in runs]
    changed = sorted({name for name, values in differing(scenes).items() if None not in values})
    each = [len(chips) for chips in sets]
    names = " and ".join(run.name for run in runs)
    alike = not differing(scenes)
    if not shared and (common or not alike):
        raise InputError(f"{names} have no test chip in common, so their scores cannot be compared")
    if not common and not alike and (len(shared) < max(each) or changed):
        why = f"{len(shared):,} are in common"
        if changed:
            why = f"{plural(len(changed), 'scene')} with the same name but other content"
        raise InputError(
            f"{names} were tested on different chips ({', '.join(f'{count:,}' for count in each)}; {why}), which makes"
            " their scores incomparable; --common compares them on the chips they share"
        )
    return {"each": each, "common": len(shared), "changed_scenes": changed}


def run_differences(first: Run, other: Run, paired: bool = True) -> list[dict[str, Any]]:
    """Return the other run minus the first one for every arm that both have.

    Args:
        first: What is compared with.
        other: What is compared.
        paired: Whether on the test chips and replicates that they share, or as independent experiments.
    """
    compared = _arm_difference if paired else _unpaired_difference
    arms = [arm for arm in first.report["answer"]["arm_values"] if arm in other.report["answer"]["arm_values"]]
    return [row for arm in arms if (row := compared(first, other, arm)) is not None]


def _arm_difference(first: Run, other: Run, arm: str) -> dict[str, Any] | None:
    first_rows, other_rows = (run.tested[run.tested["arm"] == arm] for run in (first, other))
    # Where a run tests a chip in several folds, only a fold says which of its predictions is meant.
    repeated = any(run.duplicated(["chip_id", "replicate"]).any() for run in (first_rows, other_rows))
    case = ["chip_id", "fold"] if repeated else ["chip_id"]
    places = first_rows[["chip_id", "class", "fold", "unit"]].drop_duplicates([*case, "class"])
    # Folds and units are those of the first run: they say what is resampled together, not who trained on what.
    other_rows = other_rows.drop(columns=["unit"] if repeated else ["fold", "unit"]).merge(places, on=[*case, "class"])
    first_rows = first_rows.merge(other_rows[[*case, "replicate"]].drop_duplicates(), on=[*case, "replicate"])
    other_rows = other_rows.merge(first_rows[[*case, "replicate"]].drop_duplicates(), on=[*case, "replicate"])
    if first_rows.empty:
        return None
    question = first.question
    joined = pd.concat([first_rows.assign(arm="first"), other_rows.assign(arm="other")], ignore_index=True)
    joined["fraction"] = 1.0
    classes = first.report["provenance"]["configuration"]["ingest"]["classes"]
    view = prediction_arrays(joined, classes, ["first", "other"], 1.0)
    scorers = [view.scorer(name, question["metric"]) for name in view.arms]
    verdict = decide(
        difference(scorers[1], scorers[0]),
        view.stratum,
        len(view.replicates),
        question["confidence"],
        view.share,
        question.get("folds", "random"),
    )
    ones = np.ones((1, len(view.units)))
    values = [float(np.nanmean(score(ones))) for score in scorers]
    return {
        "arm": arm,
        "run": other.name,
        "metric": question["metric"],
        "values": {first.name: values[0], other.name: values[1]},
        **asdict(verdict.interval),
        "detectable": verdict.detectable,
        "replicates": verdict.replicates,
        "units": verdict.units,
        "chips": len(view.chip_id),
        "answer": WORDS.get(verdict.answer, verdict.answer),
    }


def _unpaired_difference(first: Run, other: Run, arm: str) -> dict[str, Any] | None:
    """Return the difference of two independent experiments: variances add up, with Welch's degrees of freedom."""
    question, classes = first.question, first.report["provenance"]["configuration"]["ingest"]["classes"]
    views = [prediction_arrays(run.tested.assign(fraction=1.0), classes, [arm], 1.0) for run in (first, other)]
    scores = [view.scorer(arm, question["metric"]) for view in views]
    first_rows, other_rows = (
        interval(score, view.stratum, question["confidence"], view.share, run.question.get("folds", "random"))
        for score, view, run in zip(scores, views, (first, other), strict=True)
    )
    se = math.hypot(first_rows.se, other_rows.se)
    df = se**4 / (first_rows.se**4 / first_rows.df + other_rows.se**4 / other_rows.df) if se > 0 else math.nan
    estimate, reach = (
        other_rows.estimate - first_rows.estimate,
        float(stats.t.ppf(0.5 + question["confidence"] / 2, df)) * se,
    )
    comparison = Interval(estimate, estimate - reach, estimate + reach, se, df, question["confidence"])
    enough = all(len(view.replicates) >= MIN_REPLICATES and len(view.units) >= MIN_UNITS for view in views)
    answer = "no detectable difference" if enough and math.isfinite(reach) else "too little data to tell"
    if enough and abs(estimate) > reach:
        answer = WORDS["helps" if estimate > 0 else "hurts"]
    return {
        "arm": arm,
        "run": other.name,
        "metric": question["metric"],
        "values": {first.name: first_rows.estimate, other.name: other_rows.estimate},
        **asdict(comparison),
        "detectable": detectable_effect(se, df, question["confidence"]),
        "replicates": min(len(view.replicates) for view in views),
        "units": min(len(view.units) for view in views),
        "chips": min(len(view.chip_id) for view in views),
        "answer": answer,
    }


def gan_quality(runs: Sequence[Run]) -> dict[str, dict[str, list[float | None]]]:
    """Return quality by class and measure, one value per run."""
    tables = [(run.report["gan"] or {}).get("quality", {}) for run in runs]
    comparison: dict[str, dict[str, list[float | None]]] = {}
    for label in dict.fromkeys(itertools.chain.from_iterable(tables)):
        measures = dict.fromkeys(itertools.chain.from_iterable(table.get(label, {}) for table in tables))
        comparison[label] = {name: [table.get(label, {}).get(name) for table in tables] for name in measures}
    return comparison
