"""The report's door: the verdict, the final classifier that it favours, and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...utils.section import as_json
from ...config.run import RunConfig
from ...dataset.names import CLASSIC, FINAL, FINAL_REPLICATE, synth_part
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, UserFile

VERDICT_LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow")
TRAINED_WITH = ("torch", "albumentations", "rasterio")
"""What made the figures; the page names their versions."""
PAGE_LIBRARIES = (*VERDICT_LIBRARIES, "matplotlib", "jinja2", "pillow", "PyYAML", *TRAINED_WITH)
RESOURCES = tuple(f"stages/report/html/templates/{name}" for name in ("page.html", "blocks.html", "page.css"))
RANDOM = "random"
"""Prefix of classifiers that were tested on a random split of the chips: shown, and no part of the verdict."""
PATH_KEYS = frozenset({"path", "labels", "groups_csv"})


def plan(context: PlanContext) -> Plan:
    """Plan the verdict from all predictions, then the final classifier, then the page."""
    (verdict,) = yield [verdict_part(context)]
    (final,) = yield [final_part(context, str(verdict.metadata["favoured"]))]
    yield [page_part(context, verdict, final)]


def predictions(context: PlanContext) -> tuple[ArtifactRef, ...]:
    """The classifiers of the experiment, by name."""
    return _classifiers(context, "fold")


def _classifiers(context: PlanContext, prefix: str) -> tuple[ArtifactRef, ...]:
    return tuple(done.ref for name, done in sorted(context.done["classify"].items()) if name.startswith(prefix))


def verdict_part(context: PlanContext) -> Task:
    """The part that answers the question."""
    config = context.config
    asked = config.report
    return Task(
        stage="report",
        name="verdict",
        function="satpipe.stages.report.stage:make_verdict",
        config={
            "seed": config.seed,
            "classes": list(config.ingest.classes),
            "arms": list(config.classify.arms),
            "metric": asked.metric,
            "treatment": asked.treatment,
            "baseline": asked.baseline,
            "fraction": asked.fraction if asked.fraction is not None else max(config.split.fractions),
            "confidence": asked.confidence,
            "bootstrap": asked.bootstrap,
            "unit": config.split.unit or config.split.by,
        },
        inputs={"predictions": predictions(context), "random": _classifiers(context, RANDOM)},
        libraries=VERDICT_LIBRARIES,
        cost=3.0,
    )


def final_part(context: PlanContext, favoured: str) -> Task:
    """The classifier of all labelled chips, with the arm that the verdict favours.

    An arm with chips of a folder that holds none for all labelled chips gives way to the baseline.
    """
    config = context.config
    arms = (favoured, config.report.baseline, CLASSIC)
    arm = next(arm for arm in arms if (made := synth_part(arm, FINAL)) is None or made in context.done["synth"])
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {
        "index": context.one("chips", "index").ref,
        "split": context.one("chips", f"split-{FINAL}").ref,
    }
    made = synth_part(arm, FINAL)
    if made is not None:
        inputs["synth"] = context.one("synth", made).ref
    classify = as_json(config.classify)
    classify.pop("arms")
    return Task(
        stage="classify",
        name=FINAL,
        function="satpipe.stages.classify.stage:make_final",
        config={
            "classify": classify,
            "scaling": as_json(config.chips.scaling),
            "classes": list(config.ingest.classes),
            "seed": config.seed,
            "arm": arm,
            "fold": 0,
            "fraction": 1.0,
            "replicate": FINAL_REPLICATE,
        },
        inputs=inputs,
        files=users_model(context),
        libraries=("torch", "numpy", "albumentations", "opencv-python-headless", "scipy"),
        training=True,
        cost=30.0,
    )


def users_model(context: PlanContext) -> dict[str, UserFile]:
    """The source of the user's network, so that an edited one is trained again; the experiment found it before."""
    name = context.config.classify.model
    spec = find_spec(name.partition(":")[0]) if name is not None else None
    return {"model": context.fingerprint(spec.origin)} if spec is not None and spec.origin is not None else {}


