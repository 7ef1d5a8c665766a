"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        topic: What it is about, in a word or two.
        state: ``good``, ``warning`` (it runs, but not as well as it could) or ``bad`` (a run would fail).
        says: What was found.
        do: What to do about it; empty where nothing is to be done.
    """

    topic: str
    state: State
    says: str
    do: str = ""
