"""Entry point of the stage: plans its tasks and runs them."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from ...dataset.names import FINAL, FINAL_REPLICATE, split_name
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, read_metadata
from ...formats.unlabelled import UnlabelledSource
from ...utils.errors import HostError
from ...utils.section import as_json
from .folds import Rule, assign_folds, bundled, group_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from ...config.run import RunConfig
    from ...engine.forecast import Extent

_MAKE = "satpipe.stages.chips.stage:make_"
_TABLES = ("numpy", "pandas", "pyarrow")
_PIXELS = (*_TABLES, "rasterio", "opencv-python-headless")


def plan(context: PlanContext) -> Plan:
    """Plan windows, cut them batch by batch, index the chips, find scenes and chips that leak, make the splits."""
    config = context.config
    chips = as_json(config.chips)
    classes, seed = list(config.ingest.classes), config.seed
    tables = context.artifact("ingest", "tables")
    unlabelled = _unlabelled_windows(config, tables)
    later = ("min_valid_fraction", "duplicates", "scaling", "masks")
    windows_config = {name: value for name, value in chips.items() if name not in later}
    [windows] = yield [
        Task(
            "chips",
            "windows",
            _MAKE + "windows",
            config={"chips": windows_config, "classes": classes, "seed": seed, **unlabelled},
            inputs={"tables": tables.ref},
            libraries=_TABLES,
        )
    ]
    cut_config = {name: chips[name] for name in ("size_px", "resampling", "min_valid_fraction", "masks")}
    batches = windows.metadata["batches"]
    cut_tasks = [
        Task(
            "chips",
            f"cut-{batch['name']}",
            _MAKE + "cut",
            config={"chips": cut_config, "batch": batch["name"]},
            inputs={"windows": windows.ref},
            libraries=_PIXELS,
            cost=1 + batch["megapixels"] / 20,
        )
        for batch in batches
    ]
    feature_tasks = _features(batches, chips, windows.ref) if _searches_scenes(chips) else []
    artifacts = yield cut_tasks + feature_tasks
    cuts, features = artifacts[: len(batches)], artifacts[len(batches) :]
    index, *scene_pairs = yield [
        Task(
            "chips",
            "index",
            _MAKE + "index",
            config={"classes": classes, "seed": seed},
            inputs={"cuts": tuple(cut.ref for cut in cuts), "windows": windows.ref, "tables": tables.ref},
            libraries=_TABLES,
            cost=2,
        ),
        *_scene_pairs(features, sum(batch["megapixels"] for batch in batches)),
    ]
    [duplicates] = yield [
        Task(
            "chips",
            "duplicates",
            _MAKE + "duplicates",
            config={"duplicates": chips["duplicates"], "size_px": chips["size_px"]},
            inputs={"index": index.ref, "scene_pairs": tuple(pairs.ref for pairs in scene_pairs)},
            libraries=(*_TABLES, "scipy", "shapely"),
            cost=1 + sum(index.metadata["chips"].values()) / 2000,
        )
    ]
    yield _splits(config, index, duplicates)


def _unlabelled_windows(config: RunConfig, tables: Artifact) -> dict[str, dict[str, int]]:
    """Return how many windows each source without labels gives, by its name, as a part of a task's configuration."""
    if not any(isinstance(source, UnlabelledSource) for source in config.ingest.sources):
        return {}
    named = zip(tables.metadata["sources"], config.ingest.sources, strict=True)
    return {"unlabelled": {name: source.windows for name, source in named if isinstance(source, UnlabelledSource)}}


SCENE_S, SEARCH_S = 0.5, 1.5
"""Seconds per megapixel of scenes to cut chips and masks, and to find scenes that show the same ground."""


def forecast(config: RunConfig, extent: Extent) -> tuple[int, float]:
    """Forecast how many batches scenes are cut in, and the seconds of each; one batch takes all cores by itself."""
    from .batches import BATCH_PIXELS

    batches = max(1, round(extent.megapixels * 1e6 / BATCH_PIXELS))
    seconds = SCENE_S + (SEARCH_S if _searches_scenes(as_json(config.chips)) else 0.0)
    return batches, 3.0 + seconds * extent.megapixels / batches


