"""Which points a sweep has, what they are called, and what a wrong request is told."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from satpipe.config.load import load
from satpipe.config.run import RunConfig
from satpipe.sweep.request import Request, merged, parse_grid, parse_range, prepare, read_request, run_names
from satpipe.sweep.space import Axis, draws, grid, labels, range_axis, text_overrides, values_axis
from satpipe.utils.errors import ConfigError

VALUES = st.one_of(st.integers(-5, 5), st.floats(1e-9, 1e9), st.text("abc-", min_size=1, max_size=4), st.booleans())


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), min_size=1, max_size=3))
def test_a_grid_is_every_combination_once(columns: list[list[int]]) -> None:
    axes = [values_axis(f"gan.k{number}", values) for number, values in enumerate(columns)]
    result = [tuple(point.values()) for point in grid(axes)]
    assert result == list(itertools.product(*columns))


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_more_draws_with_one_seed_keep_the_earlier_points(few: int, more: int, seed: int) -> None:
    axes = [range_axis("gan.r1", 0.01, 10, log=True), values_axis("gan.batch", [8, 16, 32])]
    result = draws(axes, few + more, seed)
    assert draws(axes, few, seed) == result[:few]
    assert len(result) == few + more


@given(
    st.floats(1e-6, 1e3),
    st.floats(1.5, 1e3),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_draws_stay_within_their_range(low: float, factor: float, log: bool, seed: int) -> None:
    drawn = [point["a.b"] for point in draws([range_axis("a.b", low, low * factor, log)], 20, seed)]
    assert all(low * (1 - 0.005) <= value <= low * factor * (1 + 0.005) for value in drawn)  # three digits are kept


@pytest.mark.parametrize("log", [False, True])
def test_whole_ends_give_whole_numbers_and_both_ends_are_drawn(log: bool) -> None:
    drawn = {point["a.b"] for point in draws([range_axis("a.b", 2, 5, log)], 50, seed=1)}
    assert drawn == {2, 3, 4, 5}
    assert all(isinstance(value, int) for value in drawn)


def test_a_logarithmic_range_is_even_in_the_logarithm() -> None:
    axis = range_axis("a.b", 1e-4, 1.0, log=True)
    assert [axis.at(share) for share in (0, 0.25, 0.5, 0.75)] == [1e-4, 1e-3, 1e-2, 1e-1]


def test_draws_from_few_combinations_never_repeat() -> None:
    result = draws([values_axis("gan.batch", [8, 16]), values_axis("gan.balanced", [True, False])], 30, seed=3)
    assert len(result) == 4
    assert len({tuple(point.values()) for point in result}) == 4


def test_points_are_called_by_the_keys_in_which_they_differ() -> None:
    points = grid(
        [
            values_axis("gan.learning_rate", ["2e-4", 0.001]),
            values_axis("classify.learning_rate", [0.002]),
            Axis("a.b", (None, [1])),
        ]
    )
    assert labels(points) == [
        "gan.learning_rate=0.0002 b=null",
        "gan.learning_rate=0.0002 b=[1]",
        "gan.learning_rate=0.001 b=null",
        "gan.learning_rate=0.001 b=[1]",
    ]


@given(st.lists(st.text(min_size=1, max_size=90), min_size=2, max_size=6, unique=True), st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_every_point_has_a_run_name_that_a_folder_may_have(shown: list[str], length: int) -> None:
    names = run_names("s" * length, shown)
    assert len({name.lower() for name in names}) == len(shown)
    for name in names:
        RunConfig.model_validate({"name": name, "ingest": {"sources": [{"type": "simulated"}]}})


@given(st.dictionaries(st.sampled_from(["a.b", "c", "d.0.e"]), VALUES, min_size=1))
def test_changes_come_back_from_the_text_that_set_takes(changes: dict[str, Any]) -> None:
    pairs = [text.partition("=") for text in text_overrides(changes)]
    result = {key: yaml.safe_load(value) for key, _, value in pairs}
    assert result == changes
    assert {key: type(value) for key, value in result.items()} == {key: type(value) for key, value in changes.items()}


def test_a_small_number_is_set_as_a_number() -> None:
    (override,) = text_overrides({"gan.r1": 1e-5})
    assert load(None, (override,)).gan.r1 == 1e-5


def test_options_give_axes() -> None:
    assert parse_grid("gan.preset=dcgan,dcgan-lowdata") == Axis("gan.preset", ("dcgan", "dcgan-lowdata"))
    assert parse_grid("split.fractions=[0.5],[0.5,1]") == Axis("split.fractions", ([0.5], [0.5, 1]))
    assert parse_range("gan.r1=1e-3:1:log") == Axis("gan.r1", low=1e-3, high=1, log=True)
    assert parse_range("gan.batch=8:64") == Axis("gan.batch", low=8, high=64)


def test_a_sweep_file_says_what_the_options_say_and_options_win(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("ingest: {sources: [{type: simulated}]}\n")
    (tmp_path / "size.yaml").write_text(
        "config: base.yaml\nset: {split.replicates: 2}\nto: gan\nmetric: coverage\nrandom: 3\nseed: 7\n"
        "grid: {gan.base_channels: [8, 16]}\nrange: {gan.r1: {low: 0.01, high: 1.0, log: true}}\n"
    )
    request = read_request(tmp_path / "size.yaml")
    sweep = prepare(merged(request, [parse_grid("gan.base_channels=24")]))
    assert (sweep.name, sweep.last, sweep.metric, len(sweep.points)) == ("size", "gan", "coverage", 3)
    for point in sweep.points:
        assert point.config.split.replicates == 2
        assert point.config.gan.base_channels == 24
        assert math.isclose(point.config.gan.r1 or 0, point.changes["gan.r1"])
        assert point.label == f"r1={point.changes['gan.r1']:g}"
        assert point.run == point.config.name == f"size-r1-{point.changes['gan.r1']:g}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gird: {a: [1]}", "unknown key `gird`; did you mean `grid`?"),
        ("random: many", "`random` must be a whole number"),
        ("grid: [1]", "`grid` must be a mapping"),
        ("grid: {gan.batch: 8}", "`gan.batch` needs a list of values"),
        ("grid: {gan.batch: [8, 8]}", "lists a value twice"),
        ("range: {gan.r1: {low: 1}}", "needs low, high"),
        ("range: {gan.r1: {low: 2, high: 1}}", "must go from low to high"),
        ("range: {gan.r1: {low: 0, high: 1, log: true}}", "must begin above 0"),
    ],
)
def test_a_wrong_sweep_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_request(tmp_path / "s.yaml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(), "nothing to sweep"),
        (Request(axes=(Axis("gan.r1", low=0.1, high=1.0),)), "a grid needs values"),
        (Request(axes=tuple(Axis(f"gan.k{n}", tuple(range(100))) for n in range(3))), "1,000,000 points"),
        (Request(axes=(Axis("gan.bach", (8,)),)), "did you mean `gan.batch`"),
        (Request(axes=(Axis("gan.batch", (8, -1)),)), "point batch=-1: "),
        (Request(axes=(Axis("gan.batch", (8,)),), last="gan", metric="difference"), "no metric 'difference'"),
        (Request(axes=(Axis("gan.batch", (8,)),), random=0), "positive number"),
        (Request(axes=(Axis("gan.batch", (8,)),), name="a/b"), "`name`"),
    ],
)
def test_a_request_that_cannot_be_run_is_one_sentence(request_: Request, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(request_)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["gan.batch", "compute.workers=1,2", "gan.batch=[1"])
def test_a_wrong_grid_option_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_grid(text)


def test_a_key_swept_twice_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="swept twice"):
        merged(Request(), [parse_grid("gan.batch=8"), parse_grid("gan.batch=16")])


def test_the_sweep_file_of_the_guide_can_be_read(tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs" / "guides" / "gan.md").read_text("utf-8")
    text = guide.split('```text title="sizes.yaml"\n')[1].split("```")[0]
    (tmp_path / "harbour.yaml").write_text("ingest: {sources: [{type: simulated}]}\n")
    (tmp_path / "sizes.yaml").write_text(text)
    sweep = prepare(read_request(tmp_path / "sizes.yaml"))
    assert (len(sweep.points), sweep.last) == (12, "gan")
    assert {point.changes["gan.base_channels"] for point in sweep.points} <= {8, 16, 32}
