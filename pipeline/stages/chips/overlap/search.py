"""Artifact ``scene-pairs``: which scenes show the same ground, and by which transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .neighbours import PROBED_CELLS, Rows, coded, learn_space, nearest_elsewhere
from .verify import Evidence, examine
from .votes import Candidate, candidates

SCENE_PAIRS = "scene_pairs.parquet"
MATRIX = ("xx", "xy", "x0", "yx", "yy", "y0")
"""Columns of a transform from the first scene's column and row to the second's, row by row."""
MOST_KEYPOINTS = 6_000_000
"""Keypoints of all scenes that are compared, for about 3.5 GB of memory; of more the strongest of each scene."""
_NEAREST = 8
"""Neighbours of a keypoint that are matches."""
_COMPARED = 5000
"""Keypoints that one is compared with, at least: of up to a million and a half in more than the fewest cells."""
_LEAST_REFERENCE = 0.1
"""Of the median distance to the neighbour that others are weighed against, squared, the least that counts."""
_MATCHES = 1 << 22
"""Matches that votes are counted of at a time."""
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
        for mirror, lower, proposed in _proposed(pool, workers):
            with ThreadPoolExecutor(workers) as threads:
                examined = threads.map(partial(_examine, pool, lower, mirror), proposed)
                for done, (candidate, evidence) in enumerate(zip(proposed, examined, strict=True)):
                    progress(done, len(proposed))
                    pair = candidate.first, candidate.second
                    if evidence and (pair not in best or evidence.correlation > best[pair].correlation):
                        best[pair] = evidence
    return pair_table([(*pair, best[pair].matrix, best[pair].matches, best[pair].correlation) for pair in sorted(best)])


def _proposed(pool: Pool, workers: int) -> Iterator[tuple[bool, Features, list[Candidate]]]:
    """Yield candidates of scenes as they are, then with the lower ones mirrored, and the keypoints of the lower ones.

    Of the mirrored the stronger half of keypoints alone is looked for: half the time, for what is rare.
    """
    points, scene, plain = pool.features, pool.scene, pool.plain
    read = partial(_vectors, points.descriptors)
    space = learn_space(read, len(points))
    probed = max(PROBED_CELLS, -(-_COMPARED * len(space.centres) // len(points)))
    held = coded(read, len(points), space, probed)
    stronger = np.flatnonzero(np.arange(len(points)) - pool.ends[scene] < (np.diff(pool.ends) / 2)[scene])
    for mirror in (False, True):
        rows = stronger if mirror else np.arange(len(points))
        asked = held
        if mirror:
            asked = coded(partial(_mirrored_vectors, points.descriptors, rows), len(rows), space, probed)
        neighbours, similarity = nearest_elsewhere(held, asked, scene, _NEAREST + 1, workers, scene[rows])
        weights = _weights(asked.codes, similarity)
        lower = turned_over(points) if mirror else points
        for matches, weight in _by_lower_scene(rows, neighbours[:, :-1], weights, scene):
            yield (
                mirror,
                lower,
                [
                    candidate
                    for candidate in candidates(scene, lower, points, matches, weight)
                    if not plain[candidate.first] and not plain[candidate.second]
                ],
            )


def _vectors(descriptors: npt.NDArray[np.uint8], rows: Rows) -> npt.NDArray[np.float32]:
    """Return the vectors by which some descriptors are matched."""
    return search_vectors(descriptors[rows])


def _mirrored_vectors(
    descriptors: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64], rows: Rows
) -> npt.NDArray[np.float32]:
    """Return the vectors of some of the chosen descriptors in the mirrored scene."""
    return search_vectors(mirrored(descriptors[chosen[rows]]))


def _weights(codes: npt.NDArray[np.int8], similarity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return how much the neighbours (A, K) of vectors say, by how much nearer they are than another one is.

    Jegou et al., "Exploiting descriptor distances for precise image search" (2011), use the same difference.

    Args:
        codes: What was looked for (A, D).
        similarity: Of its neighbours (A, K + 1), the last one a reference that is most likely other ground.
    """
    squared = np.einsum("nd,nd->n", codes, codes, dtype=np.int32)[:, None] - 2 * similarity
    reference = squared[:, -1:]
    # Where a scene comes many times the reference is the same ground too, and its distance may be 0.
    finite = reference[np.isfinite(reference)]
    least = _LEAST_REFERENCE * float(np.median(finite)) if finite.size else 1.0
    with np.errstate(invalid="ignore"):
        ratio = squared[:, :-1] / np.maximum(reference, max(least, 1.0))
    return np.asarray(np.clip(1 - np.nan_to_num(ratio, nan=1.0), 0, 1), np.float32)


def _by_lower_scene(
    asking: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    scene: npt.NDArray[np.int32],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield matches (M, 2) and their weights (M,), all of some lower scenes at a time: of memory for a few million."""
    lower = np.minimum(scene[asking][:, None], np.where(neighbours >= 0, scene[neighbours], -1))
    counts = np.bincount(lower[weights > 0], minlength=int(scene.max()) + 1)
    part = np.cumsum(counts) // _MATCHES
    for number in np.unique(part):
        low, high = np.searchsorted(part, [number, number + 1])
        keypoint, rank = np.nonzero((lower >= low) & (lower < high) & (weights > 0))
        yield np.stack([asking[keypoint], neighbours[keypoint, rank]], axis=1), weights[keypoint, rank]


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