def _searches_scenes(chips: Mapping[str, Any]) -> bool:
    """Return whether scenes are compared by their pixels."""
    return bool(chips["duplicates"]["enabled"] and chips["duplicates"]["scenes"])


def _features(batches: Sequence[Mapping[str, Any]], chips: Mapping[str, Any], windows: ArtifactRef) -> list[Task]:
    """Return a task for each batch that finds the keypoints of its scenes."""
    return [
        Task(
            "chips",
            f"features-{batch['name']}",
            _MAKE + "features",
            config={"chips": {"resampling": chips["resampling"]}, "batch": batch["name"]},
            inputs={"windows": windows},
            libraries=_PIXELS,
            cost=1 + batch["megapixels"] / 2,
        )
        for batch in batches
    ]


def _scene_pairs(features: Sequence[Artifact], megapixels: float) -> list[Task]:
    """Return the task that finds scenes with common ground; none where scenes are not compared."""
    if not features:
        return []
    return [
        Task(
            "chips",
            "scene-pairs",
            _MAKE + "scene_pairs",
            inputs={"features": tuple(part.ref for part in features)},
            libraries=(*_TABLES, "scipy", "shapely", "opencv-python-headless"),
            cost=1 + megapixels / 2,
        )
    ]


def _splits(config: RunConfig, index: Artifact, duplicates: Artifact) -> list[Task]:
    """Plan one task for each fold, fraction and replicate, and the final one."""
    settings, metadata = config.split, index.metadata
    groups = group_column(metadata["groups"], settings.by, "split.by")
    group_column(metadata["groups"], settings.unit or settings.by, "split.unit")
    join = settings.overlap == "join"
    rule = Rule(
        by=settings.by,
        scheme=settings.scheme,
        folds=settings.folds,
        test_fraction=settings.test_fraction,
        test_groups=settings.test_groups,
        background=config.ingest.classes[0],
        seed=config.seed,
        repeats=settings.repeats,
        lists=settings.test_lists or (),
    )
    joined = duplicates.metadata["joined"].get(settings.by, []) if join else []
    folds = assign_folds(bundled(groups, joined), rule)
    common = {
        "by": settings.by,
        "unit": settings.unit or settings.by,
        "join": join,
        "size_px": config.chips.size_px,
        "smallest": min(settings.fractions),
        "validation_fraction": settings.validation_fraction,
        "background": rule.background,
        "seed": config.seed,
    }
    chosen: list[tuple[str, dict[str, Any]]] = [
        (
            split_name(fold, fraction, replicate),
            {"fold": fold, "test": list(tested), "fraction": fraction, "replicate": replicate, "test_share": None},
        )
        for fold, tested in enumerate(folds)
        for fraction in settings.fractions
        for replicate in range(settings.replicates)
    ]
    whole = {"fold": 0, "test": [], "fraction": 1.0, "test_share": None}
    chosen.append((FINAL, whole | {"replicate": FINAL_REPLICATE}))
    # As many labels as the verdict is on: beside it the score of these splits is shown.
    beside = whole | {
        "fraction": config.report.fraction or max(settings.fractions),
        "test_share": _tested(groups, folds),
    }
    chosen += [
        (f"random-r{replicate}", beside | {"replicate": replicate}) for replicate in range(settings.random_replicates)
    ]
    return [
        Task(
            "chips",
            f"split-{name}",
            _MAKE + "split",
            config=common | own,
            inputs={"index": index.ref, "duplicates": duplicates.ref},
            libraries=_TABLES,
            cost=0.5,
        )
        for name, own in chosen
    ]


def _tested(groups: Mapping[str, Mapping[str, int]], folds: Sequence[Sequence[str]]) -> float:
    """Return the share of the chips that a fold tests, on average; a random split tests as many."""
    size = {group: sum(counts.values()) for group, counts in groups.items()}
    return round(sum(size[group] for fold in folds for group in fold) / len(folds) / sum(size.values()), 4)


def make_windows(context: TaskContext) -> dict[str, Any]:
    """Make the artifact ``windows``: the windows of all scenes, in a file for each batch."""
    from .batches import plan_batches

    return plan_batches(context.folder("tables"), dict(context.config), context.store, context.out)


