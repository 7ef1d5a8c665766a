"""The door of ingest: plans which files are read, and what is made of them.

Waves: scenes that have to be made first (`simulated-<i>`); then `catalogue-<source>-<batch>`, which read every scene
whole; then `labels-<source>`; then `tables`, from which the other stages start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import (
    GeojsonSource,
    IngestConfig,
    ShipsnetSource,
    SimulatedSource,
    Source,
    YoloSource,
    as_json,
)
from ..errors import InputError
from ..parts import Done, Job, Part, Plan, PlanContext, Ref, UserFile
from .listing import IMAGES, SIDECARS, VECTORS, Listing, batches, beside, find

MAKERS = "pipeline.ingest.stage:"
PART_BYTES = 16 << 20
"""A batch of scenes ends with the file that makes it larger than this, so that all cores have something to read."""
READERS = ("rasterio", "numpy", "pandas", "pyarrow")


@dataclass
class Planned:
    """A source while it is planned.

    Attributes:
        name: Its name.
        source: Its configuration.
        position: Its place in `ingest.sources`.
        scenes: Its scene files; None for scenes that are made.
        origin: Parts that hold its scenes, if they are made.
        names: Names of the scene files in those parts.
        catalogue: Its committed catalogues.
    """

    name: str
    source: Source
    position: int
    scenes: Listing | None = None
    origin: tuple[Ref, ...] = ()
    names: tuple[str, ...] = ()
    catalogue: tuple[Ref, ...] = field(default=())

    @property
    def key(self) -> str:
        """Its place in the configuration, for messages."""
        return f"ingest.sources.{self.position}"


def plan(context: PlanContext) -> Plan:
    """Plan the parts of this stage.

    Raises:
        InputError: If a source has no files, or nothing is left after bad ones were quarantined.
    """
    ingest = context.config.ingest
    sources = _sources(ingest)
    made = [_simulate(one, number) for one in sources for number in _scene_numbers(one.source)]
    done = list((yield made)) if made else []
    for one in sources:
        mine = [done.pop(0) for _ in _scene_numbers(one.source)]
        one.origin = tuple(part.ref for part in mine)
        one.names = tuple(part.facts["scene"] for part in mine)
    plans = [_catalogues(one, ingest, context.fingerprint) for one in sources]
    done = list((yield [part for parts in plans for part in parts]))
    for one, parts in zip(sources, plans, strict=True):
        one.catalogue = tuple(done.pop(0).ref for _ in parts)
    labels = yield [_labels(one, ingest, context.fingerprint) for one in sources]
    resampled = context.config.chips.resampling is not None
    tables = yield [_tables(sources, [part.ref for part in labels], not resampled, context.fingerprint)]
    _check(tables[0], ingest)


def _sources(ingest: IngestConfig) -> list[Planned]:
    """The sources with their files; a source without a name is named for its type, and numbered from the second on."""
    taken = {source.name for source in ingest.sources if source.name}
    planned = []
    for position, source in enumerate(ingest.sources):
        name, number = source.name or source.type, 2
        while not source.name and name in taken:
            name, number = f"{source.type}-{number}", number + 1
        taken.add(name)
        one = Planned(name, source, position)
        if not isinstance(source, SimulatedSource):
            suffixes = (*IMAGES, ".json") if isinstance(source, ShipsnetSource) else IMAGES
            one.scenes = find(source.path, suffixes, f"{one.key}.path")
        planned.append(one)
    return planned


def _scene_numbers(source: Source) -> range:
    return range(source.scenes if isinstance(source, SimulatedSource) else 0)


# ----------------------------------------------------------------------------------------------------------- parts


def _simulate(one: Planned, number: int) -> Part:
    config = as_json(one.source) | dict.fromkeys(("name", "licence", "gsd_m", "groups_csv", "groups_regex", "scenes"))
    prefix = "simulated" if one.name == "simulated" else one.name
    return Part(
        "ingest",
        f"{prefix}-{number}",
        f"{MAKERS}make_simulated",
        config={"source": config, "number": number},
        libraries=("numpy", "rasterio"),
        cost=2.0,
    )


def _catalogues(one: Planned, ingest: IngestConfig, fingerprint: Callable[[Path], UserFile]) -> list[Part]:
    """Parts that read the scenes of a source."""
    base = {
        "source": one.name,
        "type": one.source.type,
        "gsd_m": one.source.gsd_m,
        "nodata": one.source.nodata,
        "bands": ingest.bands,
        "max_pixels": ingest.max_pixels,
    }

    def part(batch: int, cost: float, **given: Any) -> Part:
        name = f"catalogue-{one.name}-{batch}"
        return Part("ingest", name, f"{MAKERS}make_catalogue", libraries=READERS, cost=cost, **given)

    if one.scenes is None:
        most = ingest.scenes_per_part
        return [
            part(
                batch,
                0.1 * most,
                config=base | {"refused": [], "names": one.names[start : start + most]},
                inputs={"origin": one.origin[start : start + most]},
            )
            for batch, start in enumerate(range(0, len(one.origin), most))
        ]
    refused = list(one.scenes.refused)
    files: dict[str, UserFile] = {}
    sizes = []
    for name, size in zip(one.scenes.files, one.scenes.sizes, strict=True):
        try:
            files[name] = fingerprint(one.scenes.path(name))
            sizes.append(size)
        except InputError as error:
            refused.append((name, str(error).replace(str(one.scenes.path(name)), name)))
    names = list(files)
    runs = list(batches(sizes, ingest.scenes_per_part, PART_BYTES)) or [range(0)]
    return [
        part(
            batch,
            0.2 + sum(sizes[at] for at in run) / 20e6,
            config=base | {"refused": refused if batch == 0 else []},
            files={names[at]: files[names[at]] for at in run},
        )
        for batch, run in enumerate(runs)
    ]


def _labels(one: Planned, ingest: IngestConfig, fingerprint: Callable[[Path], UserFile]) -> Part:
    """The part that reads the labels of a source."""
    source = one.source
    config: dict[str, Any] = {"classes": ingest.classes, "source": {"type": source.type}}
    files: dict[str, UserFile] = {}
    inputs: dict[str, Ref | tuple[Ref, ...]] = {"catalogue": one.catalogue}
    if isinstance(source, SimulatedSource):
        inputs["origin"] = one.origin
        config["source"]["reading"] = {"class_column": "class"}
    elif isinstance(source, YoloSource):
        config["source"] |= {"class_names": source.class_names, "normalised_by_px": source.normalised_by_px}
        files, config["own"] = _own_files(one, (".txt",), fingerprint)
    elif isinstance(source, GeojsonSource):
        keys = ("class_column", "default_class", "labels_crs", "swap_axes", "layer")
        config["source"]["reading"] = {key: getattr(source, key) for key in keys}
        files, config["own"] = _vector_files(one, source, fingerprint)
    return Part(
        "ingest",
        f"labels-{one.name}",
        f"{MAKERS}make_labels",
        config=config,
        inputs=inputs,
        files=files,
        libraries=(*READERS, "geopandas", "pyproj", "shapely"),
    )


def _own_files(
    one: Planned, suffixes: tuple[str, ...], fingerprint: Callable[[Path], UserFile]
) -> tuple[dict[str, UserFile], dict[str, str]]:
    """Label files that lie beside their scenes: by name, and the name of each scene's own."""
    assert one.scenes is not None
    places = {str(one.scenes.path(name).as_posix()): name for name in one.scenes.files}
    found = beside(list(places), lambda path: Path(path).is_file(), suffixes)
    own = {places[scene]: f"{places[scene]}{Path(label).suffix}" for scene, label in found.items()}
    files = {own[places[scene]]: fingerprint(Path(label)) for scene, label in found.items()}
    return files, own


