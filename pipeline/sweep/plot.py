"""Plot of a sweep: every measure over every key, as SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..utils.atomic_files import write_atomic
from ..utils.errors import StoreError
from .measures import MEASURES
from .request import Sweep
from .space import short_keys, show
from .table import Row, best

SVG_FILE = "sweep.svg"
PNG_FILE = "sweep.png"
MOST_LINES = 6
"""With more combinations of the other keys than this, points are not joined by lines."""
MOST_TICKS = 4
"""Up to this many values are labelled on the axis one by one."""
LOG_SPAN = 8.0
"""Values that span more than this factor are drawn on a logarithmic axis."""
DPI = 150
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sweep",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}
COLOURS = ("#0b6bcb", "#c2570c", "#0b8158", "#8a3fb0", "#946200", "#b3245b")
INK, MUTED = "#1b2126", "#8b949e"


def draw(sweep: Sweep, rows: Sequence[Row]) -> Figure | None:
    """Draw one panel for each measure (down) and swept key (across); return None while no point is measured."""
    done = [row for row in rows if row.state == "done"]
    measures = [name for name in MEASURES if any(row.number(name) is not None for row in done)]
    measures.sort(key=lambda name: name != sweep.metric)
    keys = [key for key in sweep.keys if len({show(row.point.changes[key]) for row in rows}) > 1] or sweep.keys[:1]
    if not measures:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 2.6 * len(keys), 0.4 + 2.1 * len(measures)), layout="constrained")
        panels = figure.subplots(len(measures), len(keys), squeeze=False, sharey="row", sharex="col")
        short = short_keys(sweep.keys)
        winner = best(rows, sweep.metric)
        for down, name in enumerate(measures):
            for across, key in enumerate(keys):
                panel = panels[down][across]
                _panel(panel, [row for row in done if row.number(name) is not None], name, key, sweep, winner)
                if down == 0 and len(panel.get_legend_handles_labels()[0]) > 1:
                    others = [short[other] for other in sweep.keys if other != key]
                    panel.legend(title=", ".join(others), title_fontsize=8.0)
                if across == 0:
                    panel.set_ylabel(f"{name}\n({'higher' if MEASURES[name].higher else 'lower'} is better)")
                if down == len(measures) - 1:
                    panel.set_xlabel(short[key])
        figure.suptitle(f"{sweep.name}: the ring marks the best by {sweep.metric}", fontsize=9.5, x=0.01, ha="left")
        return figure


def _panel(panel: Axes, rows: Sequence[Row], name: str, key: str, sweep: Sweep, winner: Row | None) -> None:
    neutral = MEASURES[name].neutral
    if neutral is not None:
        panel.axhline(neutral, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    place = _places(panel, rows, key)
    others = [other for other in sweep.keys if other != key]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" ".join(show(row.point.changes[other]) for other in others), []).append(row)
    joined = len(groups) <= MOST_LINES and any(len(group) > 1 for group in groups.values())
    for number, (label, group) in enumerate(groups.items()):
        group = sorted(group, key=lambda row: place[show(row.point.changes[key])])
        x = [place[show(row.point.changes[key])] for row in group]
        y = [row.number(name) or 0.0 for row in group]
        colour = COLOURS[number] if joined else INK
        panel.plot(
            x,
            y,
            "o-" if joined else "o",
            color=colour,
            markersize=4,
            linewidth=1.2,
            alpha=0.9,
            label=label if joined else None,
        )
        _bars(panel, group, x, y, name, colour)
    if winner is not None and winner in rows:
        position = place[show(winner.point.changes[key])], winner.number(name) or 0.0
        panel.plot(*position, "o", markersize=9, markerfacecolor="none", markeredgecolor=INK)


def _bars(panel: Axes, rows: Sequence[Row], x: list[float], y: list[float], name: str, colour: str) -> None:
    """Draw intervals of the difference, and for other measures the standard deviation over splits."""
    below, above = [], []
    for row, value in zip(rows, y, strict=True):
        low, high, spread = row.number("low"), row.number("high"), row.number(f"{name} sd")
        if name == "difference" and low is not None and high is not None:
            below.append(value - low)
            above.append(high - value)
        else:
            below.append(spread or 0.0)
            above.append(spread or 0.0)
    if any(below) or any(above):
        panel.errorbar(x, y, [below, above], fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.6)


def _places(panel: Axes, rows: Sequence[Row], key: str) -> dict[str, float]:
    """Return the position of each value of a key on the axis: numbers at their value, others side by side."""
    values = [row.point.changes[key] for row in rows]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        if min(numbers) > 0 and max(numbers) > LOG_SPAN * min(numbers):
            panel.set_xscale("log")
        places = sorted(set(numbers))
        if len(places) <= MOST_TICKS:
            panel.set_xticks(places, [show(value) for value in places])
            panel.xaxis.set_minor_locator(NullLocator())
        return {show(value): float(value) for value in numbers}
    names = list(dict.fromkeys(show(value) for value in values))
    panel.set_xticks(range(len(names)), names)
    panel.margins(x=0.15)
    return {name: float(position) for position, name in enumerate(names)}


def write(sweep: Sweep, rows: Sequence[Row], folder: Path) -> bool:
    """Draw the plot into a folder; return False while there is nothing to draw.

    Raises:
        StoreError: If the folder cannot be written.
    """
    figure = draw(sweep, rows)
    if figure is None:
        return False
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    try:
        for kind, name in (("svg", SVG_FILE), ("png", PNG_FILE)):
            buffer = io.BytesIO()
            with mpl.rc_context(STYLE):
                figure.savefig(buffer, format=kind, metadata=metadata[kind], dpi=DPI)
            write_atomic(folder / name, buffer.getvalue())
    except OSError as error:
        raise StoreError(f"the plot cannot be written to {folder}: {error.strerror or error}") from None
    return True
