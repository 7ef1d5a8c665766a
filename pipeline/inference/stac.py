"""Items of STAC (SpatioTemporal Asset Catalog 1.1) for exported chips and for detections: one file of items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import shapely

from ..utils.errors import ConfigError, first_line
from .lonlat import bounding_box, rfc7946

ITEMS = "items.json"
_MEDIA = {
    ".png": "image/png",
    ".tif": "image/tiff; application=geotiff",
    ".npy": "application/octet-stream",
    ".geojson": "application/geo+json",
    ".json": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
}
Period = tuple[datetime, datetime]


def period(text: str) -> Period:
    """Return when imagery was acquired: the ends of `START/END`, or twice the same time.

    Raises:
        ConfigError: If it is no time of RFC 3339 with its zone, or pystac is not installed.
    """
    try:
        import pystac  # noqa: F401 - before anything is computed
    except ImportError:
        raise ConfigError("--stac needs the package pystac (the extra `interop` of satpipe)") from None
    try:
        times = [datetime.fromisoformat(part) for part in text.split("/")]
        start, end = times if len(times) == 2 else (times[0], *times)
        if start.tzinfo is None or end.tzinfo is None or start > end:
            raise ValueError("a time needs a time zone, such as Z, and the start must come first")
    except ValueError as error:
        raise ConfigError(
            f"--stac {text}: {first_line(error, 120)}; write 2019-04-13T02:59:00Z, or START/END"
        ) from None
    return start, end


def write_chips(chips: pd.DataFrame, run: str, when: Period, folder: Path) -> int:
    """Write an item for each exported chip whose place is known, and return how many there are.

    Args:
        chips: Rows of the exported table: file, chip_id, class, footprint and further columns.
        run: Name of the run.
        when: When the scenes were acquired.
        folder: Folder of the chips; the items are ``items.json`` there.

    Raises:
        ConfigError: If the place of no chip is known.
    """
    placed = chips[chips["footprint"].notna()]
    if placed.empty:
        raise ConfigError("--stac: no chip is georeferenced")
    columns = [name for name in ("class", "source_scene", "kind", "licence", "role") if name in placed]
    items = []
    for row in placed.to_dict("records"):
        properties = {f"satpipe:{name}": row[name] for name in columns if not pd.isna(row[name]) and row[name] != ""}
        outline = shapely.from_wkt(row["footprint"])
        items.append(
            item_of(str(row["chip_id"]), outline, when, {"satpipe:run": run, **properties}, {"chip": row["file"]})
        )
    write_items(items, folder / ITEMS)
    return len(items)


def item_of(name: str, outline: Any, when: Period, properties: Mapping[str, Any], assets: Mapping[str, str]) -> Any:
    """Return an item of a place, a time and files, whose paths are relative to the file of items."""
    import pystac

    start, end = when
    item = pystac.Item(
        id=name,
        geometry=json.loads(shapely.to_geojson(rfc7946(outline))),
        bbox=bounding_box(outline),
        datetime=start if start == end else None,
        start_datetime=None if start == end else start,
        end_datetime=None if start == end else end,
        properties=dict(properties),
    )
    for key, file in assets.items():
        item.add_asset(key, pystac.Asset(href=f"./{file}", media_type=_MEDIA.get(Path(file).suffix), roles=["data"]))
    return item


def write_items(items: Iterable[Any], path: Path) -> None:
    """Write items as a feature collection, which pystac and QGIS read."""
    features = [item.to_dict(include_self_link=False) for item in items]
    text = json.dumps({"type": "FeatureCollection", "features": features}, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")
