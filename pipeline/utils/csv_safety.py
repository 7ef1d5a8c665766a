"""Text that goes into a CSV and may be opened by a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """The text such that no spreadsheet takes it for a formula: one that would begin as one gets an apostrophe before.

    A file or a class can be named ``=HYPERLINK(...)``, and a spreadsheet would run that (OWASP, CSV injection). Only
    for text: a negative number is no formula.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_escaped_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with every text harmless, names of columns too; numbers stay what they are."""
    frame = frame.rename(columns={name: harmless(str(name)) for name in frame.columns})
    return _texts(frame, harmless)


def as_it_was(frame: pd.DataFrame) -> pd.DataFrame:
    """The table that :func:`csv_escaped_table` was given, but for the names of its columns."""
    return _texts(frame, lambda text: text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text)


def _texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def one(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    names = [name for name in frame.columns if frame[name].dtype.kind not in "biufM"]
    return frame.assign(**{name: frame[name].map(one, na_action="ignore") for name in names})