def _vector_files(
    one: Planned, source: GeojsonSource, fingerprint: Callable[[Path], UserFile]
) -> tuple[dict[str, UserFile], dict[str, str]]:
    """Vector label files with what belongs to them, and which scenes have one of their own name."""
    assert one.scenes is not None
    if source.labels is None:
        files, own = _own_files(one, VECTORS, fingerprint)
        if not files:
            raise InputError(f"{one.key}: no scene has a label file of its name beside it; set {one.key}.labels")
        return files, own
    listing = find(source.labels, VECTORS, f"{one.key}.labels")
    if not listing.files:
        raise InputError(f"{one.key}.labels: {listing.refused[0][0]} {listing.refused[0][1]}")
    files = _with_sidecars(listing, fingerprint)
    stems = {Path(name).stem: name for name in listing.files}
    own = {scene: stems[Path(scene).stem] for scene in one.scenes.files if Path(scene).stem in stems}
    return files, own


def _with_sidecars(listing: Listing, fingerprint: Callable[[Path], UserFile]) -> dict[str, UserFile]:
    """Label files by name, and after them the files that belong to a Shapefile: they decide what it says too."""
    files = {name: fingerprint(listing.path(name)) for name in listing.files}
    for name in listing.files:
        if name.lower().endswith(".shp"):
            for suffix in SIDECARS:
                path = listing.path(name).with_suffix(suffix)
                if path.is_file():
                    files[f"sidecar/{Path(name).with_suffix(suffix).as_posix()}"] = fingerprint(path)
    return files


def _tables(sources: list[Planned], labels: list[Ref], square: bool, fingerprint: Callable[[Path], UserFile]) -> Part:
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
                    "groups_csv": one.source.groups_csv is not None,
                    "groups_regex": one.source.groups_regex,
                    "parts": len(one.catalogue),
                }
                for one in sources
            ],
        },
        inputs={"catalogue": tuple(ref for one in sources for ref in one.catalogue), "labels": tuple(labels)},
        files={
            f"groups/{number}": fingerprint(Path(one.source.groups_csv))
            for number, one in enumerate(sources)
            if one.source.groups_csv is not None
        },
        libraries=READERS,
    )


def _check(tables: Done, ingest: IngestConfig) -> None:
    """Stop where nothing is left, or where a bad file shall stop the run."""
    facts = tables.facts
    bad = facts["quarantined"]
    if bad and (ingest.strict or not facts["scenes"]):
        left = "" if facts["scenes"] else "; no scene is left"
        raise InputError(f"scene {bad[0][0]} cannot be used: {bad[0][1]} ({len(bad)} such scenes{left})")
    if not facts["labels"]:
        reasons = facts["labels_quarantined_by_reason"]
        count = sum(reasons.values())
        why = max(reasons, key=lambda reason: reasons[reason]) if reasons else "there are none"
        raise InputError(f"no label of {', '.join(facts['sources'])} can be used: {why} ({count} labels)")


# ---------------------------------------------------------------------------------------------------------- makers


def make_simulated(job: Job) -> dict[str, Any]:
    """Write one simulated scene and its labels."""
    from .simulator import write_scene

    source = {key: value for key, value in job.config["source"].items() if value is not None}
    return write_scene(SimulatedSource(**source), job.config["number"], job.out)


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
