"""Folds: which groups are tested together. Pure, and without NumPy, because planning a run needs it every time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...utils.errors import ConfigError, TooLittleDataError
from ...utils.plural import plural
from .hashing import shuffled

Counts = Mapping[str, int]
"""Chips by class."""
_TRIES = 20
"""Deals that are tried before folds with both classes count as impossible."""


@dataclass(frozen=True)
class Bundle:
    """Groups that must be on one side, with their chips by class.

    Attributes:
        groups: Names of the groups, sorted.
        counts: Chips of all of them by class.
    """

    groups: tuple[str, ...]
    counts: Counts

    @property
    def name(self) -> str:
        """Return the first group's name, which stands for all."""
        return self.groups[0]


def bundled(groups: Mapping[str, Counts], joined: Sequence[Sequence[str]]) -> list[Bundle]:
    """Bundle groups, those of each list in ``joined`` as one bundle, sorted by name."""
    of = {group: tuple(sorted(names)) for names in joined for group in names}
    bundles: dict[tuple[str, ...], dict[str, int]] = {}
    for group in sorted(groups):
        counts = bundles.setdefault(of.get(group, (group,)), {})
        for name, count in groups[group].items():
            counts[name] = counts.get(name, 0) + count
    return sorted((Bundle(names, counts) for names, counts in bundles.items()), key=lambda bundle: bundle.name)


