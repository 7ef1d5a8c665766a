"""Splits: which chips train, validate and test. Pure.

A split is made in this order, each step only from what is left by the one before:

1. the fold's groups are tested;
2. training chips that are a leak (a near-duplicate of a tested chip, or one that overlaps it) are dropped;
3. a fraction of the others is drawn, the same for each class;
4. a part of what is drawn validates, by unit: validation is paid for by the fraction;
5. training chips that are a leak of a validation chip are dropped.

Draws go by name (see :mod:`.draws`): order units and chips once per seed and replicate, then take the first ones. So a
smaller fraction is part of a larger one, and more chips do not reshuffle the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ...utils.errors import TooLittleDataError
from .components import components
from .hashing import number

TRAIN, VALIDATION, TEST, UNUSED, DROPPED = "train", "validation", "test", "unused", "dropped"
LEAST = {TRAIN: 8, VALIDATION: 2, TEST: 4}
"""Background and foreground chips that a role must have at least: with fewer there is nothing to learn or to score."""
MIN_UNITS = 4
"""A fraction is drawn by unit if the smallest one still reaches this many units with foreground, else by chip."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Request:
    """What decides a split beside the chips.

    Attributes:
        test_groups: Groups that are tested; none for the final split.
        fraction: Share of the other chips to use.
        smallest: The smallest fraction of the run, which decides whether fractions are drawn by unit or by chip.
        validation_fraction: Share of the used foreground chips that validates.
        background: Name of the background class.
        seed: Seed of the run.
        replicate: Number of the replicate.
        test_share: For a random split, the share of each class that is tested, whatever its groups.
    """

    test_groups: frozenset[str]
    fraction: float
    smallest: float
    validation_fraction: float
    background: str
    seed: int
    replicate: int
    test_share: float | None = None


@dataclass(frozen=True)
class Chips:
    """The chips to split, as arrays of one length.

    Attributes:
        chip_id: Names.
        label: Class names.
        group: Group of each chip, never on two sides of the test.
        unit: Unit of each chip, which validation draws and the bootstrap resamples; joined units share a name.
        cluster: Chips that share pixels have one cluster; where units are too few, clusters are drawn.
        leaks: Pairs (M, 2) of positions of chips that must not train and be judged at once.
    """

    chip_id: npt.NDArray[Any]
    label: npt.NDArray[Any]
    group: npt.NDArray[Any]
    unit: npt.NDArray[Any]
    cluster: npt.NDArray[Any]
    leaks: npt.NDArray[np.int64]


@dataclass
class Split:
    """Roles (N,) of the chips, and what was done for them.

    Attributes:
        role: Role of each chip.
        drawn_by: ``unit`` or ``chip``; ``all`` where the fraction is 1.
        validated_by: ``unit``, or ``chip`` where units are too few.
        dropped: Chips dropped, by reason.
    """

    role: npt.NDArray[Any]
    drawn_by: str = "all"
    validated_by: str = "unit"
    dropped: dict[str, int] = field(default_factory=dict)


def split(chips: Chips, request: Request) -> Split:
    """Make a split.

    Raises:
        TooLittleDataError: If training, validation or test has too few background or foreground chips.
    """
    result = Split(np.full(len(chips.chip_id), UNUSED, dtype=object))
    test = _test(chips, request)
    result.role[test] = TEST
    pool = ~test
    leaked = _beside(chips.leaks, test) & pool
    result.role[leaked] = DROPPED
    pool &= ~leaked
    foreground = chips.label != request.background
    used, result.drawn_by = _draw(chips, pool, foreground, request)
    validation, result.validated_by = _validation(chips, used, foreground, request)
    result.role[used] = TRAIN
    result.role[validation] = VALIDATION
    copied = _beside(chips.leaks, validation) & used & ~validation
    result.role[copied] = DROPPED
    counts = {
        "near-duplicate or overlap of a test chip": leaked,
        "near-duplicate or overlap of a validation chip": copied,
    }
    result.dropped = {reason: int(which.sum()) for reason, which in counts.items() if which.any()}
    _check(chips, result, foreground, request)
    return result