def make_cut(context: TaskContext) -> dict[str, Any]:
    """Make an artifact ``cut-<batch>``: the chips of a batch of scenes.

    Raises:
        HostError: If a scene is not there: another host may see it.
    """
    import pandas as pd

    from ...dataset.parquet import checked
    from .cut import cut_batch

    folder, batch = context.folder("windows"), context.config["batch"]
    return cut_batch(
        _batch_scenes(context),
        pd.read_parquet(checked(folder / f"windows-{batch}.parquet")),
        pd.read_parquet(checked(folder / f"objects-{batch}.parquet")),
        dict(context.config["chips"]),
        context.store,
        context.out,
        workers=_batch_workers(folder),
        progress=lambda done, total: context.progress.update(done, total, "scenes"),
    )


def make_features(context: TaskContext) -> dict[str, Any]:
    """Make an artifact ``features-<batch>``: pictures and keypoints of a batch of scenes.

    Raises:
        HostError: If a scene is not there: another host may see it.
    """
    from .overlap.extract import extract_batch

    return extract_batch(
        _batch_scenes(context),
        context.config["chips"]["resampling"],
        context.store,
        context.out,
        workers=_batch_workers(context.folder("windows")),
        progress=lambda done, total: context.progress.update(done, total, "scenes"),
    )


def make_scene_pairs(context: TaskContext) -> dict[str, Any]:
    """Make the artifact ``scene-pairs``: which scenes show the same ground, and by which transform."""
    from .overlap.search import find_scene_pairs

    return find_scene_pairs(
        context.folders("features"),
        context.out,
        os.cpu_count() or 1,
        lambda done, total: context.progress.update(done, total, "pairs of scenes"),
    )


def _batch_scenes(context: TaskContext) -> pd.DataFrame:
    """Return the scenes of the task's batch.

    Raises:
        HostError: If one is not there: another host may see it.
    """
    import socket

    import pandas as pd

    from ...dataset.parquet import checked
    from ...raster.gdal import scene_file
    from .cut import records

    scenes = pd.read_parquet(checked(context.folder("windows") / f"scenes-{context.config['batch']}.parquet"))
    for row in records(scenes):
        path = scene_file(row, context.store).path
        if not path.exists():
            raise HostError(
                f"scene {path} does not exist on {socket.gethostname()}: it was moved since it was ingested, or this"
                " host cannot see it; every host needs the scenes under the same path"
            )
    return scenes


def _batch_workers(windows: Path) -> int:
    """Return the threads of a batch: batches are made side by side, threads serve where they are fewer than cores."""
    batches = read_metadata(windows)["batches"]
    return max(1, (os.cpu_count() or 1) // len(batches))


def make_index(context: TaskContext) -> dict[str, Any]:
    """Make the artifact ``index``: the table of all chips and a contact sheet."""
    from ...dataset.tables import SCENES
    from .index import build

    scenes = SCENES.read(context.folder("tables") / "scenes.parquet")
    folders = context.folders("cuts")
    metadata = build(folders, scenes, context.config["classes"], context.store, context.out, context.config["seed"])
    parts = [read_metadata(folder) for folder in (context.folder("windows"), *folders)]
    masks = {"masks": sum(part.get("masks", 0) for part in parts), "without_mask": _summed(parts, "without_mask")}
    return metadata | {"dropped": _summed(parts, "dropped")} | masks


def _summed(parts: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    """Return the sum over some metadata of the counts by reason below a key."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.get(key, {}))
    return dict(counts)


def make_duplicates(context: TaskContext) -> dict[str, Any]:
    """Make the artifact ``duplicates``: pairs of chips that are a leak where they are on two sides."""
    from .leaks import find

    settings = dict(context.config["duplicates"]) | {"size_px": context.config["size_px"]}
    return find(context.folder("index"), context.folders("scene_pairs"), settings, context.store, context.out)


def make_split(context: TaskContext) -> dict[str, Any]:
    """Make an artifact ``split-<split>``: the role of each chip."""
    from .leaks import make_roles

    return make_roles(context.folder("index"), context.folder("duplicates"), dict(context.config), context.out)
