"""Folds: which groups are tested together. Pure, and without NumPy, because planning a run needs it every time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigError, TooLittleDataError
from .draws import shuffled

Counts = Mapping[str, int]
"""Chips by class."""


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
        """The first group's name stands for all."""
        return self.groups[0]


def bundled(groups: Mapping[str, Counts], joined: Sequence[Sequence[str]]) -> list[Bundle]:
    """Groups as bundles, those of each list in ``joined`` as one, sorted by name."""
    of = {group: tuple(sorted(names)) for names in joined for group in names}
    bundles: dict[tuple[str, ...], dict[str, int]] = {}
    for group in sorted(groups):
        counts = bundles.setdefault(of.get(group, (group,)), {})
        for name, count in groups[group].items():
            counts[name] = counts.get(name, 0) + count
    return sorted((Bundle(names, counts) for names, counts in bundles.items()), key=lambda bundle: bundle.name)


def group_column(groups: Mapping[str, Mapping[str, Counts]], column: str, key: str) -> Mapping[str, Counts]:
    """The groups of a column, with their chips by class.

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
    """How groups are dealt; see ``SplitConfig``.

    Attributes:
        by: The group column, for messages.
        scheme: ``leave-one-out``, ``folds`` or ``holdout``.
        folds: Number of folds.
        test_fraction: Share of the groups that ``holdout`` tests.
        test_groups: Groups that may be tested, or None for all.
        background: Name of the background class.
        seed: Seed of the run.
    """

    by: str
    scheme: str
    folds: int
    test_fraction: float
    test_groups: tuple[str, ...] | None
    background: str
    seed: int

    def foreground(self, counts: Counts) -> int:
        """Chips of the other classes than background."""
        return sum(count for name, count in counts.items() if name != self.background)

    def both(self, counts: Counts) -> bool:
        """Whether background and something else are there."""
        return counts.get(self.background, 0) > 0 and self.foreground(counts) > 0


def deal(bundles: Sequence[Bundle], rule: Rule) -> list[tuple[str, ...]]:
    """The groups that each fold tests.

    Every fold tests and trains on both background and foreground chips. ``leave-one-out`` makes a fold of each bundle
    that holds both; the others always train. ``folds`` and ``holdout`` spread the foreground evenly.

    Raises:
        ConfigError: If ``test_groups`` names a group that is not there.
        TooLittleDataError: If no such folds exist: what is missing.
    """
    allowed = _allowed(bundles, rule)
    schemes = {"leave-one-out": _leave_one_out, "folds": _folds, "holdout": _holdout}
    folds = schemes[rule.scheme](allowed, rule)
    for number, fold in enumerate(folds):
        inside = {bundle.name for bundle in fold}
        rest: dict[str, int] = {}
        for bundle in bundles:
            if bundle.name not in inside:
                for name, count in bundle.counts.items():
                    rest[name] = rest.get(name, 0) + count
        if not rule.both(rest):
            raise TooLittleDataError(_missing(bundles, rule, f"fold {number} would leave nothing to train on"))
    return [tuple(sorted(group for bundle in fold for group in bundle.groups)) for fold in folds]


def _allowed(bundles: Sequence[Bundle], rule: Rule) -> list[Bundle]:
    if rule.test_groups is None:
        return list(bundles)
    known = {group: bundle for bundle in bundles for group in bundle.groups}
    for group in rule.test_groups:
        if group not in known:
            near = difflib.get_close_matches(group, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; there are {_some(sorted(known))}"
            raise ConfigError(f"split.test_groups names {group!r}, which is no group of {rule.by} with chips{meant}")
    chosen = {known[group].name for group in rule.test_groups}
    return [bundle for bundle in bundles if bundle.name in chosen]


def _leave_one_out(bundles: Sequence[Bundle], rule: Rule) -> list[list[Bundle]]:
    folds = [[bundle] for bundle in bundles if rule.both(bundle.counts)]
    if not folds:
        raise TooLittleDataError(_missing(bundles, rule, "no group can be tested"))
    return folds


def _folds(bundles: Sequence[Bundle], rule: Rule) -> list[list[Bundle]]:
    folds: list[list[Bundle]] = [[] for _ in range(rule.folds)]
    foreground, background = [0] * rule.folds, [0] * rule.folds
    # Largest first onto the emptiest fold keeps folds even; the drawn order decides between equals.
    by_name = {bundle.name: bundle for bundle in bundles}
    order = [by_name[name] for name in shuffled(by_name, rule.seed, "folds")]
    for bundle in sorted(order, key=lambda bundle: -rule.foreground(bundle.counts)):
        positive = rule.foreground(bundle.counts)
        load = foreground if positive else background
        to = min(range(rule.folds), key=lambda fold: (load[fold], background[fold]))
        folds[to].append(bundle)
        foreground[to] += positive
        background[to] += bundle.counts.get(rule.background, 0)
    if not all(foreground) or not all(background):
        raise TooLittleDataError(_missing(bundles, rule, f"they do not fill split.folds = {rule.folds} folds"))
    return folds


def _holdout(bundles: Sequence[Bundle], rule: Rule) -> list[list[Bundle]]:
    by_name = {bundle.name: bundle for bundle in bundles}
    order = [by_name[name] for name in shuffled(by_name, rule.seed, "holdout")]
    fold: list[Bundle] = []
    for positive in (True, False):
        kind = [bundle for bundle in order if bool(rule.foreground(bundle.counts)) is positive]
        fold += kind[: round(rule.test_fraction * len(kind)) or (1 if positive else 0)]
    counts = {"": 0}
    for bundle in fold:
        for name, count in bundle.counts.items():
            counts[name] = counts.get(name, 0) + count
    if not rule.both(counts):
        raise TooLittleDataError(_missing(bundles, rule, "no test set can be made of them"))
    return [fold]


def _missing(bundles: Sequence[Bundle], rule: Rule, what: str) -> str:
    able = [bundle for bundle in bundles if rule.both(bundle.counts)]
    total: dict[str, int] = {}
    for bundle in bundles:
        for name, count in bundle.counts.items():
            total[name] = total.get(name, 0) + count
    chips = ", ".join(f"{count} {name}" for name, count in sorted(total.items())) or "no chips"
    needed = rule.folds if rule.scheme == "folds" else 2
    joined = sum(len(bundle.groups) > 1 for bundle in bundles)
    hint = f" ({joined} of them joined from overlapping ones; see split.overlap)" if joined else ""
    return (
        f"too little data to train on some groups of {rule.by} and test on others: {what}; there are {chips} in"
        f" {len(bundles)} group(s){hint}, of which {len(able)} hold(s) both {rule.background} and other chips, and at"
        f" least {needed} that do are needed: add labelled scenes, or set split.by to a column with more groups"
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
