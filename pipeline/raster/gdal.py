"""Entry point to scenes: open untrusted rasters safely, and tell which of their pixels are valid.

A ``.tif`` can be a VRT that reads any file on disk or on the network, a small file can claim billions of pixels, and a
truncated one opens without an error. Therefore: plain local paths only; the content decides the driver, and only that
driver may open it; drivers that read other files or the network are switched off before GDAL starts, here and in the
processes it starts; side-car files are not read, since they could name other files; dimensions are checked first.

Scenes come from two kinds of file: rasters (GeoTIFF and COG, PNG, JPEG), and ``.npy`` arrays (N, H, W, C) in the store,
into which ingest turns a JSON of chips; there ``item`` is the scene's position.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..utils.errors import InputError
from ..utils.world_file import world_files

ALLOWED_DRIVERS = (
    *("GTiff", "COG", "PNG", "JPEG", "BMP", "JP2OpenJPEG", "MEM", "Memory", "GPKG", "ESRI Shapefile", "GeoJSON"),
    "FlatGeobuf",
)
"""The only GDAL drivers that stay switched on: those that read scenes and labels and write chips."""
REFUSED_DRIVERS = (
    # Files that stand for other files, and files that are requests.
    "VRT DERIVED GTI STACTA STACIT MRF WMS WMTS WCS PLMOSAIC PLSCENES EEDA EEDAI DAAS HTTP Zarr KMLSUPEROVERLAY PDS4"
    " netCDF HDF5 HDF5Image OGCAPI GDALG ESRIC OGR_VRT OAPIF WFS CSW Carto AmigoCloud Elasticsearch NGW GPSBabel ADBC"
    " GMLAS PMTiles MVT GNMFile GNMDatabase HDF4 HDF4Image KEA ECW JP2ECW MrSID JP2MrSID JP2KAK JPEGXL AVIF HEIF GTA"
    " LIBERTIFF EXR PostGISRaster GeoRaster RDB TileDB Arrow Parquet PostgreSQL MySQL MSSQLSpatial MongoDBv3 OCI ODBC"
    " PGeo HANA IDB SOSI CAD DWG NAS OGR_DODS FITS"
    # In the builds that pip installs, and not needed: code that a file could otherwise reach.
    " AAIGrid ACE2 ADRG AIG AIVector AVCBin AVCE00 AirSAR BAG BIGGIF BLX BSB BT BYN CALS CEOS COASP COSAR CPG CSV CTG"
    " CTable2 DGN DIMAP DIPEx DOQ1 DOQ2 DTED DXF ECRGTOC EDIGEO EHdr EIR ELAS ENVI ERS ESAT ESRIJSON FAST FIT GFF GIF"
    " GML GPX GRASSASCIIGrid GRIB GS7BG GSAG GSBG GSC GTFS GTX GXF GenBin GeoJSONSeq GeoRSS HF2 HFA ILWIS IRIS ISCE ISG"
    " ISIS2 ISIS3 Idrisi JAXAPALSAR JDEM JML JSONFG KML KRO L1B LAN LCP LIBKML LOSLAS LVBAG Leveller MAP MBTiles MFF"
    " MFF2 MSGN MapML MiraMonVector NDF NGSGEOID NITF NOAA_B NSIDCbin NTv2 NWT_GRC NWT_GRD ODS OGR_GMT OGR_PDS OSM OZI"
    " OpenFileGDB PAux PCIDSK PCRaster PDF PDS PGDUMP PNM PRF R RIK RMF ROI_PAC RPFTOC RRASTER RS2 RST Rasterlite S102"
    " S104 S111 S57 SAFE SAGA SAR_CEOS SDTS SENTINEL2 SGI SIGDEM SNAP_TIFF SNODAS SQLite SRP SRTMHGT SXF Selafin TGA"
    " TIL TSX Terragen TopoJSON USGSDEM VDV VFK VICAR WAsP WEBP XLSX XPM XYZ ZMap"
)
# GDAL reads these once, when its drivers are registered: before the first open, also in the processes we start.
os.environ["GDAL_SKIP"] = REFUSED_DRIVERS
os.environ["OGR_SKIP"] = "MapInfo File"  # its name holds a space
# It would complain on standard error of each name that its build does not have.
os.environ.setdefault("CPL_LOG", os.devnull)

import rasterio  # noqa: E402 - after GDAL_SKIP
from rasterio.enums import ColorInterp, Interleaving  # noqa: E402
from rasterio.errors import NotGeoreferencedWarning, RasterioError  # noqa: E402
from rasterio.io import MemoryFile  # noqa: E402
from rasterio.windows import Window  # noqa: E402

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, DatasetWriter

Pixels = npt.NDArray[Any]
"""Pixels (H, W, C) in the scene's own dtype."""
Valid = npt.NDArray[np.bool_]
"""Which pixels (H, W) hold data."""
Extent = tuple[int, int, int, int]
"""A window as (row, col, height, width)."""

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
MAX_BLOCK_BYTES = 512 << 20
"""A file whose smallest readable block is larger cannot be read in bounded memory."""

