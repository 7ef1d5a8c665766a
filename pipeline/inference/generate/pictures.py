"""A page of pictures beside generated chips: contact sheet, the way from one z to another, the same z with each label.

It is one HTML file, since a picture among the chips would be taken for one of them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...dataset.contact_sheet import COLUMNS, draw_sheet, enlarged, viewable
from ...dataset.scaling import Scaling
from ...models.generator import Generator
from ...models.networks import latents
from .sample import chips_of, first_seed

PREVIEW = "preview.html"
SHEET_ROWS = 4
SHOWN = COLUMNS * SHEET_ROWS
"""Chips of a class on the contact sheet at most."""

Floats = npt.NDArray[np.float32]


def write_preview(
    shown: Mapping[int, Sequence[Floats]],
    generator: Generator,
    scaling: Scaling,
    seed: int,
    truncation: float,
    path: Path,
) -> None:
    """Write the page.

    Args:
        shown: The first chips of each class, as blocks of values (N, H, W, C) in [-1, 1], by class number.
        generator: What made them.
        scaling: From its range to chip values.
        seed: What the pictures of latents follow from.
        truncation: Standard deviation of z.
        path: The file.
    """
    groups = {label: scaling.invert(np.concatenate(blocks)[:SHOWN]) for label, blocks in shown.items() if blocks}
    sheet = _sheet([f"synthetic {generator.classes[label]}" for label in groups], list(groups.values()))
    first, last = _ends(generator, seed, truncation)
    z = latents(first_seed(seed, 0) + np.arange(COLUMNS), generator.z_dim, truncation)
    pictures = {
        "Synthetic chips": sheet,
        "Interpolation between two z": _rows(generator, slerp(first, last, COLUMNS), scaling),
        "The same z with each label": _rows(generator, z, scaling),
    }
    sections = [
        f'<h2>{title}</h2>\n<img alt="{title}" src="data:image/png;base64,{b64encode(content).decode()}">\n'
        for title, content in pictures.items()
        if content
    ]
    head = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Synthetic chips</title>\n'
    path.write_text(f"{head}{''.join(sections)}</html>\n", "utf-8")


def _ends(generator: Generator, seed: int, truncation: float) -> tuple[Floats, Floats]:
    seeds = first_seed(seed, 0) + np.arange(2)
    first, last = latents(seeds, generator.z_dim, truncation)
    return first, last


def _rows(generator: Generator, z: Floats, scaling: Scaling) -> bytes:
    """Return a sheet with a row of the same latents for each class."""
    # One number for all: what differs within a row is the latent alone, not pose and background.
    numbers = np.zeros(len(z), np.int64)
    labels = range(len(generator.classes))
    rows = [scaling.invert(chips_of(generator, z, np.full(len(z), label), numbers)) for label in labels]
    return _sheet([f"synthetic {generator.classes[label]}" for label in labels], rows)


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


def _sheet(titles: Sequence[str], groups: Sequence[npt.NDArray[np.generic]]) -> bytes:
    """Return a sheet of groups of chips (N, H, W, C) as PNG; empty where there are none."""
    if not groups:
        return b""
    pictures = enlarged(viewable(np.concatenate(groups)))
    sheet = draw_sheet(np.split(pictures, np.cumsum([len(group) for group in groups])[:-1]), titles=titles)
    content = BytesIO()
    # The highest level takes longer than a thousand chips do, for a twentieth of the size.
    sheet.save(content, format="PNG", compress_level=1)
    return content.getvalue()
