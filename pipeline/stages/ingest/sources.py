"""Find what a source consists of: its scene files and its label files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...config.run import IngestConfig
from ...config.sources import KaggleSource, SimulatedSource
from ...engine.task import ArtifactRef, UserFile
from ...formats.base import ImageSource, LabelFormat, PerImageSource, SourceBase
from ...formats.class_folders import FoldersSource
from ...formats.listing import IMAGES, Listing, beside, find, named_like
from ...formats.registry import FORMATS
from ...utils.errors import ConfigError, InputError

Fingerprint = Callable[[Path], UserFile]
SIDECAR = "sidecar/"
"""Start of the names of files that only belong to label files."""


@dataclass(frozen=True)
class SceneArtifact:
    """A scene file that a task of this run made or fetched."""

    task: ArtifactRef
    name: str
    size: int


@dataclass
class PlannedSource:
    """A source while it is planned.

    Attributes:
        name: Its name.
        source: Its configuration.
        position: Its place in `ingest.sources`.
        scenes: The user's scene files; None for scenes that tasks make.
        scene_artifacts: Scene files that tasks made or fetched.
        catalogue: Its committed catalogues.
    """

    name: str
    source: SourceBase
    position: int
    scenes: Listing | None = None
    scene_artifacts: tuple[SceneArtifact, ...] = ()
    catalogue: tuple[ArtifactRef, ...] = field(default=())

    @property
    def key(self) -> str:
        """Return its place in the configuration, for messages."""
        return f"ingest.sources.{self.position}"

    @property
    def label_format(self) -> LabelFormat:
        """Return how its scenes and labels are read; simulated scenes have GeoJSON beside them."""
        if isinstance(self.source, KaggleSource):
            return FORMATS[self.source.layout]
        return FORMATS["geojson" if isinstance(self.source, SimulatedSource) else self.source.type]


@dataclass
class LabelFiles:
    """Files that a source's labels are read from.

    Attributes:
        files: Label files by name.
        own: Name of the label file that belongs to one scene alone, by the scene's path below its source.
        folders: Folder of each label file below the scenes' folder, where it lies there.
        root: Folder that the names of the label files are seen from, where the user names them.
    """

    files: dict[str, UserFile] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    root: str = ""


def plan_sources(ingest: IngestConfig) -> list[PlannedSource]:
    """Return the sources with their scene files; without a name one is named for its type, numbered from the second on.

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
        item = PlannedSource(name, source, position)
        if isinstance(source, ImageSource | FoldersSource):
            chips = item.label_format.chips
            packed = (chips.packed_suffix,) if chips is not None and chips.packed_suffix else ()
            item.scenes = find(source.path, (*IMAGES, *packed), f"{item.key}.path")
            if set(IMAGES) & set(item.label_format.suffixes):
                item.scenes = _without_labels(item, item.scenes)
        planned.append(item)
    return planned


def find_files(ingest: IngestConfig) -> None:
    """Find the scene and label files of all sources, and read none of them.

    Raises:
        InputError: If some are not there.
        ConfigError: If a reader of the user's is not there.
    """
    for item in plan_sources(ingest):
        if item.scenes is not None:
            label_files(item, lambda path: UserFile(str(path), ""))


def label_files(item: PlannedSource, fingerprint: Fingerprint) -> LabelFiles:
    """Return the label files of a source.

    Raises:
        InputError: If there are none where there must be some, or one cannot be read.
        ConfigError: If a reader of the user's is not there.
    """
    label_format, labels = item.label_format, getattr(item.source, "labels", None)
    scenes = item.scenes
    if scenes is None or not label_format.suffixes:
        return LabelFiles()
    if labels is None:
        listed = _files_beside(item, scenes, fingerprint)
    else:
        listed = _named_files(item, scenes, labels, fingerprint)
        if label_format.per_image or label_format.name == "geojson":
            listed.own = named_like(scenes.files, list(listed.files), scenes.root.as_posix(), listed.root)
        if label_format.per_image:
            listed.files = {name: listed.files[name] for name in listed.own.values()}
            listed.folders = {}
    if not listed.own and (labels is None or isinstance(item.source, PerImageSource)):
        suffixes = ", ".join(label_format.suffixes)
        raise InputError(
            f"{item.key}: no scene has a file with its name and a suffix {suffixes}"
            f" {f'in {labels}' if labels else 'beside it'}"
        )
    if label_format.companions is not None:
        paths = {name: Path(file.path) for name, file in listed.files.items()}
        try:
            more = label_format.companions(item.source, paths)
        except ConfigError as error:
            raise ConfigError(f"{item.key}.{error}") from None
        listed.files |= {f"{SIDECAR}{name}": fingerprint(path) for name, path in more.items()}
    return listed


def _named_files(
    item: PlannedSource, scenes: Listing, paths: str | tuple[str, ...], fingerprint: Fingerprint
) -> LabelFiles:
    """Return label files that the user names."""
    listing = find(paths, item.label_format.suffixes, f"{item.key}.labels")
    for name, reason in listing.refused:
        raise InputError(f"{item.key}.labels: {name} {reason}")
    below = {
        name: listing.path(name).parent.relative_to(scenes.root).as_posix()
        for name in listing.files
        if listing.path(name).parent.is_relative_to(scenes.root) and listing.path(name).parent != scenes.root
    }
    files = {name: fingerprint(listing.path(name)) for name in listing.files}
    return LabelFiles(files, {}, below, listing.root.as_posix())


def _without_labels(item: PlannedSource, scenes: Listing) -> Listing:
    """Return the scenes without the label files of a source whose labels are images too.

    Raises:
        InputError: If no scene is left.
    """
    labels = find(getattr(item.source, "labels"), IMAGES, f"{item.key}.labels")  # noqa: B009 - such sources have it
    masks = {labels.path(name) for name in labels.files}
    own = [row for row in zip(scenes.files, scenes.sizes, strict=True) if scenes.path(row[0]) not in masks]
    if not own:
        raise InputError(f"{item.key}: `path` and `labels` name the same files; put the masks into their own folder")
    files, sizes = zip(*own, strict=True)
    return Listing(scenes.root, files, sizes, scenes.refused)


def _files_beside(item: PlannedSource, scenes: Listing, fingerprint: Fingerprint) -> LabelFiles:
    """Return label files that are named like their scenes and lie beside them."""
    names = {scenes.path(name).as_posix(): name for name in scenes.files}
    listed = LabelFiles()
    for path, label in beside(list(names), lambda path: Path(path).is_file(), item.label_format.suffixes).items():
        name = names[path].rpartition(".")[0] + Path(label).suffix
        listed.own[names[path]] = name
        listed.files[name] = fingerprint(Path(label))
    return listed
