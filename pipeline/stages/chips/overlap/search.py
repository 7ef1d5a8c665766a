"""Artifact ``scene-pairs``: which scenes show the same ground, and by which transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ....dataset.parquet import checked
from .extract import DESCRIPTORS, KEYPOINTS, PICTURES, SCENES
from .features import (
    DESCRIPTOR,
    FEWEST_KEYPOINTS,
    Features,
    Picture,
    flipped,
    mirrored,
    picture_shape,
    search_vectors,
    turned_over,
)
from .mosaic import implied_pairs
from .neighbours import coded, learn_space, nearest_elsewhere
from .verify import Evidence, examine
from .votes import Candidate, candidates

SCENE_PAIRS = "scene_pairs.parquet"
MATRIX = ("xx", "xy", "x0", "yx", "yy", "y0")
"""Columns of a transform from the first scene's column and row to the second's, row by row."""
MOST_KEYPOINTS = 6_000_000
"""Keypoints of all scenes that are compared, for 1.7 GB of memory; of more the strongest of each scene."""
_NAMED = 100
"""Scenes too plain to be compared that metadata name."""


@dataclass(frozen=True)
class Pool:
    """Scenes to compare, and their keypoints one after the other.

    Attributes:
        names: Names of the scenes, sorted.
        shapes: Height and width (S, 2) of each in chip pixels.
        pictures: Their pictures, which lie in files.
        ends: Where (S + 1,) the keypoints of each begin, and the last end.
        features: All keypoints; their descriptors lie in a file.
    """

    names: list[str]
    shapes: npt.NDArray[np.int64]
    pictures: list[Picture]
    ends: npt.NDArray[np.int64]
    features: Features

    @property
    def scene(self) -> npt.NDArray[np.int32]:
        """Return the scene (N,) of each keypoint."""
        return np.repeat(np.arange(len(self.names), dtype=np.int32), np.diff(self.ends))

    @property
    def plain(self) -> npt.NDArray[np.bool_]:
        """Return whether each scene (S,) holds too few keypoints."""
        return np.asarray(np.diff(self.ends) < FEWEST_KEYPOINTS)

    def of(self, scene: int) -> Features:
        """Return the keypoints of a scene."""
        return self.features.take(slice(self.ends[scene], self.ends[scene + 1]))


def find_scene_pairs(
    folders: Sequence[Path], out: Path, workers: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Write the pairs of scenes that show the same ground.

    Args:
        folders: The committed pictures and keypoints.
        out: Folder of the artifact.
        workers: Threads.
        progress: Told how many candidates are examined, of how many.

    Returns:
        Metadata: scenes and keypoints compared, the share of keypoints, the first of the scenes too plain to tell
        and their number, and pairs seen and implied.
    """
    with TemporaryFile() as file:
        pool, share = read_pool(folders, file)
        by_pixels = seen_pairs(pool, workers, progress)
        pairs = pd.concat([by_pixels, implied_pairs(by_pixels, pool.shapes)], ignore_index=True)
        plain = [pool.names[scene] for scene in np.flatnonzero(pool.plain)]
    for column in ("scene_a", "scene_b"):
        pairs[column] = np.array(pool.names, object)[pairs[column].to_numpy(np.int64)]
    table = pa.Table.from_pandas(pairs, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), out / SCENE_PAIRS, compression="zstd")
    return {
        "scenes": len(pool.names),
        "keypoints": len(pool.features),
        "keypoint_share": round(share, 4),
        "plain": plain[:_NAMED],
        "plain_count": len(plain),
        "seen": len(by_pixels),
        "implied": len(pairs) - len(by_pixels),
    }


