"""Turn a YAML file and the options of the command into the points of a sweep, or one sentence on what is wrong."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..config.load import load, read_yaml, resolve_path
from ..config.run import RunConfig
from ..utils.errors import ConfigError
from ..utils.suggest import nearest
from .measures import MEASURES
from .space import Axis, Changes, draws, grid, labels, range_axis, text_overrides, values_axis

LONGEST_NAME = 64
LASTS = ("gan", "report")
"""Stages that a sweep may end at: the evaluation of generators, and the report."""
KEYS = ("name", "config", "set", "to", "metric", "grid", "range", "random", "seed")


@dataclass(frozen=True)
class Request:
    """A sweep as requested.

    Attributes:
        name: Name of the sweep and of its folder in ``reports/``; None names it after the configuration.
        config: Configuration that every point starts from; None for the default.
        overrides: ``key=value`` texts that hold for every point.
        last: Stage to end at, one of :data:`LASTS`.
        metric: Measure that orders the table; None for the usual one of the last stage.
        axes: Keys and their possible values.
        random: Number of points to draw; None runs the grid.
        seed: Seed of the draws.
    """

    name: str | None = None
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    last: str = "report"
    metric: str | None = None
    axes: tuple[Axis, ...] = ()
    random: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Point:
    """One configuration of a sweep.

    Attributes:
        label: The keys in which it differs from the others.
        run: Name of its run.
        changes: The value of each swept key.
        config: Its configuration.
    """

    label: str
    run: str
    changes: Changes
    config: RunConfig


@dataclass(frozen=True)
class Sweep:
    """A sweep that can be run.

    Attributes:
        name: Name of the sweep and of its folder in ``reports/``.
        last: Stage to end at.
        metric: Measure that orders the table.
        keys: The swept keys.
        points: The points, in the order of the grid or the draws.
    """

    name: str
    last: str
    metric: str
    keys: tuple[str, ...]
    points: tuple[Point, ...]


def read_request(path: Path) -> Request:
    """Read a sweep file: a mapping with the names of the command's options as keys.

    Raises:
        ConfigError: One sentence on the first thing that is wrong.
    """
    raw = read_yaml(path)
    unknown = [key for key in raw if key not in KEYS]
    if unknown:
        match = nearest(unknown[0], KEYS)
        hint = f"did you mean `{match}`?" if match else f"a sweep has {', '.join(KEYS)}"
        raise ConfigError(f"sweep {path}: unknown key `{unknown[0]}`; {hint}")
    for key, kind in (("name", str), ("config", str), ("to", str), ("metric", str), ("random", int), ("seed", int)):
        if raw.get(key) is not None and (not isinstance(raw[key], kind) or isinstance(raw[key], bool)):
            raise ConfigError(f"sweep {path}: `{key}` must be {'text' if kind is str else 'a whole number'}")
    for key in ("set", "grid", "range"):
        if not isinstance(raw.get(key) or {}, dict):
            raise ConfigError(f"sweep {path}: `{key}` must be a mapping of configuration keys")
    axes = [values_axis(key, values) for key, values in (raw.get("grid") or {}).items()]
    for key, ends in (raw.get("range") or {}).items():
        if not isinstance(ends, dict) or not {"low", "high"} <= set(ends) <= {"low", "high", "log"}:
            raise ConfigError(f"sweep {path}: the range of `{key}` needs low, high and, if wanted, log: true")
        axes.append(range_axis(key, ends["low"], ends["high"], bool(ends.get("log", False))))
    return Request(
        name=raw.get("name", path.stem),
        config=resolve_path(raw["config"], path.resolve().parent) if raw.get("config") else None,
        overrides=text_overrides(raw.get("set") or {}),
        last=raw.get("to") or "report",
        metric=raw.get("metric"),
        axes=tuple(axes),
        random=raw.get("random"),
        seed=raw.get("seed") or 0,
    )


def parse_grid(text: str) -> Axis:
    """Return the axis that ``key=value,value`` describes.

    Raises:
        ConfigError: If the text is not valid.
    """
    key, equals, values = text.partition("=")
    if not equals:
        raise ConfigError(f"--grid {text}: expected key=value,value, such as --grid gan.base_channels=16,32")
    try:
        return values_axis(key.strip(), yaml.safe_load(f"[{values}]"))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--grid {text}: the values are not valid YAML") from None


def parse_range(text: str) -> Axis:
    """Return the axis that ``key=low:high`` or ``key=low:high:log`` describes.

    Raises:
        ConfigError: If the text is not valid.
    """
    key, _, ends = text.partition("=")
    match = re.fullmatch(r"([^:]+):([^:]+?)(:log)?", ends.strip())
    if match is None:
        raise ConfigError(f"--range {text}: expected key=low:high or key=low:high:log")
    try:
        low, high = yaml.safe_load(match[1]), yaml.safe_load(match[2])
    except yaml.YAMLError:
        raise ConfigError(f"--range {text}: the limits are not valid YAML") from None
    return range_axis(key.strip(), low, high, match[3] is not None)


def merged(request: Request, axes: Sequence[Axis]) -> Request:
    """Return the request with further axes; one of the same key replaces the earlier one."""
    twice = [key for key, count in Counter(axis.key for axis in axes).items() if count > 1]
    if twice:
        raise ConfigError(f"sweep: `{twice[0]}` is swept twice; give it once, with all values")
    by_key = {axis.key: axis for axis in (*request.axes, *axes)}
    return replace(request, axes=tuple(by_key.values()))


def prepare(request: Request) -> Sweep:
    """Check a request and return its points.

    Raises:
        ConfigError: If it or one of its points cannot be used.
    """
    if request.last not in LASTS:
        raise ConfigError(f"sweep: --to must be {' or '.join(LASTS)}, got {request.last!r}")
    usual = "kid" if request.last == "gan" else "difference"
    metric = request.metric or usual
    allowed = [name for name, measure in MEASURES.items() if request.last == "report" or measure.of_gan]
    if metric not in allowed:
        raise ConfigError(f"sweep: no metric {metric!r} with --to {request.last}; there are {', '.join(allowed)}")
    if request.random is not None and request.random < 1:
        raise ConfigError(f"sweep: --random needs a positive number of points, got {request.random}")
    if request.seed < 0:
        raise ConfigError(f"sweep: the seed must not be negative, got {request.seed}")
    merged(request, request.axes)
    base = load(request.config, request.overrides)
    name = request.name or f"{base.name}-sweep"
    load(request.config, request.overrides, name)  # refuses a name that no folder could have
    axes = request.axes
    all_changes = grid(axes) if request.random is None else draws(axes, request.random, request.seed)
    shown = labels(all_changes)
    points = [
        _point(request, run, label, changes)
        for run, label, changes in zip(run_names(name, shown), shown, all_changes, strict=True)
    ]
    return Sweep(name, request.last, metric, tuple(axis.key for axis in axes), tuple(points))


def _point(request: Request, run: str, label: str, changes: Mapping[str, Any]) -> Point:
    try:
        config = load(request.config, (*request.overrides, *text_overrides(changes)), run)
    except ConfigError as error:
        raise ConfigError(f"point {label}: {error}") from None
    return Point(label, run, dict(changes), config)


def run_names(sweep: str, shown: Sequence[str]) -> list[str]:
    """Return a run's name for each point: that of the sweep and its label, in characters that a folder may have.

    Names that would be too long, or the same for two points, end in a digest of the label.
    """
    slugs = [re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-") for label in shown]
    often = Counter(slug.lower() for slug in slugs)
    names = []
    for slug, label in zip(slugs, shown, strict=True):
        name = f"{sweep}-{slug}"
        if len(name) > LONGEST_NAME or often[slug.lower()] > 1:
            digest = hashlib.sha256(label.encode()).hexdigest()[:8]
            name = f"{name[: LONGEST_NAME - 9]}-{digest}"
        names.append(name)
    return names
