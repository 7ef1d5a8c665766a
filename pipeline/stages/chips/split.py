"""Splits: which chips train, validate and test. Pure.

A split is made in this order, each step only from what is left by the one before:

1. the fold's groups are tested;
2. training chips that are a leak (a near-duplicate of a tested chip, or one that overlaps it) are dropped;
3. a fraction of the others is drawn, the same for each class;
4. a part of what is drawn validates, by unit: validation chips count towards the fraction;
5. training chips that are a leak of a validation chip are dropped;
6. of windows without labels, those are dropped that are a leak of a test or validation chip or of the same unit.

Draws go by name (see :mod:`.hashing`): order units and chips once per seed and replicate, then take the first ones. A
smaller fraction is therefore part of a larger one, and more chips do not reshuffle the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ...dataset.tables import UNLABELLED, UNLABELLED_ROLE
from ...utils.errors import TooLittleDataError
from ...utils.plural import plural
from .components import components
from .hashing import numbers

TRAIN, VALIDATION, TEST, UNUSED, DROPPED = "train", "validation", "test", "unused", "dropped"
LEAST = {TRAIN: 8, VALIDATION: 2, TEST: 4}
"""Background and foreground chips that a role must have at least: with fewer there is nothing to learn or to score."""
MIN_UNITS = 4
"""A fraction is drawn by unit if the smallest one still reaches this many units with foreground, else by chip."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Request:
    """Settings that decide a split, apart from the chips.

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
    """Chips to split, as arrays of one length.

    Attributes:
        chip_id: Names, all different.
        label: Class names.
        group: Group of each chip, never on two sides of the test.
        unit: Unit of each chip, which validation draws and the bootstrap resamples; joined units share a name. It may
            be ``chip_id`` itself.
        cluster: Chips that share pixels have one cluster; where units are too few, clusters are drawn.
        leaks: Pairs (M, 2) of positions of chips of which one must not train where the other one is evaluated.
        copies: Which pairs (M,) are near-duplicates; the others overlap on the ground.
        extra: Which chips (N,) are windows of labelled scenes for composites alone; their class is ``(unlabelled)``.
    """

    chip_id: npt.NDArray[Any]
    label: npt.NDArray[Any]
    group: npt.NDArray[Any]
    unit: npt.NDArray[Any]
    cluster: npt.NDArray[Any]
    leaks: npt.NDArray[np.int64]
    copies: Flags
    extra: Flags


@dataclass
class Split:
    """Roles (N,) of the chips, and how they were assigned.

    Attributes:
        role: Role of each chip.
        drawn_by: ``unit`` or ``chip``; ``all`` where the fraction is 1.
        validated_by: ``unit``, or ``chip`` where units are too few.
        dropped: Chips dropped, by reason.
        copies_dropped: Which chips (N,) were dropped as near-duplicates alone.
    """

    role: npt.NDArray[Any]
    drawn_by: str = "all"
    validated_by: str = "unit"
    dropped: dict[str, int] = field(default_factory=dict)
    copies_dropped: Flags = field(default_factory=lambda: np.zeros(0, bool))


def split(chips: Chips, request: Request) -> Split:
    """Make a split.

    Raises:
        TooLittleDataError: If training, validation or test has too few background or foreground chips.
    """
    result = Split(np.full(len(chips.chip_id), UNUSED, dtype=object))
    labelled = chips.label != UNLABELLED
    test = _test(chips, request) & labelled
    result.role[test] = TEST
    pool = labelled & ~test
    leaked = _beside(chips.leaks, test) & pool
    overlapping = _beside(chips.leaks[~chips.copies], test) & pool
    result.role[leaked] = DROPPED
    pool &= ~leaked
    foreground = labelled & (chips.label != request.background)
    used, result.drawn_by = _draw(chips, pool, foreground, request)
    validation, result.validated_by = _validation(chips, used, foreground, request)
    result.role[used] = TRAIN
    result.role[validation] = VALIDATION
    beside = _beside(chips.leaks, validation) & used & ~validation
    overlapping |= _beside(chips.leaks[~chips.copies], validation) & beside
    result.role[beside] = DROPPED
    result.dropped = {
        f"{reason} a {role} chip": int((which & kind).sum())
        for role, which in (("test", leaked), ("validation", beside))
        for reason, kind in (("near-duplicate of", ~overlapping), ("overlap with", overlapping))
        if (which & kind).any()
    }
    result.copies_dropped = (leaked | beside) & ~overlapping
    if not labelled.all():
        _assign_unlabelled(chips, result, ~labelled)
    _check(chips, result, foreground, request)
    return result


def _assign_unlabelled(chips: Chips, result: Split, unlabelled: Flags) -> None:
    """Assign the windows without labels, but for those that show ground or a unit of chips that are evaluated.

    Those of labelled scenes belong to their unit: where none of its chips trains, neither do they serve.
    """
    evaluated = (result.role == TEST) | (result.role == VALIDATION)
    unit = pd.Series(chips.unit)
    candidates = unlabelled & (~chips.extra | unit.isin(pd.unique(chips.unit[result.role == TRAIN])).to_numpy(bool))
    near = _beside(chips.leaks, evaluated) | unit.isin(pd.unique(chips.unit[evaluated])).to_numpy(bool)
    result.role[candidates] = np.where(near[candidates], DROPPED, UNLABELLED_ROLE)
    if (near & candidates).any():
        result.dropped["unlabelled window of a place that is evaluated"] = int((near & candidates).sum())


def _test(chips: Chips, request: Request) -> Flags:
    """Return the tested chips."""
    if request.test_share is None:
        return np.asarray(pd.Series(chips.group).isin(request.test_groups), bool)
    order = np.argsort(_ranks(chips.chip_id, request, "test"), kind="stable")
    test = np.zeros(len(order), dtype=bool)
    for name in sorted(pd.unique(chips.label)):
        test |= _first(order, chips.label == name, request.test_share)
    return test


def _beside(leaks: npt.NDArray[np.int64], chosen: Flags) -> Flags:
    """Return the chips that form a pair with a chosen one."""
    beside = np.zeros(len(chosen), dtype=bool)
    beside[leaks[chosen[leaks[:, 1]], 0]] = True
    beside[leaks[chosen[leaks[:, 0]], 1]] = True
    return beside


def _draw(chips: Chips, pool: Flags, foreground: Flags, request: Request) -> tuple[Flags, str]:
    """Draw a fraction of the pool: of each class the first chips in the order of units, or of chips."""
    if request.fraction >= 1:
        return pool.copy(), "all"
    of_unit = _unit_ranks(chips, request, "draw")
    of_chip = _ranks(chips.chip_id, request, "draw")
    by_unit = np.lexsort((of_chip, of_unit))
    smallest = _first(by_unit, pool & foreground, request.smallest)
    enough = len(pd.unique(chips.unit[smallest])) >= MIN_UNITS
    order = by_unit if enough else np.argsort(of_chip, kind="stable")
    used = np.zeros(len(pool), dtype=bool)
    for name in sorted(pd.unique(chips.label[pool])):
        used |= _first(order, pool & (chips.label == name), request.fraction)
    return used, "unit" if enough else "chip"


def _first(order: npt.NDArray[np.int64], among: Flags, fraction: float) -> Flags:
    """Return the first chips of ``among`` in an order, as many as the fraction says, at least one; halves round up."""
    ordered = order[among[order]]
    count = min(len(ordered), max(1, int(np.floor(fraction * len(ordered) + 0.5))))
    chosen = np.zeros(len(among), dtype=bool)
    chosen[ordered[:count]] = True
    return chosen


def _ranks(names: Any, request: Request, purpose: str) -> npt.NDArray[np.uint64]:
    """Draw a number for each name of an array (N,)."""
    return numbers(names, request.seed, request.replicate, purpose)


def _unit_ranks(chips: Chips, request: Request, purpose: str) -> npt.NDArray[np.uint64]:
    """Draw a number for the unit of each chip."""
    if chips.unit is chips.chip_id:
        return _ranks(chips.chip_id, request, purpose)
    codes, names = pd.factorize(chips.unit)
    return _ranks(names, request, purpose)[codes]


def _validation(chips: Chips, used: Flags, foreground: Flags, request: Request) -> tuple[Flags, str]:
    """Return the validation part of the used chips: by unit, or by cluster where units are too few for both classes."""
    validation = np.zeros(len(used), dtype=bool)
    for names, kind in ((chips.unit, "unit"), (chips.cluster, "chip")):
        # Codes of chips that are their own units need no table of their names.
        codes, unique = (np.arange(len(used)), names) if names is chips.chip_id else pd.factorize(names)
        objects, others = (
            np.bincount(codes[used & flags], minlength=len(unique)) for flags in (foreground, ~foreground)
        )
        order = np.argsort(_ranks(unique, request, "validation"), kind="stable")
        chosen = np.zeros(len(unique), dtype=bool)
        positive, negative = order[objects[order] > 0], order[(objects[order] == 0) & (others[order] > 0)]
        chosen[positive[_take(objects[positive], 0, request.validation_fraction)]] = True
        held = int(others[chosen].sum())
        chosen[negative[_take(others[negative], held, request.validation_fraction, int(others.sum()))]] = True
        validation = used & chosen[codes]
        parts = (validation, used & ~validation)
        if all((part & wanted).any() for part in parts for wanted in (foreground, ~foreground)):
            return validation, kind
    return validation, "chip"


def _take(sizes: npt.NDArray[np.int64], held: int, fraction: float, total: int | None = None) -> Flags:
    """Return which sets (N,), taken in their order, each bring what is held nearer to a fraction of the total.

    The smallest one is taken where all are too large but something has to be held.

    Args:
        sizes: Size (N,) of each set.
        held: What is held before.
        fraction: Share aimed at.
        total: Of how many; None takes the sum of the sizes.
    """
    aim = fraction * (int(sizes.sum()) if total is None else total)
    chosen = np.zeros(len(sizes), dtype=bool)
    for position, size in enumerate(sizes.tolist()):
        if abs(held + size - aim) < abs(held - aim):
            chosen[position] = True
            held += size
    if not held and len(sizes):
        chosen[np.argmin(sizes)] = True
    return chosen


def _check(chips: Chips, result: Split, foreground: Flags, request: Request) -> None:
    """Check that each role has enough chips and that no leak is left.

    Raises:
        TooLittleDataError: If a role has too few background or foreground chips.
    """
    used = (result.role == TRAIN) | (result.role == VALIDATION)
    for role in LEAST if request.test_groups or request.test_share else (TRAIN, VALIDATION):
        for wanted, name in ((foreground, "foreground"), (~foreground, "background")):
            held = int(((result.role == role) & wanted).sum())
            if held < LEAST[role]:
                units = len(pd.unique(chips.unit[used & wanted]))
                raise TooLittleDataError(
                    f"too little data: a split has {plural(held, f'{name} chip')} with role {role} and needs at least"
                    f" {LEAST[role]}; with {request.fraction:.0%} of the labels it has {int((used & wanted).sum())} in"
                    f" {plural(units, 'unit')} for training and validation{_without(result, wanted, name)}: add labels,"
                    " or raise split.fractions"
                )
    trained, validated, tested = (result.role == role for role in (TRAIN, VALIDATION, TEST))
    held_out = validated | tested
    first, second = chips.leaks[:, 0], chips.leaks[:, 1]
    left = (trained[first] & held_out[second]) | (held_out[first] & trained[second])
    left |= (validated[first] & tested[second]) | (tested[first] & validated[second])
    # No user can cause these: they would be bugs in the steps above, which must not go unnoticed.
    if left.any():
        raise AssertionError("a leak between training and held-out chips is left")
    if _shared(chips.cluster, trained, held_out):
        raise AssertionError("chips that share pixels are on two sides of a split")
    if _shared(chips.group, tested, trained | validated):
        raise AssertionError("a group is on two sides of a split")


def _without(result: Split, wanted: Flags, name: str) -> str:
    """Return what to say of the training chips that a split dropped: how many, why, and what to do about it."""
    if not result.dropped:
        return ""
    reasons = "; ".join(f"{count:,} {reason}" for reason, count in result.dropped.items())
    lost = int(((result.role == DROPPED) & wanted).sum())
    message = f", after training chips were dropped ({reasons}), {lost:,} of them {name}"
    if (result.copies_dropped & wanted).any():
        message += (
            " (`satpipe chips` says where the pairs are; if they are not copies, raise"
            " chips.duplicates.min_correlation or set chips.duplicates.enabled to false)"
        )
    return message


def _shared(names: npt.NDArray[Any], first: Flags, second: Flags) -> bool:
    """Return whether chips of two sets have a name in common."""
    return bool(pd.Series(pd.unique(names[first])).isin(pd.unique(names[second])).any())


def joined_units(unit: npt.NDArray[Any], pairs: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the units, those that pairs (M, 2) of chips connect under one name, that of the first."""
    if not len(pairs):
        return unit
    joined = components((str(unit[first]), str(unit[second])) for first, second in pairs if unit[first] != unit[second])
    name = {unit: names[0] for names in joined for unit in names}
    return np.array([name.get(str(first), str(first)) for first in unit], dtype=object)


def clusters(
    scene: npt.NDArray[Any], rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.int64]:
    """Return a number for each chip that it shares with the chips of its scene whose windows overlap, also in a chain.

    The number is the position of one of these chips, the first one in the order of positions written as text.
    """
    codes, _ = pd.factorize(scene)
    order = np.argsort(codes, kind="stable")
    cluster = np.arange(len(codes))
    # Scene by scene: the pairs of all scenes at once would take more memory than the chips.
    for chips in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        pairs = cKDTree(np.column_stack([rows[chips], cols[chips]])).query_pairs(
            size - 0.5, p=np.inf, output_type="ndarray"
        )
        if len(pairs):
            graph = coo_matrix((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(len(chips), len(chips)))
            _, own = connected_components(graph, directed=False)
            by_text = np.argsort(chips.astype(str), kind="stable")
            _, first = np.unique(own[by_text], return_index=True)
            cluster[chips] = chips[by_text[first]][own]
    return cluster
