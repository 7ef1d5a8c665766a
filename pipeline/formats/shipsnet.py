"""Kaggle's "Ships in Satellite Imagery": chips in a planar JSON, or PNG files that say all in their name.

A chip of the JSON is a list of numbers, first all of red, then all of green, then all of blue. The file is read one
chip at a time: as Python lists the whole would take gigabytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.plural import plural
from ..utils.section import Positive
from .base import ChipSource, ImageSource, LabelFormat, LabelInput, Paths, Recognised, Row
from .class_folders import covering
from .inventory import Inventory, json_keys
from .label import Labels

if TYPE_CHECKING:
    from ..raster.gdal import Pixels
    from .scenes import Reading

NAME = re.compile(r"(?P<label>\d+)__(?P<scene>.+)__(?P<lon>-?\d+(?:\.\d+)?)_(?P<lat>-?\d+(?:\.\d+)?)\.[A-Za-z]+$")
CELL_DEGREES = 0.01
"""Chips are grouped by location in cells of this size, about a kilometre: a chip's own position groups nothing."""
MAX_JSON_BYTES = 4 << 30


class ShipsnetSource(ImageSource):
    """Layout of Kaggle's "Ships in Satellite Imagery": named chips, a planar JSON, or both."""

    type: Literal["shipsnet"] = "shipsnet"
    path: Paths
    """Folder with `{label}__{scene id}__{lon}_{lat}.png` files, a `shipsnet.json`, or a folder with both."""
    gsd_m: Positive | None = 3.0
    """Ground sampling distance in metres per pixel; with a chip's lon and lat it gives the chip's footprint."""


@dataclass(frozen=True)
class Named:
    """Content of a chip's name, or of its entry in the JSON; the label as text."""

    label: str
    scene: str | None = None
    lon: float | None = None
    lat: float | None = None


def parse_name(name: str) -> Named | None:
    """Return what ``{label}__{scene id}__{lon}_{lat}.png`` says; None for another name."""
    parsed = NAME.match(name)
    if not parsed:
        return None
    return Named(parsed["label"], parsed["scene"], float(parsed["lon"]), float(parsed["lat"]))


