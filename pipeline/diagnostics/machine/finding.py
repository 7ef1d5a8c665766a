"""Result of one check of the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        topic: What was checked, in a word or two.
        message: What is the case.
        advice: What to do about it; empty where nothing needs doing.
        state: ``ok``, ``warning`` (a run works, but not as well as it could) or ``error`` (a run would fail).
    """

    topic: str
    message: str
    advice: str = ""
    state: Literal["ok", "warning", "error"] = "ok"

    @classmethod
    def warning(cls, topic: str, message: str, advice: str) -> Finding:
        """Return a finding that a run works with."""
        return cls(topic, message, advice, "warning")

    @classmethod
    def error(cls, topic: str, message: str, advice: str) -> Finding:
        """Return a finding that a run would fail with."""
        return cls(topic, message, advice, "error")
