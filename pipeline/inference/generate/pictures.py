"""Pictures beside generated chips: a contact sheet, the way from one z to another, and the same z under each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...dataset.contact_sheet import COLUMNS, draw_sheet, enlarged, viewable
from ...dataset.scaling import Scaling
from ...models.generator import Generator
from ...models.networks import latents
from .sample import chips_of, first_seed

SHEET, WAY, SAME = "sheet.png", "interpolation.png", "same-z.png"
SHEET_ROWS = 4
SHOWN = COLUMNS * SHEET_ROWS
"""Chips of a class on the contact sheet at most."""

Floats = npt.NDArray[np.float32]


def write_contact_sheet(
    shown: Mapping[int, Sequence[Floats]], names: Sequence[str], scaling: Scaling, path: Path
) -> None:
    """Write the first chips of each class, blocks of values (N, H, W, C) in [-1, 1] by class number."""
    groups = {label: scaling.invert(np.concatenate(blocks)[:SHOWN]) for label, blocks in shown.items() if blocks}
    titles = [f"synthetic {names[label]}" for label in groups]
    _save(titles, list(groups.values()), path)


def write_way(
    generator: Generator, labels: Sequence[int], scaling: Scaling, seed: int, truncation: float, path: Path
) -> None:
    """Write chips along the way from one z to another, a row for each class."""
    first, last = _ends(generator, seed, truncation)
    steps = slerp(first, last, COLUMNS)
    _rows(generator, labels, steps, scaling, "from one z to another", path)


def write_same(
    generator: Generator, labels: Sequence[int], scaling: Scaling, seed: int, truncation: float, path: Path
) -> None:
    """Write chips of the same z under each label: a column for each z, a row for each class."""
    seeds = first_seed(seed, 0) + np.arange(COLUMNS)
    z = latents(seeds, generator.z_dim, truncation)
    _rows(generator, labels, z, scaling, "the same z in each column", path)


def _ends(generator: Generator, seed: int, truncation: float) -> tuple[Floats, Floats]:
    seeds = first_seed(seed, 0) + np.arange(2)
    first, last = latents(seeds, generator.z_dim, truncation)
    return first, last


def _rows(generator: Generator, labels: Sequence[int], z: Floats, scaling: Scaling, what: str, path: Path) -> None:
    # One number for all: what differs within a row is the latent alone, not pose and background.
    numbers = np.zeros(len(z), np.int64)
    rows = [scaling.invert(chips_of(generator, z, np.full(len(z), label), numbers)) for label in labels]
    _save([f"synthetic {generator.classes[label]}: {what}" for label in labels], rows, path)


def slerp(first: Floats, last: Floats, steps: int) -> Floats:
    """Return points (steps, D) on the great arc from ``first`` (D,) to ``last``, both included (arXiv:1609.04468).

    On the straight line between two draws of a normal distribution the middle is shorter than nearly every draw, and a
    generator has hardly seen such a z.
    """
    share = np.linspace(0, 1, steps, dtype=np.float64)[:, None]
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    cosine = float(np.clip(first @ last / (lengths[0] * lengths[1]), -1, 1))
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        return np.asarray((1 - share) * first + share * last, np.float32)
    weights = np.sin((1 - share) * angle) / np.sin(angle), np.sin(share * angle) / np.sin(angle)
    return np.asarray(weights[0] * first + weights[1] * last, np.float32)


def _save(titles: Sequence[str], groups: Sequence[npt.NDArray[np.generic]], path: Path) -> None:
    if groups:
        pictures = enlarged(viewable(np.concatenate(groups)))
        sheet = draw_sheet(np.split(pictures, np.cumsum([len(group) for group in groups])[:-1]), titles=titles)
        # The highest level takes longer than a thousand chips do, for a twentieth of the size.
        sheet.save(path, format="PNG", compress_level=1)
