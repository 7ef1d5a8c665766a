"""Definition of a label format: its configuration model, how `satpipe init` recognises it, and how it is read.

Each format is a module of this package that ends with ``FORMAT = LabelFormat(...)``, and a line of the table in
:mod:`.registry`. Planning imports these modules in every command, so they import nothing heavy at their top.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from pydantic import Field, field_validator

from ..utils.errors import InputError
from ..utils.section import Positive, Section
from .label import ImageLabels, Labels, PathIndex

if TYPE_CHECKING:
    from .inventory import Inventory
    from .scenes import Reading

Paths = str | Annotated[tuple[str, ...], Field(min_length=1)]
Row = dict[str, Any]
SourceType = TypeVar("SourceType", bound="SourceBase")


class SourceBase(Section):
    """Keys that all sources of scenes and labels have in common."""

    type: str
    """Format of the labels."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = None
    """Name of the source in tables, scene names and messages; by default its type."""
    licence: str = "unknown"
    """Licence of the imagery; recorded with every chip set and generator made from it."""
    gsd_m: Positive | None = None
    """Ground sampling distance in metres per pixel, for scenes without georeference."""
    nodata: float | None = None
    """Value of pixels without data (in every band), for scenes that do not state it; 0 if tiles have black wedges."""
    class_map: dict[str, str] = {}  # noqa: RUF012 - pydantic copies what is the default
    """Class of `ingest.classes` for a class of the labels, where the names differ, e.g. `{vessel: ship}`."""
    groups_csv: str | None = None
    """CSV with a column `file` and any group columns (site, aoi, date ...), one row per scene file; of a JSON of chips
    one per chip, named `ships.json#0` and so on."""
    groups_regex: str | None = None
    """Regular expression searched in the file's path below the source's folder; each named group is a group column."""

    @field_validator("groups_regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                named_groups = re.compile(value).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if not named_groups:
                raise ValueError("it needs a named group such as (?P<site>[^_]+)")
            if "scene_id" in named_groups:
                raise ValueError("scene_id already makes each scene a group; choose another group name")
        return value

    @property
    def settings(self) -> dict[str, Any]:
        """Return what the source says of its labels beyond where they are, as plain JSON types."""
        return self.model_dump(mode="json", exclude={*SourceBase.model_fields, "path", "labels"})


class ImageSource(SourceBase):
    """A source with image files."""

    path: Paths
    """Folder, file, glob or list of images."""


class PerImageSource(ImageSource):
    """A source whose label files are named like their images."""

    labels: Paths | None = None
    """Folder of the label files, or a list of folders; null looks beside the images, and in `labels/` and the like
    beside their `images/`."""


class SharedSource(ImageSource):
    """A source whose label files each hold the labels of many images."""

    labels: Paths
    """The label file, a folder of them, a glob or a list."""


@dataclass(frozen=True)
class LabelInput:
    """Input of a reader of labels.

    Attributes:
        scenes: Rows of the catalogue of the source, quarantined ones too.
        files: Label files by name.
        own: Name of the label file that belongs to one scene alone, by the scene's path below its source.
        settings: What the source says of its labels, see :attr:`SourceBase.settings`.
        classes: Names of the classes; the position is the class index.
        folders: Folder of each label file below the scenes' folder, where it lies there.
    """

    scenes: Sequence[Mapping[str, Any]]
    files: Mapping[str, Path]
    own: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] = ()
    folders: Mapping[str, str] = field(default_factory=dict)

    def match(self, names: Sequence[str], file: str) -> list[int | None]:
        """Return the position of the scene that each name in a label file means, with or without its suffix, or None.

        Names that several scenes share mean the one nearest to the label file: below its folder, or in the folder of
        the split (train, val, test) that the file is named for.
        """
        paths, stems = self._indexes
        folder = self.folders.get(file, "")
        split = re.search(r"(?:^|[^a-z])(train|val|test)", Path(file).name.lower())
        place = (folder, split[1] if split else "")
        matches = ((paths.find(name, *place), name) for name in names)
        positions = [stems.find(name, *place) if position is None else position for position, name in matches]
        return self._match_ends(names) if set(positions) == {None} else positions

    def _match_ends(self, names: Sequence[str]) -> list[int | None]:
        """Return the position of the scene whose name ends with each name, after ``_`` or ``-``, if it is one.

        Data sets put the kind of an image before the name by which their tables know it, as SpaceNet does.
        """
        wanted = {Path(name).stem for name in names if len(name) > 3}
        ending: dict[str, list[int]] = {}
        for position, scene in enumerate(self.scenes):
            stem = str(scene["path"]).rpartition("/")[2].rpartition(".")[0]
            for match in re.finditer(r"[_-]", stem):
                if stem[match.end() :] in wanted:
                    ending.setdefault(stem[match.end() :], []).append(position)
        lists = (ending.get(Path(name).stem, []) for name in names)
        return [own[0] if len(own) == 1 else None for own in lists]

    @cached_property
    def _indexes(self) -> tuple[PathIndex, PathIndex]:
        """Return the scenes' paths, with and without their suffixes."""
        paths = [str(scene["path"]) for scene in self.scenes]
        return PathIndex(paths), PathIndex([path.rpartition(".")[0] for path in paths])

    @property
    def by_scene(self) -> dict[str, Path]:
        """Return the label file of each scene that has one of its own."""
        return {scene: self.files[name] for scene, name in self.own.items()}

    @property
    def usable(self) -> list[Mapping[str, Any]]:
        """Return the scenes that are not quarantined."""
        return [scene for scene in self.scenes if scene["quarantined"] is None]

    def source(self, model: type[SourceType]) -> SourceType:
        """Return the settings as a model, with its defaults for what they leave out; nothing is validated again."""
        return cast("SourceType", model.model_construct(**self.settings))


