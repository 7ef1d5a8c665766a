"""Copy a scene block by block as a tiled GeoTIFF with overviews, with objects blended into its pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Interleaving, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from ....raster.gdal import SceneFile, aligned_windows, open_scene
from ....utils.errors import InputError, StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rasterio.io import DatasetReader, DatasetWriter

TILE = 512
LARGEST_TILE = 1024
LOSSLESS = ("deflate", "lzw", "zstd", "packbits", "lzma")
SMALLEST_OVERVIEW = 256
"""Larger side of a scene, or of an overview, from which there is no further overview."""
WINDOW_BYTES = 32 << 20
CACHE_BYTES = 128 << 20
"""GDAL's cache: a row of a wide scene's blocks."""

Blend = Callable[["npt.NDArray[np.generic]", int, int], None]
"""Changes pixels (C, H, W) of a window, in place; takes the window's first row and column too."""


def copy_scene(
    scene: SceneFile, to: Path, blend: Blend, tags: Mapping[str, str], tick: Callable[[float], None], workers: int
) -> None:
    """Write a scene as a GeoTIFF with the same bands, types, masks and place; memory is bounded by its blocks.

    Args:
        scene: The scene.
        to: The file.
        blend: What changes the pixels.
        tags: Tags beside those of the scene.
        tick: Told which share of the scene is written.
        workers: Threads that compress.

    Raises:
        InputError: If the scene is damaged.
        StoreError: If the file cannot be written.
    """
    options: dict[str, str | int | bool] = {"GDAL_CACHEMAX": CACHE_BYTES, "GDAL_NUM_THREADS": str(workers)}
    options["GDAL_TIFF_INTERNAL_MASK"] = True
    with warnings.catch_warnings(), open_scene(scene.path, None, **options) as source:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        has_mask = (
            MaskFlags.per_dataset in source.mask_flag_enums[0] and MaskFlags.alpha not in source.mask_flag_enums[0]
        )
        try:
            with rasterio.open(to, "w", **_profile(source, scene, workers)) as file:
                _describe(source, file, tags)
                for row, col, height, width in aligned_windows(file, WINDOW_BYTES):
                    window = Window(col, row, width, height)
                    pixels = _read(source, window)
                    blend(pixels, row, col)
                    file.write(pixels, window=window)
                    if has_mask:
                        file.write_mask(source.dataset_mask(window=window), window=window)
                    tick((row * scene.width + height * (col + width)) / (scene.height * scene.width))
            factors = overview_factors(scene.height, scene.width)
            if factors:
                with rasterio.open(to, "r+", driver="GTiff") as file:
                    file.build_overviews(factors, Resampling.average)
            _check_whole(to)
        except RasterioError as error:
            raise StoreError(f"{to.name} cannot be written: {str(error)[:160]}") from None


def overview_factors(height: int, width: int) -> list[int]:
    """Return the factors of a scene's overviews: powers of 2 until the larger side is small."""
    steps = math.ceil(math.log2(max(height, width) / SMALLEST_OVERVIEW))
    return [2**step for step in range(1, max(steps, 0) + 1)]


def _read(source: DatasetReader, window: Window) -> npt.NDArray[np.generic]:
    try:
        pixels: npt.NDArray[np.generic] = source.read(window=window)
    except (RasterioError, ValueError, OSError) as error:
        raise InputError(
            f"{Path(source.name).name} cannot be read at row {window.row_off}, column {window.col_off} (truncated or"
            f" damaged?): {str(error)[:120]}"
        ) from None
    return pixels


def _profile(source: DatasetReader, scene: SceneFile, workers: int) -> dict[str, Any]:
    """Return how the file is written: tiles of the source's size, its compression where that loses nothing."""
    height, width = source.block_shapes[0]
    tiled = height % 16 == width % 16 == 0 and height <= LARGEST_TILE and width <= LARGEST_TILE and width < source.width
    given = "" if source.compression is None else source.compression.name.lower()
    compress = given if given in LOSSLESS else "deflate"
    kind = source.dtypes[0]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": source.height,
        "width": source.width,
        "count": source.count,
        "dtype": kind,
        "nodata": source.nodata,
        "tiled": True,
        "blockysize": height if tiled else TILE,
        "blockxsize": width if tiled else TILE,
        "compress": compress,
        "interleave": "band" if source.interleaving == Interleaving.band and source.count > 1 else "pixel",
        "bigtiff": "if_safer",
        "num_threads": workers,
    }
    if compress in ("deflate", "lzw", "zstd"):
        profile["predictor"] = 3 if kind.startswith("float") else 2
    if source.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue):
        profile["photometric"] = "RGB"
    if scene.crs is not None and scene.transform is not None:
        profile |= {"crs": scene.crs, "transform": Affine(*scene.transform[:6])}
    elif not source.transform.is_identity:
        profile |= {"crs": source.crs, "transform": source.transform}
    return profile


def _describe(source: DatasetReader, file: DatasetWriter, tags: Mapping[str, str]) -> None:
    """Copy what is said of the scene and its bands, and add tags."""
    own = {name: text for name, text in source.tags().items() if not name.startswith("EXIF_")}
    file.update_tags(**(own | dict(tags)))
    file.colorinterp = source.colorinterp
    file.descriptions, file.scales, file.offsets = source.descriptions, source.scales, source.offsets
    for band in source.indexes:
        if band_tags := source.tags(band):
            file.update_tags(band, **{name: text for name, text in band_tags.items() if "STATISTICS" not in name})
    if source.gcps[0]:
        file.gcps = source.gcps
    if source.rpcs is not None:
        file.rpcs = source.rpcs


def _check_whole(path: Path) -> None:
    """Check that every block of a file is there: GDAL does not report what it could not write when it closes a file.

    Raises:
        StoreError: If one is missing.
    """
    size = path.stat().st_size
    with rasterio.open(path, driver="GTiff") as file:
        interleaved = file.interleaving != Interleaving.band
        for band in file.indexes[:1] if interleaved else file.indexes:
            for (row, col), _ in file.block_windows(band):
                start = file.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
                length = file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
                if start is None or int(start) + int(length) > size:
                    raise StoreError(f"{path.name} could not be written completely; is the disk full?")
