"""Describe one raster: what the scene table says of it, after it was read whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dataset.tables import SCENES, Table
from ..raster import gdal
from ..raster.gdal import SceneFile
from ..raster.grid import pixel_size_m
from ..utils.errors import InputError
from ..utils.plural import plural
from ..utils.world_file import read_beginning, world_files, world_transform

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

CATALOGUE = Table(
    "catalogue", SCENES.columns | dict.fromkeys(("where", "pixels_sha256", "given", "unplaced"), "string")
)
"""The scene table before licence and the user's groups are known.

`where` says what `path` is relative to: `source` (the source's folder), `own` (the part that holds this table) or
`store`. For chips that arrived cut, `pixels_sha256` is over the decoded pixels, and `given` is the label as given.
`unplaced` is what to do where something in or beside the file places it that satpipe does not use.
"""

CACHE_BYTES = 64 << 20
"""GDAL's cache while a scene is read: each block is read once, so all it need hold is one window."""


@dataclass(frozen=True)
class Reading:
    """Settings with which the scenes of a source are read.

    Attributes:
        source: Name of the source; the first part of each scene's name.
        bands: Bands to read, from 1; None takes all but alpha.
        max_pixels: Larger scenes are refused.
        gsd_m: GSD of scenes without georeference.
        nodata: Value of pixels without data in scenes that do not say.
        hash_pixels: Whether to digest decoded pixels.
    """

    source: str
    bands: tuple[int, ...] | None
    max_pixels: int
    gsd_m: float | None
    nodata: float | None = None
    hash_pixels: bool = False


def row_of(reading: Reading, name: str, where: str, **values: Any) -> dict[str, Any]:
    """Return a row of the catalogue; columns that are not given are missing."""
    row: dict[str, Any] = dict.fromkeys(CATALOGUE.columns)
    row |= {"scene_id": f"{reading.source}/{name}", "source": reading.source, "path": name, "where": where}
    return row | {"simulated": False, "licence": ""} | values


def describe(
    path: Path, name: str, where: str, sha256: str, reading: Reading, tick: Callable[[float], None] = lambda _: None
) -> dict[str, Any]:
    """Return the catalogue's row of the raster at ``path``; where it cannot be used, the reason is in `quarantined`.

    Args:
        path: The file.
        name: Its path below the source's folder.
        where: What ``name`` is relative to, see `CATALOGUE`.
        sha256: Digest of the file.
        reading: How the source is read.
        tick: Told which share of the scene was read.
    """
    row = row_of(reading, name, where, sha256=sha256)
    try:
        with gdal.open_scene(path, reading.max_pixels, GDAL_CACHEMAX=CACHE_BYTES) as dataset:
            metadata = _header_columns(dataset, path, reading)
            scene = gdal.scene_file(row | metadata | {"path": str(path)}, path.parent)
            metadata["pixels_sha256"] = _read_whole(dataset, scene, reading.hash_pixels, tick)
            return row | metadata
    except InputError as error:
        return row | {"quarantined": str(error)}


def header(path: Path, name: str, reading: Reading) -> dict[str, Any]:
    """Return the catalogue's row of the raster at ``path`` from its header alone.

    Whoever reads it finds what is damaged.

    Args:
        path: The file.
        name: What it is called.
        reading: How it is read.

    Raises:
        InputError: If it cannot be used.
    """
    with gdal.open_scene(path, reading.max_pixels) as dataset:
        return row_of(reading, name, "source") | _header_columns(dataset, path, reading)


def _header_columns(dataset: DatasetReader, path: Path, reading: Reading) -> dict[str, Any]:
    """Return columns of the scene table that the header of a file gives."""
    bands = _bands(dataset, path.name, reading.bands)
    dtypes = {dataset.dtypes[band - 1] for band in bands}
    dtype = dtypes.pop()
    if dtypes or dtype not in gdal.DTYPES:
        raise InputError(f"{path.name} has pixels of type {dtype}; convert it to one of {', '.join(gdal.DTYPES)}")
    mask, nodata = _mask(dataset, bands)
    if mask is None:
        mask, nodata = _nodata(reading.nodata, np.dtype(dtype))
    crs, transform, unplaced = _georeference(dataset, path)
    gsd_m = reading.gsd_m
    if crs is not None and transform is not None:
        across, down = pixel_size_m(crs, transform, dataset.width, dataset.height)
        gsd_m = round(math.sqrt(across * down), 6)
    return {
        "width": dataset.width,
        "height": dataset.height,
        "crs": crs,
        "transform": None if transform is None else json.dumps(transform),
        "gsd_m": gsd_m,
        "bands": json.dumps(bands),
        "dtype": dtype,
        "nodata": nodata,
        "mask": mask,
        "unplaced": unplaced,
    }


def _bands(dataset: DatasetReader, name: str, chosen: Sequence[int] | None) -> list[int]:
    if chosen is None:
        from rasterio.enums import ColorInterp

        if ColorInterp.palette in dataset.colorinterp:
            raise InputError(f"{name} has a colour table; convert it to RGB, for instance with `rio convert --rgb`")
        return [band for band, meaning in enumerate(dataset.colorinterp, 1) if meaning != ColorInterp.alpha]
    if max(chosen) > dataset.count:
        raise InputError(f"{name} has {plural(dataset.count, 'band')} and ingest.bands asks for band {max(chosen)}")
    return list(chosen)


def _mask(dataset: DatasetReader, bands: Sequence[int]) -> tuple[str | None, float | None]:
    """Return where valid pixels are known from, and the nodata value."""
    from rasterio.enums import MaskFlags

    alpha = gdal.alpha_band(dataset)
    if alpha is not None and alpha not in bands:
        return "alpha", None
    flags = {flag for band in bands for flag in dataset.mask_flag_enums[band - 1]}
    if MaskFlags.nodata in flags:
        values = {dataset.nodatavals[band - 1] for band in bands}
        if len({str(value) for value in values}) > 1:
            return "mask", None
        return _nodata(values.pop(), np.dtype(dataset.dtypes[bands[0] - 1]))
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        return "mask", None
    return None, None


def _nodata(value: float | None, dtype: np.dtype[Any]) -> tuple[str | None, float | None]:
    """Return the nodata value as pixels of ``dtype`` hold it; none where they cannot, as -9999 in bytes."""
    if value is None:
        return None, None
    if math.isnan(value):
        return ("nodata", None) if dtype.kind == "f" else (None, None)
    if dtype.kind == "f":
        return "nodata", float(dtype.type(value))
    limits = np.iinfo(dtype)
    fits = float(value).is_integer() and limits.min <= value <= limits.max
    return ("nodata", float(value)) if fits else (None, None)


def _georeference(dataset: DatasetReader, path: Path) -> tuple[str | None, tuple[float, ...] | None, str | None]:
    """Return CRS and transform, both or neither, and what to do about a place that is not used."""
    from rasterio.errors import CRSError

    name, placed, crs, unplaced = path.name, dataset.transform, None, None
    try:
        crs = dataset.crs
        if placed.is_identity:
            placed, crs, unplaced = _place_beside(dataset, path)
        code = None if not crs else (f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.to_wkt())
    except CRSError as error:
        raise InputError(f"{name} has a CRS that cannot be read: {str(error)[:80]}") from None
    transform = tuple(float(value) for value in tuple(placed)[:6])
    if not all(math.isfinite(value) for value in transform):
        raise InputError(f"{name} has a transform that is not finite")
    if code is None or placed.is_identity or not (crs.is_geographic or crs.is_projected):
        return None, None, unplaced  # a local CRS, as of a building site, is nowhere on the ground
    if placed.determinant == 0:
        raise InputError(f"{name} has a transform that maps all pixels onto a line")
    return code, transform, None


def _place_beside(dataset: DatasetReader, path: Path) -> tuple[Any, Any, str | None]:
    """Return transform and CRS of an image by its world file, and what to do where that is not enough.

    Raises:
        InputError: If the world file cannot be read.
    """
    import affine
    from rasterio.crs import CRS

    files = world_files(path)
    if files:
        try:
            transform = affine.Affine(*world_transform(files[0]))
        except (OSError, ValueError):
            # What it holds is not repeated: it may be a link to any file.
            raise InputError(f"world file {files[0].name} does not hold six numbers, one per line") from None
        crs = dataset.crs
        if crs is None and len(files) > 1:
            try:
                crs = CRS.from_wkt(read_beginning(files[1]))
            except (OSError, ValueError):
                raise InputError(f"{files[1].name} does not hold a CRS as WKT") from None
        missing = f"{files[0].name} georeferences it, but the CRS is unknown: add {path.with_suffix('.prj').name}"
        return transform, crs, None if crs else missing
    if dataset.gcps[0]:
        reason = f"has {len(dataset.gcps[0])} ground control points (GCPs), which do not georeference each pixel"
    elif dataset.rpcs is not None or any(
        path.with_name(path.stem + ending).is_file() for ending in ("_RPC.TXT", "_rpc.txt", ".RPB", ".rpb")
    ):
        reason = "has rational polynomial coefficients (RPCs), which do not georeference each pixel"
    else:
        return dataset.transform, dataset.crs, None
    warped = f"{path.stem}_warped.tif"
    return dataset.transform, dataset.crs, f"{path.name} {reason}: warp it first, with gdalwarp {path.name} {warped}"


def _read_whole(
    dataset: DatasetReader, scene: SceneFile, hash_pixels: bool, tick: Callable[[float], None]
) -> str | None:
    """Read every block once: a truncated file opens well and fails here.

    Returns:
        SHA-256 of the decoded pixels, if asked for.

    Raises:
        InputError: If a block cannot be read, or no pixel of the scene is valid.
    """
    digest = _digest((scene.height, scene.width, len(scene.bands)), scene.dtype)
    any_valid = False
    for extent in gdal.aligned_windows(dataset):
        pixels, valid = gdal.read_window(dataset, scene, *extent)
        any_valid = any_valid or valid is None or bool(valid.any())
        if hash_pixels:
            digest.update(pixels.tobytes())
        tick((extent[0] * scene.width + extent[2] * (extent[1] + extent[3])) / (scene.height * scene.width))
    if not any_valid:
        raise InputError(f"{scene.path.name} has no valid pixels")
    return digest.hexdigest() if hash_pixels else None


def _digest(shape: tuple[int, ...], dtype: str) -> hashlib._Hash:
    return hashlib.sha256(f"{shape} {dtype} ".encode())


def pixels_digest(pixels: gdal.Pixels) -> str:
    """Return the SHA-256 of decoded pixels (H, W, C), as in the column `pixels_sha256`."""
    digest = _digest(pixels.shape, str(pixels.dtype))
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def is_square(row: Mapping[str, Any]) -> tuple[bool, float, float]:
    """Return whether a scene's pixels are as wide as high on the ground, and both sizes in metres."""
    across, down = pixel_size_m(
        str(row["crs"]), tuple(json.loads(row["transform"])), int(row["width"]), int(row["height"])
    )
    return abs(across - down) <= 0.02 * max(across, down), across, down


def glance(path: Path, name: str, reading: Reading) -> dict[str, Any]:
    """Return the catalogue's row of the raster at ``path`` from its header; damaged pixels stay unseen."""
    row = row_of(reading, name, "source")
    try:
        with gdal.open_scene(path, reading.max_pixels) as dataset:
            return row | _header_columns(dataset, path, reading)
    except InputError as error:
        return row | {"quarantined": str(error)}
