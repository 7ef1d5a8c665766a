"""Entry point of the report stage: the verdict, the final classifier that it favours, and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.run import RunConfig
from ...dataset.arms import parse
from ...dataset.names import FINAL
from ...engine.forecast import Extent
from ...engine.task import ArtifactRef, Plan, PlanContext, Task, TaskContext, read_metadata
from ...utils.section import as_json

if TYPE_CHECKING:
    from ...config.run import SplitConfig
    from .stats.statistics import Folds

VERDICT_LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow")
TRAINED_WITH = ("torch", "albumentations", "rasterio")
"""What made the figures; the page names their versions."""
PAGE_LIBRARIES = (*VERDICT_LIBRARIES, "matplotlib", "jinja2", "pillow", "PyYAML", *TRAINED_WITH)
RESOURCES = tuple(f"stages/report/html/templates/{name}" for name in ("page.html", "blocks.html", "page.css"))
RANDOM = "random"
"""Prefix of classifiers that were tested on a random split of the chips: shown, and no part of the verdict."""
PATH_KEYS = frozenset({"path", "labels", "groups_csv"})


def plan(context: PlanContext) -> Plan:
    """Plan the verdict on all predictions."""
    yield [verdict_task(context)]


def plan_page(context: PlanContext) -> Plan:
    """Plan the page, once the final classifier is there."""
    yield [page_task(context)]


def predictions(context: PlanContext) -> tuple[ArtifactRef, ...]:
    """Return references to the classifiers of the experiment."""
    return _classifiers(context, "fold")


def _classifiers(context: PlanContext, prefix: str) -> tuple[ArtifactRef, ...]:
    return tuple(done.ref for name, done in sorted(context.done["classify"].items()) if name.startswith(prefix))


def generators(context: PlanContext) -> tuple[ArtifactRef, ...]:
    """Return the generators whose chips the treatment trains on, at the verdict's fraction."""
    arm, fraction = parse(context.config.report.treatment), verdict_fraction(context.config)
    if arm.source != "gan" or arm.shuffled:
        return ()
    splits = {name: context.done["chips"].get(f"split-{name}") for name in sorted(context.done["gan"]) if name != FINAL}
    wanted = [name for name, split in splits.items() if split and math.isclose(split.metadata["fraction"], fraction)]
    return tuple(context.artifact("gan", name).ref for name in wanted)


def verdict_fraction(config: RunConfig) -> float:
    """Return the real fraction that the verdict is on."""
    return config.report.fraction if config.report.fraction is not None else max(config.split.fractions)


def verdict_task(context: PlanContext) -> Task:
    """Return the task that answers the question."""
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
            "fraction": verdict_fraction(config),
            "confidence": asked.confidence,
            "bootstrap": asked.bootstrap,
            "unit": config.split.unit or config.split.by,
            "folds": fold_effects(config.split),
        },
        inputs={
            "predictions": predictions(context),
            "random": _classifiers(context, RANDOM),
            "generators": generators(context),
        },
        libraries=VERDICT_LIBRARIES,
        cost=3.0,
    )


def fold_effects(split: SplitConfig) -> Folds:
    """Return whether folds are random effects, or fixed because the test units were assigned to them at random.

    Where a fold tests whole groups of units, such as areas of several sites, it has an effect that its units share.
    """
    by_chance = split.scheme in ("folds", "holdout") and split.unit in (None, split.by)
    return "fixed" if by_chance else "random"


def page_task(context: PlanContext) -> Task:
    """Return the task that writes the page, from everything that the run committed."""

    def group(stage: str, prefix: str = "") -> tuple[ArtifactRef, ...]:
        return tuple(done.ref for name, done in sorted(context.done[stage].items()) if name.startswith(prefix + "fold"))

    return Task(
        stage="report",
        name="page",
        function="satpipe.stages.report.stage:make_page",
        config={"config": shown_config(context.config)},
        inputs={
            "verdict": context.artifact("report", "verdict").ref,
            "final": context.artifact("classify", FINAL).ref,
            "tables": context.artifact("ingest", "tables").ref,
            "index": context.artifact("chips", "index").ref,
            "splits": group("chips", "split-"),
            "gan": group("gan"),
            "synth": group("synth"),
            "classifiers": group("classify"),
        },
        libraries=PAGE_LIBRARIES,
        resources=RESOURCES,
        cost=8.0,
    )


def shown_config(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as the page shows it: without where tasks run, and of the user's paths the last name.

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


def forecast(config: RunConfig, extent: Extent) -> tuple[int, float]:
    """Forecast the seconds of the verdict and the page, one after the other."""
    return 1, 4.0 + extent.splits / 20


def make_verdict(context: TaskContext) -> dict[str, Any]:
    """Join all predictions, compute every metric, and answer the question."""
    import pandas as pd

    from ...dataset.tables import PREDICTIONS
    from ...utils.csv_safety import csv_escaped_table
    from .analysis import add_generators, analyse, write_json
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
    tested_arms = set(frame["arm"])
    arms = [arm for arm in config["arms"] if arm in tested_arms]
    arms += sorted(tested_arms - set(arms))
    question = Question(
        metric=config["metric"],
        treatment=config["treatment"],
        baseline=config["baseline"],
        fraction=config["fraction"],
        confidence=config["confidence"],
        draws=config["bootstrap"],
        seed=config["seed"],
        unit=config["unit"],
        folds=config["folds"],
    )
    answer, metrics = analyse(frame, config["classes"], arms, question, random_split)
    add_generators(answer, [read_metadata(folder) for folder in context.folders("generators")])
    metrics["fraction"] = metrics["fraction"].map(repr)  # in full: the page looks rows up by it
    csv_escaped_table(metrics).to_csv(
        context.out / "metrics.csv", index=False, float_format="%.6g", lineterminator="\n"
    )
    write_json(answer, context.out / "verdict.json")
    return _summary(answer)


def make_page(context: TaskContext) -> dict[str, Any]:
    """Write the page and what lies beside it."""
    import shutil

    from . import gather, page
    from .analysis import write_json

    data = gather.read(context)
    report = page.write(data, context.task.libraries, context.out)
    write_json(report, context.out / "report.json")
    for path in sorted(context.folder("verdict").glob("*.csv")) + sorted(context.folder("verdict").glob("*.parquet")):
        shutil.copyfile(path, context.out / path.name)
    return {**_summary(data.answer), "simulated": bool(data.tables.get("simulated"))}


def _summary(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run prints of its answer, and what decides the final classifier."""
    learned = (answer.get("generator") or {}).get("learned")
    return {key: answer[key] for key in ("verdict", "sentence", "favoured")} | {"learned": learned}