def group_column(groups: Mapping[str, Mapping[str, Counts]], column: str, key: str) -> Mapping[str, Counts]:
    """Return the groups of a column, with their chips by class.

    Raises:
        ConfigError: If there is no such column; names the configuration ``key`` that asked for it.
    """
    if column not in groups:
        near = difflib.get_close_matches(column, groups, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{key} is {column}, but the scenes have the group columns {', '.join(groups)}{meant}")
    return groups[column]


@dataclass(frozen=True)
class Rule:
    """Rules by which groups are assigned to folds; see ``SplitConfig``.

    Attributes:
        by: The group column, for messages.
        scheme: ``leave-one-out``, ``folds``, ``holdout`` or ``lists``.
        folds: Number of folds.
        test_fraction: Share of the groups that ``holdout`` tests.
        test_groups: Groups that may be tested, or None for all.
        background: Name of the background class.
        seed: Seed of the run.
        repeats: How often ``folds`` and ``holdout`` assign the groups again.
        lists: The groups that each fold of ``lists`` tests.
    """

    by: str
    scheme: str
    folds: int
    test_fraction: float
    test_groups: tuple[str, ...] | None
    background: str
    seed: int
    repeats: int = 1
    lists: tuple[tuple[str, ...], ...] = ()

    def foreground(self, counts: Counts) -> int:
        """Count the chips of classes other than background."""
        return sum(count for name, count in counts.items() if name != self.background)

    def both(self, counts: Counts) -> bool:
        """Return whether there is background and something else."""
        return counts.get(self.background, 0) > 0 and self.foreground(counts) > 0


def assign_folds(bundles: Sequence[Bundle], rule: Rule) -> list[tuple[str, ...]]:
    """Assign groups to folds: those that each fold tests.

    Every fold tests and trains on both background and foreground chips. ``leave-one-out`` makes a fold of each bundle
    that holds both; the others always train. ``folds`` and ``holdout`` spread the foreground evenly, and do so once for
    each repeat, with another draw.

    Raises:
        ConfigError: If a group is named that is not there, or tested twice over lists that joined groups connect.
        TooLittleDataError: If no such folds exist: what is missing.
    """
    allowed = list(bundles) if rule.test_groups is None else _named(bundles, rule.test_groups, rule, "test_groups")
    if rule.scheme == "lists":
        folds = [_named(bundles, names, rule, "test_lists") for names in rule.lists]
        for fold in folds:
            if not rule.both(_totals(fold)):
                raise TooLittleDataError(_missing(bundles, rule, f"the test list {fold[0].name}, ... cannot be scored"))
    elif rule.scheme == "leave-one-out":
        folds = _leave_one_out(allowed, rule)
    else:
        way = _folds if rule.scheme == "folds" else _holdout
        folds = [fold for repeat in range(rule.repeats) for fold in way(allowed, rule, repeat)]
    for number, fold in enumerate(folds):
        inside = {bundle.name for bundle in fold}
        if not rule.both(_totals([bundle for bundle in bundles if bundle.name not in inside])):
            raise TooLittleDataError(_missing(bundles, rule, f"fold {number} would leave nothing to train on"))
    return [tuple(sorted(group for bundle in fold for group in bundle.groups)) for fold in folds]


def _totals(bundles: Sequence[Bundle]) -> dict[str, int]:
    """Add up the chips of all bundles by class."""
    counts: dict[str, int] = {}
    for bundle in bundles:
        for name, count in bundle.counts.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _named(bundles: Sequence[Bundle], names: Sequence[str], rule: Rule, key: str) -> list[Bundle]:
    """Return the bundles that hold the named groups."""
    bundle_of = {group: bundle for bundle in bundles for group in bundle.groups}
    for group in names:
        if group not in bundle_of:
            near = difflib.get_close_matches(group, bundle_of, 1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; there are {_some(sorted(bundle_of))}"
            raise ConfigError(f"split.{key} names {group!r}, which is not a group of {rule.by} with chips{meant}")
    chosen = {bundle_of[group].name for group in names}
    return [bundle for bundle in bundles if bundle.name in chosen]


def _leave_one_out(bundles: Sequence[Bundle], rule: Rule) -> list[list[Bundle]]:
    folds = [[bundle] for bundle in bundles if rule.both(bundle.counts)]
    if not folds:
        raise TooLittleDataError(_missing(bundles, rule, "no group can be tested"))
    return folds


def _folds(bundles: Sequence[Bundle], rule: Rule, repeat: int) -> list[list[Bundle]]:
    by_name = {bundle.name: bundle for bundle in bundles}
    for attempt in range(_TRIES):
        order = [by_name[name] for name in shuffled(by_name, rule.seed, "folds", *_draw_name(repeat, attempt))]
        if repeat == 0:
            # Largest first onto the emptiest fold is the most even; the drawn order decides between equals.
            order.sort(key=lambda bundle: -rule.foreground(bundle.counts))
        folds = _assigned(order, rule)
        if all(rule.both(_totals(fold)) for fold in folds):
            return folds
    raise TooLittleDataError(_missing(bundles, rule, f"they do not fill split.folds = {rule.folds} folds"))


def _draw_name(repeat: int, attempt: int) -> tuple[int, ...]:
    """Return the name that a further draw is seeded by; the first draw is the same with and without repeats."""
    return (repeat, attempt) if repeat or attempt else ()


def _assigned(order: Sequence[Bundle], rule: Rule) -> list[list[Bundle]]:
    """Assign each bundle in turn to the fold with the least foreground, or background where it has no other."""
    folds: list[list[Bundle]] = [[] for _ in range(rule.folds)]
    foreground, background = [0] * rule.folds, [0] * rule.folds
    for bundle in order:
        positive = rule.foreground(bundle.counts)
        load = foreground if positive else background
        to = min(range(rule.folds), key=lambda fold: (load[fold], background[fold]))
        folds[to].append(bundle)
        foreground[to] += positive
        background[to] += bundle.counts.get(rule.background, 0)
    return folds


def _holdout(bundles: Sequence[Bundle], rule: Rule, repeat: int) -> list[list[Bundle]]:
    by_name = {bundle.name: bundle for bundle in bundles}
    order = [by_name[name] for name in shuffled(by_name, rule.seed, "holdout", *_draw_name(repeat, 0))]
    fold: list[Bundle] = []
    for positive in (True, False):
        kind = [bundle for bundle in order if bool(rule.foreground(bundle.counts)) is positive]
        fold += kind[: round(rule.test_fraction * len(kind)) or (1 if positive else 0)]
    if not rule.both(_totals(fold)):
        raise TooLittleDataError(_missing(bundles, rule, "no test set can be made of them"))
    return [fold]


def _missing(bundles: Sequence[Bundle], rule: Rule, what: str) -> str:
    able = [bundle for bundle in bundles if rule.both(bundle.counts)]
    total = _totals(bundles)
    chips = ", ".join(f"{count} {name}" for name, count in sorted(total.items())) or "no chips"
    needed = rule.folds if rule.scheme == "folds" else 2
    joined = sum(len(bundle.groups) > 1 for bundle in bundles)
    hint = f" ({joined} of them joined from overlapping ones; see split.overlap)" if joined else ""
    return (
        f"too little data to train on some groups of {rule.by} and test on others: {what}; there are {chips} in"
        f" {plural(len(bundles), 'group')}{hint}, of which {len(able)} with both {rule.background} and other chips; at"
        f" least {needed} of these are needed: add labelled scenes, or set split.by to a column with more groups"
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
