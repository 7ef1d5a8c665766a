"""Elements of a page: sections of blocks, as plain data that the template lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

Block = dict[str, Any]

LISTED = 300
"""Rows of a table that a page shows."""


@dataclass
class Section:
    """A part of the page that answers one question.

    Attributes:
        id: Anchor.
        title: Heading.
        blocks: What it shows, in order.
        data: The same in figures, for report.json.
        appendix: Whether it is for reference: in print it comes last and small.
    """

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    appendix: bool = False

    def figures(self) -> dict[str, str]:
        """Return SVG of each figure in the section, by name."""
        drawings = {}
        for block in self.blocks:
            for entry in block.get("entries", []) if block["kind"] == "figures" else [block]:
                if "svg" in entry:
                    drawings[entry["name"]] = str(entry["svg"])
        return drawings


def text(words: str, quiet: bool = False) -> Block:
    """Return a paragraph."""
    return {"kind": "text", "text": words, "quiet": quiet}


def warning(words: str) -> Block:
    """Return a highlighted paragraph."""
    return {"kind": "warning", "text": words}


def heading(words: str) -> Block:
    """Return a heading within a section."""
    return {"kind": "heading", "text": words}


def figure(name: str, svg: str, caption: str) -> Block:
    """Return a figure; its SVG is ours and is not escaped, whatever text it holds was escaped when it was drawn."""
    return {"kind": "figure", "name": name, "svg": Markup(svg), "caption": caption}


def figures(entries: Sequence[Block]) -> Block:
    """Return figures side by side where there is room."""
    return {"kind": "figures", "entries": list(entries)}


def cell(value: str, ci: str = "") -> dict[str, str]:
    """Return a table cell with an interval below its value."""
    return {"value": value, "ci": ci}


def row(cells: Sequence[Any], strong: bool = False, series: int | None = None) -> dict[str, Any]:
    """Return a table row; the first cell is its heading. ``series`` is the number of its colour, from 0."""
    return {"cells": list(cells), "strong": strong, "series": None if series is None else series + 1}


def table(
    label: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    numeric: bool = True,
    fold: str | None = None,
) -> Block:
    """Return a table; with ``fold`` it is behind that line until opened. A very long one is cut."""
    if len(rows) > LISTED:
        caption = f"{caption} The first {LISTED} of {len(rows):,}.".strip()
    return {
        "kind": "table",
        "label": label,
        "caption": caption,
        "head": list(head),
        "rows": list(rows[:LISTED]),
        "numeric": numeric,
        "fold": fold,
    }


def beside(sides: Sequence[Mapping[str, Any]], caption: str) -> Block:
    """Return grids of chips side by side; each side has a title, pictures, and what one of them is (`what`)."""
    return {"kind": "beside", "sides": list(sides), "caption": caption}


def sheet(picture: str, alt: str, caption: str) -> Block:
    """Return one large picture."""
    return {"kind": "sheet", "picture": picture, "alt": alt, "caption": caption}


def sheets(entries: Sequence[Block]) -> Block:
    """Return large pictures side by side where there is room."""
    return {"kind": "sheets", "entries": list(entries)}


def anchor(words: str) -> str:
    """Return a name that links can lead to, made from any text."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in words).strip("-").lower()


def cases(entries: Sequence[Mapping[str, Any]]) -> Block:
    """Return single chips with a few lines of text each, enlarged on a click; each has an `id` for that."""
    return {"kind": "cases", "entries": list(entries)}


def gallery(title: str, words: str, groups: Sequence[Block]) -> Block:
    """Return groups of single chips, each with its own title; not for print."""
    return {"kind": "gallery", "title": title, "text": words, "entries": list(groups)}


def rows(entries: Sequence[Mapping[str, Any]]) -> Block:
    """Return a few pictures (`pictures`: picture and alternative text) beside one another, with a line of text each."""
    return {"kind": "rows", "entries": list(entries)}


def steps(entries: Sequence[Mapping[str, Any]]) -> Block:
    """Return what to do: title, text, a command to paste, and how many replicates that trains."""
    return {"kind": "steps", "entries": list(entries)}


def terms(summary: str, entries: Sequence[tuple[str, str]]) -> Block:
    """Return words and what they mean, behind a line until opened."""
    return {"kind": "terms", "summary": summary, "entries": list(entries)}


def bullets(entries: Sequence[str]) -> Block:
    """Return a list."""
    return {"kind": "list", "entries": list(entries)}


def code(summary: str, words: str) -> Block:
    """Return long text in fixed width, behind a line until opened."""
    return {"kind": "code", "summary": summary, "text": words}