_MAGIC = (
    (b"II*\x00", "GTiff"),
    (b"MM\x00*", "GTiff"),
    (b"II+\x00", "GTiff"),
    (b"MM\x00+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_SAFE: dict[str, str | int | bool] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no .aux.xml, .ovr, .msk, world file: each may name another file
    "GDAL_PAM_ENABLED": False,
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",  # a name inside a file never becomes a request
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,  # else a truncated JPEG is read as grey
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,  # GDAL 3.10's fast way returns a truncated PNG without an error
}


@dataclass(frozen=True)
class SceneFile:
    """Part of a row of the scene table that a reader needs.

    Attributes:
        scene_id: Name of the scene.
        path: The file on this machine.
        item: Position in a ``.npy`` array of items; None for a raster file.
        width: Columns.
        height: Rows.
        bands: Bands to read, from 1.
        dtype: Type of the pixels.
        nodata: Value of pixels without data; None with ``mask == "nodata"`` means NaN.
        mask: Where valid pixels are known from: ``nodata``, ``alpha``, ``mask``, or None.
        crs: WKT or EPSG code; None without georeference.
        transform: Affine coefficients a..f, from (col, row) of a pixel's corner to coordinates in ``crs``.
        gsd_m: Ground sampling distance in metres per pixel.
    """

    scene_id: str
    path: Path
    item: int | None
    width: int
    height: int
    bands: tuple[int, ...]
    dtype: str
    nodata: float | None
    mask: str | None
    crs: str | None
    transform: tuple[float, ...] | None
    gsd_m: float | None


def scene_file(row: Mapping[str, Any], store: Path) -> SceneFile:
    """Return the scene of one row (a mapping) of the scene table; relative paths are relative to ``store``."""
    values = {name: None if pd.isna(value) else value for name, value in row.items()}
    return SceneFile(
        scene_id=str(values["scene_id"]),
        path=store / str(values["path"]),  # an absolute path stays what it is
        item=None if values["item"] is None else int(values["item"]),
        width=int(row["width"]),
        height=int(row["height"]),
        bands=tuple(json.loads(row["bands"])),
        dtype=str(row["dtype"]),
        nodata=None if values["nodata"] is None else float(row["nodata"]),
        mask=values["mask"],
        crs=values["crs"],
        transform=None if values["transform"] is None else tuple(json.loads(row["transform"])),
        gsd_m=None if values["gsd_m"] is None else float(row["gsd_m"]),
    )


# --------------------------------------------------------------------------------------------------------- opening


def local_file(path: Path | str) -> Path:
    """Return the absolute path of a regular file that is not empty.

    Raises:
        InputError: If the path is a URL, a GDAL virtual path or inline data, or no regular file with content.
    """
    text = str(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+._-]+:", text) or text.startswith(("/vsi", "\\vsi", "<")) or "\0" in text:
        raise InputError(f"{text[:80]!r} is not a plain path of a local file; download it and name the file")
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a symbolic link keeps its name
    try:
        if path.is_dir():
            raise InputError(f"{path.name} is a folder, not a file; name the files in it, such as {path.name}/*.tif")
        if not path.is_file():
            raise InputError(f"{path.name} does not exist, or is not a regular file")
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty")
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    return path


def _driver(path: Path) -> str:
    """Return the driver that a file's first bytes call for; its suffix is not trusted (a JPEG is often named .png)."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    for magic, driver in _MAGIC:
        if start.startswith(magic):
            return driver
    raise InputError(f"{path.name} is not a TIFF, PNG, JPEG, BMP or JPEG 2000 by its first bytes; convert or remove it")


@contextmanager
def open_scene(path: Path, max_pixels: int | None = None, **gdal: str | int | bool) -> Iterator[DatasetReader]:
    """Open a raster for reading, safely.

    Args:
        path: A local file.
        max_pixels: Refuse rasters that claim more pixels (width x height) than this.
        **gdal: Further GDAL options while it is open, e.g. ``GDAL_CACHEMAX=64_000_000`` (bytes).

    Yields:
        The open dataset; read it with :func:`read_window`.

    Raises:
        InputError: If it is not such a file, or cannot be read in bounded memory. The message holds no folder names,
            so that it may be stored in an artifact.
    """
    path = local_file(path)
    driver = _driver(path)
    with rasterio.Env(**(_SAFE | gdal)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(path, driver=driver)
        except (RasterioError, ValueError, OSError) as error:
            raise InputError(f"{path.name} is not a readable {driver}: {_message(error, path)}") from None
        with dataset:
            _check_size(dataset, path.name, max_pixels)
            turned = _exif_orientation(dataset, path, driver)
            if turned == 1:
                yield dataset
                return
            with _upright(dataset, path.name, turned) as upright:
                yield upright


def _exif_orientation(dataset: DatasetReader, path: Path, driver: str) -> int:
    """Return how a picture is stored, as EXIF has it: 1 is upright, 2 to 8 are turned or mirrored.

    Viewers and labelling programs show such a picture upright, so its rows and columns are those of the upright one.
    What is placed on the ground stays as it is stored.
    """
    placed = not dataset.transform.is_identity or dataset.gcps[0] or world_files(path)
    if driver not in ("JPEG", "PNG", "GTiff") or placed:
        return 1
    from PIL import ExifTags, Image

    try:
        if driver == "JPEG":
            orientation = dataset.tags().get("EXIF_Orientation", 1)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path) as image:  # the header alone
                    exif = Image.Exif()
                    exif.load(image.info.get("exif", b""))
                    tags = getattr(image, "tag_v2", exif)
                    orientation = tags.get(ExifTags.Base.Orientation, 1)
        value = int(orientation)
    except Exception:
        # Pillow's parsers raise whatever damaged tags lead to; a picture that says nothing of it is upright.
        return 1
    return value if 2 <= value <= 8 else 1


@contextmanager
def _upright(dataset: DatasetReader, name: str, orientation: int) -> Iterator[DatasetReader]:
    """Open a picture that is stored on its side as one in memory that stands upright.

    Raises:
        InputError: If it is damaged, or too large to be turned in memory.
    """
    size = dataset.width * dataset.height * dataset.count * _itemsize(dataset)
    if size > MAX_BLOCK_BYTES:
        raise InputError(
            f"{name} is stored rotated (EXIF orientation {orientation}) and has {size >> 20} MiB, too much to rotate"
            " in memory; save it upright"
        )
    try:
        pixels = dataset.read()
        mask = dataset.nodata
    except (RasterioError, ValueError, OSError) as error:
        reason = _message(error, Path(dataset.name))
        raise InputError(f"{name} cannot be read (truncated or damaged?): {reason}") from None
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(0, 2, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, "nodata": mask}
    with MemoryFile(filename=f"{Path(name).stem}.tif") as memory:
        with memory.open(driver="GTiff", blockxsize=256, blockysize=256, tiled=True, **profile) as file:
            file.colorinterp = dataset.colorinterp
            if ColorInterp.palette in dataset.colorinterp:
                file.write_colormap(1, dataset.colormap(1))
            file.write(np.ascontiguousarray(pixels))
        with memory.open() as upright:
            yield upright


@contextmanager
def new_geotiff(path: Path, **profile: Any) -> Iterator[DatasetWriter]:
    """Open a GeoTIFF in memory for writing; it is written to ``path`` as a whole at the end.

    GDAL does not report write errors when it closes a file, and a damaged scene would be taken for sound.

    Args:
        path: The file.
        **profile: As for ``rasterio.open``.

    Raises:
        OSError: If the file cannot be written.
    """
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile) as file:
            yield file
        path.write_bytes(memory.getbuffer())


def _message(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), path.name).split("\n")[0][:200]


def _check_size(dataset: DatasetReader, name: str, max_pixels: int | None) -> None:
    pixels = dataset.width * dataset.height
    if max_pixels is not None and pixels > max_pixels:
        raise InputError(
            f"{name} claims {dataset.width} x {dataset.height} pixels, more than ingest.max_pixels = {max_pixels}"
        )
    block = _block_bytes(dataset)
    if block > MAX_BLOCK_BYTES:
        raise InputError(
            f"{name} is stored in blocks of {block >> 20} MiB, which cannot be read in bounded memory;"
            " rewrite it with `gdal_translate -co TILED=YES`"
        )


def _block_bytes(dataset: DatasetReader) -> int:
    height, width = dataset.block_shapes[0]
    interleaved_bands = dataset.count if dataset.interleaving != Interleaving.band else 1
    return int(height * width * interleaved_bands * _itemsize(dataset))


def _itemsize(dataset: DatasetReader) -> int:
    """Return the bytes of one value; NumPy lacks GDAL's pairs of small integers, which count as complex numbers."""
    try:
        return int(np.dtype(dataset.dtypes[0]).itemsize)
    except TypeError:
        return 8


# ---------------------------------------------------------------------------------------------------------- pixels


def aligned_windows(dataset: DatasetReader, max_bytes: int = 16 << 20) -> Iterator[Extent]:
    """Yield windows of whole blocks that cover the dataset once, in block order.

    Args:
        dataset: An open dataset.
        max_bytes: Size of a window's pixels in all bands; one block is taken even where it is larger.

    Yields:
        Each window as (row, col, height, width), clipped to the dataset.
    """
    block_height, block_width = dataset.block_shapes[0]
    block = max(1, block_height * block_width * dataset.count * _itemsize(dataset))
    across = math.ceil(dataset.width / block_width)
    fit = max(1, max_bytes // block)
    width = block_width * min(across, fit)
    height = block_height * (fit // across if fit >= across else 1)
    for row in range(0, dataset.height, height):
        for col in range(0, dataset.width, width):
            yield row, col, min(height, dataset.height - row), min(width, dataset.width - col)


def read_window(
    dataset: DatasetReader, scene: SceneFile, row: int, col: int, height: int, width: int
) -> tuple[Pixels, Valid | None]:
    """Read a window that lies inside the scene.

    Returns:
        Pixels (height, width, C) of the scene's bands in their dtype, and which of them are valid (height, width), or
        None where all are.

    Raises:
        InputError: If the file is damaged there.
    """
    window = Window(col, row, width, height)
    name = Path(dataset.name).name
    try:
        pixels = dataset.read(list(scene.bands), window=window)
        given = None
        if scene.mask == "alpha":
            given = dataset.read(alpha_band(dataset), window=window)
        elif scene.mask == "mask":
            given = dataset.dataset_mask(window=window)
    except (RasterioError, ValueError, OSError) as error:
        raise InputError(
            f"{name} cannot be read at row {row}, column {col} (truncated or damaged?):"
            f" {_message(error.__cause__ if isinstance(error.__cause__, Exception) else error, Path(dataset.name))}"
        ) from None
    pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return pixels, valid_mask(pixels, scene, given)


def valid_mask(pixels: Pixels, scene: SceneFile, given: npt.NDArray[Any] | None = None) -> Valid | None:
    """Return which pixels (H, W) have data; None where all of them do.

    A pixel has no data where the alpha or mask band ``given`` (H, W) is 0; where all of its bands equal the nodata
    value (one band may hold that value by right: zero is a value); and, in floats, where any band is not finite.
    """
    valid: Valid | None = None if given is None else np.asarray(given != 0)
    if scene.mask == "nodata" and scene.nodata is not None:
        data = np.any(pixels != pixels.dtype.type(scene.nodata), axis=-1)
        valid = data if valid is None else valid & data
    if pixels.dtype.kind == "f":
        finite = np.all(np.isfinite(pixels), axis=-1)
        valid = finite if valid is None else valid & finite
    return None if valid is None or valid.all() else valid


def alpha_band(dataset: DatasetReader) -> int | None:
    """Return the number of the alpha band, from 1; None where there is none."""
    bands = (band for band, meaning in enumerate(dataset.colorinterp, 1) if meaning == ColorInterp.alpha)
    return next(bands, None)


@lru_cache(maxsize=64)
def _items(path: str) -> Pixels:
    items: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return items


def read_item(scene: SceneFile) -> tuple[Pixels, Valid | None]:
    """Read pixels (H, W, C) of a scene that is an item of an array, and which are valid, like :func:`read_window`.

    Raises:
        InputError: If the array has no such item.
    """
    try:
        items = _items(str(scene.path))
        pixels = np.array(items[scene.item][..., [band - 1 for band in scene.bands]])
    except (OSError, ValueError, IndexError, SyntaxError, TokenError) as error:
        raise InputError(f"item {scene.item} of {scene.path.name} cannot be read: {error}") from None
    return pixels, valid_mask(pixels, scene)
