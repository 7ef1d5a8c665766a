"""Figures of objects whose shape is known, and which objects are unlike the real ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from satpipe.composition.object_shape import FIGURES, TypicalObject, figures_of

ROWS, COLS, GREY = 32, 64, 120.0


def layer(alpha: np.ndarray, bands: int = 3, grey: float = GREY) -> np.ndarray:
    """A plain object with this alpha."""
    shown = alpha[..., None].astype(np.float32)
    return np.concatenate([shown * np.full(bands, grey, np.float32), shown], axis=-1)


def bar(length: int = 40, width: int = 8) -> np.ndarray:
    alpha = np.zeros((ROWS, COLS), np.float32)
    top, left = (ROWS - width) // 2, (COLS - length) // 2
    alpha[top : top + width, left : left + length] = 1
    return alpha


def bars(count: int = 20, bands: int = 3) -> np.ndarray:
    """Bars of several sizes and brightnesses, with some noise on them."""
    rng = np.random.default_rng(0)
    alphas = [bar(30 + number, 6 + number % 4) for number in range(count)]
    layers = np.stack([layer(alpha, bands, 90 + 4 * number) for number, alpha in enumerate(alphas)])
    layers[..., :-1] += layers[..., -1:] * rng.normal(0, 8, layers[..., :-1].shape)
    return layers.astype(np.float32)


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_figures_of_a_bar_are_those_of_its_rectangle(bands: int) -> None:
    figures = dict(zip(FIGURES, figures_of(layer(bar(), bands)[None], 240.0)[0], strict=True))
    # A row of n pixel centres has the second moment (n^2 - 1) / 12.
    assert figures["length"] == pytest.approx(math.log(math.sqrt(40**2 - 1)))
    assert figures["width"] == pytest.approx(math.log(math.sqrt(8**2 - 1)))
    assert figures["area"] == pytest.approx(math.log(320))
    assert figures["brightness"] == pytest.approx(0.5)
    assert figures["fill"] == pytest.approx(1, abs=0.02)
    assert [figures[name] for name in ("saturation", "contrast", "softness")] == pytest.approx([0, 0, 0], abs=1e-6)
    assert figures["largest piece"] == 1


def test_a_half_covered_object_is_soft_and_two_are_in_pieces() -> None:
    halves = bar() / 2
    assert figures_of(layer(halves)[None], 255.0)[0, FIGURES.index("softness")] == pytest.approx(2)
    two = bar()
    two[:, 28:32] = 0
    share = figures_of(layer(two)[None], 255.0)[0, FIGURES.index("largest piece")]
    assert share == pytest.approx(20 / 36)


def test_real_objects_are_usual_and_blobs_are_not() -> None:
    typical = TypicalObject.of(bars(), 255.0)
    assert typical.distance(bars()).max() == pytest.approx(0.8)
    rows, cols = np.indices((ROWS, COLS))
    blob = np.exp(-(((rows - 16) / 6) ** 2) - ((cols - 32) / 18) ** 2).astype(np.float32)
    bent = np.maximum(np.roll(bar(20), (-7, -10), (0, 1)), np.roll(bar(20), (7, 10), (0, 1)))
    nothing = np.zeros_like(blob)
    assert (typical.distance(np.stack([layer(item) for item in (blob, bent, nothing)])) > 1).all()
    lighter = bars() * np.array([1.05, 1.05, 1.05, 1.0], np.float32)
    assert (typical.distance(lighter[:, ::-1]) < 1).all()


def test_a_typical_object_is_the_same_through_json() -> None:
    typical = TypicalObject.of(bars(), 255.0)
    assert TypicalObject.from_json(json.loads(json.dumps(typical.as_json()))) == typical
    with pytest.raises(ValueError, match="are malformed"):
        TypicalObject.from_json(typical.as_json() | {"spread": [1.0]})
