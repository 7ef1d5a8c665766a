"""Choose the column of a table or vector file that names the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..utils.plural import plural
from .tabular import SYNONYMS

FEW = 60
"""Different values that a class column has at most."""
NAMES = (*SYNONYMS["class"], "name", "feature", "object")


def choose(values: Mapping[str, Sequence[str]]) -> tuple[str | None, dict[str, int]]:
    """Return the column that names the class, and the other columns that could, with their number of values.

    A column that is named as class columns usually are, in whatever case, with few different values. Names of classes
    go before their numbers.

    Args:
        values: The values of each column that are not missing, as text.
    """
    counts = {column: len(set(given)) for column, given in values.items() if given}
    candidates = {}
    for column, count in counts.items():
        plain = column.lower().replace(" ", "_")
        if plain in NAMES and count <= FEW and (count * 2 <= len(values[column]) or plain == "class"):
            candidates[column] = (all(_is_number(text) for text in values[column]), NAMES.index(plain))
    chosen = min(candidates, key=lambda column: candidates[column], default=None)
    others = {
        column: count
        for column, count in counts.items()
        if column != chosen and 2 <= count <= FEW and count * 2 <= len(values[column])
        if column in candidates or not all(_is_fraction(text) for text in values[column])
    }
    return chosen, others


def note(chosen: str | None, others: Mapping[str, int], key: str) -> list[str]:
    """Return what to say of columns that are not used, with the setting that uses one.

    Args:
        chosen: The column that is used.
        others: Columns that are not, with their number of values.
        key: The setting; ``COLUMN`` in it stands for the column's name.
    """
    if not others:
        return []
    listed = ", ".join(f"{column} ({plural(count, 'value')})" for column, count in list(others.items())[:6])
    used = f"the class is taken from the column {chosen}" if chosen else "every label is of one class"
    setting = key.replace("COLUMN", next(iter(others)))
    return [f"{used}; columns that are not used: {listed}; `--set {setting}` takes the class from one"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_fraction(text: str) -> bool:
    """Return whether a text is a number with a fraction: measurements are no classes."""
    return _is_number(text) and not float(text).is_integer() if text else False
