"""Recognition of a folder's label format: each format says whether the folder is of it."""

from __future__ import annotations

import glob
import json
from collections import Counter
from pathlib import Path

from ...formats.base import Recognised
from ...formats.inventory import Inventory, common_folder, json_keys, some
from ...formats.recognition import recognise as recognise_format
from ...formats.registry import FORMATS
from ...utils.plural import plural

SAID = 4
"""Files of a kind that are described one by one where nothing was recognised."""


def fitting(folder: Inventory, name: str | None = None) -> list[Recognised]:
    """Return the formats that a folder may be of, the best first.

    Args:
        folder: What lies in it.
        name: Look for this format alone.
    """
    chosen = [item for item in FORMATS.values() if item.is_recognised and name in (None, item.name)]
    fits = [fit for item in chosen if (fit := recognise_format(folder, item)) is not None]
    # Labels beside half of the images of their folders tell more than one file that may be about something else.
    fits.sort(key=lambda fit: fit.images * 2 < len(_around(folder, fit)))
    if len(fits) > 1:
        # Several formats in one folder: each is searched for where its own files are.
        for fit in fits:
            narrow(folder, fit)
    for fit in fits:
        _name_products(folder, fit)
    return fits


def _around(folder: Inventory, recognised: Recognised) -> list[str]:
    """Return the images in the folders in which a format has images; all where it does not say which it has."""
    own = set(folder.images).intersection(recognised.files)
    places = {name.rpartition("/")[0] for name in own}
    return [name for name in folder.images if name.rpartition("/")[0] in places] if own else folder.images


def _name_products(folder: Inventory, recognised: Recognised) -> None:
    """Name the images of Sentinel products in place of their folders, which hold bands, previews and masks too."""
    inside = Path(recognised.source["path"]) if isinstance(recognised.source["path"], str) else folder.root
    own = [name for name in folder.images if folder.path(name).is_relative_to(inside)]
    products = [name for name in own if name in folder.products]
    if not products:
        return
    true_colour = sorted({f"*{name[name.rindex('_TCI') :]}" for name in products if "_TCI" in name})
    measured = sorted({f"measurement/*{Path(name).suffix}" for name in products if "_TCI" not in name})
    images = [str(Path(glob.escape(str(inside))) / "**" / pattern) for pattern in (*true_colour, *measured)]
    others = [str(folder.path(name)) for name in own if name not in folder.products]
    recognised.source["path"] = [*images, *others] if len(images) > 1 or others else images[0]
    recognised.why["path"] = "the images of Sentinel products"
    if true_colour:
        recognised.notes.append(
            "the true-colour image (TCI) of Sentinel-2 products is read; for other bands stack them into one GeoTIFF,"
            " with gdal_merge -separate"
        )


def narrow(folder: Inventory, recognised: Recognised) -> None:
    """Take the images of a format from the deepest folder that holds all of its files, if there are images in it."""
    inside = common_folder(recognised.files)
    own = [name for name in folder.images if name.startswith(f"{inside}/")]
    path = recognised.source["path"]
    if inside and (own or recognised.source["type"] == "shipsnet") and path == str(folder.root):
        recognised.source["path"] = str(folder.path(inside))


def contents(folder: Inventory) -> str:
    """Return what lies in a folder in words: suffixes, columns of tables, keys of JSON files, layers, folders."""
    suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in folder.files)
    words = [", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(8))]
    words += [
        f"{name} with the columns {some(names, 8)}" for name, names in list(folder.tables.items())[:SAID] if names
    ]
    for name in folder.suffixed((".json", ".geojson"))[:SAID]:
        keys = json_keys(folder.path(name))
        kind = "a list of objects with the keys" if keys[:1] == ("[]",) else "the keys"
        words.append(f"{name} with {kind} {some([key for key in keys if key != '[]'], 8)}" if keys else name)
    words += [layers for name in folder.suffixed((".gpkg",))[:SAID] if (layers := _layers(folder, name))]
    words += [f"{name}, {_first_line(folder.path(name))}" for name in folder.suffixed((".txt", ".xml"))[:2]]
    places = Counter(name.rpartition("/")[0] for name in folder.images if "/" in name)
    if len(places) > 1:
        words.append(f"images in {plural(len(places), 'folder')} ({some(sorted(places), 4)})")
    return "; ".join(words)


def _first_line(path: Path) -> str:
    """Return the beginning of a text file in quotes."""
    from ...formats.inventory import lines_of

    line = next((line.strip() for line in lines_of(path, 4096) if line.strip()), "")
    return f"which begins {json.dumps(line[:60], ensure_ascii=False)}" if line else "which is empty"


def _layers(folder: Inventory, name: str) -> str:
    """Return the layers of a GeoPackage in words; empty where it cannot be read."""
    import pyogrio

    try:
        return f"{name} with the layers {some([str(layer) for layer, _ in pyogrio.list_layers(folder.path(name))], 8)}"
    except Exception:
        # pyogrio raises errors of several families for a damaged file.
        return ""
