"""Find what a source consists of: its scene files, its label files, and what its readers are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config.run import IngestConfig
from ..config.sources import (
    CocoSource,
    CsvSource,
    CustomSource,
    GeojsonSource,
    KaggleSource,
    ShipsnetSource,
    SimulatedSource,
    Source,
    VocSource,
    YoloSource,
)
from ..engine.task import ArtifactRef, UserFile
from ..utils.errors import ConfigError, InputError
from .listing import IMAGES, SIDECARS, VECTORS, Listing, beside, find, named_like

Fingerprint = Callable[[Path], UserFile]
SIDECAR = "sidecar/"
"""Start of the names of files that only belong to label files."""


@dataclass(frozen=True)
class Made:
    """A scene file in a committed part."""

    task: ArtifactRef
    name: str
    size: int


@dataclass
class Planned:
    """A source while it is planned.

    Attributes:
        name: Its name.
        source: Its configuration.
        position: Its place in `ingest.sources`.
        scenes: The user's scene files; None for scenes that a part holds.
        made: Scene files in parts.
        catalogue: Its committed catalogues.
    """

    name: str
    source: Source
    position: int
    scenes: Listing | None = None
    made: tuple[Made, ...] = ()
    catalogue: tuple[ArtifactRef, ...] = field(default=())

    @property
    def key(self) -> str:
        """Its place in the configuration, for messages."""
        return f"ingest.sources.{self.position}"

    @property
    def kind(self) -> str:
        """How its scenes and labels are read."""
        return self.source.layout if isinstance(self.source, KaggleSource) else self.source.type


@dataclass
class LabelFiles:
    """What a source's labels are read from.

    Attributes:
        files: Label files by name.
        own: The name of the label file that is for one scene alone, by the scene's path below its source.
        settings: What the configuration says of the labels.
    """

    files: dict[str, UserFile] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def sources(ingest: IngestConfig) -> list[Planned]:
    """The sources with their scene files; without a name one is named for its type, and numbered from the second on.

    Raises:
        InputError: If a source has no files.
    """
    taken = {source.name for source in ingest.sources if source.name}
    planned = []
    for position, source in enumerate(ingest.sources):
        name, number = source.name or source.type, 2
        while not source.name and name in taken:
            name, number = f"{source.type}-{number}", number + 1
        taken.add(name)
        one = Planned(name, source, position)
        if not isinstance(source, SimulatedSource | KaggleSource):
            suffixes = (*IMAGES, ".json") if isinstance(source, ShipsnetSource) else IMAGES
            one.scenes = find(source.path, suffixes, f"{one.key}.path")
        planned.append(one)
    return planned


def find_files(ingest: IngestConfig) -> None:
    """Find the scene and label files of all sources, and read none of them.

    Raises:
        InputError: If some are not there.
        ConfigError: If a reader of the user's is not there.
    """
    for one in sources(ingest):
        if one.scenes is not None:
            label_files(one, lambda path: UserFile(str(path), ""))


def label_files(one: Planned, fingerprint: Fingerprint) -> LabelFiles:
    """The label files of a source.

    Raises:
        InputError: If there are none where there must be some, or one cannot be read.
    """
    source = one.source
    if isinstance(source, YoloSource):
        found = _own_files(one, source.labels, (".txt",), fingerprint)
        found.settings = {"class_names": source.class_names, "normalised_by_px": source.normalised_by_px}
        return found
    if isinstance(source, VocSource):
        return _own_files(one, source.labels, (".xml",), fingerprint)
    if isinstance(source, GeojsonSource):
        if source.labels is None:
            found = _own_files(one, None, VECTORS, fingerprint)
        else:
            found = _shared_files(one, source.labels, VECTORS, fingerprint)
            found.own = named_like(one.scenes.files if one.scenes else (), list(found.files))
        keys = ("class_column", "default_class", "labels_crs", "swap_axes", "layer")
        found.settings = {key: getattr(source, key) for key in keys}
        found.files |= _sidecars(found.files, fingerprint)
        return found
    if isinstance(source, CocoSource):
        return _shared_files(one, source.labels, (".json",), fingerprint)
    if isinstance(source, CsvSource):
        found = _shared_files(one, source.labels, (".csv",), fingerprint)
        found.settings = {"columns": source.columns, "default_class": source.default_class}
        return found
    if isinstance(source, CustomSource):
        found = _shared_files(one, source.labels, ("",), fingerprint)
        found.settings = {"reader": source.reader}
        # An edited reader reads anew; what it imports is not looked at.
        found.files[f"{SIDECAR}reader.py"] = fingerprint(_module_file(source.reader, f"{one.key}.reader"))
        return found
    return LabelFiles()


def _module_file(function: str, key: str) -> Path:
    """The file of the module in ``package.module:function``.

    Raises:
        ConfigError: If there is no such module with a file.
    """
    module = function.partition(":")[0]
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ConfigError(f"{key}: there is no module {module}; install it, or put its folder on PYTHONPATH")
    return Path(spec.origin)


def _shared_files(
    one: Planned, paths: str | tuple[str, ...], suffixes: tuple[str, ...], fingerprint: Fingerprint
) -> LabelFiles:
    """Label files that the user names."""
    listing = find(paths, suffixes, f"{one.key}.labels")
    for name, reason in listing.refused:
        raise InputError(f"{one.key}.labels: {name} {reason}")
    return LabelFiles({name: fingerprint(listing.path(name)) for name in listing.files})


def _own_files(one: Planned, folder: str | None, suffixes: tuple[str, ...], fingerprint: Fingerprint) -> LabelFiles:
    """Label files that are named like their scenes: in ``folder``, or beside them.

    Raises:
        InputError: If no scene has one.
    """
    assert one.scenes is not None
    if folder is not None:
        found = _shared_files(one, folder, suffixes, fingerprint)
        found.own = named_like(one.scenes.files, list(found.files))
        found.files = {name: found.files[name] for name in found.own.values()}
    else:
        places = {one.scenes.path(name).as_posix(): name for name in one.scenes.files}
        labels = beside(list(places), lambda path: Path(path).is_file(), suffixes)
        found = LabelFiles()
        for place, label in labels.items():
            name = places[place].rpartition(".")[0] + Path(label).suffix
            found.own[places[place]] = name
            found.files[name] = fingerprint(Path(label))
    if not found.own:
        where = folder or "beside it"
        raise InputError(f"{one.key}: no scene has a file of its name with the suffix {', '.join(suffixes)} {where}")
    return found


def _sidecars(files: dict[str, UserFile], fingerprint: Fingerprint) -> dict[str, UserFile]:
    """Files that belong to Shapefiles: they decide what those say too."""
    found = {}
    for name, file in files.items():
        if name.lower().endswith(".shp"):
            for suffix in SIDECARS:
                path = Path(file.path).with_suffix(suffix)
                if path.is_file():
                    found[f"{SIDECAR}{name}{suffix}"] = fingerprint(path)
    return found
