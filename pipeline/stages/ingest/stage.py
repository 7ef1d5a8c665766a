"""The door of ingest: plans which files are read, and what is made of them.

Waves: what has to be made or fetched first (`simulated-<i>`, `download-<source>`); then `catalogue-<source>-<batch>`,
which read every scene whole; then `labels-<source>`; then `tables`, from which the other stages start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config.base import as_json
from ...config.run import IngestConfig
from ...config.sources import KaggleSource, SimulatedSource
from ...engine.task import Done, Job, Part, Plan, PlanContext, Ref, UserFile
from ...formats.label import FAR, WITH_ITS_SCENE
from ...formats.listing import batches
from ...formats.sources import Fingerprint, Made, Planned, label_files, sources
from ...utils.errors import InputError

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
    planned = sources(ingest)
    first = [_made(one) for one in planned]
    done = list((yield [part for parts in first for part in parts])) if any(first) else []
    for one, parts in zip(planned, first, strict=True):
        one.made = tuple(file for _ in parts for file in _files(done.pop(0)))
    catalogues = [_catalogues(one, ingest, context.fingerprint) for one in planned]
    done = list((yield [part for parts in catalogues for part in parts]))
    for one, parts in zip(planned, catalogues, strict=True):
        one.catalogue = tuple(done.pop(0).ref for _ in parts)
    labels = yield [_labels(one, ingest, context.fingerprint) for one in planned]
    square = context.config.chips.resampling is None
    tables = yield [_tables(planned, tuple(part.ref for part in labels), square, context.fingerprint)]
    _check(tables[0], ingest)


def _made(one: Planned) -> list[Part]:
    """Parts that make or fetch the scenes of a source."""
    source = one.source
    if isinstance(source, KaggleSource):
        config = {"dataset": source.dataset, "version": source.version}
        return [Part("ingest", f"download-{one.name}", f"{MAKERS}make_download", config=config, cost=60.0)]
    if not isinstance(source, SimulatedSource):
        return []
    prefix = "simulated" if one.name == source.type else f"simulated-{one.name}"
    # A scene depends on its number and not on how many there are.
    elsewhere = ("name", "licence", "gsd_m", "nodata", "class_map", "groups_csv", "groups_regex", "scenes")
    config = {key: value for key, value in as_json(source).items() if key not in elsewhere}
    return [
        Part(
            "ingest",
            f"{prefix}-{number}",
            f"{MAKERS}make_simulated",
            config={"source": config, "number": number},
            libraries=("numpy", "rasterio"),
            cost=2.0,
        )
        for number in range(source.scenes)
    ]


def _files(done: Done) -> list[Made]:
    """Scene files of a part that made or fetched them."""
    facts = done.facts
    files = facts["files"] if "files" in facts else [[facts["scene"], 0]]
    return [Made(done.ref, name, size) for name, size in files]


def _catalogues(one: Planned, ingest: IngestConfig, fingerprint: Fingerprint) -> list[Part]:
    """Parts that read the scenes of a source."""
    config = {
        "source": one.name,
        "kind": one.kind,
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
    parts = []
    for batch, run in enumerate(list(batches(sizes, ingest.scenes_per_part, PART_BYTES)) or [range(0)]):
        origin = tuple(dict.fromkeys(one.made[at].part for at in run)) if one.made else ()
        parts.append(
            Part(
                "ingest",
                f"catalogue-{one.name}-{batch}",
                f"{MAKERS}make_catalogue",
                config=config
                | {"refused": refused if batch == 0 else [], "names": [names[at] for at in run] if origin else []},
                inputs={"origin": origin} if origin else {},
                files={names[at]: files[names[at]] for at in run} if not origin else {},
                libraries=READERS,
                cost=0.2 + sum(sizes[at] for at in run) / 20e6,
            )
        )
    return parts


def _labels(one: Planned, ingest: IngestConfig, fingerprint: Fingerprint) -> Part:
    """The part that reads the labels of a source."""
    found = label_files(one, fingerprint)
    inputs: dict[str, Ref | tuple[Ref, ...]] = {"catalogue": one.catalogue}
    if isinstance(one.source, SimulatedSource):
        inputs["origin"] = tuple(file.part for file in one.made)
    return Part(
        "ingest",
        f"labels-{one.name}",
        f"{MAKERS}make_labels",
        config={
            "kind": one.kind,
            "classes": ingest.classes,
            "class_map": one.source.class_map,
            "own": found.own,
            "settings": found.settings,
        },
        inputs=inputs,
        files=found.files,
        libraries=(*READERS, "geopandas", "shapely"),
    )


def _tables(planned: list[Planned], labels: tuple[Ref, ...], square: bool, fingerprint: Fingerprint) -> Part:
    """The part that brings all sources together; ``square`` refuses scenes that would need resampling for it."""
    groups = {one.position: one.source.groups_csv for one in planned if one.source.groups_csv is not None}
    return Part(
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


def _check(tables: Done, ingest: IngestConfig) -> None:
    """Stop where nothing is left, or where a bad file shall stop the run."""
    facts = tables.facts
    bad = facts["quarantined"]
    if bad and (ingest.strict or not facts["scenes"]):
        left = "" if facts["scenes"] else "; no scene is left"
        raise InputError(f"scene {bad[0][0]} cannot be used: {bad[0][1]} ({len(bad)} such scenes{left})")
    reasons = facts["labels_quarantined_by_reason"]
    odd = {reason: count for reason, count in reasons.items() if reason not in (FAR, WITH_ITS_SCENE)}
    if odd and ingest.strict:
        named = (f"{name} cannot be used: {reason}" for name, reason in facts["labels_quarantined"] if reason in odd)
        first = next(named, f"of {next(iter(odd))} cannot be used")
        raise InputError(f"label {first} ({sum(odd.values())} such labels)")
    if not facts["labels"]:
        count = sum(reasons.values())
        why = f"{max(reasons, key=lambda one: reasons[one])} ({count} labels)" if count else "there are none"
        raise InputError(f"no label of {', '.join(facts['sources'])} can be used: {why}")


# ---------------------------------------------------------------------------------------------------------- makers


def make_simulated(job: Job) -> dict[str, Any]:
    """Write one simulated scene and its labels."""
    from .simulator.write import write_scene

    return write_scene(SimulatedSource(**job.config["source"]), job.config["number"], job.out)


def make_download(job: Job) -> dict[str, Any]:
    """Fetch a data set from Kaggle."""
    from ...formats.kaggle import download

    return download(job.config["dataset"], job.config["version"], job.out, job.progress)


def make_catalogue(job: Job) -> dict[str, Any]:
    """Read a batch of scenes whole and list them."""
    from .catalogue import catalogue

    return catalogue(job)


def make_labels(job: Job) -> dict[str, Any]:
    """Read the labels of a source."""
    from .gather import labels

    return labels(job)


def make_tables(job: Job) -> dict[str, Any]:
    """Bring all sources together."""
    from .gather import tables

    return tables(job)
