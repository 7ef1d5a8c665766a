"""Checks of what is installed: Python, the libraries, the build of torch, GDAL with its drivers, and PROJ."""

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
RASTER_DRIVERS = ("GTiff", "PNG", "JPEG")
VECTOR_DRIVERS = ("GPKG", "ESRI Shapefile")
MODULES = {
    "scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL", "opencv-python-headless": "cv2",
    "rasterio": "satpipe.raster.gdal",  # which sets up GDAL before it starts
}  # fmt: skip
"""The module that a distribution is checked with, where it has another name."""
EXTRAS = {
    "dask": ("distributed", "runs on a Dask cluster"),
    "kaggle": ("kagglehub", "sources of type kaggle"),
    "docs": ("mkdocs", "building the documentation"),
    "interop": ("onnx", "models as ONNX, STAC items"),
    "tensorboard": ("tensorboard", "trainings in TensorBoard"),
}


def reinstall(package: str) -> str:
    """Return the command that installs a package's own wheel again."""
    return f"`pip install --force-reinstall --no-deps {package}`"


def python() -> Iterator[Finding]:
    """Check the interpreter."""
    bits = sys.maxsize.bit_length() + 1
    message = f"{sys.version.split()[0]}, {bits} bits, {sys.executable}"
    if sys.version_info[:3] < OLDEST_PYTHON:
        yield Finding.error("Python", message, "use Python 3.11.4 or later")
    elif bits < 64:
        yield Finding.error("Python", message, "use a 64-bit Python, as torch requires")
    else:
        yield Finding("Python", message)


def libraries() -> Iterator[Finding]:
    """Check that every library is installed in a supported version and can be imported; list the extras."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in requires("satpipe") or ()]
    except PackageNotFoundError:
        yield Finding.warning("libraries", "satpipe is not installed", "install it with `pip install -e .`")
        return

    def of_extra(extra: str) -> list[Requirement]:
        return [item for item in requirements if item.marker is not None and item.marker.evaluate({"extra": extra})]

    needed = [item for item in requirements if item.marker is None or item.marker.evaluate({"extra": ""})]
    problems = [finding for finding in map(_library, needed) if finding is not None]
    yield from problems
    if not problems:
        yield Finding("libraries", f"all {len(needed)} required packages are installed and can be imported")
    extras = {name: _import_error(module) is None for name, (module, _) in EXTRAS.items() if of_extra(name)}
    lists = [
        f"{title}: {', '.join(names)}"
        for title, present in (("installed", True), ("not installed", False))
        if (names := [f"{name} ({EXTRAS[name][1]})" for name in extras if extras[name] is present])
    ]
    if lists:
        yield Finding("extras", "; ".join(lists))


def _library(requirement: Any) -> Finding | None:
    name, install = requirement.name, f"`pip install '{requirement}'`"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Finding.error("libraries", f"{name} is missing", install)
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding.error("libraries", f"{name} is {installed} and must be {requirement.specifier}", install)
    reason = _import_error(MODULES.get(name.lower(), name.lower().replace("-", "_")))
    if reason is None:
        return None
    return Finding.error(
        "libraries", f"{name} {installed} cannot be imported: {reason}", reinstall(f"{name}=={installed}")
    )


def _import_error(module: str) -> str | None:
    """Return why a module cannot be imported; None if it can."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks a server for its latest version
    try:
        import_module(module)
    except Exception as error:  # a broken library may raise anything
        return f"{type(error).__name__}: {first_line(error)}"[:160]
    return None


def torch_build() -> Iterator[Finding]:
    """Check which processors torch was built for, whether that is the best for this machine, and that it works."""
    try:
        import torch
    except Exception:  # reported by `libraries`
        return
    rocm = getattr(torch.version, "hip", None)
    built = "ROCm " + rocm if rocm else f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    message = f"{torch.__version__}, built for {built}"
    nvidia = shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists()
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Finding("torch", f"{message}; trains on {names} with {memory:.0f} GiB")
    elif torch.backends.mps.is_available():
        yield Finding("torch", f"{message}; trains on Apple's MPS")
    elif nvidia and not torch.version.cuda:
        advice = "install the CUDA build: `pip install torch --force-reinstall` with the index URL from PyTorch's page"
        yield Finding.warning("torch", f"{message}, but there is an NVIDIA GPU", advice)
    elif nvidia:
        advice = "check the driver with `nvidia-smi`: it must be as new as torch's CUDA; and CUDA_VISIBLE_DEVICES"
        yield Finding.warning("torch", f"{message}, but it does not find the NVIDIA GPU", advice)
    else:
        yield Finding("torch", f"{message}; trains on the CPU, as there is no GPU")
    try:
        # A build for other processors imports well and dies here.
        layer = torch.nn.Conv2d(3, 4, 3)
        layer(torch.ones(2, 3, 8, 8)).mean().backward()
        problem = (
            "" if layer.weight.grad is not None and torch.isfinite(layer.weight.grad).all() else "no finite numbers"
        )
    except Exception as error:
        problem = first_line(error, 120)
    if problem:
        yield Finding.error("torch", f"a convolution fails: {problem}", "install torch again")


