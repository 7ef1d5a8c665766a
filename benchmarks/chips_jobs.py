"""What satpipe's chip reader does in the benchmark, each in a process of its own.

``python benchmarks/chips_jobs.py JOB SCENE WINDOWS.npy FOLDER WORKERS CACHE_BYTES`` prints one line of JSON.

The ceiling is what this machine can do at best with as many workers: read every block once through GDAL into a buffer
that is thrown away, and copy as many bytes as the chips have from memory into a fresh array.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.windows import Window
from satpipe.raster.cut import cut as cut_windows
from satpipe.raster.gdal import SceneFile, open_scene
from satpipe.stages.chips.cut import cut_batch

SIZE = 80
_STRIP = 512


def scene_of(path: Path) -> SceneFile:
    """Open the scene as the reader wants it."""
    with open_scene(path) as file:
        shape = file.width, file.height
        return SceneFile(path.stem, path, None, *shape, (1, 2, 3), "uint8", None, None, None, None, 3.0)


def cut(path: Path, windows: np.ndarray, folder: Path, workers: int, cache: int) -> float:
    """Cut chips into memory."""
    scene = scene_of(path)
    with rasterio.Env(**({"GDAL_CACHEMAX": cache} if cache else {})):
        start = time.perf_counter()
        chips = np.empty((len(windows), SIZE, SIZE, len(scene.bands)), scene.dtype)
        for piece in cut_windows(scene, windows, SIZE, workers=workers):
            chips[piece.windows] = piece.chips
        seconds = time.perf_counter() - start
    np.save(folder / "ours.npy", chips)
    return seconds


def store(path: Path, windows: np.ndarray, folder: Path, workers: int, cache: int) -> float:
    """Cut chips into a chip store with its index, synced to disk."""
    scene = scene_of(path)
    row = {
        "scene_id": scene.scene_id,
        "path": str(path),
        "item": None,
        "width": scene.width,
        "height": scene.height,
        "crs": "EPSG:32610",
        "transform": "[3, 0, 500000, 0, -3, 4000000]",
        "gsd_m": 3.0,
        "bands": "[1, 2, 3]",
        "dtype": "uint8",
        "nodata": None,
        "mask": None,
        "target_height": scene.height,
        "target_width": scene.width,
        "scale_row": 1.0,
        "scale_col": 1.0,
    }
    count = np.arange(len(windows))
    planned = pd.DataFrame(
        {
            "chip_id": scene.scene_id + "#g" + pd.Series(count).astype("string"),
            "scene_id": scene.scene_id,
            "class": "non-ship",
            "kind": "grid",
            "label_id": None,
            "row": windows[:, 0],
            "col": windows[:, 1],
            "slot": count,
            "rank": 0,
        }
    )
    scenes = pd.DataFrame([row])
    settings = {"size_px": SIZE, "resampling": None, "min_valid_fraction": 0.95, "masks": "never"}
    start = time.perf_counter()
    cut_batch(scenes, planned, pd.DataFrame(), settings, path.parent, folder, workers, lambda done, total: None)
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    return time.perf_counter() - start


def ceiling(path: Path, windows: np.ndarray, folder: Path, workers: int, cache: int) -> float:
    """Read every block once through GDAL, and copy as many bytes as the chips have."""
    source = np.random.default_rng(0).integers(0, 255, 16 << 20, dtype=np.uint8)
    start = time.perf_counter()
    with ExitStack() as stack:
        files = [stack.enter_context(open_scene(path, None, GDAL_CACHEMAX=64 << 20)) for _ in range(workers)]
        block = max(files[0].block_shapes[0][0], _STRIP)
        height, width = files[0].height, files[0].width

        def read(number: int) -> None:
            buffer = np.empty((block, width, 3), np.uint8)
            for row in range(number * block, height, workers * block):
                rows = min(block, height - row)
                window = Window(0, row, width, rows)
                files[number].read(window=window, out=buffer[:rows].transpose(2, 0, 1))

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(read, range(workers)))
    out = np.empty(len(windows) * SIZE * SIZE * 3, np.uint8)
    ends = np.linspace(0, len(out), workers + 1).astype(int)

    def copy(number: int) -> None:
        for first in range(ends[number], ends[number + 1], len(source)):
            last = min(first + len(source), ends[number + 1])
            out[first:last] = source[: last - first]

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(copy, range(workers)))
    return time.perf_counter() - start


def peak_mib() -> float:
    """Return the peak memory of this process. Linux passes `ru_maxrss` on from the parent, so it is read elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / (1 << 20)


JOBS = {"cut": cut, "store": store, "ceiling": ceiling}


def main() -> None:
    """Run one job and say how long it took and how much memory it needed."""
    context, scene, windows_path, folder, workers, cache = sys.argv[1:]
    seconds = JOBS[context](Path(scene), np.load(windows_path), Path(folder), int(workers), int(cache))
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
