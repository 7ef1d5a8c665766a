"""Draws by name: the same numbers one by one and for many names at once."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from satpipe.stages.chips.hashing import number, numbers


def test_a_number_is_the_digest_of_the_joined_names() -> None:
    digest = hashlib.blake2b("1\x1fdraw\x1fbäy.tif".encode(), digest_size=8).hexdigest()
    assert f"{number(1, 'draw', 'bäy.tif'):016x}" == digest


@pytest.mark.parametrize(
    "names",
    [np.array(["a", "bäy/x", ""], object), pd.array(["a", "b"], dtype="string"), np.arange(5), np.array([], object)],
    ids=["objects", "arrow", "integers", "none"],
)
def test_many_names_get_the_numbers_of_each(names: np.ndarray) -> None:
    assert numbers(names, 7, "test").tolist() == [number(7, "test", name) for name in names]
