"""Text that goes into a CSV and may be opened by a spreadsheet."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """The text such that no spreadsheet takes it for a formula: one that would begin as one gets an apostrophe before.

    A file or a class can be named ``=HYPERLINK(...)``, and a spreadsheet would run that (OWASP, CSV injection). Only
    for text: a negative number is no formula.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
