"""Figures of the answer: each takes plain numbers and gives an SVG element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .drawing import ACCENT, DASHES, GRID, GROUND, INK, MARKERS, MUTED, SERIES, SOFT, drawn, svg
from .words import ends, number, points

NEAR = 0.03
"""Strokes that are nearer than this share of all their range would cover each other."""
MOST_LEVELS = 3


@dataclass(frozen=True)
class Bar:
    """A row of an interval plot.

    Attributes:
        label: What it is of.
        estimate: The dot.
        low: Left end of the interval, or None.
        high: Right end.
        dots: Single replicates, drawn small.
        series: Number of colour and marker.
        strong: Whether it is the row that counts.
    """

    label: str
    estimate: float | None
    low: float | None
    high: float | None
    dots: Sequence[float] = ()
    series: int = 0
    strong: bool = False


def _percent(axes: Axes, signed: bool) -> None:
    def text(value: float, _: int) -> str:
        return points(value, 1).replace(".0", "") if signed else number(100 * value, 1).removesuffix(".0")

    axes.xaxis.set_major_formatter(FuncFormatter(text))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _rows(axes: Axes, count: int, title: str, signed: bool) -> None:
    """Set the axes of a plot with a row for each thing, and values along the horizontal axis."""
    axes.set_ylim(count - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    _percent(axes, signed)
    axes.set_xlabel(title)


def stacked(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a level (N,) from 0 for each value, so that equal and almost equal ones are drawn below each other."""
    levels = np.zeros(len(values))
    near = NEAR * max(float(np.ptp(values)), NEAR) if len(values) else 0.0
    last: list[float] = []
    for position in np.argsort(values, kind="stable"):
        level = next((number for number, value in enumerate(last) if values[position] - value > near), len(last))
        last[level : level + 1] = [values[position]]
        levels[position] = min(level, MOST_LEVELS)
    return levels


def _bar(axes: Axes, bar: Bar, row: int) -> None:
    if bar.estimate is None:
        return
    colour, marker = SERIES[bar.series % len(SERIES)], MARKERS[bar.series % len(MARKERS)]
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [row, row], color=colour, linewidth=4 if bar.strong else 2.4, alpha=0.45)
    if len(bar.dots):
        levels = row + 0.2 + 0.09 * stacked(bar.dots)
        axes.plot(bar.dots, levels, marker="|", linestyle="none", color=colour, markersize=4.5, alpha=0.9)
    size = 8 if bar.strong else 6
    axes.plot([bar.estimate], [row], marker=marker, color=colour, markersize=size, markeredgecolor=GROUND)


def intervals(name: str, title: str, bars: Sequence[Bar], axis: str, signed: bool = False, zero: bool = False) -> str:
    """Return dots with intervals, one row each; small strokes are single replicates.

    Args:
        name: Name of the figure.
        title: What it is.
        bars: The rows, from the top.
        axis: What the horizontal axis shows, in percent or percentage points.
        signed: Whether values are differences.
        zero: Whether to draw the line of no difference.
    """
    with drawn(4.8, 0.75 + 0.36 * len(bars)) as (figure, axes):
        if zero:
            axes.axvline(0, color=INK, linewidth=0.9)
        for row, bar in enumerate(bars):
            _bar(axes, bar, row)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        _rows(axes, len(bars), axis, signed)
        says = points if signed else (lambda value: number(100 * value, 1) if value is not None else "–")
        text = "; ".join(
            f"{bar.label}: {says(bar.estimate)}"
            + (" (no interval)" if bar.low is None else f" ({says(bar.low)} to {says(bar.high)})")
            for bar in bars
        )
        return svg(figure, name, title, f"{axis}. {text}.")


