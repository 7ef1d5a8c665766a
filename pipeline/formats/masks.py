"""Raster masks: a picture of the same grid for each scene, where objects have the value of their class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.errors import InputError
from ..utils.plural import plural
from .base import LabelFormat, LabelInput, Paths, Recognised, SharedSource
from .class_folders import MASKS, PICTURES, SPLITS, is_mask_folder
from .inventory import Inventory, paths_of, some, spread
from .label import UNKNOWN_LABELS, ImageLabels, Labels, PixelObject
from .listing import IMAGES

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_PIXELS = 400_000_000
MOST_VALUES = 64
"""Different values in a picture that is a mask of classes; with more it numbers the objects, or is no mask."""
ENDINGS = ("_mask", "-mask", "_masks", "_label", "-label", "_labels", "_gt", "_seg", "_segmentation", "_target",
           "_groundtruth", "_class", "_annotation")  # fmt: skip
JPEG = (".jpg", ".jpeg")


class MaskSource(SharedSource):
    """Scenes with raster masks: connected pixels of one value are an object."""

    type: Literal["mask"] = "mask"
    labels: Paths
    """Folder, glob or list of masks, named like their scenes: the same name, with an ending such as `_mask`, or below a
    folder or with an ending that is the class."""
    class_names: dict[str, str] = {}  # noqa: RUF012 - pydantic copies what is the default
    """Class of each pixel value, e.g. `{"1": ship, "2": buoy}`; other values are named by their number."""
    class_from: Literal["value", "file", "none"] = "value"
    """Whether the pixel value names the class, or the mask's folder or ending, or every object is `default_class`."""
    ignore_value: int | None = None
    """Value of unlabelled pixels: no background is cut there."""
    default_class: str = "object"
    """Class of the objects of masks with a single value, and of all with `class_from: none`."""


# ---------------------------------------------------------------------------------------------------------- reading


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; a scene without a mask is refused: whether it holds objects is not known."""
    source, labels = given.source(MaskSource), Labels()
    stems = {str(scene["path"]).rpartition(".")[0]: position for position, scene in enumerate(given.scenes)}
    by_scene: dict[int, list[tuple[str, str]]] = {}
    names = assign(list(stems), list(given.files))
    for file, (stem, ending) in names.items():
        by_scene.setdefault(stems[stem], []).append((file, ending))
    for position, scene in enumerate(given.scenes):
        own = by_scene.get(position, [])
        if scene["quarantined"] is not None:
            continue
        if not own:
            labels.unlabelled += 1
            labels.refused[str(scene["scene_id"])] = f"{UNKNOWN_LABELS}no mask is named after it"
        for file, ending in own:
            try:
                values = _values(given.files[file], (scene["height"], scene["width"]))
            except InputError as error:
                labels.refuse([scene], error)
                continue
            labels.add(ImageLabels(list(objects_of(values, source, ending))), scene, file)
    return labels


def assign(stems: Sequence[str], masks: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the scene (its path without suffix) of each mask that has one, and what its name adds: perhaps the class.

    A mask has the name of its scene, or that and an ending; where scenes of several folders have one name, also most of
    their folders in common.
    """
    by_name: dict[str, list[str]] = {}
    for stem in stems:
        by_name.setdefault(stem.rpartition("/")[2], []).append(stem)
    names = {}
    for mask in masks:
        folder, _, name = mask.rpartition(".")[0].rpartition("/")
        scene_name, ending = name, ""
        while scene_name and scene_name not in by_name:
            scene_name, separator, last = _cut(scene_name)
            ending = f"{separator}{last}{ending}"
        if scene_name in by_name:
            parts = set(folder.split("/"))
            same = sorted(by_name[scene_name], key=lambda stem: -len(parts & set(stem.split("/")[:-1])))
            plain = ending.lower()
            adds = "" if plain in ENDINGS else ending.lstrip("_- .")
            names[mask] = (same[0], adds or folder.rpartition("/")[2])
    return names