def gdal() -> Iterator[Finding]:
    """Check GDAL for rasters: its drivers, those that must be switched off, and that it reads what it wrote."""
    try:
        from ...raster import gdal
    except Exception:  # reported by `libraries`
        return
    import rasterio
    from rasterio.env import Env

    with Env():
        drivers = set(Env().drivers())
    build = f"{rasterio.__gdal_version__} (rasterio {rasterio.__version__})"
    yield _drivers("GDAL", build, RASTER_DRIVERS, drivers, "rasterio")
    unsafe = sorted(drivers - set(gdal.ALLOWED_DRIVERS))
    if unsafe:
        advice = "run satpipe in its own process: GDAL was started before satpipe could switch them off"
        yield Finding.error("GDAL", f"unneeded drivers are switched on: {', '.join(unsafe[:8])}", advice)
    problem = _round_trip(rasterio)
    if problem:
        advice = "unset PROJ_LIB, PROJ_DATA, GDAL_DATA and GDAL_DRIVER_PATH, which point to files of another GDAL"
        yield Finding.error("GDAL", f"a GeoTIFF cannot be written and read: {problem}", advice)


def vector_files() -> Iterator[Finding]:
    """Check GDAL for vector files."""
    try:
        import pyogrio

        drivers = set(pyogrio.list_drivers())
    except Exception:  # reported by `libraries`, as geopandas then fails too
        return
    build = f"GDAL {'.'.join(map(str, pyogrio.__gdal_version__))} (pyogrio {pyogrio.__version__})"
    yield _drivers("vector files", build, VECTOR_DRIVERS, drivers, "pyogrio")


def _drivers(topic: str, build: str, needed: tuple[str, ...], drivers: set[str], package: str) -> Finding:
    missing = [name for name in needed if name not in drivers]
    if missing:
        return Finding.error(topic, f"{build} lacks the drivers {', '.join(missing)}", reinstall(package))
    return Finding(topic, f"{build}, drivers {', '.join(needed)}")


def _round_trip(rasterio: Any) -> str:
    """Write a small GeoTIFF and read it; return what went wrong, or an empty text."""
    import numpy as np

    pixels = np.arange(192, dtype=np.uint8).reshape(3, 8, 8)
    profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 3, "dtype": "uint8", "compress": "deflate"}
    try:
        with tempfile.TemporaryDirectory() as folder:
            path, transform = Path(folder, "Küste 1.tif"), rasterio.transform.from_origin(0, 0, 3, 3)
            with rasterio.open(path, "w", crs="EPSG:32610", transform=transform, **profile) as file:
                file.write(pixels)
            with rasterio.open(path) as file:
                same = bool((file.read() == pixels).all()) and file.crs.to_epsg() == 32610
    except Exception as error:
        return first_line(error, 120)
    return "" if same else "the pixels or the CRS differ"


def proj() -> Iterator[Finding]:
    """Check that PROJ finds its database; that of another installation is the usual cause of errors."""
    foreign = " and ".join(name for name in ("PROJ_LIB", "PROJ_DATA") if os.environ.get(name))
    try:
        import pyproj

        x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True).transform(-123.0, 0.0)
        problem = "" if abs(x - 500_000) < 0.01 and abs(y) < 0.01 else f"(-123, 0) becomes ({x}, {y}) in EPSG:32610"
    except Exception as error:
        problem = f"a CRS cannot be used: {first_line(error, 120)}"
    if problem:
        yield Finding.error("PROJ", problem, f"unset {foreign}" if foreign else reinstall("pyproj"))
    elif foreign:
        message = f"{pyproj.proj_version_str}; {foreign} may point to another PROJ"
        yield Finding.warning("PROJ", message, f"unset {foreign} if coordinates look wrong")
    else:
        yield Finding("PROJ", pyproj.proj_version_str)
