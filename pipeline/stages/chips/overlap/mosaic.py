"""Overlaps that follow from others: scenes that show the same ground as a third one lie in one frame with each other.

On another date, under clouds or at low tide, two scenes of one place need not look alike. Their ground is the same all
the same, and what joins them to a third scene says where.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

LEAST_SHARED = 0.01
"""Share of the smaller outline from which two overlap: neighbours that share an edge do not."""
_COLUMNS = ["xx", "xy", "x0", "yx", "yy", "y0"]


def matrices(pairs: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the transforms (N, 3, 3) of pairs, from the first scene's column and row to the second's."""
    transforms = np.tile(np.eye(3), (len(pairs), 1, 1))
    transforms[:, :2] = pairs[_COLUMNS].to_numpy(np.float64).reshape(-1, 2, 3)
    return transforms


def outlines(shapes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the corners (N, 4, 2) as column and row of rectangles of some height and width (N, 2)."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    return corners * shapes[:, None, ::-1]


def implied_pairs(by_pixels: pd.DataFrame, shapes: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the pairs of scenes that overlap through others and were not seen themselves.

    Args:
        by_pixels: Pairs with scene_a, scene_b, the transform from one to the other, and matches.
        shapes: Height and width (S, 2) of each scene.

    Returns:
        Pairs like ``by_pixels``, with 0 matches and correlation 0.
    """
    transforms = matrices(by_pixels)
    links: dict[int, list[tuple[int, int, npt.NDArray[np.float64]]]] = {}
    for first_name, second_name, matches, matrix in zip(
        by_pixels["scene_a"], by_pixels["scene_b"], by_pixels["matches"], transforms, strict=True
    ):
        links.setdefault(first_name, []).append((-matches, second_name, np.linalg.inv(matrix)))
        links.setdefault(second_name, []).append((-matches, first_name, matrix))
    listed = set(zip(by_pixels["scene_a"], by_pixels["scene_b"], strict=True))
    rows, done = [], set[int]()
    for root in sorted(links):
        if root in done:
            continue
        frames = _frames(root, links)
        done |= frames.keys()
        if len(frames) > 2:
            rows += [
                (*pair, *matrix[:2].ravel()) for pair, matrix in _overlapping(frames, shapes) if pair not in listed
            ]
    implied = pd.DataFrame(rows, columns=["scene_a", "scene_b", *_COLUMNS]).assign(matches=0, correlation=0.0)
    return implied.astype(by_pixels.dtypes.to_dict())


def _frames(
    root: int, links: dict[int, list[tuple[int, int, npt.NDArray[np.float64]]]]
) -> dict[int, npt.NDArray[np.float64]]:
    """Return the transforms (3, 3) from each scene that hangs together with one to that one, over the fewest links."""
    frames, queue = {root: np.eye(3)}, deque([root])
    while queue:
        scene = queue.popleft()
        for _, other, matrix in sorted(links[scene], key=lambda link: link[:2]):
            if other not in frames:
                frames[other] = frames[scene] @ matrix
                queue.append(other)
    return frames


def _overlapping(
    frames: dict[int, npt.NDArray[np.float64]], shapes: npt.NDArray[np.int64]
) -> list[tuple[tuple[int, int], npt.NDArray[np.float64]]]:
    """Return the pairs of scenes of one frame whose outlines overlap, and the transforms between them."""
    scenes = np.array(sorted(frames))
    stack = np.stack([frames[scene] for scene in scenes])
    corners = outlines(shapes[scenes]) @ stack[:, :2, :2].transpose(0, 2, 1) + stack[:, None, :2, 2]
    left, right = overlapping(shapely.polygons(corners), shapely.polygons(corners))[:2]
    later = left < right
    return [
        ((int(scenes[first]), int(scenes[second])), np.linalg.inv(stack[second]) @ stack[first])
        for first, second in sorted(zip(left[later].tolist(), right[later].tolist(), strict=True))
    ]


def overlapping(
    shapes: npt.NDArray[np.object_], others: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return which polygons overlap which others, and by what share of the smaller one."""
    first, second = shapely.STRtree(others).query(shapes, predicate="intersects")
    smaller = np.minimum(shapely.area(shapes[first]), shapely.area(others[second]))
    share = shapely.area(shapely.intersection(shapes[first], others[second])) / smaller
    real = share >= LEAST_SHARED
    return first[real], second[real], share[real]