def page_part(context: PlanContext, verdict: Artifact, final: Artifact) -> Task:
    """The page, from everything that the run committed."""

    def group(stage: str, prefix: str = "") -> tuple[ArtifactRef, ...]:
        return tuple(done.ref for name, done in sorted(context.done[stage].items()) if name.startswith(prefix + "fold"))

    return Task(
        stage="report",
        name="page",
        function="satpipe.stages.report.stage:make_page",
        config={"config": shown_config(context.config)},
        inputs={
            "verdict": verdict.ref,
            "final": final.ref,
            "tables": context.one("ingest", "tables").ref,
            "index": context.one("chips", "index").ref,
            "splits": group("chips", "split-"),
            "gan": group("gan"),
            "synth": group("synth"),
        },
        libraries=PAGE_LIBRARIES,
        resources=RESOURCES,
        cost=8.0,
    )


def shown_config(config: RunConfig) -> dict[str, Any]:
    """The configuration as the page shows it: without where parts are made, and of the user's paths the last name.

    Neither changes results, and a report is passed on to people who need not know the user's folders and hosts.
    """
    data = as_json(config)
    for key in ("workers", "memory_gb", "executor", "scheduler"):
        data["compute"].pop(key, None)
    shortened = _names_only(data)
    assert isinstance(shortened, dict)
    return shortened


def _names_only(data: Any, key: str = "") -> Any:
    if isinstance(data, dict):
        return {name: _names_only(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [_names_only(item, key) for item in data]
    return Path(data).name if key in PATH_KEYS and isinstance(data, str) else data


def make_verdict(context: TaskContext) -> dict[str, Any]:
    """Join all predictions, compute every metric, and answer the question."""
    import pandas as pd

    from ...dataset.tables import PREDICTIONS
    from ...utils.csv_safety import csv_escaped_table
    from .analysis import analyse
    from .stats.question import Question

    config = context.config
    order = ["fold", "fraction", "replicate", "arm", "role", "unit", "chip_id"]

    def joined(name: str) -> pd.DataFrame:
        tables = [PREDICTIONS.read(folder / "predictions.parquet") for folder in context.folders(name)]
        return pd.concat(tables, ignore_index=True).sort_values(order, ignore_index=True)

    frame = PREDICTIONS.write(joined("predictions"), context.out / "predictions.parquet")
    random_split = None
    if context.folders("random"):
        random_split = PREDICTIONS.write(joined("random"), context.out / "predictions-random-split.parquet")
    found = set(frame["arm"])
    arms = [arm for arm in config["arms"] if arm in found]
    arms += sorted(found - set(arms))
    question = Question(
        metric=config["metric"],
        treatment=config["treatment"],
        baseline=config["baseline"],
        fraction=config["fraction"],
        confidence=config["confidence"],
        draws=config["bootstrap"],
        seed=config["seed"],
        unit=config["unit"],
    )
    answer, metrics = analyse(frame, config["classes"], arms, question, random_split)
    metrics["fraction"] = metrics["fraction"].map(repr)  # in full: the page looks rows up by it
    csv_escaped_table(metrics).to_csv(
        context.out / "metrics.csv", index=False, float_format="%.6g", lineterminator="\n"
    )
    write_json(answer, context.out / "verdict.json")
    return _facts(answer)


def make_page(context: TaskContext) -> dict[str, Any]:
    """Write the page and what lies beside it."""
    import shutil

    from . import gather
    from .html import page

    material = gather.read(context)
    report = page.write(material, context.task.libraries, context.out)
    write_json(report, context.out / "report.json")
    for path in sorted(context.folder("verdict").glob("*.csv")) + sorted(context.folder("verdict").glob("*.parquet")):
        shutil.copyfile(path, context.out / path.name)
    return {**_facts(material.answer), "simulated": bool(material.tables.get("simulated"))}


def _facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the end of a run says of its answer, and what decides the final classifier."""
    return {key: answer[key] for key in ("verdict", "sentence", "favoured")}


def write_json(data: Any, path: Path) -> None:
    """Write JSON for people and programs: sorted as given, no NaN."""
    from .analysis import finite

    path.write_text(json.dumps(finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
