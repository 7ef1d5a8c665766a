"""The door of ingest: plans which files are read, and what is made of them.

Waves: what has to be made or fetched first (`simulated-<i>`, `download-<source>`); then `catalogue-<source>-<batch>`,
which read every scene whole; then `labels-<source>`; then `tables`, from which the other stages start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config.run import IngestConfig
from ...config.sources import KaggleSource, SimulatedSource
from ...engine.task import Artifact, ArtifactRef, Plan, PlanContext, Task, TaskContext, UserFile
from ...formats.label import FAR, WITH_ITS_SCENE
from ...formats.listing import batches
from ...utils.errors import InputError
from ...utils.section import as_json
from ...utils.world_file import world_files
from .sources import SIDECAR, Fingerprint, PlannedSource, SceneArtifact, label_files, plan_sources

MAKERS = "satpipe.stages.ingest.stage:"
PART_BYTES = 16 << 20
"""A batch of scenes ends with the file that makes it larger than this, so that all cores have something to read."""
READERS = ("rasterio", "numpy", "pandas", "pyarrow", "pyproj")


def plan(context: PlanContext) -> Plan:
    """Plan the parts of this stage.

    Raises:
        InputError: If a source has no files, or nothing is left after bad ones were quarantined.
    """
    ingest = context.config.ingest
    planned = plan_sources(ingest)
    first = [_made(one) for one in planned]
    done = list((yield [task for tasks in first for task in tasks])) if any(first) else []
    for one, tasks in zip(planned, first, strict=True):
        one.made = tuple(file for _ in tasks for file in _files(done.pop(0)))
    catalogues = [_catalogues(one, ingest, context.fingerprint) for one in planned]
    done = list((yield [task for tasks in catalogues for task in tasks]))
    for one, tasks in zip(planned, catalogues, strict=True):
        one.catalogue = tuple(done.pop(0).ref for _ in tasks)
    labels = yield [_labels(one, ingest, context.fingerprint) for one in planned]
    square = context.config.chips.resampling is None
    tables = yield [_tables(planned, tuple(task.ref for task in labels), square, context.fingerprint)]
    _check(tables[0], ingest)


def _made(one: PlannedSource) -> list[Task]:
    """Parts that make or fetch the scenes of a source."""
    source = one.source
    if isinstance(source, KaggleSource):
        config = {"dataset": source.dataset, "version": source.version}
        return [Task("ingest", f"download-{one.name}", f"{MAKERS}make_download", config=config, cost=60.0)]
    if not isinstance(source, SimulatedSource):
        return []
    prefix = "simulated" if one.name == source.type else f"simulated-{one.name}"
    # A scene depends on its number and not on how many there are.
    elsewhere = ("name", "licence", "gsd_m", "nodata", "class_map", "groups_csv", "groups_regex", "scenes")
    config = {key: value for key, value in as_json(source).items() if key not in elsewhere}
    return [
        Task(
            "ingest",
            f"{prefix}-{number}",
            f"{MAKERS}make_simulated",
            config={"source": config, "number": number},
            libraries=("numpy", "rasterio"),
            cost=2.0,
        )
        for number in range(source.scenes)
    ]


def _files(done: Artifact) -> list[SceneArtifact]:
    """Scene files of a part that made or fetched them."""
    metadata = done.metadata
    files = metadata["files"] if "files" in metadata else [[metadata["scene"], 0]]
    return [SceneArtifact(done.ref, name, size) for name, size in files]


def _catalogues(one: PlannedSource, ingest: IngestConfig, fingerprint: Fingerprint) -> list[Task]:
    """Parts that read the scenes of a source."""
    config = {
        "source": one.name,
        "kind": one.label_format.name,
        "gsd_m": one.source.gsd_m,
        "nodata": one.source.nodata,
        "bands": ingest.bands,
        "max_pixels": ingest.max_pixels,
    }
    refused: list[tuple[str, str]] = []
    files: dict[str, UserFile] = {}
    if one.scenes is None:
        sizes = [file.size for file in one.made]
    else:
        refused.extend(one.scenes.refused)
        for name in one.scenes.files:
            try:
                files[name] = fingerprint(one.scenes.path(name))
            except InputError as error:
                refused.append((name, str(error).replace(str(one.scenes.path(name)), name)))
        known = dict(zip(one.scenes.files, one.scenes.sizes, strict=True))
        sizes = [known[name] for name in files]
    names = [file.name for file in one.made] or list(files)
    tasks = []
    for batch, run in enumerate(list(batches(sizes, ingest.scenes_per_part, PART_BYTES)) or [range(0)]):
        origin = tuple(dict.fromkeys(one.made[at].task for at in run)) if one.made else ()
        tasks.append(
            Task(
                "ingest",
                f"catalogue-{one.name}-{batch}",
                f"{MAKERS}make_catalogue",
                config=config
                | {"refused": refused if batch == 0 else [], "names": [names[at] for at in run] if origin else []},
                inputs={"origin": origin} if origin else {},
                files={}
                if origin
                else {names[at]: files[names[at]] for at in run} | _places(one, [names[at] for at in run], fingerprint),
                libraries=READERS,
                cost=0.2 + sum(sizes[at] for at in run) / 20e6,
            )
        )
    return tasks


def _places(one: PlannedSource, names: list[str], fingerprint: Fingerprint) -> dict[str, UserFile]:
    """Return the files beside scenes that place them, by name."""
    assert one.scenes is not None
    beside = {f"{SIDECAR}{name}{path.suffix}": path for name in names for path in world_files(one.scenes.path(name))}
    return {name: fingerprint(path) for name, path in beside.items()}


def _labels(one: PlannedSource, ingest: IngestConfig, fingerprint: Fingerprint) -> Task:
    """The part that reads the labels of a source."""
    found = label_files(one, fingerprint)
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {"catalogue": one.catalogue}
    if isinstance(one.source, SimulatedSource):
        inputs["origin"] = tuple(file.task for file in one.made)
    return Task(
        "ingest",
        f"labels-{one.name}",
        f"{MAKERS}make_labels",
        config={
            "kind": one.label_format.name,
            "classes": ingest.classes,
            "class_map": one.source.class_map,
            "own": found.own,
            "folders": found.folders,
            "settings": {} if one.scenes is None else one.source.settings,
        },
        inputs=inputs,
        files=found.files,
        libraries=(*READERS, "geopandas", "shapely"),
    )


def _tables(
    planned: list[PlannedSource], labels: tuple[ArtifactRef, ...], square: bool, fingerprint: Fingerprint
) -> Task:
    """The part that brings all sources together; ``square`` refuses scenes that would need resampling for it."""
    groups = {one.position: one.source.groups_csv for one in planned if one.source.groups_csv is not None}
    return Task(
        "ingest",
        "tables",
        f"{MAKERS}make_tables",
        config={
            "square": square,
            "sources": [
                {
                    "name": one.name,
                    "type": one.source.type,
                    "licence": one.source.licence,
                    "root": None if one.scenes is None else str(one.scenes.root),
                    "groups_regex": one.source.groups_regex,
                    "parts": len(one.catalogue),
                }
                for one in planned
            ],
        },
        inputs={"catalogue": tuple(ref for one in planned for ref in one.catalogue), "labels": labels},
        files={f"groups/{position}": fingerprint(Path(path)) for position, path in groups.items()},
        libraries=READERS,
    )


def _check(tables: Artifact, ingest: IngestConfig) -> None:
    """Stop where nothing is left, or where a bad file shall stop the run."""
    metadata = tables.metadata
    bad = metadata["quarantined"]
    if bad and (ingest.strict or not metadata["scenes"]):
        left = "" if metadata["scenes"] else "; no scene is left"
        raise InputError(f"scene {bad[0][0]} cannot be used: {bad[0][1]} ({len(bad)} such scenes{left})")
    reasons = metadata["labels_quarantined_by_reason"]
    odd = {reason: count for reason, count in reasons.items() if reason not in (FAR, WITH_ITS_SCENE)}
    if odd and ingest.strict:
        named = (f"{name} cannot be used: {reason}" for name, reason in metadata["labels_quarantined"] if reason in odd)
        first = next(named, f"of {next(iter(odd))} cannot be used")
        raise InputError(f"label {first} ({sum(odd.values())} such labels)")
    if not metadata["labels"]:
        count = sum(reasons.values())
        why = f"{max(reasons, key=lambda one: reasons[one])} ({count} labels)" if count else "there are none"
        raise InputError(f"no label of {', '.join(metadata['sources'])} can be used: {why}")


# ---------------------------------------------------------------------------------------------------------- makers


def make_simulated(context: TaskContext) -> dict[str, Any]:
    """Write one simulated scene and its labels."""
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
    """Bring all sources together."""
    from .gather import tables

    return tables(context)
