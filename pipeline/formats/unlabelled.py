"""Scenes that nobody has labelled: composites are made on windows of them, and nothing else."""

from __future__ import annotations

from typing import Literal

from ..utils.section import PositiveCount
from .base import ImageSource, LabelFormat, LabelInput
from .label import Labels


class UnlabelledSource(ImageSource):
    """Scenes without labels, such as those of the area where a classifier will be used.

    Objects, generated and real ones, are also composed on windows of these scenes; no chip is trained on or tested as
    it is, since whether it shows an object is not known. Windows that share ground with chips that validate or test are
    left out of a split, as are those of the same `split.unit`.
    """

    type: Literal["unlabelled"] = "unlabelled"
    windows: PositiveCount = 1000
    """Windows that are cut from all its scenes together, by area."""


def read(given: LabelInput) -> Labels:
    """Return no labels."""
    return Labels(unlabelled=len(given.scenes))


FORMAT = LabelFormat(
    title="no labels",
    files="none: scenes that objects are composed on",
    source=UnlabelledSource,
    read=read,
)
