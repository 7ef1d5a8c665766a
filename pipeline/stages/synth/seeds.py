"""Seeds of a split's candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SEEDS_PER_CLASS = 2**24
"""Distance between the first seeds of two classes; more candidates of a class than this are never made."""


def first_seed(config: Mapping[str, Any], label: int) -> int:
    """Return the seed of the first candidate of a class; the others count up from it."""
    words = [config["seed"], config["replicate"], config["fold"], round(1000 * config["fraction"]), 4]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) * 2**30 + label * SEEDS_PER_CLASS
