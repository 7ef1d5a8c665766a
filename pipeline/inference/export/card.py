"""Card of an exported model: a README.md with the YAML head that the Hugging Face Hub reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from ...config.quick import caution
from ...engine.runs import Run
from ...models.classifier import SHIP_CONVNET, Classifier
from ...models.quality import generator_verdict
from ...utils.bounded_files import read_json
from ...utils.csv_safety import unescaped_table
from ...utils.errors import StoreError, first_line
from ...utils.plural import plural
from ..generate.loaded import LoadedGenerator
from ..hub import licence_head

NAME = "README.md"
_TITLES = {
    "kid": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
}
_OF_QUALITY = ("kid", "precision", "recall", "coverage")


@dataclass(frozen=True)
class Metric:
    """A measured value.

    Attributes:
        kind: Its identifier, such as ``accuracy``.
        title: Its name in words.
        value: The value.
        low: Lower end of its interval; None where there is none.
        high: Upper end.
        beside: What real chips score, for a measure of generated ones; None for others.
    """

    kind: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None
    beside: float | None = None


@dataclass(frozen=True)
class Page:
    """Content of a card, apart from the files beside it.

    Attributes:
        about: What ``model.json`` says.
        task: The Hub's name of the task.
        lead: What the model is, in a few sentences.
        uses: Sentences on what it is for and what it is not for.
        code: Python that loads it.
        metrics: What was measured.
        measured_on: On what it was measured, and what that means for this model.
        confidence: Of the intervals.
        warning: What people must know first; None where there is nothing.
    """

    about: Mapping[str, Any]
    task: str
    lead: str
    uses: Sequence[str]
    code: str
    metrics: Sequence[Metric]
    measured_on: str
    confidence: float
    warning: str | None

    def text(self, files: Sequence[str], differences: Mapping[str, float]) -> str:
        """Return the card beside some files, of which ONNX ones differ from torch by so much."""
        about = self.about
        simulated = ", all of them simulated" if about["simulated"] else ""
        size = f" at {about['gsd_m']:g} m per pixel" if about["gsd_m"] else ""
        head = yaml.safe_dump(self._head(), sort_keys=False, allow_unicode=True)
        compared = [
            f"`{name}` was compared with torch in ONNX Runtime: it differs by {value:.1e} of the output's range."
            for name, value in differences.items()
        ]
        sections = [
            f"---\n{head}---\n\n# {about['kind'].capitalize()} of run {about['run']}",
            *([f"**{self.warning}**"] if self.warning else []),
            self.lead,
            "## Intended use\n\n" + "\n".join(f"- {use}" for use in self.uses),
            f"## How to load it\n\n```python\n{self.code}\n```",
            f"## Data\n\nIt was trained on chips of {', '.join(about['sources'])}{simulated}{size}.",
            f"## Licence\n\nThat of the imagery it was trained on: {'; '.join(about['licences'])}.",
            f"## Metrics\n\n{self._table()}\n\n{self.measured_on}",
            "## Files\n\n" + "\n".join(f"- `{name}`: {_FILES[name]}" for name in files if name in _FILES),
            *compared,
        ]
        return "\n\n".join(sections) + "\n"

    def _head(self) -> dict[str, Any]:
        about = self.about
        results = {
            "task": {"type": self.task},
            "dataset": {"type": about["run"], "name": f"held-out chips of run {about['run']}", "split": "test"},
            "metrics": [self._entry(metric) for metric in self.metrics],
        }
        index = [{"name": f"{about['run']}-{about['kind']}", "results": [results]}] if self.metrics else []
        return {
            **licence_head(about["licences"]),
            "library_name": "satpipe",
            "pipeline_tag": self.task,
            "tags": [
                "satellite-imagery",
                "remote-sensing",
                *(["gan", "synthetic"] if about["kind"] == "generator" else []),
            ],
            **({"model-index": index} if index else {}),
        }

    def _entry(self, metric: Metric) -> dict[str, Any]:
        entry = {"type": metric.kind, "name": metric.title, "value": round(metric.value, 4)}
        if metric.low is None or metric.high is None:
            return entry
        return entry | {
            "args": {"confidence": self.confidence, "low": round(metric.low, 4), "high": round(metric.high, 4)}
        }

    def _table(self) -> str:
        if not self.metrics:
            return "Nothing was measured yet: the run has no report."
        real = any(metric.beside is not None for metric in self.metrics)
        columns = ["metric", "value", f"{100 * self.confidence:g} % interval", *(["real chips score"] if real else [])]
        rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for metric in self.metrics:
            cells = [metric.title, f"{metric.value:.3f}"]
            cells += ["" if metric.low is None or metric.high is None else f"{metric.low:.3f} to {metric.high:.3f}"]
            cells += ["" if metric.beside is None else f"{metric.beside:.3f}"] if real else []
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)


_FILES = {
    "generator.safetensors": "weights of the network that generates entire chips; `generator.json` describes it",
    "layers.safetensors": (
        "weights of the network that generates layers of objects; `layers.json` describes it and the composition"
    ),
    "classifier.safetensors": "weights; `classifier.json` has architecture, scaling, temperature and threshold",
    "scaling.json": "chip values that the networks see as -1 and 1",
    "screening.safetensors": (
        "the screening model. It holds thumbnails of training chips: if those must not be passed on,"
        " delete it and `screening.json`, and sample with `screen=False`"
    ),
    "generator.onnx": (
        "`z` (N, z_dim) from a standard normal distribution and `label` (N,) give `chips` (N, C, H, W) in chip values;"
        " the classes that labels number are in the file's metadata"
    ),
    "layers.onnx": (
        "likewise, but `layers` (N, C + 1, H, W): bands premultiplied by alpha, which comes last. A composite is"
        " `(1 - alpha) * background + bands`; pose, size and background are chosen by satpipe and not part of the file"
    ),
    "classifier.onnx": (
        "`chips` (N, C, H, W), float32 in chip values, give calibrated `probabilities` (N, classes). Scaling is"
        " included; classes and threshold are in the file's metadata"
    ),
    "model.json": "the origin of the model, machine-readable",
}
_OBSERVED = "Do not present its chips as observations: they show no real place."
_ELSEWHERE = "Not for imagery of another sensor, pixel size or kind of place than the training data."
_RARE = (
    "Its probabilities are calibrated on chips of which about half show an object; objects are rarer in whole scenes."
)
_FLOORS = (
    "Measured against validation chips in a feature space learned on the training chips, relative to how real chips"
    " score against each other. Small kernel distances are good; of the other measures, large values are."
)
_HELD_OUT = (
    "Means over replicates of classifiers trained in the same way without the test chips; this one was trained on"
    " all labelled chips, so none is left to test it on."
)


def of_generator(run: Run, loaded: LoadedGenerator, about: Mapping[str, Any]) -> Page:
    """Return the card of a run's final generator."""
    quality: Mapping[str, Mapping[str, float]] = loaded.measured.get("quality") or {}
    metrics = [
        Metric(name, f"{_TITLES[name]}, {label}", float(values[name]), beside=values.get(f"{name}_floor"))
        for label, values in quality.items()
        for name in _OF_QUALITY
        if isinstance(values.get(name), int | float)
    ]
    answer = _answer(run)
    helped = "Whether that helps has not been tested." if answer is None else f"When tested: {answer.sentence}"
    height, width, bands = loaded.generator.shape
    classes = loaded.generator.classes
    return Page(
        about,
        "unconditional-image-generation",
        f"A conditional generative adversarial network p(x|y): satellite image chips of {height} x {width} pixels and"
        f" {plural(bands, 'band')}, of the classes {', '.join(classes)}.",
        (f"Adding labelled synthetic chips to the training set of a classifier. {helped}", _OBSERVED, _ELSEWHERE),
        'from satpipe import load_generator\n\ngenerator = load_generator("path/to/this/folder")\n'
        f"images, labels = generator.tensors(64, label={json.dumps(classes[-1])})",
        metrics if answer is None else [*metrics, answer.gain],
        _FLOORS,
        0.95 if answer is None else answer.confidence,
        caution(run.config, generator_verdict(loaded.measured).sentence),
    )


