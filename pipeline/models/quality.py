"""Rules on whether a generator learned its data; report, cards and `load_generator` state the result alike.

The thresholds are wide on purpose: a generator that merely is not good passes. On simulated harbours and on real tiles,
generators of up to 1,200 images have kernel distances 6 to 5,400 above that of real chips and a third of their coverage
or less; trained ones 0 to 2.2 above it and three quarters of their coverage or more. In between, at 1,800 to 6,000
images, they paint chips like real ones under any label: distances are small, and a classifier of them learns 2 % of
what it learns from real chips.

Recall is no part of the rules, since it does not tell generators that learned from others. Of 194 classes generated
after 3,000 images or more, 75 have less than a tenth of real chips' recall, and a classifier learns from them as much
(median 0.87 of what it learns from real chips) as where recall is above half (0.82); over those that pass the rules
the rank correlation of the two is -0.09 (p = 0.38). It says that kinds of chips are missing: see :func:`narrow`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

FAR_FLOORS, FAR = 3.0, 1.0
"""Generated chips of a class are far from real ones where their kernel distance exceeds the floor by so many floors,
and by so much."""
LOST = 0.5
"""A class was missed where its chips are far, and their precision or coverage is below this share of real chips'."""
LOST_FROM = 10.0
"""It was missed at any precision and coverage where they are so many times as far as that."""
UNTAUGHT = 0.25
"""A generator's labels carry nothing where a classifier of its chips has less than this share of what one of real chips
has above chance (balanced accuracy on real chips)."""

NARROW = 0.25
"""Generated chips of a class vary too little where their recall is below this share of real chips', and theirs is at
least so much."""


@dataclass(frozen=True)
class GeneratorVerdict:
    """Assessment of whether a generator learned its data.

    Attributes:
        learned: False where it did not, by measured rules; None where too little was measured to say.
        reasons: What it fails by, in words, the worst first; empty where it learned.
    """

    learned: bool | None
    reasons: tuple[str, ...] = ()

    @property
    def sentence(self) -> str | None:
        """Return what people must know before they use the generator or believe a verdict on it; None if nothing."""
        return None if self.learned is not False else f"This generator did not learn: {self.reasons[0]}."


def generator_verdict(metadata: Mapping[str, Any]) -> GeneratorVerdict:
    """Return whether a generator learned its data.

    Args:
        metadata: Metadata of a generator's artifact, or means over several: `quality` by class with kernel distance
            (`kid`), `precision` and `coverage`, each beside its floor, what real chips score (`<measure>_floor`); and
            `usefulness`, with the balanced accuracy on real chips of classifiers trained on either kind.
    """
    quality: Mapping[str, Mapping[str, float]] = metadata.get("quality") or {}
    measured = {label: values for label, values in quality.items() if _complete(values)}
    missed = [failure for label, values in measured.items() if (failure := _missed(label, values)) is not None]
    reasons = [reason for _, reason in sorted(missed, reverse=True)]
    share = tstr_share(metadata.get("usefulness") or {}, _classes(metadata))
    if share is not None and share < UNTAUGHT:
        reasons.append(
            f"a classifier trained only on its chips learns {100 * max(share, 0):.0f} % of what one trained on real"
            " chips does"
        )
    if reasons:
        return GeneratorVerdict(False, tuple(reasons))
    return GeneratorVerdict(True if measured or share is not None else None)


def experiment_verdict(generators: Sequence[Mapping[str, Any]]) -> GeneratorVerdict:
    """Return whether the generators of an experiment learned: no, where at least half of those measured did not.

    Args:
        generators: Metadata of each, as for :func:`generator_verdict`. Where one has `layers`, its classes generated as
            layers count alone: classifiers are trained on nothing else of it.
    """
    generators = [_of_layers(metadata) for metadata in generators]
    verdicts = [generator_verdict(metadata) for metadata in generators]
    failed = [metadata for metadata, verdict in zip(generators, verdicts, strict=True) if verdict.learned is False]
    measured = sum(verdict.learned is not None for verdict in verdicts)
    if failed and 2 * len(failed) >= measured:
        # Each by itself failed; the mean of them can say nothing milder than they do, or the first one speaks.
        return next(v for v in (generator_verdict(mean_of(failed)), *verdicts) if v.learned is False)
    return GeneratorVerdict(True if measured else None)


def _of_layers(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    layers = metadata.get("layers")
    if not layers:
        return metadata
    quality = metadata.get("quality") or {}
    return {**metadata, "quality": {label: values for label, values in quality.items() if label in layers}}


def mean_of(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of nested tables of numbers, key by key, over the tables that have the key; the rest is left out.

    ``mean_of([{"ship": {"kid": 1}}, {"ship": {"kid": 3}}])`` is ``{"ship": {"kid": 2.0}}``.
    """
    means: dict[str, Any] = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table[key] for table in tables if key in table]
        if all(isinstance(value, Mapping) for value in values):
            means[key] = mean_of(values)
        elif numbers := [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]:
            means[key] = fmean(numbers)
    return means


def missed_classes(metadata: Mapping[str, Any]) -> set[str]:
    """Return the classes whose generated chips are far from real ones, by the rules of :func:`generator_verdict`."""
    quality: Mapping[str, Mapping[str, float]] = metadata.get("quality") or {}
    return {label for label, values in quality.items() if _complete(values) and _missed(label, values) is not None}


def narrow(values: Mapping[str, float]) -> bool:
    """Return whether kinds of real chips are missing among the generated ones of a class, by its quality."""
    recall, floor = values.get("recall"), values.get("recall_floor", 0.0)
    return recall is not None and floor >= NARROW and recall < NARROW * floor


def tstr_share(usefulness: Mapping[str, Any], classes: int) -> float | None:
    """Return what a classifier learns from synthetic chips, as a share of what it learns from real ones, above chance.

    None where it was not measured, or where it learns nothing above chance from real chips either.
    """
    ways = ("real_to_real", "synthetic_to_real")
    if classes < 2 or not set(ways) <= set(usefulness):
        return None
    chance = 1 / classes
    real, synthetic = (float(usefulness[way]["balanced_accuracy"]) - chance for way in ways)
    return synthetic / real if real > 0 else None


def _classes(metadata: Mapping[str, Any]) -> int:
    """Return how many classes usefulness was measured of: each has an average precision."""
    measured = (metadata.get("usefulness") or {}).get("real_to_real", {})
    return len(measured.get("average_precision", {})) or len(metadata.get("quality") or {})


def _complete(values: Mapping[str, float]) -> bool:
    names = ("kid", "precision", "coverage")
    return all(isinstance(values.get(f"{name}{end}"), int | float) for name in names for end in ("", "_floor"))


def _missed(label: str, values: Mapping[str, float]) -> tuple[float, str] | None:
    """Return by how much and how a class was missed, or None."""
    excess, floor = values["kid"] - values["kid_floor"], values["kid_floor"]
    shares = {name: values[name] / (values[f"{name}_floor"] or 1.0) for name in ("precision", "coverage")}
    distance = excess / max(FAR_FLOORS * floor, FAR)
    if distance <= 1 or (distance <= LOST_FROM and min(shares.values()) >= LOST):
        return None
    far = f"{values['kid'] / floor:,.0f} times as far from real ones as" if floor > 0 else "farther from real ones than"
    return distance, (
        f"its {label} chips are {far} other real chips are ({100 * values['precision']:.0f} % of them look real, and"
        f" they cover {100 * values['coverage']:.0f} % of the real ones)"
    )
