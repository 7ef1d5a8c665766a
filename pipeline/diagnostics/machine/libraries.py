"""Checks of what is installed: Python, the libraries, the build of torch, GDAL with its drivers and PROJ."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from ...utils.errors import first_line
from .finding import Finding

OLDEST_PYTHON = (3, 11, 4)
RASTERS = ("GTiff", "PNG", "JPEG")
VECTORS = ("GPKG", "ESRI Shapefile")
MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL", "opencv-python-headless": "cv2"}
"""What is imported, where a distribution is not called so."""
EXTRAS = {
    "dask": ("distributed", "runs on a Dask cluster"),
    "kaggle": ("kagglehub", "sources of type kaggle"),
    "docs": ("mkdocs", "building the documentation"),
    "tensorboard": ("tensorboard", "trainings in TensorBoard"),
}


def python() -> Iterator[Finding]:
    """The interpreter, and the program itself."""
    bits = sys.maxsize.bit_length() + 1
    says = f"{sys.version.split()[0]}, {bits} bits, {sys.executable}"
    if sys.version_info[:3] < OLDEST_PYTHON:
        yield Finding("Python", "bad", says, "use Python 3.11.4 or later")
    elif bits < 64:
        yield Finding("Python", "bad", says, "use a Python of 64 bits: torch has no other")
    else:
        yield Finding("Python", "good", says)


def libraries() -> Iterator[Finding]:
    """Whether every library is there in a version that we work with, and can be imported."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("satpipe") or ()]
    except PackageNotFoundError:
        yield Finding("libraries", "warning", "satpipe is not installed", "install it with `pip install -e .`")
        return
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = 0
    for one in needed:
        finding = _library(one)
        if finding is not None:
            wrong += 1
            yield finding
    if not wrong:
        yield Finding("libraries", "good", f"all {len(needed)} are there and can be imported")
    have: list[str] = []
    lack: list[str] = []
    for extra, (module, use) in EXTRAS.items():
        if any(one.marker is not None and one.marker.evaluate({"extra": extra}) for one in wanted):
            (have if _imports(module) is None else lack).append(f"{extra} ({use})")
    if have or lack:
        says = [f"installed: {', '.join(have)}"] if have else []
        says += [f"not installed: {', '.join(lack)}"] if lack else []
        yield Finding("extras", "good", "; ".join(says))


def _library(wanted: Any) -> Finding | None:
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Finding("libraries", "bad", f"{wanted.name} is missing", f"`pip install '{wanted}'`")
    if not wanted.specifier.contains(found, prereleases=True):
        says = f"{wanted.name} is {found} and must be {wanted.specifier}"
        return Finding("libraries", "bad", says, f"`pip install '{wanted}'`")
    reason = _imports(MODULES.get(wanted.name.lower(), wanted.name.lower().replace("-", "_")))
    if reason is None:
        return None
    return Finding(
        "libraries",
        "bad",
        f"{wanted.name} {found} cannot be imported: {reason}",
        f"install it again: `pip install --force-reinstall --no-deps {wanted.name}=={found}`",
    )


def _imports(module: str) -> str | None:
    """Why a module cannot be imported; None if it can."""
    if module == "albumentations":
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    if module == "rasterio":
        module = "satpipe.raster.gdal"  # sets up GDAL before it starts
    try:
        import_module(module)
    except Exception as error:  # a broken library may raise anything
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
    return None


def torch_build() -> Iterator[Finding]:
    """Which processor torch was built for, and whether that is the best this machine has."""
    try:
        import torch
    except Exception:  # told by `libraries`
        return
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    if getattr(torch.version, "hip", None):
        built = f"ROCm {torch.version.hip}"
    says = f"{torch.__version__}, built for {built}"
    graphics = shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists()
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Finding("torch", "good", f"{says}; trains on {', '.join(names)} with {memory:.0f} GiB")
    elif torch.backends.mps.is_available():
        yield Finding("torch", "good", f"{says}; trains on Apple's MPS")
    elif graphics and not torch.version.cuda:
        do = "install the CUDA build: `pip install torch --force-reinstall` with the address of PyTorch's page"
        yield Finding("torch", "warning", f"{says}, but there is an NVIDIA GPU", do)
    elif graphics:
        do = "check the driver with `nvidia-smi`: it must be as new as torch's CUDA; and CUDA_VISIBLE_DEVICES"
        yield Finding("torch", "warning", f"{says}, but it finds no GPU, and there is an NVIDIA one", do)
    else:
        yield Finding("torch", "good", f"{says}; trains on the CPU, as there is no GPU")
    yield from _torch_works(torch)