def read_pool(folders: Sequence[Path], file: BinaryIO) -> tuple[Pool, float]:
    """Return the scenes of all batches, and the share of their keypoints that are compared.

    Args:
        folders: The committed pictures and keypoints.
        file: Where the descriptors are put together; open for as long as the pool is used.
    """
    tables = [
        pq.read_table(checked(folder / SCENES)).to_pandas().assign(folder=place) for place, folder in enumerate(folders)
    ]
    scenes = pd.concat(tables).sort_values("scene_id").reset_index(drop=True)
    total = int(scenes["count"].sum())
    share = min(1.0, MOST_KEYPOINTS / max(total, 1))
    counts = np.ceil(scenes["count"].to_numpy() * share).astype(np.int64)
    opened = [
        tuple(np.load(folder / name, mmap_mode="r") if total or name == PICTURES else None for name in _ARRAYS)
        for folder in folders
    ]
    keypoints, pictures = [np.zeros((0, 4), np.float32)], []
    for row, count in zip(scenes.to_dict("records"), counts, strict=True):
        whole, points, descriptors = opened[row["folder"]]
        height, width = picture_shape(row["height"], row["width"])
        pictures.append(whole[row["picture"] : row["picture"] + height * width].reshape(height, width))
        if count:
            rows = slice(row["first"], row["first"] + count)
            keypoints.append(points[rows])
            file.write(np.ascontiguousarray(descriptors[rows]).tobytes())
    file.flush()
    held = np.concatenate(keypoints)
    # An empty file cannot be mapped.
    mapped = (
        np.memmap(file, np.uint8, "r", shape=(len(held), DESCRIPTOR))
        if len(held)
        else np.zeros((0, DESCRIPTOR), np.uint8)
    )
    return Pool(
        [str(name) for name in scenes["scene_id"]],
        scenes[["height", "width"]].to_numpy(np.int64),
        pictures,
        np.concatenate([[0], np.cumsum(counts)]),
        Features(held[:, :2], held[:, 2], held[:, 3], mapped),
    ), share


_ARRAYS = (PICTURES, KEYPOINTS, DESCRIPTORS)


def seen_pairs(pool: Pool, workers: int, progress: Callable[[int, int], None]) -> pd.DataFrame:
    """Return pairs of scenes that show the same ground by their pixels: numbers, transform, matches, correlation."""
    best: dict[tuple[int, int], Evidence] = {}
    if len(pool.features) and len(pool.names) > 1:
        descriptors, scene, points = pool.features.descriptors, pool.scene, pool.features
        plain = pool.plain
        space = learn_space(lambda rows: search_vectors(descriptors[rows]), len(descriptors))
        held = coded(lambda rows: search_vectors(descriptors[rows]), len(descriptors), space)
        for mirror in (False, True):
            asked = held
            if mirror:
                asked = coded(lambda rows: search_vectors(mirrored(descriptors[rows])), len(descriptors), space)
            neighbours, similarity = nearest_elsewhere(held, asked, scene, workers=workers)
            keypoint, rank = np.nonzero(neighbours >= 0)
            matches = np.stack([keypoint, neighbours[keypoint, rank]], axis=1).astype(np.int64)
            lower = turned_over(points) if mirror else points
            proposed = [
                candidate
                for candidate in candidates(scene, lower, points, matches, similarity[keypoint, rank])
                if not plain[candidate.first] and not plain[candidate.second]
            ]
            with ThreadPoolExecutor(workers) as threads:
                examined = threads.map(partial(_examine, pool, lower, mirror), proposed)
                for done, (candidate, evidence) in enumerate(zip(proposed, examined, strict=True)):
                    progress(done, len(proposed))
                    pair = candidate.first, candidate.second
                    if evidence and (pair not in best or evidence.correlation > best[pair].correlation):
                        best[pair] = evidence
    return pair_table([(*pair, best[pair].matrix, best[pair].matches, best[pair].correlation) for pair in sorted(best)])


def _examine(pool: Pool, lower: Features, mirror: bool, candidate: Candidate) -> Evidence | None:
    """Return the evidence for a candidate if it is enough."""
    first, second = pool.of(candidate.first), pool.of(candidate.second)
    evidence = examine(
        (flipped(first) if mirror else first, pool.pictures[candidate.first]),
        (second, pool.pictures[candidate.second]),
        lower.places[candidate.from_first],
        pool.features.places[candidate.from_second],
        mirror,
    )
    return evidence if evidence and evidence.sure else None


def pair_table(pairs: Sequence[tuple[int, int, npt.NDArray[np.float64], int, float]]) -> pd.DataFrame:
    """Return pairs of scenes with their transforms as a table."""
    matrices = np.array([pair[2].ravel() for pair in pairs]).reshape(-1, 6)
    return pd.DataFrame(
        {
            "scene_a": np.array([pair[0] for pair in pairs], np.int64),
            "scene_b": np.array([pair[1] for pair in pairs], np.int64),
            **{name: matrices[:, number] for number, name in enumerate(MATRIX)},
            "matches": np.array([pair[3] for pair in pairs], np.int64),
            "correlation": np.array([pair[4] for pair in pairs], np.float64).round(4),
        }
    )
