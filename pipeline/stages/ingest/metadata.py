"""Metadata of this stage's artifacts."""

from __future__ import annotations

from ...engine.metadata import Count, Counts, InnerPath, Number, Schema


class Simulated(Schema):
    """A simulated scene."""

    scene_id: str
    scene: InnerPath
    labels: InnerPath
    ships: Count


class Download(Schema):
    """A data set that was fetched: its files and their sizes in bytes."""

    dataset: str
    files: list[tuple[InnerPath, Count]]


class Catalogue(Schema):
    """A batch of scenes: how many can be used, and why the others cannot."""

    scenes: Count
    quarantined: list[tuple[str, str]]


class Labels(Schema):
    """Labels of a source, by class and by reason to leave them out."""

    labels: Counts
    labels_quarantined_by_reason: Counts
    unlabelled_scenes: Count
    refused_scenes: Count


class Tables(Schema):
    """Scenes with their digests and the labels of all sources; and what was left out, with reasons."""

    scenes: list[tuple[str, str]]
    quarantined: list[tuple[str, str]]
    copies: Count
    labels: Counts
    labels_quarantined: list[tuple[str, str]]
    labels_quarantined_by_reason: Counts
    simulated: bool
    sources: list[str]
    licences: list[str]
    groups: list[str]
    gsd_m: list[Number]
    unlabelled_scenes: Count


SCHEMAS = {
    "simulated-": Simulated,
    "download-": Download,
    "catalogue-": Catalogue,
    "labels-": Labels,
    "tables": Tables,
}
