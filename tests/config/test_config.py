"""A run's configuration: strict, frozen, documented, and the same through JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from satpipe.config.run import RunConfig
from satpipe.utils.section import Section, as_json

SMALLEST: dict[str, Any] = {"ingest": {"sources": [{"type": "simulated"}]}}


def sections() -> list[type[Section]]:
    """Every section of the configuration, sources included."""
    result, pending = set(), list(Section.__subclasses__())
    while pending:
        section = pending.pop()
        result.add(section)
        pending += section.__subclasses__()
    assert {"SplitConfig", "YoloSource"} < {section.__name__ for section in result}
    return sorted(result, key=lambda section: section.__name__)


def where(error: ValidationError) -> list[tuple[Any, ...]]:
    """The keys that an error names."""
    return [entry["loc"] for entry in error.errors()]


def test_a_source_is_all_a_configuration_needs() -> None:
    run = RunConfig.model_validate(SMALLEST)
    assert [source.type for source in run.ingest.sources] == ["simulated"]
    assert run.ingest.classes[0] == "non-ship"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"ingest": {"sources": []}}, ("ingest", "sources")),
        ({"ingest": {"sources": [{"type": "sentinel"}]}}, ("ingest", "sources", 0)),
        ({"ingest": {"sources": [{"type": "yolo"}]}}, ("ingest", "sources", 0, "yolo", "path")),
        ({"chips": {"size_px": 81}}, ("chips", "size_px")),
        ({"chips": {"size_px": "wide"}}, ("chips", "size_px")),
        ({"chips": {"sise_px": 80}}, ("chips", "sise_px")),
        ({"chips": {"min_valid_fraction": 1.01}}, ("chips", "min_valid_fraction")),
        ({"chips": {"scaling": {"percentiles": [99, 1]}}}, ("chips", "scaling")),
        ({"split": {"fractions": []}}, ("split", "fractions")),
        ({"split": {"fractions": [0.0, 1.0]}}, ("split", "fractions", 0)),
        ({"split": {"fractions": [0.12, 0.125, 1.0]}}, ("split",)),
        ({"split": {"scheme": "lists", "test_lists": [["a"], []]}}, ("split",)),
        ({"split": {"scheme": "random"}}, ("split", "scheme")),
        ({"classify": {"arms": ["real"]}}, ("classify", "arms")),
        ({"report": {"confidence": float("nan")}}, ("report", "confidence")),
        ({"compute": {"threads": 0}}, ("compute", "threads")),
        ({"name": "../elsewhere"}, ("name",)),
        ({"sead": 2}, ("sead",)),
    ],
)
def test_a_wrong_value_is_refused_and_its_key_named(change: dict[str, Any], key: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate(SMALLEST | change)
    # A wrong item of a tuple also makes the tuple too short; the item comes first.
    assert where(caught.value)[0] == key


def test_two_classes_of_one_name_are_refused() -> None:
    ingest = SMALLEST["ingest"] | {"classes": ["ship", "ship"]}
    with pytest.raises(ValidationError, match="class names must differ"):
        RunConfig.model_validate({"ingest": ingest})


def test_a_configuration_cannot_be_changed_once_read() -> None:
    run = RunConfig.model_validate(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        run.seed = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        run.chips.size_px = 32  # type: ignore[misc]


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_has_help(section: type[BaseModel]) -> None:
    undocumented = [
        name
        for name, field in section.model_fields.items()
        if not field.description and not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
    ]
    assert set(undocumented) <= {"type"}
    assert section.__doc__


@given(seed=st.integers(0, 2**40), size=st.integers(1, 40), share=st.floats(0.0, 1.0), jitter=st.integers(0, 99))
def test_json_and_back_is_the_same_configuration(seed: int, size: int, share: float, jitter: int) -> None:
    chips = {"size_px": 16 * size, "jitter_px": jitter, "negatives": {"textured_share": share}}
    run = RunConfig.model_validate(SMALLEST | {"seed": seed, "chips": chips})
    text = json.dumps(as_json(run), sort_keys=True)
    again = RunConfig.model_validate(json.loads(text))
    assert again == run
    assert json.dumps(as_json(again), sort_keys=True) == text
