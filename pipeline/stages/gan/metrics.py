"""Distances between generated and real chips, computed on features: arrays (N, D) float64, no networks, no files.

None of this is called FID: that name belongs to the Inception network's features. The features here come from
:mod:`.features`, trained on training chips only, so values compare within one split and not across data.
Always read a value beside its floor, what real chips score against other real chips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...dataset.orientations import ORIENTATIONS, oriented

Features = npt.NDArray[np.float64]
"""One row per chip, (N, D)."""
THUMBNAIL_PX = 8


def frechet_distance(real: Features, fake: Features) -> float:
    """Return the squared Frechet distance of the normal distributions fitted to two samples.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Dowson and Landau 1982, eq. 4; Heusel et al. 2017 (arXiv:1706.08500).
    With S1 = A'A and S2 = B'B the eigenvalues of S1 S2 are the squared singular values of A B', so the trace of the
    root is their sum: no root of a matrix that rounding made complex, and exact where there are fewer chips than
    features.

    Raises:
        ValueError: If a sample has fewer than two rows.
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError("a covariance needs at least two chips")
    difference = real.mean(0) - fake.mean(0)
    first, second = _factor(real), _factor(fake)
    crossed = np.linalg.svdvals(first @ second.T).sum()
    return float(difference @ difference + (first**2).sum() + (second**2).sum() - 2 * crossed)


def _factor(sample: Features) -> Features:
    """Return a matrix A with A'A the sample's covariance and no more rows than columns."""
    centred = (sample - sample.mean(0)) / np.sqrt(len(sample) - 1)
    return centred if len(sample) <= sample.shape[1] else np.linalg.qr(centred)[1]


def kernel_distance(real: Features, fake: Features) -> float:
    """Return unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3.

    Binkowski et al. 2018 (arXiv:1801.01401), section 4 with the estimator of Gretton et al. 2012, eq. 3. Unbiased, so
    it may be below 0 where the samples are alike.

    Raises:
        ValueError: If a sample has fewer than two rows.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise ValueError("an unbiased estimate needs at least two chips")

    def kernel(a: Features, b: Features) -> Features:
        values: Features = (a @ b.T / a.shape[1] + 1) ** 3
        return values

    among_real, among_fake = kernel(real, real), kernel(fake, fake)
    within = (among_real.sum() - np.trace(among_real)) / (n * (n - 1))
    within += (among_fake.sum() - np.trace(among_fake)) / (m * (m - 1))
    return float(within - 2 * kernel(real, fake).mean())


def distances(a: Features, b: Features) -> Features:
    """Return Euclidean distances (len(a), len(b))."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    root: Features = np.sqrt(np.clip(squared, 0, None))
    return root


@dataclass(frozen=True)
class Neighbourhood:
    """Agreement of two samples by nearest neighbours; all but density lie in [0, 1].

    Attributes:
        precision: Share of generated chips among real ones (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2).
        recall: Share of real chips that lie among generated ones.
        density: How many real neighbourhoods a generated chip lies in, over k (Naeem et al. 2020, arXiv:2002.09797,
            eq. 3).
        coverage: Share of real chips with a generated one in their neighbourhood (eq. 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhood(real: Features, fake: Features, k: int = 5) -> Neighbourhood:
    """Return precision, recall, density and coverage; a neighbourhood reaches to the k-th other chip of its own sample.

    ``k`` is lowered where a sample is smaller than k + 1 chips.

    Raises:
        ValueError: If a sample has fewer than two rows.
    """
    k = min(k, len(real) - 1, len(fake) - 1)
    if k < 1:
        raise ValueError("a neighbourhood needs at least two chips")
    real_reach = np.partition(distances(real, real), k, axis=1)[:, k]  # place 0 is the chip itself
    fake_reach = np.partition(distances(fake, fake), k, axis=1)[:, k]
    across = distances(real, fake)
    inside = across < real_reach[:, None]
    return Neighbourhood(
        precision=float(inside.any(0).mean()),
        recall=float((across < fake_reach[None]).any(1).mean()),
        density=float(inside.sum(0).mean() / k),
        coverage=float((across.min(1) < real_reach).mean()),
    )


def diversity(real: Features, fake: Features) -> float:
    """Return the mean distance between generated chips over that between real ones; near 0 is mode collapse."""

    def spread(sample: Features) -> float:
        return float(distances(sample, sample).sum() / max(1, len(sample) * (len(sample) - 1)))

    reference = spread(real)
    return spread(fake) / reference if reference > 0 else 1.0


def thumbnails(chips: npt.NDArray[np.float32], side: int = THUMBNAIL_PX) -> Features:
    """Reduce chips to their means over side x side cells, less their own mean, scaled to length 1.

    The distance of two thumbnails is sqrt(2 - 2 r) with their correlation r. A shift by a pixel, noise, tint and
    contrast leave it nearly as it is, so a slightly changed copy stays near its original; trained features, which must
    notice such things, part copies from other chips less well (measured: `docs/experiments.md`).

    Args:
        chips: (N, H, W, C); H and W are multiples of ``side``.
        side: Cells along a side.

    Returns:
        (N, side * side * C).
    """
    count, height, width, bands = chips.shape
    cells = chips.reshape(count, side, height // side, side, width // side, bands).mean((2, 4), dtype=np.float64)
    centred = (cells - cells.mean((1, 2, 3), keepdims=True)).reshape(count, side * side * bands)
    scaled: Features = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return scaled


def nearest(chips: npt.NDArray[np.float32], references: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the distance (N,) of each chip's thumbnail to the nearest known one, over the eight orientations.

    Args:
        chips: (N, H, W, C).
        references: (M, H, W, C), at least one.
    """
    return nearest_thumbnail(chips, thumbnails(references))


def nearest_thumbnail(chips: npt.NDArray[np.float32], references: Features) -> npt.NDArray[np.float64]:
    """Do the same with the thumbnails (M, D) of the known chips, which take a hundredth of their memory."""
    views = (oriented(chips, number) for number in range(ORIENTATIONS))
    closest: npt.NDArray[np.float64] = np.min(
        [distances(thumbnails(view), references).min(1) for view in views], axis=0
    )
    return closest


def texture(chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the standard deviation (N,) of the grey of chips (N, H, W, C) in [-1, 1], over the range of 2."""
    grey = chips.mean(axis=3, dtype=np.float64)
    spread: npt.NDArray[np.float64] = grey.std(axis=(1, 2)) / 2
    return spread
