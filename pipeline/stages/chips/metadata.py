"""Metadata of this stage's artifacts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...engine.metadata import Count, Counts, Name, Schema, Share

Side = Annotated[int, Field(ge=1, le=2**20)]


class Batch(Schema):
    """Scenes whose chips are cut by one task."""

    name: Name
    megapixels: Annotated[float, Field(ge=0, le=1e12)]
    scenes: Count
    windows: Count


class Windows(Schema):
    """Windows that are cut, by kind, and those that are not, by reason."""

    batches: list[Batch]
    planned: Counts
    candidates: Count
    dropped: Counts
    resampled: Count


class Cut(Schema):
    """Chips of a batch by class and kind, and windows that gave none, by reason."""

    chips: Counts
    kinds: Counts
    dropped: Counts
    masks: Count
    without_mask: Counts


class Index(Cut):
    """All chips: what a batch says, their shape (H, W, C), and per group column the chips of each group by class."""

    groups: dict[str, dict[str, Counts]]
    shape: tuple[Side, Side, Side]
    dtype: Name


class Features(Schema):
    """Keypoints of a batch of scenes."""

    scenes: Count
    keypoints: Count


class ScenePairs(Features):
    """Scenes that were compared by their pixels, and pairs that show the same ground."""

    keypoint_share: Share
    plain: list[str]
    plain_count: Count
    seen: Count
    implied: Count


class Duplicates(Schema):
    """Pairs of chips that leak, and per group column the groups that overlapping chips join."""

    overlaps: Count
    seen_overlaps: Count
    scenes: ScenePairs | None
    duplicates: Count
    compared: Count
    undecided: Count
    joined: dict[str, list[list[str]]]


class Split(Schema):
    """A split: which it is, its chips by role and class, and how many windows of scenes without labels it may use."""

    fold: Count
    fraction: Share
    replicate: Count
    by: str
    joins: bool
    test_groups: list[str]
    counts: dict[str, Counts]
    units: Counts
    drawn_by: str
    validated_by: str
    dropped: Counts
    unlabelled: Count = 0
    extra: Count = 0


SCHEMAS = {
    "windows": Windows,
    "cut-": Cut,
    "features-": Features,
    "index": Index,
    "scene-pairs": ScenePairs,
    "duplicates": Duplicates,
    "split-": Split,
}
