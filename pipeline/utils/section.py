"""Rules that all sections of a configuration share: how they are checked, and the kinds of numbers in them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, le=2**53)]
PositiveCount = Annotated[int, Field(ge=1, le=2**53)]
Positive = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def as_json(section: Section) -> dict[str, Any]:
    """Return the section as plain JSON types, as it enters keys, cards and reports."""
    return section.model_dump(mode="json")
