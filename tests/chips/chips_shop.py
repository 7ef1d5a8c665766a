"""What the tests of chips need: scenes on disk, tables of ingest, and a runner that fits into a page."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from pipeline.chips import stage
from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.executor import resolve
from pipeline.parts import FACTS, Done, Job, Part, PlanContext, Ref
from pipeline.progress import Progress
from pipeline.raster import SceneFile
from pipeline.tables import LABELS, SCENES

UTM = {"crs": "EPSG:32610", "transform": rasterio.Affine(3, 0, 550_000, 0, -3, 4_180_000)}


def write_tif(path: Path, pixels: np.ndarray, mask: np.ndarray | None = None, **profile: Any) -> Path:
    """Write pixels (H, W, C) as GeoTIFF; a mask goes into an alpha band or, with `internal=True`, a mask band."""
    internal = profile.pop("internal", False)
    alpha = mask is not None and not internal
    height, width, bands = pixels.shape
    if alpha:
        profile |= {"photometric": "RGB", "alpha": "YES"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=bands + alpha,
            dtype=pixels.dtype,
            **({"interleave": "pixel"} | UTM | profile),
        ) as file,
    ):
        file.write(pixels.transpose(2, 0, 1), list(range(1, bands + 1)))
        if alpha:
            file.write(mask.astype(pixels.dtype) * 255, bands + 1)
        elif mask is not None:
            file.write_mask(mask.astype(np.uint8) * 255)
    return path


def scene(path: Path, pixels: np.ndarray, mask: str | None = None, nodata: float | None = None) -> SceneFile:
    """The scene file of a GeoTIFF with these pixels."""
    height, width, bands = pixels.shape
    return SceneFile(
        path.name,
        path,
        None,
        width,
        height,
        tuple(range(1, bands + 1)),
        str(pixels.dtype),
        nodata,
        mask,
        None,
        None,
        3.0,
    )


def scene_row(found: SceneFile, **more: Any) -> dict[str, object]:
    """A row of the scene table."""
    return {
        "scene_id": found.scene_id,
        "source": "test",
        "path": str(found.path),
        "item": found.item,
        "width": found.width,
        "height": found.height,
        "crs": UTM["crs"],
        "transform": json.dumps(list(UTM["transform"])[:6]),
        "gsd_m": found.gsd_m,
        "bands": json.dumps(list(found.bands)),
        "dtype": found.dtype,
        "nodata": found.nodata,
        "mask": found.mask,
        "sha256": "0",
        "licence": "CC0",
        "simulated": False,
        "quarantined": None,
    } | more


def label_row(name: str, scene_id: str, box: tuple[float, float, float, float], **more: Any) -> dict[str, object]:
    """A row of the label table: row_min, col_min, row_max, col_max."""
    place = dict(zip(("row_min", "col_min", "row_max", "col_max"), map(float, box), strict=True))
    row = {
        "label_id": name,
        "scene_id": scene_id,
        "class": "ship",
        "kind": "box",
        "origin": "test",
        "quarantined": None,
    }
    return row | place | more


class Shop:
    """Runs the stage on given tables."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[str] = []

    def run(self, scenes: list[dict[str, object]], labels: list[dict[str, object]], **sections: Any) -> dict[str, Done]:
        """Plan and make all parts; returns them by name. A part with a key of before is not made again."""
        tables = self.root / "ingest" / "tables"
        shutil.rmtree(tables, ignore_errors=True)
        tables.mkdir(parents=True)
        SCENES.write(scenes, tables / "scenes.parquet")
        LABELS.write(labels, tables / "labels.parquet")
        config = RunConfig.model_validate(
            {"ingest": {"sources": [{"type": "folders", "path": "x"}]}, "chips": {"size_px": 16}} | sections
        )
        done = {"ingest": {"tables": self._commit("ingest", tables)}, "chips": {}}
        planner = stage.plan(PlanContext(config, done, None))
        self.made = []
        wave = next(planner)
        try:
            while True:
                made = [self._make(part) for part in wave]
                done["chips"] |= {part.name: one for part, one in zip(wave, made, strict=True)}
                wave = planner.send(made)
        except StopIteration:
            return done["chips"]

    def _commit(self, stage_name: str, folder: Path) -> Done:
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            digest.update(path.name.encode() + path.read_bytes())
        return Done(Ref(stage_name, folder.name, digest.hexdigest()[:16]), folder)

    def _make(self, part: Part) -> Done:
        inputs = {name: ref if isinstance(ref, tuple) else (ref,) for name, ref in part.inputs.items()}
        digests = {name: [ref.digest for ref in refs] for name, refs in inputs.items()}
        key = hashlib.sha256(json.dumps([part.name, dict(part.config), digests], sort_keys=True).encode()).hexdigest()[
            :16
        ]
        out = self.root / "chips" / key
        if not out.exists():
            self.made.append(part.name)
            out.mkdir(parents=True)
            folders = {
                name: tuple(self._folder(ref) for ref in ref) if isinstance(ref, tuple) else self._folder(ref)
                for name, ref in part.inputs.items()
            }
            job = Job(part, out, self.root, self.root, folders, Profile(), Progress(None))
            facts = resolve(part.make)(job)
            (out / FACTS).write_text(json.dumps(facts), "utf-8")
        done = self._commit("chips", out)
        self._folders[done.ref.digest] = out
        return done

    def _folder(self, ref: Ref) -> Path:
        return self._folders.get(ref.digest, self.root / "ingest" / "tables")

    @property
    def _folders(self) -> dict[str, Path]:
        return self.__dict__.setdefault("folders", {})
