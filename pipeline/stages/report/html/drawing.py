"""Drawing for the report: matplotlib figures as SVG whose colours are the page's, so that they follow light and dark.

Figures are drawn in stand-in colours. On the way into SVG these become CSS variables with a light fallback: inside the
page a figure takes the page's colours, and as a file of its own it is an ordinary light figure.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, GROUND, ACCENT, SOFT, BAD = (f"#f0000{number}" for number in range(1, 8))
SERIES = ("#f00011", "#f00012", "#f00013", "#f00014", "#f00015", "#f00016", "#f00017", "#f00018", "#f00019", "#f00020")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)), (0, (1, 3)),
    (0, (4, 1, 1, 1, 1, 1)), (0, (10, 2)), (0, (2, 1)),
)  # fmt: skip
LIGHT = (
    "#6b7280", "#0b6bcb", "#c2570c", "#0b8158", "#8a3fb0", "#946200", "#b3245b", "#0e7c86", "#4a5fc1", "#7a6a53",
)  # fmt: skip
VARIABLES = {
    INK: ("ink", "#1b2126"),
    MUTED: ("muted", "#59636e"),
    GRID: ("grid", "#d8dde2"),
    GROUND: ("ground", "#ffffff"),
    ACCENT: ("accent", "#0b5cad"),
    SOFT: ("soft", "#eef1f4"),
    BAD: ("bad", "#b3261e"),
} | {colour: (f"series-{number}", light) for number, (colour, light) in enumerate(zip(SERIES, LIGHT, strict=True), 1)}
"""Name of the CSS variable and light fallback of each stand-in colour."""

SCALE = 1.5
"""Screen pixels per point at the figure's natural size: text of 9 points is as large as a caption."""

KNOWN_ARMS = ("real", "classic", "gan", "classic+gan", "shuffled", "cutpaste", "classic+cutpaste")

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "axes.unicode_minus": True,
}


def number_of(arm: str, arms: Sequence[str]) -> int:
    """Return position of an arm in palette, markers and dashes: the same in every figure and every report."""
    if arm in KNOWN_ARMS:
        return KNOWN_ARMS.index(arm)
    others = [name for name in arms if name not in KNOWN_ARMS]
    return len(KNOWN_ARMS) + others.index(arm) % (len(SERIES) - len(KNOWN_ARMS))


@contextmanager
def drawn(width: float = 4.6, height: float = 2.6) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure with one pair of axes, sized in inches; narrow, so that a phone need not shrink it much."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an SVG element that follows the page's colours and names itself to a screen reader.

    Args:
        figure: What :func:`drawn` gave.
        name: Name of the figure; ids inside are made from it, so that figures do not share them.
        title: What it is, read first.
        description: What it shows, in figures, for whoever does not see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width, height = box.groups() if box else ("331.2", "187.2")
    body = text[text.index(">") + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.S)
    body = re.sub(r'<g id="[^"]+"', "<g", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    # What is left of ids is referred to within the figure; its name keeps them apart in a page of many.
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    # A link leads to a place in the page, not in the figure.
    body = re.sub(r'<a xlink:href="#([^"]+)"', r'<a aria-label="Show \1" href="#\1"', body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", body)
    body = re.sub(r"font-family: [^;\"]+;? ?", "", body)
    for colour, (variable, fallback) in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable}, {fallback})")
    body = re.sub(r"\n\s*", "\n", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-labelledby="{name}-title {name}-text" font-family="system-ui, sans-serif"'
        f' stroke-linejoin="round" style="--natural: {float(width) * SCALE:.0f}px">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-text">{html.escape(description)}</desc>{body.strip()}'
    )