@dataclass
class Recognised:
    """A format that a folder seems to be of.

    Attributes:
        source: Keys of the source as in the configuration.
        says: What was found, as a part of a sentence.
        why: A comment for each key of the source that has one.
        classes: Class names by index, or the known names, where the layout says them.
        images: How many images belong to it.
        files: Files by which it was recognised.
        notes: What the user should check, a sentence each.
        alternatives: Other settings to try where most labels do not fit the scenes, each with a part of the reason why
            they do not; the CRS `scene` stands for that of the scenes.
    """

    source: dict[str, Any]
    says: str
    why: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    images: int = 0
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    alternatives: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class ChipSource:
    """Listing of the scenes of a format whose images are chips that arrived cut, one label each.

    Attributes:
        columns: Columns of the catalogue for an image, by its name below the source's folder and its row.
        packed: Rows of the catalogue for a file with many chips, which it writes to an array; None where there is none.
        packed_suffix: Suffix of such files.
    """

    columns: Callable[[str, Row], Row]
    packed: Callable[[Path, str, Path, Reading], list[Row]] | None = None
    packed_suffix: str | None = None


@dataclass(frozen=True)
class LabelFormat:
    """A format of labels.

    Attributes:
        title: What people call it.
        files: Which files it consists of, for the documentation.
        source: Its configuration model; the default of its `type` is the format's name.
        read: Reads the labels of a source.
        recognise: Looks whether a folder is of the format; None where its suffixes and ``holds`` tell.
        suffixes: Suffixes of its label files, in small letters, the preferred one first; an empty one takes all.
        holds: Whether a file is such a label file, by its content; None if no single file shows it. A format with
            neither this nor ``recognise`` is not recognised by `init`.
        companions: Further files that decide what the labels say, by name; they are part of the cache key.
        chips: How its chips are listed, where images arrive cut.
    """

    title: str
    files: str
    source: type[SourceBase]
    read: Callable[[LabelInput], Labels]
    recognise: Callable[[Inventory], Recognised | None] | None = None
    suffixes: tuple[str, ...] = ()
    holds: Callable[[Path], bool] | None = None
    companions: Callable[[SourceBase, Mapping[str, Path]], dict[str, Path]] | None = None
    chips: ChipSource | None = None

    @property
    def name(self) -> str:
        """Return the value of `type` in a configuration."""
        return str(self.source.model_fields["type"].default)

    @property
    def is_recognised(self) -> bool:
        """Return whether `init` can tell that a folder is of the format."""
        return self.recognise is not None or self.holds is not None

    @property
    def per_image(self) -> bool:
        """Return whether label files are named like their images."""
        return issubclass(self.source, PerImageSource)


def scenes_with_files(given: LabelInput, labels: Labels) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Yield each scene with its own label file; scenes without one are counted as unlabelled."""
    by_scene = given.by_scene
    for scene in given.scenes:
        file = by_scene.get(str(scene["path"]))
        if file is None:
            labels.unlabelled += 1
        else:
            yield scene, file


def read_per_image(given: LabelInput, parse: Callable[[Path], ImageLabels]) -> Labels:
    """Read the labels of scenes that have a file each; a scene whose file cannot be read is refused.

    Args:
        given: Scenes and label files.
        parse: Reads one file; raises InputError where it cannot be read.
    """
    labels = Labels()
    for scene, file in scenes_with_files(given, labels):
        try:
            labels.add(parse(file), scene, f"{scene['path']}/{file.name}")
        except InputError as error:
            labels.refuse([scene], error)
    return labels