def columns(named: Named, width: int, height: int, gsd_m: float | None) -> dict[str, Any]:
    """Return columns of the catalogue that follow from what is known of a chip.

    The label as given; as groups its scene, and the cell of about a kilometre that its centre lies in; and, as the chip
    lies north-up around a known centre, CRS and transform: the UTM zone there, with square pixels.
    """
    out: dict[str, Any] = {"given": named.label, "group_scene": named.scene, "group_location": None}
    if named.lon is None or named.lat is None or not -180 <= named.lon <= 180 or not -90 <= named.lat <= 90:
        return out
    corner = (math.floor(round(degrees / CELL_DEGREES, 6)) * CELL_DEGREES for degrees in (named.lon, named.lat))
    out["group_location"] = "{:.2f}_{:.2f}".format(*corner)
    if gsd_m is None or abs(named.lat) > 84:
        return out
    zone = min(60, int((named.lon + 180) // 6) + 1)
    crs = f"EPSG:{(32600 if named.lat >= 0 else 32700) + zone}"
    x, y = _to_zone(crs).transform(named.lon, named.lat)
    transform = (gsd_m, 0.0, round(x - gsd_m * width / 2, 3), 0.0, -gsd_m, round(y + gsd_m * height / 2, 3))
    return out | {"crs": crs, "transform": json.dumps(transform)}


@lru_cache(maxsize=8)
def _to_zone(crs: str) -> Any:
    import pyproj

    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)


# ------------------------------------------------------------------------------------------------------------ JSON


def _space(text: str, position: int) -> int:
    """Return the first position from ``at`` on that holds no white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def top_level(text: str) -> Iterator[tuple[str, Any]]:
    """Walk a JSON object: each key with its value, or, where the value is a list, with one element after the other.

    Raises:
        ValueError: If the text is no JSON object.
    """
    decoder = json.JSONDecoder()
    position = _space(text, 0)
    if text[position : position + 1] != "{":
        raise ValueError("it is not a JSON object")
    position = _space(text, position + 1)
    while text[position : position + 1] != "}":
        key, position = decoder.raw_decode(text, position)
        position = _space(text, position)
        if not isinstance(key, str) or text[position : position + 1] != ":":
            raise ValueError(f"a key is expected at character {position}")
        position = _space(text, position + 1)
        if text[position : position + 1] == "[":
            position = _space(text, position + 1)
            while text[position : position + 1] != "]":
                value, position = decoder.raw_decode(text, position)
                yield key, value
                position = _comma(text, position, "]")
            position += 1
        else:
            value, position = decoder.raw_decode(text, position)
            yield key, value
        position = _comma(text, position, "}")


def _comma(text: str, position: int, end: str) -> int:
    position = _space(text, position)
    if text[position : position + 1] == ",":
        return _space(text, position + 1)
    if text[position : position + 1] != end:
        raise ValueError(f"`,` or `{end}` is expected at character {position}")
    return position


def planar(values: Any) -> Pixels:
    """Return a chip (H, W, 3) of bytes from a list of 3 x H x W numbers, H = W, band after band.

    Raises:
        ValueError: If the list has another length or holds anything but whole numbers of 0 to 255.
    """
    import numpy as np

    side = math.isqrt(len(values) // 3) if isinstance(values, list) else 0
    if side == 0 or len(values) != 3 * side * side:
        raise ValueError("its data are not three bands of a square")
    numbers = np.asarray(values)
    if numbers.dtype.kind != "i" or numbers.min() < 0 or numbers.max() > 255:
        raise ValueError("its data are not integers from 0 to 255")
    return np.ascontiguousarray(numbers.astype(np.uint8).reshape(3, side, side).transpose(1, 2, 0))


def catalogue_json(path: Path, name: str, array: Path, reading: Reading) -> list[Row]:
    """Turn a JSON of chips into one array (N, H, W, 3) of bytes, and list its chips.

    Args:
        path: The JSON, with `data` and `labels` and perhaps `scene_ids` and `locations`.
        name: Its path below the source's folder.
        array: Where the array is written.
        reading: How the source is read.

    Returns:
        One row of the catalogue per chip; the whole file as one quarantined row where it cannot be read.
    """
    import numpy as np

    from .scenes import pixels_digest, row_of

    chips: list[Pixels | str] = []
    beside: dict[str, list[Any]] = {"labels": [], "scene_ids": [], "locations": []}
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"it is larger than {MAX_JSON_BYTES >> 30} GiB")
        for key, value in top_level(path.read_text("utf-8")):
            if key == "data":
                chips.append(_chip(value))
            elif key in beside:
                beside[key].append(value)
        if all(isinstance(chip, str) for chip in chips):
            raise ValueError(f"none of its chips can be used: {chips[0]}" if chips else "it holds nothing under `data`")
        if len(beside["labels"]) != len(chips):
            raise ValueError(f"it holds {plural(len(chips), 'chip')} and {plural(len(beside['labels']), 'label')}")
    except (ValueError, RecursionError, OSError) as error:
        return [row_of(reading, name, "source", quarantined=f"{path.name} is not a JSON of chips: {error}"[:300])]
    shape = next(chip.shape for chip in chips if not isinstance(chip, str))
    pixels = np.zeros((len(chips), *shape), np.uint8)
    rows = []
    for position, chip in enumerate(chips):
        row = row_of(reading, f"{name}#{position}", "own", item=position) | {"path": array.name}
        if isinstance(chip, str) or chip.shape != shape:
            reason = (
                chip
                if isinstance(chip, str)
                else f"it has {plural(len(chip), 'row')} and the first chip has {shape[0]}"
            )
            rows.append(row | {"quarantined": f"chip {position} of {path.name} cannot be used: {reason}"})
            continue
        pixels[position] = chip
        digest = pixels_digest(chip)
        row |= {"width": shape[1], "height": shape[0], "bands": "[1, 2, 3]", "dtype": "uint8", "gsd_m": reading.gsd_m}
        row |= {"sha256": digest, "pixels_sha256": digest}
        rows.append(row | columns(named(beside, position), shape[1], shape[0], reading.gsd_m))
    np.save(array, pixels, allow_pickle=False)
    return rows


def _chip(value: Any) -> Pixels | str:
    try:
        return planar(value)
    except ValueError as error:
        return str(error)


def named(beside: dict[str, list[Any]], position: int) -> Named:
    """Return what the lists beside the pixels say of one chip."""
    scenes, places = beside["scene_ids"], beside["locations"]
    scene = scenes[position] if position < len(scenes) else None
    place = places[position] if position < len(places) else None
    values = (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(value, int | float) and math.isfinite(value) for value in place)
    )
    lon, lat = map(float, place) if values and isinstance(place, list) else (None, None)
    label = beside["labels"][position] if position < len(beside["labels"]) else None
    return Named(str(label), None if scene is None else str(scene), lon, lat)


# ---------------------------------------------------------------------------------------------------------- format


def read(given: LabelInput) -> Labels:
    """Return labels from class numbers: number i is the i-th class."""
    labels, classes = [], given.classes
    for label in covering(given.scenes):
        index = int(label.class_name) if label.class_name.isdecimal() else len(classes)
        if index < len(classes):
            labels.append(replace(label, class_name=classes[index]))
        else:
            reason = f"its label {label.class_name!r} is not a class index from 0 to {len(classes) - 1}"
            labels.append(replace(label, reason=reason))
    return Labels(labels)


def scene_columns(name: str, row: Row) -> Row:
    """Return the columns of the catalogue that an image's name gives, or why it cannot be used."""
    if row["quarantined"] is not None:
        return {}
    file = Path(name).name
    chip = parse_name(file)
    if chip is None:
        return {"quarantined": f"{file} is not named {{label}}__{{scene id}}__{{lon}}_{{lat}}"}
    return columns(chip, row["width"], row["height"], row["gsd_m"])


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise chips with names as in Kaggle's "Ships in Satellite Imagery", a JSON of chips, or both."""
    chips = [name for name in folder.images if parse_name(Path(name).name) is not None]
    packed = [name for name in folder.suffixed((".json",)) if is_packed(folder.path(name))]
    if not packed and len(chips) * 2 <= len(folder.images):
        return None
    says = [f"{plural(len(chips), 'image')} named {{label}}__{{scene id}}__{{lon}}_{{lat}}"] if chips else []
    says += [f"chips in {', '.join(packed)}"] if packed else []
    source: dict[str, Any] = {"type": "shipsnet", "path": str(folder.root)}
    if not folder.images and len(packed) == 1:
        source["path"] = str(folder.path(packed[0]))
    return Recognised(source, " and ".join(says), {}, ("non-ship", "ship"), len(chips), [*chips, *packed])


def is_packed(path: Path) -> bool:
    """Return whether a JSON holds chips, by its beginning, since such files are large."""
    from .inventory import head

    if re.match(r'\s*\{\s*"(data|labels|locations|scene_ids)"\s*:\s*\[', head(path)):
        return True
    return {"data", "labels"} <= set(json_keys(path)) - {"[]"} and "[]" not in json_keys(path)


FORMAT = LabelFormat(
    title="Kaggle shipsnet",
    files="chips named `{label}__{scene id}__{lon}_{lat}.png`, a planar `shipsnet.json`, or both",
    source=ShipsnetSource,
    read=read,
    recognise=recognise,
    chips=ChipSource(scene_columns, catalogue_json, ".json"),
)