def of_classifier(run: Run, classifier: Classifier, about: Mapping[str, Any]) -> Page:
    """Return the card of a run's final classifier."""
    shape, arm = classifier.architecture, str(classifier.card.get("arm", ""))
    answer = _answer(run)
    metrics = [] if answer is None else _metrics_of(run, arm)
    custom = "" if shape.name == SHIP_CONVNET else f", model={json.dumps(shape.name)}"
    return Page(
        about,
        "image-classification",
        f"A convolutional network ({shape.name}) that classifies satellite image chips of {shape.size_px} x"
        f" {shape.size_px} pixels and {plural(shape.bands, 'band')} into {', '.join(shape.classes)}. It was trained on"
        f" all labelled chips, arm `{arm}`.",
        (
            "Classifying chips centred on an object or on background. `satpipe detect` scans whole scenes.",
            _RARE,
            _ELSEWHERE,
        ),
        f'from satpipe import load_classifier\n\nclassifier = load_classifier("path/to/this/folder"{custom})\n'
        "scores = classifier.scores(chips)  # chips (N, H, W, C) in their original values",
        metrics,
        _HELD_OUT if metrics else "",
        0.95 if answer is None else answer.confidence,
        caution(run.config, None),
    )


@dataclass(frozen=True)
class _Answer:
    """Answer of a report: its sentence, the treatment's gain, and the confidence of intervals."""

    sentence: str
    gain: Metric
    confidence: float


def _answer(run: Run) -> _Answer | None:
    """Return the answer of a run's report; None where it has none."""
    artifact = run.find("report/verdict")
    if artifact is None:
        return None
    try:
        answer = read_json(artifact.path / "verdict.json")
        question, gain = answer["question"], answer["difference"]
        title = f"{question['title']}, {question['treatment']} minus {question['baseline']}"
        low, high = (None if gain[end] is None else float(gain[end]) for end in ("low", "high"))
        metric = Metric(str(question["metric"]), title, float(gain["estimate"]), low, high)
        return _Answer(str(answer["sentence"]), metric, float(question["confidence"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the verdict of run {run.name} is damaged ({first_line(error, 120)})") from None


def _metrics_of(run: Run, arm: str) -> list[Metric]:
    """Return the metrics of an arm at the largest fraction of real labels, over all folds."""
    artifact = run.artifact("report/verdict", "verdict", "report")
    try:
        table = unescaped_table(pd.read_csv(artifact.path / "metrics.csv"))
        rows = table[(table["kind"] == "arm") & (table["arm"] == arm) & table["fold"].isna()]
        rows = rows[rows["fraction"] == rows["fraction"].max()]
        return [
            Metric(
                str(name).replace(" ", "_"),
                _TITLES.get(name, name.replace("_", " ")),
                value,
                _finite(low),
                _finite(high),
            )
            for name, value, low, high in rows[["metric", "estimate", "low", "high"]].itertuples(index=False)
            if math.isfinite(value)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"the metrics of run {run.name} are damaged ({first_line(error, 120)})") from None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