def _torch_works(torch: Any) -> Iterator[Finding]:
    """A step forward and back: a build for other processors imports well and dies here."""
    try:
        layer = torch.nn.Conv2d(3, 4, 3)
        layer(torch.ones(2, 3, 8, 8)).mean().backward()
        finite = bool(torch.isfinite(layer.weight.grad).all())
    except Exception as error:
        yield Finding("torch", "bad", f"a convolution fails: {first_line(error, 120)}", "install torch again")
        return
    if not finite:
        yield Finding("torch", "bad", "a convolution gives no finite numbers", "install torch again")


def gdal() -> Iterator[Finding]:
    """GDAL as scenes are read with: its drivers, and the ones that are switched off; GDAL for vector files; PROJ."""
    try:
        from ...raster import gdal
    except Exception:  # told by `libraries`
        return
    import rasterio
    from rasterio.env import Env

    with Env():
        drivers = set(Env().drivers())
    missing = [name for name in RASTERS if name not in drivers]
    says = f"{rasterio.__gdal_version__} (rasterio {rasterio.__version__}), drivers {', '.join(RASTERS)}"
    if missing:
        do = "install rasterio's own wheel: `pip install --force-reinstall --no-deps rasterio`"
        yield Finding("GDAL", "bad", f"{rasterio.__gdal_version__} lacks the drivers {', '.join(missing)}", do)
    else:
        yield Finding("GDAL", "good", says)
    open_doors = sorted(drivers - set(gdal.ALLOWED_DRIVERS))
    if open_doors:
        do = "start satpipe in a process of its own: GDAL was started before satpipe could switch them off"
        yield Finding("GDAL", "bad", f"drivers that nobody needs are switched on: {', '.join(open_doors[:8])}", do)
    yield from _reads_what_it_wrote(rasterio)
    yield from _vectors()
    yield from _proj()


def _reads_what_it_wrote(rasterio: Any) -> Iterator[Finding]:
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Küste 1.tif")
        pixels = np.arange(192, dtype=np.uint8).reshape(3, 8, 8)
        profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 3, "dtype": "uint8", "compress": "deflate"}
        place = {"crs": "EPSG:32610", "transform": rasterio.transform.from_origin(0, 0, 3, 3)}
        try:
            with rasterio.open(path, "w", **profile, **place) as file:
                file.write(pixels)
            with rasterio.open(path) as file:
                same = bool((file.read() == pixels).all()) and file.crs.to_epsg() == 32610
        except Exception as error:
            same, says = False, first_line(error, 120)
        else:
            says = "what is read is not what was written"
    if not same:
        do = "unset PROJ_LIB, PROJ_DATA, GDAL_DATA and GDAL_DRIVER_PATH, which lead to files of another GDAL"
        yield Finding("GDAL", "bad", f"a GeoTIFF cannot be written and read: {says}", do)


def _vectors() -> Iterator[Finding]:
    try:
        import pyogrio

        there = pyogrio.list_drivers()
    except Exception:  # told by `libraries`, as geopandas then fails too
        return
    missing = [name for name in VECTORS if name not in there]
    says = f"{'.'.join(map(str, pyogrio.__gdal_version__))} (pyogrio {pyogrio.__version__})"
    if missing:
        do = "install pyogrio's own wheel: `pip install --force-reinstall --no-deps pyogrio`"
        yield Finding("vector files", "bad", f"GDAL {says} lacks the drivers {', '.join(missing)}", do)
    else:
        yield Finding("vector files", "good", f"GDAL {says}, drivers {', '.join(VECTORS)}; GeoJSON by itself")


def _proj() -> Iterator[Finding]:
    """Whether PROJ finds its data base: that of another installation is the usual trouble."""
    foreign = [name for name in ("PROJ_LIB", "PROJ_DATA") if os.environ.get(name)]
    try:
        import pyproj

        x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True).transform(-123.0, 0.0)
        right = abs(x - 500_000) < 0.01 and abs(y) < 0.01
    except Exception as error:
        do = f"unset {' and '.join(foreign)}" if foreign else "`pip install --force-reinstall --no-deps pyproj`"
        yield Finding("PROJ", "bad", f"a CRS cannot be used: {first_line(error, 120)}", do)
        return
    if not right:
        yield Finding("PROJ", "bad", f"(-123, 0) becomes ({x}, {y}) in EPSG:32610", "install pyproj again")
    elif foreign:
        do = f"unset {' and '.join(foreign)} where coordinates look wrong"
        says = f"{pyproj.proj_version_str}; {' and '.join(foreign)} may name another PROJ"
        yield Finding("PROJ", "warning", says, do)
    else:
        yield Finding("PROJ", "good", pyproj.proj_version_str)
