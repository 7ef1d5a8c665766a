"""Table of a sweep: best points first, as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.atomic_files import write_atomic
from ..utils.errors import ConfigError, StoreError
from .measures import MEASURES, Values
from .request import Point, Sweep
from .space import short_keys, show

CSV_FILE = "sweep.csv"
JSON_FILE = "sweep.json"
FORMAT = 1


@dataclass(frozen=True)
class Row:
    """A row of the table: a point and its measures.

    Attributes:
        point: The point.
        state: ``done``, ``failed`` or ``waiting``.
        failure: Why it failed.
        values: Its measures.
    """

    point: Point
    state: str
    failure: str | None
    values: Values

    def number(self, name: str) -> float | None:
        """Return a measure if it is a number, else None."""
        value = self.values.get(name)
        return value if isinstance(value, float) else None


def ordered(rows: Sequence[Row], metric: str) -> list[Row]:
    """Return rows best first by a measure; then those without it, complete ones before waiting and failed ones."""
    sign = -1.0 if MEASURES[metric].higher else 1.0

    def place(row: Row) -> tuple[int, float]:
        value = row.number(metric) if row.state == "done" else None
        if value is None:
            return 1 + ("done", "waiting", "failed").index(row.state), math.inf
        return 0, sign * value

    return sorted(rows, key=place)


def best(rows: Sequence[Row], metric: str) -> Row | None:
    """Return the best row, or None if no point has the measure."""
    first = ordered(rows, metric)[:1]
    return first[0] if first and first[0].state == "done" and first[0].number(metric) is not None else None


def columns(rows: Sequence[Row]) -> list[str]:
    """Return the names of all measures that a point has: overall ones first, then those of single classes."""
    names = dict.fromkeys(name for row in rows for name in row.values)
    return sorted(names, key=lambda name: (" of " in name, list(names).index(name)))


def as_csv(sweep: Sweep, rows: Sequence[Row]) -> str:
    """Return the table as CSV: a line per point, best first, with the swept keys, state, and every measure."""
    names = columns(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["point", "run", *sweep.keys, "state", *names, "failure"])
    for row in ordered(rows, sweep.metric):
        point = row.point
        values = ["" if row.values.get(name) is None else _cell(row.values[name]) for name in names]
        keys = [show(point.changes[key]) for key in sweep.keys]
        writer.writerow([point.label, point.run, *keys, row.state, *values, row.failure or ""])
    return out.getvalue()


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_json(sweep: Sweep, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the table as JSON data."""
    best_row = best(rows, sweep.metric)
    return {
        "format": FORMAT,
        "sweep": sweep.name,
        "to": sweep.last,
        "metric": sweep.metric,
        "better": "higher" if MEASURES[sweep.metric].higher else "lower",
        "keys": list(sweep.keys),
        "best": best_row.point.label if best_row else None,
        "points": [
            {
                "point": row.point.label,
                "run": row.point.run,
                "changes": row.point.changes,
                "state": row.state,
                "failure": row.failure,
                "measures": row.values,
            }
            for row in ordered(rows, sweep.metric)
        ],
    }


def write(sweep: Sweep, rows: Sequence[Row], folder: Path) -> None:
    """Write the table as CSV and JSON.

    Raises:
        StoreError: If the folder cannot be written.
    """
    try:
        write_atomic(folder / CSV_FILE, as_csv(sweep, rows).encode())
        write_atomic(folder / JSON_FILE, (json.dumps(as_json(sweep, rows), indent=1, default=str) + "\n").encode())
    except OSError as error:
        raise StoreError(f"the table cannot be written to {folder}: {error.strerror or error}") from None


def check_folder(folder: Path) -> None:
    """Refuse to write beside the report of a run.

    Raises:
        ConfigError: If the folder holds one.
    """
    if (folder / "report.html").exists():
        raise ConfigError(f"{folder} holds the report of a run of that name; give the sweep another one with --name")


def printed(sweep: Sweep, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the table for a terminal."""
    measures = [name for name in MEASURES if any(row.number(name) is not None for row in rows)]
    short = short_keys(sweep.keys)
    extra = [name for name in ("verdict", "seconds") if any(row.values.get(name) is not None for row in rows)]
    heads = [*(short[key] for key in sweep.keys), *measures, *extra, "state"]
    cells = []
    for row in ordered(rows, sweep.metric):
        keys = [show(row.point.changes[key]) for key in sweep.keys]
        measured = [*(_measured(row, name) for name in measures), *(_plain(row, name) for name in extra)]
        cells.append([*keys, *measured, row.state])
    return heads, cells


def _measured(row: Row, name: str) -> str:
    value = row.number(name)
    if value is None:
        return ""
    spread = row.number(f"{name} sd")
    low, high = row.number("low"), row.number("high")
    if name == "difference" and low is not None and high is not None:
        return f"{value:+.3g} ({low:+.3g} to {high:+.3g})"
    return f"{value:.3g}" + (f" ± {spread:.2g}" if spread is not None else "")


def _plain(row: Row, name: str) -> str:
    value = row.values.get(name)
    return "" if value is None else f"{value:.0f}" if isinstance(value, float) else value
