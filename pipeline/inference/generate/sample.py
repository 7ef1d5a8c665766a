"""Chips from a generator in blocks: screened or not, the same bytes with any number of threads.

A chip follows from the seed, its class and its number alone. Candidates of a class are numbered; block b holds numbers
32 b to 32 b + 31 and is computed as a whole, always, because the last bits of a convolution depend on what is computed
beside it. Each block is computed by one thread, so that the number of threads changes nothing either.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...composition.pose import Alpha
from ...models.device import Profile
from ...models.generator import Generator
from ...models.networks import BLOCK, latents
from ...stages.synth.filters import MOST_UNUSUAL, OBJECT
from ...stages.synth.screening import Screening

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

OVERSAMPLE = 20
"""At most this many candidates are made for each chip that is wanted."""
SEEDS_PER_CLASS = 2**28
"""Distance between the first seeds of two classes; more candidates of a class than this are never made."""


@dataclass(frozen=True)
class Block:
    """Chips of one class that were made together and kept.

    Attributes:
        label: Their class number.
        values: (N, H, W, C) float32 in [-1, 1].
        seeds: Seed of each one's z (N,).
        label_score: Probability of its class by the screening networks (N,); NaN without screening.
        distance: To the nearest real chip of its class, 1 being typical (N,); NaN without screening.
        objects: Which pixels (H, W) each of its objects shows, for each chip; none of a chip that is generated whole.
    """

    label: int
    values: npt.NDArray[np.float32]
    seeds: Labels
    label_score: Floats
    distance: Floats
    objects: Sequence[Sequence[npt.NDArray[np.bool_]]]

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.seeds)


@dataclass
class Tally:
    """Counts of what was made and of what was rejected, by class index.

    Attributes:
        wanted: Chips wanted.
        kept: Chips kept.
        candidates: Candidates examined.
        reasons: Candidates that were not kept, by reason.
        note: What the user should know, in a sentence.
    """

    wanted: dict[int, int]
    kept: dict[int, int] = field(default_factory=dict)
    candidates: dict[int, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    note: str | None = None

    def add(self, other: Tally) -> None:
        """Add what was counted elsewhere of classes that this one wants."""
        self.kept |= other.kept
        self.candidates |= other.candidates
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    @property
    def short(self) -> list[int]:
        """Return the classes of which fewer chips were accepted than wanted."""
        return [label for label, count in self.wanted.items() if self.kept.get(label, 0) < count]


def shares(count: int, labels: Sequence[int]) -> dict[int, int]:
    """Divide ``count`` chips evenly among classes; the first ones get one more where it does not divide."""
    each, rest = divmod(count, len(labels))
    return {label: each + (place < rest) for place, label in enumerate(labels)}


def first_seed(seed: int, label: int) -> int:
    """Return the seed of candidate 0 of a class; the others count up. Below 2**53, so that spreadsheets keep it."""
    word = int(np.random.SeedSequence([seed, 7]).generate_state(1, np.uint32)[0])
    return (word >> 12) * 2**32 + label * SEEDS_PER_CLASS


def kept(
    generator: Generator,
    wanted: Mapping[int, int],
    seed: int,
    truncation: float,
    screening: Screening | None,
    pool: ThreadPoolExecutor,
    workers: int,
    tally: Tally,
) -> Iterator[Block]:
    """Yield blocks of accepted chips, class by class as ``wanted``, until there are enough or too many were tried.

    Args:
        generator: The generator.
        wanted: Chips wanted by class number.
        seed: What every chip follows from.
        truncation: Standard deviation of z.
        screening: What candidates are compared with, or None to keep all.
        pool: Where blocks are computed.
        workers: How many of them at a time.
        tally: Counts what was made; updated with each block.
    """
    for label, count in wanted.items():
        tally.kept[label] = tally.candidates[label] = 0
        start = first_seed(seed, label)
        most = -(-count // BLOCK) if screening is None else -(-count * OVERSAMPLE // BLOCK)
        for block, why in _in_order(generator, label, start, most, truncation, screening, pool, workers):
            missing = count - tally.kept[label]
            good = np.flatnonzero(why == "")[:missing]
            # Candidates after the last one that was needed do not count: how many there are depends on the block.
            used = int(good[-1]) + 1 if len(good) == missing else len(why)
            for reason in why[:used][why[:used] != ""]:
                tally.reasons[reason] = tally.reasons.get(reason, 0) + 1
            tally.candidates[label] += used
            tally.kept[label] += len(good)
            if len(good):
                score, distance = block.label_score[good], block.distance[good]
                objects = [block.objects[place] for place in good]
                yield Block(label, block.values[good], block.seeds[good], score, distance, objects)
            if tally.kept[label] == count:
                break


def _in_order(
    generator: Generator,
    label: int,
    start: int,
    most: int,
    truncation: float,
    screening: Screening | None,
    pool: ThreadPoolExecutor,
    workers: int,
) -> Iterator[tuple[Block, npt.NDArray[np.object_]]]:
    """Yield blocks 0 to ``most`` - 1 of a class with the reason against each chip; a few are computed ahead."""

    def make_block(number: int) -> tuple[Block, npt.NDArray[np.object_]]:
        return _block(generator, label, start + number * BLOCK, truncation, screening)

    ahead: deque[Future[tuple[Block, npt.NDArray[np.object_]]]] = deque()
    submitted = 0
    try:
        while submitted < most or ahead:
            while submitted < most and len(ahead) < 2 * workers:
                ahead.append(pool.submit(make_block, submitted))
                submitted += 1
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


def _block(
    generator: Generator, label: int, start: int, truncation: float, screening: Screening | None
) -> tuple[Block, npt.NDArray[np.object_]]:
    """Make the block of candidates whose seeds count up from ``start``."""
    seeds, labels = start + np.arange(BLOCK), np.full(BLOCK, label)
    z = latents(seeds, generator.z_dim, truncation)
    with precision_of(generator).autocast():
        most_unusual = math.inf if screening is None else MOST_UNUSUAL
        values, alphas, unusual = generator.sample_objects(z, labels, seeds, most_unusual)
    objects = [visible(each) for each in alphas]
    score, distance, why = np.full(BLOCK, np.nan), np.full(BLOCK, np.nan), np.full(BLOCK, "", object)
    why[unusual > MOST_UNUSUAL] = OBJECT  # of composites, which have not been composed
    rows = np.flatnonzero(why == "")
    if screening is not None and len(rows):
        measures, why[rows] = screening.screen(values[rows], labels[rows], unusual[rows])
        score[rows], distance[rows] = measures.label_score, measures.distance
    return Block(label, values, seeds, score, distance, objects), why


def visible(alphas: Sequence[Alpha]) -> list[npt.NDArray[np.bool_]]:
    """Return which pixels (H, W) each object shows: more than half covered by it, and by none of the later ones."""
    shown = [alpha > 0.5 for alpha in alphas]
    for place, solid in enumerate(shown):
        for later in alphas[place + 1 :]:
            solid &= later <= 0.5
    return shown


def chips_of(
    generator: Generator, z: npt.NDArray[np.float32], labels: Labels, numbers: Labels
) -> npt.NDArray[np.float32]:
    """Return chips (N, H, W, C) as :meth:`Generator.sample` does, in the training's precision."""
    with precision_of(generator).autocast():
        return generator.sample(z, labels, numbers)


def precision_of(generator: Generator) -> Profile:
    """Return the precision that a generator was trained in, on its device."""
    precision = str((generator.card.get("profile") or {}).get("precision", "fp32"))
    return Profile(device=next(generator.network.parameters()).device.type, precision=precision)
