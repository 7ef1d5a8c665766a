"""Escape text for CSV files that a spreadsheet may open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_escaped(text: str) -> str:
    """Return the text with an apostrophe before it if a spreadsheet would take it for a formula (OWASP, CSV injection).

    A file or a class can be named ``=HYPERLINK(...)``. Only for text: a negative number is not a formula.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_escaped_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every text escaped, names of columns too; numbers stay as they are."""
    frame = frame.rename(columns={name: csv_escaped(str(name)) for name in frame.columns})
    return _texts(frame, csv_escaped)


def unescaped_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table that :func:`csv_escaped_table` was given, except for the names of its columns."""
    return _texts(frame, lambda text: text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text)


def _texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def change_text(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    names = [name for name in frame.columns if frame[name].dtype.kind not in "biufM"]
    return frame.assign(**{name: frame[name].map(change_text, na_action="ignore") for name in names})