def verdict(answer: Mapping[str, Any]) -> str:
    """Return the primary difference: its interval, each replicate, the bootstrap's draws, the detectable effect."""
    difference, draws = answer["difference"], answer["bootstrap"]
    with drawn(4.8, 1.7) as (figure, axes):
        if draws["histogram"] and draws["range"][0] is not None:
            first, last = draws["range"]
            edges = np.linspace(first, last, len(draws["histogram"]) + 1)
            heights = 0.62 * np.asarray(draws["histogram"]) / max(1, *draws["histogram"])
            axes.stairs(heights, edges, fill=True, color=GRID, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        if answer["detectable"] is not None and answer["verdict"] == "no detectable difference":
            axes.axvspan(-answer["detectable"], answer["detectable"], color=SOFT, zorder=-2)
        if difference["low"] is not None:
            axes.plot([difference["low"], difference["high"]], [0, 0], color=ACCENT, linewidth=6, alpha=0.45)
        values = [value for value in answer["by_replicate"].values() if value is not None]
        axes.plot(values, -0.2 - 0.09 * stacked(values), "|", color=ACCENT, markersize=6)
        if difference["estimate"] is not None:
            axes.plot([difference["estimate"]], [0], "D", color=ACCENT, markersize=9, markeredgecolor=GROUND)
        axes.set_ylim(-0.55, 0.75)
        low, high = axes.get_xlim()
        reach = max(abs(low), abs(high), 0.005)
        axes.set_xlim(min(low, -0.25 * reach), max(high, 0.25 * reach))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _percent(axes, signed=True)
        question = answer["question"]
        axes.set_xlabel(f"{question['title']}, {question['treatment']} − {question['baseline']}, points")
        for side, text, align in ((0.01, "◀ hurts", "left"), (0.99, "helps ▶", "right")):
            axes.text(side, 0.99, text, transform=axes.transAxes, ha=align, va="top", color=MUTED, fontsize=8.5)
        description = (
            f"Difference {points(difference['estimate'])} points ({ends(difference)});"
            f" replicates {', '.join(points(value) for value in values)}."
        )
        return svg(figure, "verdict", "The difference that determines the verdict", description)


@dataclass(frozen=True)
class Line:
    """A curve of a line plot.

    Attributes:
        label: What it is of.
        x: Places.
        y: Values; None leaves a gap.
        series: Number of colour, dash and marker.
        low: Lower end of an interval to shade.
        high: Upper end.
        marked: Whether each value has a marker.
        ringed: Place of a value to ring.
        note: What is written at the ringed value about what follows it, which is drawn paler then.
        plain: Whether it is a thin line for comparison, without a place in the legend.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    series: int = 0
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    marked: bool = False
    ringed: float | None = None
    note: str | None = None
    plain: bool = False


CROWDED = 3
"""With more curves than this the legend stands above them."""


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def lines(
    name: str,
    title: str,
    curves: Sequence[Line],
    x_axis: str,
    y_axis: str,
    square: bool = False,
    log_x: bool = False,
    percent: bool = False,
) -> str:
    """Return curves over a common axis, distinguished by colour and dash.

    Args:
        name: Name of the figure.
        title: What it is.
        curves: The curves.
        x_axis: What the horizontal axis shows.
        y_axis: What the vertical axis shows.
        square: Whether both axes go from 0 to 1.
        log_x: Whether the horizontal axis is logarithmic; its ticks are the places of the curves.
        percent: Whether values are shares, to be shown in percent.
    """
    with drawn(4.4, 3.5 if square else 2.8) as (figure, axes):
        for curve in curves:
            _curve(axes, curve)
        if log_x:
            places = sorted({place for curve in curves for place in curve.x})
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{place:,.0f}" for place in places])
            axes.minorticks_off()
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
            if not square:
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        if square:
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(100 * value, 1).removesuffix(".0")))
        axes.grid(True)
        axes.set_axisbelow(True)
        axes.margins(x=0.02)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        named = [curve for curve in curves if not curve.plain]
        if len(named) > 1:
            above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3}
            axes.legend(handlelength=2.8, **(above if len(named) > CROWDED else {"loc": "best"}))
        ends = "; ".join(_ends(curve) for curve in named)
        return svg(figure, name, title, f"{y_axis} over {x_axis}. {ends}.")


def _curve(axes: Axes, curve: Line) -> None:
    if curve.plain:
        axes.plot(curve.x, _floats(curve.y), color=MUTED, linewidth=0.8)
        return
    kind = curve.series % len(SERIES)
    if len(curve.low):
        low, high = _floats(curve.low), _floats(curve.high)
        axes.fill_between(curve.x, low, high, color=SERIES[kind], alpha=0.16, linewidth=0)
    marker = MARKERS[kind] if curve.marked else None
    values = _floats(curve.y)
    ringed_at = list(curve.x).index(curve.ringed) if curve.ringed is not None and curve.ringed in curve.x else None
    until = ringed_at + 1 if ringed_at is not None and curve.note is not None else len(values)
    style: dict[str, Any] = {"color": SERIES[kind], "linestyle": DASHES[kind], "marker": marker}
    axes.plot(curve.x[:until], values[:until], label=curve.label, **style)
    if until < len(values):
        axes.plot(curve.x[until - 1 :], values[until - 1 :], alpha=0.4, **style)
    if ringed_at is not None:
        if curve.note is not None:
            right = curve.x[ringed_at] > (min(curve.x) + max(curve.x)) / 2
            axes.annotate(
                curve.note, (curve.x[ringed_at], values[ringed_at]), (-8 if right else 8, 14),
                textcoords="offset points", ha="right" if right else "left", color=MUTED, fontsize=8.5,
            )  # fmt: skip
        ring: dict[str, Any] = {"marker": "o", "markersize": 8, "markerfacecolor": GROUND, "markeredgewidth": 2}
        axes.plot(curve.x[ringed_at], values[ringed_at], color=SERIES[kind], **ring)


def _ends(curve: Line) -> str:
    drawn = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None and math.isfinite(y)]
    if not drawn:
        return f"{curve.label}: no values"
    (first_x, first_y), (last_x, last_y) = drawn[0], drawn[-1]
    return f"{curve.label}: {first_y:.4g} at {first_x:g}, {last_y:.4g} at {last_x:g}"


LABELLED_STEMS = 40
"""With more units than this their names would be too small to read."""


@dataclass(frozen=True)
class Stem:
    """One test unit: its name, the difference, and how many chips it has."""

    label: str
    value: float
    weight: float


def stems(name: str, title: str, rows: Sequence[Stem], axis: str, series: int) -> str:
    """Return differences of many units, one line each from zero, sorted; larger dots have more chips.

    Args:
        name: Name of the figure.
        title: What it is.
        rows: The units, from the top.
        axis: What the horizontal axis shows, in percentage points.
        series: Number of the colour.
    """
    labelled = len(rows) <= LABELLED_STEMS
    with drawn(4.8, 0.8 + (0.2 * len(rows) if labelled else 3.2)) as (figure, axes):
        places = np.arange(len(rows))
        values = np.array([row.value for row in rows])
        heaviest = max((row.weight for row in rows), default=1.0)
        sizes = [6 + 30 * row.weight / heaviest for row in rows]
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.hlines(places, 0, values, color=SERIES[series], linewidth=1.1, alpha=0.55)
        axes.scatter(values, places, s=sizes, color=SERIES[series], zorder=3, linewidths=0)
        axes.set_yticks(places if labelled else [], [row.label for row in rows] if labelled else [])
        _rows(axes, len(rows), axis, signed=True)
        better, worse = int((values > 0).sum()), int((values < 0).sum())
        text = f"{axis}: {better} above zero, {worse} below, {len(rows) - better - worse} equal."
        return svg(figure, name, title, text)
