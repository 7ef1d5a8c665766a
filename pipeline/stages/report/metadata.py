"""Metadata of this stage's artifacts."""

from __future__ import annotations

from ...engine.metadata import Schema


class Verdict(Schema):
    """Answer, the arm that the final classifier is trained with, and whether the generators behind it learned."""

    verdict: str
    sentence: str
    favoured: str
    learned: bool | None = None


class Page(Verdict):
    """Answer, and whether the scenes are simulated."""

    simulated: bool


SCHEMAS: dict[str, type[Schema]] = {"verdict": Verdict, "page": Page}