def _test(chips: Chips, request: Request) -> Flags:
    """The tested chips."""
    if request.test_share is None:
        return np.isin(chips.group, list(request.test_groups))
    order = np.argsort(_ranks(chips.chip_id, request, "test"), kind="stable")
    test = np.zeros(len(order), dtype=bool)
    for name in np.unique(chips.label):
        test |= _first(order, chips.label == name, request.test_share)
    return test


def _beside(leaks: npt.NDArray[np.int64], chosen: Flags) -> Flags:
    """Chips that form a pair with a chosen one."""
    beside = np.zeros(len(chosen), dtype=bool)
    beside[leaks[chosen[leaks[:, 1]], 0]] = True
    beside[leaks[chosen[leaks[:, 0]], 1]] = True
    return beside


def _draw(chips: Chips, pool: Flags, foreground: Flags, request: Request) -> tuple[Flags, str]:
    """The drawn fraction of the pool: of each class the first chips in the order of units, or of chips."""
    if request.fraction >= 1:
        return pool.copy(), "all"
    of_unit = _ranks(chips.unit, request, "draw")
    of_chip = _ranks(chips.chip_id, request, "draw")
    by_unit = np.lexsort((of_chip, of_unit))
    smallest = _first(by_unit, pool & foreground, request.smallest)
    enough = len(set(chips.unit[smallest])) >= MIN_UNITS
    order = by_unit if enough else np.argsort(of_chip, kind="stable")
    used = np.zeros(len(pool), dtype=bool)
    for name in np.unique(chips.label[pool]):
        used |= _first(order, pool & (chips.label == name), request.fraction)
    return used, "unit" if enough else "chip"


def _first(order: npt.NDArray[np.int64], among: Flags, fraction: float) -> Flags:
    """The first chips of ``among`` in an order, as many as the fraction says, at least one; halves round up."""
    ordered = order[among[order]]
    count = min(len(ordered), max(1, int(np.floor(fraction * len(ordered) + 0.5))))
    chosen = np.zeros(len(among), dtype=bool)
    chosen[ordered[:count]] = True
    return chosen


def _ranks(names: npt.NDArray[Any], request: Request, purpose: str) -> npt.NDArray[np.uint64]:
    """A number drawn for each name."""
    codes, known = pd.factorize(names)
    drawn = (number(request.seed, request.replicate, purpose, name) for name in known)
    return np.fromiter(drawn, np.uint64, len(known))[codes]


def _validation(chips: Chips, used: Flags, foreground: Flags, request: Request) -> tuple[Flags, str]:
    """The validation part of the used chips: by unit, or by cluster where units are too few for both classes."""
    validation = np.zeros(len(used), dtype=bool)
    for names, kind in ((chips.unit, "unit"), (chips.cluster, "chip")):
        rank = dict(zip(names, _ranks(names, request, "validation"), strict=True))
        order = sorted(set(names[used]), key=lambda name: (int(rank[name]), name))
        positive, negative = Counter(names[used & foreground]), Counter(names[used & ~foreground])
        chosen = _take([(name, positive[name]) for name in order if positive[name]], 0, request.validation_fraction)
        rest = [(name, negative[name]) for name in order if not positive[name]]
        total, held = negative.total(), sum(negative[name] for name in chosen)
        chosen |= _take(rest, held, request.validation_fraction, total)
        validation = used & np.isin(names, list(chosen))
        parts = (validation, used & ~validation)
        if all((part & wanted).any() for part in parts for wanted in (foreground, ~foreground)):
            return validation, kind
    return validation, "chip"


