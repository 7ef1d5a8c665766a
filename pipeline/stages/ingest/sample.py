"""Choose some scenes of many: spread over folders, those with objects first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence

GOLDEN = (5**0.5 - 1) / 2
LABELLED = 3
"""Scenes with labels that are taken for each one without."""
FEWEST = 6
"""Scenes that are taken whatever their size, the smallest ones: fewer cannot be divided."""


def sample(
    names: Sequence[str], sizes: Sequence[int], labelled: Container[str], most: int | None, most_bytes: int | None
) -> set[str]:
    """Return the scenes to take.

    Args:
        names: Paths of all scenes.
        sizes: Bytes of each.
        labelled: Scenes that are known to have labels of their own.
        most: Scenes at most; None takes all.
        most_bytes: Their bytes together at most; None sets no limit.

    Returns:
        Names, the same for the same files.
    """
    if most is None and most_bytes is None:
        return set(names)
    kinds: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for name in sorted(names):
        kinds[name.rpartition("/")[0], name in labelled].append(name)
    # Multiples of the golden ratio fill an interval evenly, however many are taken.
    order = {
        name: ((rank + 1) / (LABELLED if has_labels else 1), folder, rank)
        for (folder, has_labels), own in kinds.items()
        for rank, (_, name) in enumerate(sorted((number * GOLDEN % 1, name) for number, name in enumerate(own)))
    }
    size_of = dict(zip(names, sizes, strict=True))
    taken: set[str] = set()
    held = 0
    for name in sorted(names, key=lambda name: order[name]):
        fits = most_bytes is None or held + size_of[name] <= most_bytes
        if fits and (most is None or len(taken) < most):
            taken.add(name)
            held += size_of[name]
    smallest = sorted(set(names) - taken, key=lambda name: (size_of[name], name))
    return taken | set(smallest[: max(0, min(FEWEST, most or FEWEST) - len(taken))])