def _cut(name: str) -> tuple[str, str, str]:
    """Cut the last part off a name: what stands before it, the separator, and the part."""
    match = re.match(r"(.*)([_\-. ])([^_\-. ]*)$", name)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def _values(path: Path, size: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """Return the values (H, W) of a mask: of three equal bands one, of colours one number each.

    Raises:
        InputError: If it cannot be read, or has another size than its scene.
    """
    import numpy as np

    from ..raster import gdal

    with gdal.open_scene(path, MAX_PIXELS) as dataset:
        if size is not None and (dataset.height, dataset.width) != size:
            raise InputError(
                f"mask {path.name} has {dataset.height} rows and {dataset.width} columns; its scene has {size[0]} and"
                f" {size[1]}"
            )
        alpha = gdal.alpha_band(dataset)
        try:
            bands = dataset.read([band for band in range(1, dataset.count + 1) if band != alpha][:3])
        except Exception as error:
            # GDAL's errors of damaged blocks come as several kinds.
            raise InputError(f"mask {path.name} cannot be read: {str(error)[:120]}") from None
    values = bands[0].astype(np.int64 if bands.dtype.kind != "f" else bands.dtype)
    if path.suffix.lower() in JPEG:
        return np.asarray(bands.max(axis=0) >= 128, np.int64)  # lossy: only bright and dark can be told apart
    if len(bands) == 3 and (bands != bands[0]).any():
        return np.asarray((bands[0].astype(np.int64) << 16) | (bands[1].astype(np.int64) << 8) | bands[2])
    return np.asarray(np.nan_to_num(values).astype(np.int64))


def objects_of(values: npt.NDArray[Any], source: MaskSource, ending: str = "") -> Iterator[PixelObject]:
    """Yield the objects of a mask (H, W): connected pixels of one value, over corners too; 0 is background."""
    import numpy as np
    from scipy import ndimage

    from .rle import mask_object

    present = [int(value) for value in np.unique(values) if value != 0]
    if source.class_from == "file":
        values, present = (values != 0).astype(np.int64), [1] if present else []
    for value in present:
        regions, _ = ndimage.label(values == value, structure=np.ones((3, 3)))
        name, reason = class_of(value, source, ending), None
        if value == source.ignore_value:
            reason = f"value {value} marks unlabelled pixels"
        for number, place in enumerate(ndimage.find_objects(regions), 1):
            part = regions[place] == number
            yield mask_object(
                name, part, place[0].start, place[1].start, **({} if reason is None else {"reason": reason})
            )


def class_of(value: int, source: MaskSource, ending: str) -> str:
    """Return the class of an object by its value, and by what its file's name adds."""
    if source.class_from == "file":
        return ending or source.default_class
    if source.class_from == "none":
        return source.default_class
    names: Mapping[str, str] = source.class_names
    return names.get(str(value), f"value-{value}" if names else source.default_class)


# ------------------------------------------------------------------------------------------------------ recognition


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise pictures in a folder that is named for masks, or with such an ending, and their scenes."""
    masks = [name for name in folder.images if is_mask_name(name)]
    scenes = [name for name in folder.images if not is_mask_name(name)]
    stems = [name.rpartition(".")[0] for name in scenes]
    names = assign(stems, masks)
    if len({stem for stem, _ in names.values()}) * 2 <= len(scenes) or not scenes:
        return None
    values: Counter[int] = Counter()
    for name in spread(list(names), 20):
        try:
            own = _values(folder.path(name))
        except InputError:
            return None
        import numpy as np

        present = np.unique(own)
        values.update({int(value): 1 for value in present if value != 0})
    source: dict[str, Any] = {
        "type": "mask",
        "path": str(folder.root),
        "labels": paths_of(folder, masks, folder.images),
    }
    recognised = Recognised(
        source, f"{plural(len(names), 'raster mask')} in {some(masks)}", {}, (), len(scenes), [*scenes, *masks]
    )
    _settle_classes(recognised, names, values)
    return recognised


def is_mask_name(name: str) -> bool:
    """Return whether a picture's name or one of its folders says that it is a mask."""
    *folders, file = name.lower().split("/")
    return any(map(is_mask_folder, folders)) or file.rpartition(".")[0].endswith(ENDINGS)


def _settle_classes(recognised: Recognised, names: Mapping[str, tuple[str, str]], values: Counter[int]) -> None:
    """Settle what names the class: the file where a scene has several masks, the value where a few are different."""
    per_scene = Counter(stem for stem, _ in names.values())
    endings = sorted(
        {
            ending
            for _, ending in names.values()
            if ending.lower() not in MASKS | PICTURES | SPLITS and not is_mask_folder(ending)
        }
    )
    if max(per_scene.values()) > 1 and len(endings) > 1:
        recognised.source["class_from"] = "file"
        recognised.why["class_from"] = f"a mask for each class: {', '.join(endings[:8])}"
        return
    if 255 in values and len(values) > 1 and len(values) <= MOST_VALUES:
        recognised.source["ignore_value"] = 255
        recognised.why["ignore_value"] = "255 beside other values usually marks unlabelled pixels"
        del values[255]
    if len(values) > MOST_VALUES:
        recognised.source["class_from"] = "none"
        recognised.why["class_from"] = (
            f"{plural(len(values), 'different value')}: they number the objects and are not classes"
        )
        recognised.notes.append("the values of the masks appear to number the objects, so every object is of one class")
    elif len(values) > 1:
        recognised.source["class_names"] = {str(value): f"class-{value}" for value in sorted(values)}
        recognised.why["class_names"] = "the masks have numbers only: give the names"


FORMAT = LabelFormat(
    title="Raster masks",
    files="a mask per scene (`masks/`, `labels/`, `_mask`): a value per class, a file per class, or numbered objects",
    source=MaskSource,
    read=read,
    recognise=recognise,
    suffixes=IMAGES,
)
