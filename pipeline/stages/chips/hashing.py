"""Seeded draws by name, so that a scene, group or chip more or less does not change what is drawn for the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def number(*names: object) -> int:
    """A 64-bit number that follows from the names alone; uniform over names."""
    text = "\x1f".join(map(str, names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def shuffled(items: Iterable[str], *names: object) -> list[str]:
    """The items in an order drawn from the names; the relative order of two items depends on no third."""
    return sorted(items, key=lambda item: (number(*names, item), item))
