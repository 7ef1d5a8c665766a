"""Heads of cards in the words of the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

HUB_LICENCES = re.compile(r"apache-2\.0|mit|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.0|odc-by|odbl|pddl|etalab-2\.0")
"""Licences of data that the Hub has an identifier for; any other is `other`, with its name."""


def licence_head(licences: Sequence[str]) -> dict[str, Any]:
    """Return the keys of a card's head that say under which licences something is."""
    names = [re.sub(r"\s+", "-", licence.lower()) for licence in licences]
    if len(names) == 1 and HUB_LICENCES.fullmatch(names[0]):
        return {"license": names[0]}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", " ".join(names)).strip("-") or "unknown"}