def _take(sets: list[tuple[Any, int]], held: int, fraction: float, total: int | None = None) -> set[Any]:
    """The sets, in their order, that each bring what is held nearer to a fraction of the total.

    Args:
        sets: Name and size of each set.
        held: What is held before.
        fraction: Share aimed at.
        total: Of how many; None takes the sum of the sizes.

    Returns:
        Names of the chosen sets; the smallest one where all are too large but something has to be held.
    """
    aim = fraction * (sum(size for _, size in sets) if total is None else total)
    chosen = set()
    for name, size in sets:
        if abs(held + size - aim) < abs(held - aim):
            chosen.add(name)
            held += size
    if not held and sets:
        chosen.add(min(sets, key=lambda item: item[1])[0])
    return chosen


def _check(chips: Chips, result: Split, foreground: Flags, request: Request) -> None:
    """Say what is missing, and that no leak is left.

    Raises:
        TooLittleDataError: If a role has too few background or foreground chips.
    """
    used = np.isin(result.role, [TRAIN, VALIDATION])
    for role in LEAST if request.test_groups or request.test_share else (TRAIN, VALIDATION):
        for wanted, name in ((foreground, "foreground"), (~foreground, "background")):
            held = int(((result.role == role) & wanted).sum())
            if held < LEAST[role]:
                units = len(set(chips.unit[used & wanted]))
                raise TooLittleDataError(
                    f"too little data: the {role} part of a split has {held} {name} chip(s) and needs at least"
                    f" {LEAST[role]}; with {request.fraction:.0%} of the labels it has {int((used & wanted).sum())} in"
                    f" {units} unit(s) to train and validate with: add labels, or raise split.fractions"
                )
    trained, judged = result.role == TRAIN, np.isin(result.role, [VALIDATION, TEST])
    one, other = chips.leaks[:, 0], chips.leaks[:, 1]
    left = (trained[one] & judged[other]) | (judged[one] & trained[other])
    validated, tested = result.role == VALIDATION, result.role == TEST
    left |= (validated[one] & tested[other]) | (tested[one] & validated[other])
    # No user can cause these: they would be defects of the steps above, and silence would be worse than a traceback.
    if left.any():
        raise AssertionError("a leak between training and what judges it is left")
    if _shared(chips.cluster, trained, judged):
        raise AssertionError("chips that share pixels are on two sides of a split")
    if _shared(chips.group, tested, trained | validated):
        raise AssertionError("a group is on two sides of a split")


def _shared(names: npt.NDArray[Any], one: Flags, other: Flags) -> bool:
    """Whether chips of two sets have a name in common."""
    codes, known = pd.factorize(names)
    held = np.zeros((2, len(known)), bool)
    held[0, codes[one]] = held[1, codes[other]] = True
    return bool(held.all(axis=0).any())


def joined_units(unit: npt.NDArray[Any], pairs: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Units with those that pairs (M, 2) of chips connect under one name, that of the first."""
    if not len(pairs):
        return unit
    joined = components((str(unit[one]), str(unit[other])) for one, other in pairs if unit[one] != unit[other])
    name = {unit: names[0] for names in joined for unit in names}
    return np.array([name.get(str(one), str(one)) for one in unit], dtype=object)


def clusters(
    scene: npt.NDArray[Any], rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], size: int
) -> npt.NDArray[Any]:
    """A name for each chip that it shares with the chips of its scene whose windows overlap, directly or in a chain."""
    names = np.array([str(position) for position in range(len(scene))])
    codes, _ = pd.factorize(scene)
    # Scenes lie further apart than windows reach, so that one search serves all of them.
    points = np.column_stack([codes.astype(np.float64) * 2 * size, rows, cols])
    pairs = cKDTree(points).query_pairs(size - 0.5, p=np.inf, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    _, cluster = connected_components(graph, directed=False)
    order = np.argsort(names)
    first = np.full(len(names), len(names))
    np.minimum.at(first, cluster[order], np.arange(len(names)))
    return np.asarray(names[order][first[cluster]].astype(object))
