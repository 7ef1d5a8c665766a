"""Check of a report: compared with the store, and computed again from its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ...engine.digests import sha256_file
from ...engine.publish import PAGE, page_of
from ...engine.results import Result, Results
from ...engine.store import Store
from ...utils.errors import InputError, StoreError, first_line
from .analysis import verdict_of
from .html.words import NOT_ABOUT_GANS
from .stats.predictions import prediction_arrays
from .stats.question import Question

FILES = ("report.json", "predictions.parquet")
"""What is read of a report."""
_CLAIMED_FAILURE = "Its report says that its generator did not learn."
"""Stands for what a report that is not verified says of its generator: its own words could be anybody's."""


@dataclass(frozen=True)
class Verification:
    """Result of checking a report.

    Attributes:
        verified: Whether the store holds the same report as its run wrote it.
        sentence: The verdict, computed again from the predictions.
        note: What a reader must know, or None.
    """

    verified: bool
    sentence: str
    note: str | None = None


def verify(folder: Path, report: Mapping[str, Any], predictions: pd.DataFrame, root: Path | None) -> Verification:
    """Check a report.

    Args:
        folder: Where it lies.
        report: Its report.json.
        predictions: Its predictions.
        root: Folder that may hold the store of its run.

    Raises:
        InputError: If its predictions give no answer to its question.
    """
    name, said = str(report["run"]), str(report["answer"]["sentence"])
    changed = changed_file(folder, Store(root / "data"), name) if root is not None else name
    if changed is None:
        return Verification(True, said)
    _, marker, claim = said.rpartition(NOT_ABOUT_GANS)
    computed = recomputed(folder, report, predictions)
    notes = [
        f"{folder / changed} is not what run {name} wrote"
        if changed in FILES
        else f"the store with run {name} is missing, so the report cannot be compared with what the run wrote"
    ]
    if claim.strip() != computed:
        notes.append("its verdict did not follow from its predictions and was recomputed")
    sentence = f"{_CLAIMED_FAILURE} {marker} {computed}" if marker else computed
    return Verification(False, sentence, f"{name} is not verified: {'; '.join(notes)}")


def changed_file(folder: Path, store: Store, name: str) -> str | None:
    """Return the first file of a report that differs from what a run wrote, or None if none does.

    The name of the run if its store is not there or holds no report of it.
    """
    changed: str | None = name
    for version in reversed(Results(store.root).versions(name)):
        if not isinstance(version, Result) or PAGE not in version.digests:
            continue
        try:
            page = store.open(page_of(version))
        except StoreError:
            continue
        differing = [file for file in FILES if sha256_file(folder / file) != sha256_file(page / file)]
        if not differing:
            return None
        changed = differing[0] if changed == name else changed
    return changed


def recomputed(folder: Path, report: Mapping[str, Any], predictions: pd.DataFrame) -> str:
    """Return the verdict's sentence that follows from the predictions and the question of a report."""
    asked, classes = report["answer"]["question"], report["provenance"]["configuration"]["ingest"]["classes"]
    try:
        question = Question(**{field.name: asked[field.name] for field in fields(Question)})
        view = prediction_arrays(predictions, classes, [question.treatment, question.baseline], question.fraction)
        return verdict_of(view, question)[2]
    except (KeyError, TypeError, ValueError, StoreError) as error:
        raise InputError(
            f"the predictions in {folder} do not answer its question: {first_line(error, 160)};"
            " `satpipe run report` writes them again"
        ) from None
