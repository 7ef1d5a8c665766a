"""How others cut chips: a rasterio read per window, and torchgeo's GridGeoSampler loop.

Needs rasterio and numpy only (torchgeo for that mode), so that an environment of torchgeo's own can run it:
``python chips_peers.py MODE SCENE WINDOWS.npy CHIPS.npy CACHE_BYTES``. Prints one line of JSON; the chips go to
CHIPS.npy, after the clock has stopped.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

SIZE = 80


def boundless(path: str, windows: np.ndarray, out: np.ndarray) -> None:
    """Read each window boundless, as tutorials do it."""
    with rasterio.open(path) as scene:
        for place, (row, col) in enumerate(windows):
            out[place] = scene.read(window=Window(col, row, SIZE, SIZE), boundless=True, fill_value=0)


def plain(path: str, windows: np.ndarray, out: np.ndarray) -> None:
    """Read each window alone, all of them inside the scene."""
    with rasterio.open(path) as scene:
        for place, (row, col) in enumerate(windows):
            out[place] = scene.read(window=Window(col, row, SIZE, SIZE))


def opened(path: str, windows: np.ndarray, out: np.ndarray) -> None:
    """Open the file for each window: what a training data set does, whose workers cannot share a handle."""
    for place, (row, col) in enumerate(windows):
        with rasterio.open(path) as scene:
            out[place] = scene.read(window=Window(col, row, SIZE, SIZE))


def torchgeo(path: str, windows: np.ndarray, out: np.ndarray) -> None:
    """Use GridGeoSampler over a RasterDataset; it goes upwards from the lower edge, so its rows are reversed."""
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(path)
    sampler = GridGeoSampler(dataset, size=SIZE, stride=SIZE)
    across = len(np.unique(windows[:, 1]))
    rows = len(windows) // across
    for number, query in enumerate(sampler):
        row, col = divmod(number, across)
        out[(rows - 1 - row) * across + col] = dataset[query]["image"].numpy()


def _stand_in_for_operators() -> None:
    """Let torchvision be imported where its compiled operators do not fit the torch that is there.

    torchgeo imports torchvision, whose import asks for two operators of its compiled extension. Cutting chips uses
    neither, so that their names without a kernel are enough.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []
"""Libraries of operators: what they define goes with them."""

MODES = {"boundless": boundless, "plain": plain, "opened": opened, "torchgeo": torchgeo}


def main() -> None:
    """Time one mode."""
    mode, path, windows_path, chips_path, cache = sys.argv[1:]
    windows = np.load(windows_path)
    versions: dict[str, Any] = {}
    if mode == "torchgeo":
        _stand_in_for_operators()
        import torchgeo as package
        from torchgeo.samplers import GridGeoSampler  # noqa: F401 - imported before the clock starts

        versions["torchgeo"] = package.__version__
    out = np.zeros((len(windows), 3, SIZE, SIZE), np.uint8)
    with rasterio.Env(**({"GDAL_CACHEMAX": int(cache)} if int(cache) else {})):
        start = time.perf_counter()
        MODES[mode](path, windows, out)
        seconds = time.perf_counter() - start
    np.save(chips_path, out)
    print(json.dumps({"seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
