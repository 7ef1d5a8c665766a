"""The figures of the answer: each takes plain numbers and gives an SVG element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .drawing import ACCENT, DASHES, GRID, GROUND, INK, MARKERS, MUTED, SERIES, SOFT, drawn, svg
from .words import number, points


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


def _bar(axes: Axes, bar: Bar, row: int) -> None:
    if bar.estimate is None:
        return
    colour, marker = SERIES[bar.series % len(SERIES)], MARKERS[bar.series % len(MARKERS)]
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [row, row], color=colour, linewidth=4 if bar.strong else 2.4, alpha=0.45)
    if len(bar.dots):
        spread = row + 0.26 + np.zeros(len(bar.dots))
        axes.plot(bar.dots, spread, marker="|", linestyle="none", color=colour, markersize=4.5, alpha=0.9)
    size = 8 if bar.strong else 6
    axes.plot([bar.estimate], [row], marker=marker, color=colour, markersize=size, markeredgecolor=GROUND)


def intervals(name: str, title: str, bars: Sequence[Bar], axis: str, signed: bool = False, zero: bool = False) -> str:
    """Dots with intervals, one row each; small strokes are single replicates.

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
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)
        _percent(axes, signed)
        axes.set_xlabel(axis)
        says = points if signed else (lambda value: number(100 * value, 1) if value is not None else "–")
        text = "; ".join(f"{bar.label}: {says(bar.estimate)} ({says(bar.low)} to {says(bar.high)})" for bar in bars)
        return svg(figure, name, title, f"{axis}. {text}.")


def verdict(answer: Mapping[str, Any], name: str = "verdict") -> str:
    """The primary difference: its interval, each replicate, the bootstrap's draws, and what could have been seen."""
    found, draws = answer["difference"], answer["bootstrap"]
    with drawn(6.4, 1.75) as (figure, axes):
        if draws["histogram"] and draws["range"][0] is not None:
            first, last = draws["range"]
            edges = np.linspace(first, last, len(draws["histogram"]) + 1)
            heights = 0.62 * np.asarray(draws["histogram"]) / max(1, *draws["histogram"])
            axes.stairs(heights, edges, fill=True, color=GRID, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        if answer["detectable"] is not None and answer["verdict"] == "no detectable difference":
            axes.axvspan(-answer["detectable"], answer["detectable"], color=SOFT, zorder=-2)
        if found["low"] is not None:
            axes.plot([found["low"], found["high"]], [0, 0], color=ACCENT, linewidth=6, alpha=0.45)
        values = [value for value in answer["by_replicate"].values() if value is not None]
        axes.plot(values, np.full(len(values), -0.3), "|", color=ACCENT, markersize=8)
        if found["estimate"] is not None:
            axes.plot([found["estimate"]], [0], "D", color=ACCENT, markersize=9, markeredgecolor=GROUND)
        axes.set_ylim(-0.55, 0.75)
        low, high = axes.get_xlim()
        reach = max(abs(low), abs(high), 0.005)
        axes.set_xlim(min(low, -0.25 * reach), max(high, 0.25 * reach))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _percent(axes, signed=True)
        question = answer["question"]
        axes.set_xlabel(f"{question['title']}: {question['treatment']} minus {question['baseline']}, percentage points")
        for side, text, align in ((0.01, "◀ hurts", "left"), (0.99, "helps ▶", "right")):
            axes.text(side, 0.99, text, transform=axes.transAxes, ha=align, va="top", color=MUTED, fontsize=8.5)
        description = (
            f"Difference {points(found['estimate'])} points, interval {points(found['low'])} to"
            f" {points(found['high'])}; replicates {', '.join(points(value) for value in values)}."
        )
        return svg(figure, name, "The difference that the verdict follows from", description)


@dataclass(frozen=True)
class Line:
    """A curve of a line plot; `low` and `high` shade an interval around it."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    series: int = 0
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    marked: bool = False


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def lines(
    name: str,
    title: str,
    curves: Sequence[Line],
    x_axis: str,
    y_axis: str,
    marks: Mapping[str, float] | None = None,
    log_y: bool = False,
    size: tuple[float, float] = (4.6, 2.7),
) -> str:
    """Curves over a common axis, told apart by colour and dash, with vertical marks.

    Args:
        name: Name of the figure.
        title: What it is.
        curves: The curves.
        x_axis: What the horizontal axis shows.
        y_axis: What the vertical axis shows.
        marks: Where to draw a vertical line, by what it says.
        log_y: Whether the vertical axis is logarithmic.
        size: Width and height in inches.
    """
    with drawn(*size) as (figure, axes):
        for curve in curves:
            kind = curve.series % len(SERIES)
            if len(curve.low):
                axes.fill_between(
                    curve.x, _floats(curve.low), _floats(curve.high), color=SERIES[kind], alpha=0.16, linewidth=0
                )
            marker = MARKERS[kind] if curve.marked else None
            axes.plot(
                curve.x, _floats(curve.y), color=SERIES[kind], linestyle=DASHES[kind], marker=marker, label=curve.label
            )
        if log_y:
            axes.set_yscale("log")
        axes.grid(True)
        axes.set_axisbelow(True)
        axes.margins(x=0.02)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        for text, place in (marks or {}).items():
            axes.axvline(place, color=INK, linewidth=0.9, linestyle=":")
            side = "right" if place > np.mean(axes.get_xlim()) else "left"
            axes.annotate(
                text, (place, 1), xycoords=("data", "axes fraction"), xytext=(-3 if side == "right" else 3, -2),
                textcoords="offset points", ha=side, va="top", fontsize=8, color=MUTED,
            )  # fmt: skip
        if len(curves) > 1:
            axes.legend(loc="best", handlelength=2.6)
        ends = "; ".join(_ends(curve) for curve in curves)
        return svg(figure, name, title, f"{y_axis} over {x_axis}. {ends}.")


def _ends(curve: Line) -> str:
    known = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None and math.isfinite(y)]
    if not known:
        return f"{curve.label}: no values"
    (first_x, first_y), (last_x, last_y) = known[0], known[-1]
    return f"{curve.label}: {first_y:.4g} at {first_x:g}, {last_y:.4g} at {last_x:g}"
