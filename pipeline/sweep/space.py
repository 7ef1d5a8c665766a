"""Values that a sweep tries: the grid of all combinations, or draws that follow from a seed. Pure logic."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from ..utils.errors import ConfigError
from ..utils.plural import plural

MOST_POINTS = 10_000
"""A larger grid is taken for a mistake."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
DIGITS = 3
"""Significant digits of a drawn value: a name shows all of them, and a fourth would not matter."""
UNCHANGING = ("name", "compute.workers", "compute.executor", "compute.scheduler")
"""Keys that change no result."""

Changes = dict[str, Any]
"""A point: the value of each swept key."""


@dataclass(frozen=True)
class Axis:
    """A key and its possible values.

    Attributes:
        key: Dotted key of the configuration, list items by number.
        values: The values to try; empty for a range.
        low: Least value of a range.
        high: Greatest value of a range.
        log: Whether a range is drawn evenly in its logarithm.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def at(self, share: float) -> Any:
        """Return the value at a share, in [0, 1), of the way from first to last, whole if both ends of a range are.

        A list is divided into equal pieces, one for each value.
        """
        if self.values:
            return self.values[int(share * len(self.values))]
        if isinstance(self.low, int) and isinstance(self.high, int):
            if self.log:
                # Half below and half above each end, so that the ends are as likely as the others.
                low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
                return min(self.high, max(self.low, round(math.exp(low + share * (high - low)))))
            return self.low + int(share * (self.high - self.low + 1))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return _short(math.exp(low + share * (high - low)))
        return _short(self.low + share * (self.high - self.low))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def as_value(raw: Any) -> Any:
    """Return a value that YAML gave, with numbers such as ``1e-4``, which YAML reads as text, as numbers."""
    return float(raw) if isinstance(raw, str) and NUMBER.fullmatch(raw) else raw


def values_axis(key: str, values: Any) -> Axis:
    """Return an axis of listed values.

    Raises:
        ConfigError: If there is none, or one is listed twice.
    """
    _check_key(key)
    if not isinstance(values, list) or not values:
        raise ConfigError(f"sweep: `{key}` needs a list of values, such as --grid gan.base_channels=16,32")
    checked = tuple(as_value(value) for value in values)
    texts = [json.dumps(value, sort_keys=True, default=str) for value in checked]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"sweep: `{key}` lists a value twice; list it once")
    return Axis(key, checked)


def range_axis(key: str, low: Any, high: Any, log: bool) -> Axis:
    """Return an axis of all values between two.

    Raises:
        ConfigError: If the ends are not two rising numbers, or are not positive on a logarithmic axis.
    """
    _check_key(key)
    low, high = as_value(low), as_value(high)
    if any(isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end) for end in (low, high)):
        raise ConfigError(f"sweep: the range of `{key}` needs two numbers, such as --range gan.r1=0.01:1:log")
    if not low < high:
        raise ConfigError(f"sweep: the range of `{key}` must go from low to high, got {low:g} to {high:g}")
    if log and low <= 0:
        raise ConfigError(f"sweep: a logarithmic range must begin above 0; that of `{key}` begins at {low:g}")
    return Axis(key, low=low, high=high, log=log)


def _check_key(key: str) -> None:
    if key in UNCHANGING:
        raise ConfigError(f"sweep: `{key}` changes no result, so it cannot be swept; give it with --set")


def grid(axes: Sequence[Axis]) -> list[Changes]:
    """Return every combination, the last key changing fastest.

    Raises:
        ConfigError: If there is no axis, one is a range, or there are more than :data:`MOST_POINTS`.
    """
    _check_axes(axes)
    ranges = [axis.key for axis in axes if not axis.values]
    if ranges:
        raise ConfigError(
            f"sweep: `{ranges[0]}` is a range and a grid needs values; list them, or draw with --random N"
        )
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        raise ConfigError(f"sweep: the grid has {plural(count, 'point')}; draw some of them with --random N")
    return [
        dict(zip([axis.key for axis in axes], values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def draws(axes: Sequence[Axis], count: int, seed: int) -> list[Changes]:
    """Return points drawn at random without repetition; fewer if there are not that many.

    A point depends on the seed and its number alone, so that more draws keep the earlier ones.

    Raises:
        ConfigError: If there is no axis.
    """
    _check_axes(axes)
    points: dict[str, Changes] = {}
    for number in itertools.count():
        if len(points) == count or number == 100 * count:
            break
        shares = np.random.default_rng([seed, number]).random(len(axes)).tolist()
        point = {axis.key: axis.at(share) for axis, share in zip(axes, shares, strict=True)}
        points.setdefault(json.dumps(point, default=str), point)
    return list(points.values())


def _check_axes(axes: Sequence[Axis]) -> None:
    if not axes:
        raise ConfigError("sweep: nothing to sweep; name a key, such as --grid gan.base_channels=16,32")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return for each dotted key its shortest end that no other key has."""
    short = {}
    for key in keys:
        words = key.split(".")
        ends = [".".join(words[-length:]) for length in range(1, len(words) + 1)]
        others = [f".{other}" for other in keys if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def show(value: Any) -> str:
    """Return a value as names and tables show it."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def labels(points: Sequence[Changes]) -> list[str]:
    """Return a label for each point: the keys in which points differ, such as ``base_channels=16 r1=0.1``."""
    keys = list(points[0])
    differing = [key for key in keys if len({show(point[key]) for point in points}) > 1] or keys
    short = short_keys(keys)
    return [" ".join(f"{short[key]}={show(point[key])}" for key in differing) for point in points]


def text_overrides(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the changes as ``--set`` takes them."""
    # YAML and not JSON: YAML reads JSON's 1e-05 as text.
    texts = {key: yaml.safe_dump(value, default_flow_style=True, width=math.inf) for key, value in changes.items()}
    return tuple(f"{key}={text.removesuffix('...' + chr(10)).strip()}" for key, text in texts.items())
