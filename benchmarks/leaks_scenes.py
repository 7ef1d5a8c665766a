"""Planted pairs for benchmarks/leaks.py: scenes that share some of their ground with another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

Pixels = npt.NDArray[np.uint8]
LEAST_KNOWN = 0.1
"""Share of the smaller scene that both hold data of: black wedges without data are no overlap."""


@dataclass(frozen=True)
class Planted:
    """A scene made of a part of another one.

    Attributes:
        pixels: The scene (H, W, 3).
        source: Number of the scene whose ground it shares.
        matrix: From that scene's column and row (2, 3) to its own, pixel edges at whole numbers.
    """

    pixels: Pixels
    source: int
    matrix: npt.NDArray[np.float64]


def placed(rng: np.random.Generator, share: float, angle: float, scale: float, side: int) -> npt.NDArray[np.float64]:
    """Return a transform between two squares that share so much of the smaller one, in a random direction."""
    toward = rng.uniform(0, 2 * np.pi)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = shapely.box(0, 0, side, side)

    def matrix(distance: float) -> npt.NDArray[np.float64]:
        centre = side / 2 + distance * np.array([np.cos(toward), np.sin(toward)])
        return np.column_stack([turn, side / 2 - turn @ centre])

    def shared(distance: float) -> float:
        moved = shapely.transform(square, lambda xy: xy @ turn.T + matrix(distance)[:, 2])
        return float(moved.intersection(square).area / min(moved.area, square.area))

    low, high = 0.0, 4.0 * side
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if shared(middle) >= share else (low, middle)
    return matrix(low)


def changed(pixels: Pixels, rng: np.random.Generator, quality: int = 70) -> Pixels:
    """Return a scene in another light, under uneven haze, and as a JPEG."""
    height, width = pixels.shape[:2]
    light = pixels * rng.uniform(0.75, 1.3) + rng.uniform(-15, 25)
    haze = cv2.resize(rng.uniform(0, 0.35, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    light = np.clip(light * (1 - haze) + haze * (215, 210, 205), 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def plant(source: Pixels, other: Pixels, share: float, rng: np.random.Generator, mirror: bool = False) -> Any:
    """Return a scene that shares ground with ``source`` and is ``other`` elsewhere, and the transform between them."""
    side = len(source)
    matrix = placed(rng, share, rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(-0.223, 0.223))), side)
    if mirror:
        matrix = matrix @ np.array([[1, 0, 0], [0, -1, side], [0, 0, 1]])
    centres = matrix.copy()
    centres[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    moved = cv2.warpAffine(source, centres, (side, side), flags=cv2.INTER_CUBIC)
    inside = cv2.warpAffine(np.full((side, side), 255, np.uint8), centres, (side, side)) == 255
    return changed(np.where(inside[..., None], moved, other), rng), matrix


def known_share(source: Pixels, matrix: npt.NDArray[np.float64]) -> float:
    """Return the share of the smaller scene that lies in the source's data."""
    side, has_data = len(source), (source.max(axis=-1) > 0).astype(np.uint8)
    covered = cv2.warpAffine(has_data, matrix, (side, side), flags=cv2.INTER_NEAREST).sum()
    return float(covered / min(side**2, max(1.0, has_data.sum() * abs(np.linalg.det(matrix[:, :2])))))


def plant_all(
    sources: list[Pixels], others: list[Pixels], shares: tuple[float, float], seed: int, mirror: bool = False
) -> Iterator[Planted]:
    """Yield a planted scene for each of ``others``; where the shared ground holds too few data another is drawn."""
    rng = np.random.default_rng(seed)
    square = [number for number, pixels in enumerate(sources) if pixels.shape == others[0].shape]
    for other in others:
        while True:
            number = square[rng.integers(len(square))]
            pixels, matrix = plant(sources[number], other, rng.uniform(*shares), rng, mirror)
            if known_share(sources[number], matrix) >= LEAST_KNOWN:
                yield Planted(pixels, number, matrix)
                break


def planet_tiles(folder: Path) -> tuple[list[Pixels], pd.DataFrame]:
    """Return the tiles of a folder with ``tiles.csv`` (file, site, overlap_group), and that table."""
    table = pd.read_csv(folder / "tiles.csv")
    return [np.asarray(cv2.imread(str(folder / "tiles" / name)), np.uint8) for name in table["file"]], table


def apart(table: pd.DataFrame, tiles: list[Pixels], count: int, seed: int) -> tuple[list[int], list[int]]:
    """Return tiles to keep, and as many others whose ground no kept one shows: to be around what is planted."""
    rng, taken, others = np.random.default_rng(seed), np.zeros(len(table), bool), []
    for number in rng.permutation(len(table)):
        same = (table["site"] == table["site"][number]) | (table["overlap_group"] == table["overlap_group"][number])
        if len(others) < count and not taken[number] and len(set(tiles[number].shape[:2])) == 1 and same.sum() <= 4:
            taken |= same.to_numpy()
            others.append(int(number))
    return np.flatnonzero(~taken).tolist(), others


def agrees(matrix: npt.NDArray[np.float64], true: npt.NDArray[np.float64], side: int, within: float = 8.0) -> bool:
    """Return whether two transforms (2, 3) put the middle of what they share at the same place, within some pixels."""
    square = shapely.box(0, 0, side, side)
    moved = shapely.transform(square, lambda xy: xy @ true[:, :2].T + true[:, 2])
    centre = np.array(moved.intersection(square).centroid.coords[0])
    back = np.linalg.solve(true[:, :2], centre - true[:, 2])
    return bool(np.linalg.norm(matrix[:, :2] @ back + matrix[:, 2] - centre) <= within)
