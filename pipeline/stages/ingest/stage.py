"""Plan ingest: which files are read, and which tasks read them.

Batches of tasks: what has to be made or fetched first (`simulated-<i>`, `download-<source>`); then the tasks
`catalogue-<source>-<batch>`, which read every scene whole; then `labels-<source>`; then `tables`, from which the other
stages start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config.run import IngestConfig, RunConfig
from ...config.sources import KaggleSource, SimulatedSource
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, UserFile
from ...formats.label import FAR, WITH_ITS_SCENE
from ...formats.listing import batches
from ...utils.errors import InputError
from ...utils.plural import plural
from ...utils.section import as_json
from ...utils.world_file import has_world_files, world_files
from .sample import sample
from .sources import SIDECAR, Fingerprint, LabelFiles, PlannedSource, SceneArtifact, label_files, plan_sources

TASK_FUNCTIONS = "satpipe.stages.ingest.stage:"
BATCH_BYTES = 16 << 20
"""A batch of scenes ends with the file that makes it larger than this, so that all cores have something to read."""
LEFT_OUT = "ingest.max_scenes and max_megabytes take"
PIXEL_BYTES = {".png": 1.4, ".jpg": 0.4, ".jpeg": 0.4, ".jp2": 1.0}
"""Bytes of a pixel of three bands in compressed files, as they usually are."""
RAW_PIXEL_BYTES = 4.0
READERS = ("rasterio", "numpy", "pandas", "pyarrow", "pyproj")


def plan(context: PlanContext) -> Plan:
    """Plan the tasks of this stage.

    Raises:
        InputError: If a source has no files, or nothing is left after bad ones were quarantined.
    """
    ingest = context.config.ingest
    planned = plan_sources(ingest)
    first = [_scene_tasks(item) for item in planned]
    done = list((yield [task for tasks in first for task in tasks])) if any(first) else []
    for item, tasks in zip(planned, first, strict=True):
        item.scene_artifacts = tuple(file for _ in tasks for file in _files(done.pop(0)))
    catalogues = [_catalogues(item, ingest, context.fingerprint) for item in planned]
    done = list((yield [task for tasks in catalogues for task in tasks]))
    for item, tasks in zip(planned, catalogues, strict=True):
        item.catalogue = tuple(done.pop(0).ref for _ in tasks)
    labels = yield [_labels(item, ingest, context.fingerprint) for item in planned]
    square = context.config.chips.resampling is None
    tables = yield [_tables(planned, tuple(task.ref for task in labels), square, context.fingerprint)]
    _check(tables[0], ingest)


def _scene_tasks(item: PlannedSource) -> list[Task]:
    """Return the tasks that make or fetch the scenes of a source."""
    source = item.source
    if isinstance(source, KaggleSource):
        config = {"dataset": source.dataset, "version": source.version}
        return [Task("ingest", f"download-{item.name}", f"{TASK_FUNCTIONS}make_download", config=config, cost=60.0)]
    if not isinstance(source, SimulatedSource):
        return []
    prefix = "simulated" if item.name == source.type else f"simulated-{item.name}"
    # A scene depends on its number and not on how many there are.
    elsewhere = ("name", "licence", "gsd_m", "nodata", "class_map", "groups_csv", "groups_regex", "scenes")
    config = {key: value for key, value in as_json(source).items() if key not in elsewhere}
    return [
        Task(
            "ingest",
            f"{prefix}-{number}",
            f"{TASK_FUNCTIONS}make_simulated",
            config={"source": config, "number": number},
            libraries=("numpy", "rasterio"),
            cost=1.0,
        )
        for number in range(source.scenes)
    ]


def _files(done: Artifact) -> list[SceneArtifact]:
    """Return the scene files of an artifact."""
    metadata = done.metadata
    files = metadata["files"] if "files" in metadata else [[metadata["scene"], 0]]
    return [SceneArtifact(done.ref, name, size) for name, size in files]


def _catalogues(item: PlannedSource, ingest: IngestConfig, fingerprint: Fingerprint) -> list[Task]:
    """Return the tasks that read the scenes of a source."""
    config = {
        "source": item.name,
        "kind": item.label_format.name,
        "gsd_m": item.source.gsd_m,
        "nodata": item.source.nodata,
        "bands": ingest.bands,
        "max_pixels": ingest.max_pixels,
    }
    refused: list[tuple[str, str]] = []
    files: dict[str, UserFile] = {}
    if item.scenes is None:
        sizes = [file.size for file in item.scene_artifacts]
    else:
        refused.extend(item.scenes.refused)
        for name in item.scenes.files:
            try:
                files[name] = fingerprint(item.scenes.path(name))
            except InputError as error:
                refused.append((name, str(error).replace(str(item.scenes.path(name)), name)))
        size_of = dict(zip(item.scenes.files, item.scenes.sizes, strict=True))
        sizes = [size_of[name] for name in files]
    artifact_of = {file.name: file.task for file in item.scene_artifacts}
    names, sizes = _sampled(item, ingest, list(artifact_of or files), sizes, refused)
    tasks = []
    for batch, run in enumerate(list(batches(sizes, ingest.scenes_per_task, BATCH_BYTES)) or [range(0)]):
        origin = tuple(dict.fromkeys(artifact_of[names[position]] for position in run)) if artifact_of else ()
        tasks.append(
            Task(
                "ingest",
                f"catalogue-{item.name}-{batch}",
                f"{TASK_FUNCTIONS}make_catalogue",
                config=config
                | {
                    "refused": refused if batch == 0 else [],
                    "names": [names[position] for position in run] if origin else [],
                },
                inputs={"origin": origin} if origin else {},
                files={}
                if origin
                else {names[position]: files[names[position]] for position in run}
                | _places(item, [names[position] for position in run], fingerprint),
                libraries=READERS,
                cost=0.2 + sum(sizes[position] for position in run) / 20e6,
            )
        )
    return tasks


def _sampled(
    item: PlannedSource, ingest: IngestConfig, names: list[str], sizes: list[int], refused: list[tuple[str, str]]
) -> tuple[list[str], list[int]]:
    """Return the names and sizes of the scenes to take, and add the others to the refused ones."""
    if ingest.max_scenes is None and ingest.max_megabytes is None:
        return names, sizes
    own = label_files(item, lambda path: UserFile(str(path), "")) if item.scenes is not None else LabelFiles()
    labelled = {name for name, label in own.own.items() if Path(own.files[label].path).stat().st_size}
    most_bytes = None if ingest.max_megabytes is None else ingest.max_megabytes * 1_000_000
    taken = sample(names, sizes, labelled, ingest.max_scenes, most_bytes)
    refused += [(name, f"{LEFT_OUT} {len(taken):,} of {len(names):,}") for name in names if name not in taken]
    chosen = [(name, size) for name, size in zip(names, sizes, strict=True) if name in taken]
    return [name for name, _ in chosen], [size for _, size in chosen]


def _places(item: PlannedSource, names: list[str], fingerprint: Fingerprint) -> dict[str, UserFile]:
    """Return the files beside scenes that place them, by name."""
    assert item.scenes is not None
    paths = {name: item.scenes.path(name) for name in names}
    placed = {folder for folder in {path.parent for path in paths.values()} if has_world_files(folder)}
    own = [(name, path) for name, path in paths.items() if path.parent in placed]
    beside = {
        f"{SIDECAR}{name}{world_file.suffix}": world_file for name, path in own for world_file in world_files(path)
    }
    return {name: fingerprint(path) for name, path in beside.items()}


def _labels(item: PlannedSource, ingest: IngestConfig, fingerprint: Fingerprint) -> Task:
    """Return the task that reads the labels of a source."""
    label_input = label_files(item, fingerprint)
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {"catalogue": item.catalogue}
    if isinstance(item.source, SimulatedSource):
        inputs["origin"] = tuple(file.task for file in item.scene_artifacts)
    return Task(
        "ingest",
        f"labels-{item.name}",
        f"{TASK_FUNCTIONS}make_labels",
        config={
            "kind": item.label_format.name,
            "classes": ingest.classes,
            "class_map": item.source.class_map,
            "own": label_input.own,
            "folders": label_input.folders,
            "settings": {} if item.scenes is None else item.source.settings,
        },
        inputs=inputs,
        files=label_input.files,
        libraries=(*READERS, "geopandas", "shapely"),
    )


def _tables(
    planned: list[PlannedSource], labels: tuple[ArtifactRef, ...], square: bool, fingerprint: Fingerprint
) -> Task:
    """Return the task that gathers all sources; ``square`` refuses scenes that would need resampling for it."""
    groups = {item.position: item.source.groups_csv for item in planned if item.source.groups_csv is not None}
    return Task(
        "ingest",
        "tables",
        f"{TASK_FUNCTIONS}make_tables",
        config={
            "square": square,
            "sources": [
                {
                    "name": item.name,
                    "type": item.source.type,
                    "licence": item.source.licence,
                    "root": None if item.scenes is None else str(item.scenes.root),
                    "groups_regex": item.source.groups_regex,
                    "parts": len(item.catalogue),
                }
                for item in planned
            ],
        },
        inputs={"catalogue": tuple(ref for item in planned for ref in item.catalogue), "labels": labels},
        files={f"groups/{position}": fingerprint(Path(path)) for position, path in groups.items()},
        libraries=READERS,
    )


def _check(tables: Artifact, ingest: IngestConfig) -> None:
    """Raise InputError where nothing is left, or where `strict` stops the run at a bad file."""
    metadata = tables.metadata
    bad = [item for item in metadata["quarantined"] if not item[1].startswith(LEFT_OUT)]
    if bad and (ingest.strict or not metadata["scenes"]):
        left = "" if metadata["scenes"] else ", so that none is left"
        raise InputError(f"scene {bad[0][0]} cannot be used: {bad[0][1]} ({plural(len(bad), 'such scene')}{left})")
    reasons = metadata["labels_quarantined_by_reason"]
    odd = {reason: count for reason, count in reasons.items() if reason not in (FAR, WITH_ITS_SCENE)}
    if odd and ingest.strict:
        named = (f"{name} cannot be used: {reason}" for name, reason in metadata["labels_quarantined"] if reason in odd)
        first = next(named, f"of {next(iter(odd))} cannot be used")
        raise InputError(f"label {first} ({plural(sum(odd.values()), 'such label')})")
    if not metadata["labels"]:
        count = sum(reasons.values())
        why = (
            f"{max(reasons, key=lambda item: reasons[item])} ({plural(count, 'label')})" if count else "there are none"
        )
        raise InputError(f"no label of {', '.join(metadata['sources'])} can be used: {why}")


def expected_megapixels(config: RunConfig) -> float:
    """Estimate the millions of pixels of all scenes from the size of their files; 0 for what is not fetched yet."""
    pixels = 0.0
    for item in plan_sources(config.ingest):
        if isinstance(item.source, SimulatedSource):
            pixels += item.source.scenes * item.source.size_px**2
        elif item.scenes is not None:
            names, sizes = _sampled(item, config.ingest, list(item.scenes.files), list(item.scenes.sizes), [])
            share = (PIXEL_BYTES.get(Path(name).suffix.lower(), RAW_PIXEL_BYTES) for name in names)
            pixels += sum(size / each for size, each in zip(sizes, share, strict=True))
    return pixels / 1e6


# -------------------------------------------------------------------------------------------------- task functions


def make_simulated(context: TaskContext) -> dict[str, Any]:
    """Write a simulated scene and its labels."""
    from .simulator.scene import write_scene

    return write_scene(SimulatedSource(**context.config["source"]), context.config["number"], context.out)


def make_download(context: TaskContext) -> dict[str, Any]:
    """Fetch a data set from Kaggle."""
    from .kaggle import download

    return download(context.config["dataset"], context.config["version"], context.out, context.progress)


def make_catalogue(context: TaskContext) -> dict[str, Any]:
    """Read a batch of scenes whole and list them."""
    from .catalogue import catalogue

    return catalogue(context)


def make_labels(context: TaskContext) -> dict[str, Any]:
    """Read the labels of a source."""
    from .gather import labels

    return labels(context)


def make_tables(context: TaskContext) -> dict[str, Any]:
    """Gather all sources."""
    from .gather import tables

    return tables(context)
