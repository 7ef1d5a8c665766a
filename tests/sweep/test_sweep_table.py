"""What points are measured by, in which order the table has them, and that table and plot are whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from satpipe.config.run import RunConfig
from satpipe.sweep import plot, table
from satpipe.sweep.measures import Values, of_answer, of_generators
from satpipe.sweep.request import Point, Sweep
from satpipe.utils.errors import ConfigError

CONFIG = RunConfig.model_validate({"ingest": {"sources": [{"type": "simulated"}]}})


def metadata(kid: float, coverage: float = 0.6, tstr: float = 0.81) -> dict[str, Any]:
    quality = {"kid": kid, "kid_floor": 0.1, "coverage": coverage, "coverage_floor": 0.8, "copies": 0.0}
    return {
        "best_images": 4000,
        "restarts": [{}],
        "quality": {"ship": quality, "sea": quality | {"kid": kid + 0.2}},
        "usefulness": {
            "real_to_real": {"average_precision": {"ship": 0.9, "sea": 1.0}},
            "synthetic_to_real": {"average_precision": {"ship": tstr, "sea": 1.0}},
        },
    }


def test_measures_are_means_relative_to_their_floors() -> None:
    found = of_generators([metadata(0.3), metadata(0.5)], [10.0, 20.0])
    assert found["kid of ship"] == pytest.approx(0.3)  # 0.2 and 0.4 above the floor
    assert found["kid of sea"] == pytest.approx(0.5)
    assert found["kid"] == pytest.approx(0.4)
    assert found["kid sd"] == pytest.approx(0.2 / 2**0.5, rel=1e-3)
    assert found["coverage"] == pytest.approx(0.75)
    assert found["usefulness of ship"] == pytest.approx(0.9)
    assert found["usefulness"] == pytest.approx(0.95)
    assert (found["generators"], found["restarts"], found["seconds"]) == (2, 2, 15)


def test_generators_without_evaluation_have_no_measures() -> None:
    found = of_generators([{"best_images": 5, "quality": {}, "usefulness": {}}], [1.0])
    assert set(found) == {"generators", "restarts", "best images", "seconds"}


def test_an_answer_without_an_interval_has_no_numbers() -> None:
    answer = {"verdict": "too little data to tell", "difference": {"estimate": None, "low": None, "high": float("nan")}}
    expected: Values = {"difference": None, "low": None, "high": None, "verdict": "too little data to tell"}
    assert of_answer(answer) == expected


def sweep_of(values: dict[int, Values | str], metric: str = "kid", last: str = "gan") -> tuple[Sweep, list[table.Row]]:
    """A sweep of base_channels and balanced whose points have these measures, or this failure."""
    points, rows = [], []
    for number, (channels, found) in enumerate(values.items()):
        changes = {"gan.base_channels": channels, "gan.balanced": number % 2 == 0}
        point = Point(f"base_channels={channels}", f"s-{channels}", changes, CONFIG)
        points.append(point)
        failed = isinstance(found, str)
        rows.append(
            table.Row(point, "failed" if failed else "done", found if failed else None, {} if failed else found)
        )
    return Sweep("s", last, metric, ("gan.base_channels", "gan.balanced"), tuple(points)), rows


def test_the_best_point_comes_first_and_a_failed_one_last() -> None:
    sweep, rows = sweep_of({8: {"kid": 0.3}, 16: "it diverged", 24: {}, 32: {"kid": 0.1}})
    assert [row.point.label[14:] for row in table.ordered(rows, "kid")] == ["32", "8", "24", "16"]
    assert table.best(rows, "kid") is rows[3]
    assert table.as_json(sweep, rows)["best"] == "base_channels=32"
    more, others = sweep_of({8: {"coverage": 0.3}, 16: {"coverage": 0.9}}, "coverage")
    assert table.as_json(more, others)["best"] == "base_channels=16"


def test_without_a_measured_point_there_is_no_best_and_no_plot(tmp_path: Path) -> None:
    sweep, rows = sweep_of({8: "it diverged", 16: {}})
    assert table.best(rows, "kid") is None
    assert not plot.write(sweep, rows, tmp_path)


def test_csv_and_json_hold_every_point_with_its_measures(tmp_path: Path) -> None:
    sweep, rows = sweep_of({8: {"kid": 0.3, "kid of ship": 0.2}, 16: "it diverged, twice"})
    table.write(sweep, rows, tmp_path)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "sweep.csv").read_text())))
    assert lines[0] == {
        "point": "base_channels=8",
        "run": "s-8",
        "gan.base_channels": "8",
        "gan.balanced": "true",
        "state": "done",
        "kid": "0.3",
        "kid of ship": "0.2",
        "failure": "",
    }
    assert (lines[1]["state"], lines[1]["kid"], lines[1]["failure"]) == ("failed", "", "it diverged, twice")
    data = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["changes"]["gan.base_channels"] for point in data["points"]] == [8, 16]
    assert data["points"][0]["measures"] == {"kid": 0.3, "kid of ship": 0.2}


def test_the_plot_has_a_panel_for_each_measure_and_key(tmp_path: Path) -> None:
    answer: Values = {"difference": 0.02, "low": -0.01, "high": 0.05, "verdict": "no detectable difference"}
    values: dict[int, Values | str] = {
        size: {"kid": 0.3 / size, "kid sd": 0.01, "usefulness": 0.9, **answer} for size in (8, 16, 96)
    }
    sweep, rows = sweep_of(values, "difference", "report")
    figure = plot.draw(sweep, rows)
    assert figure is not None
    assert len(figure.axes) == 3 * 2
    by_place = {
        (axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes for axes in figure.axes
    }  # type: ignore[union-attr]
    assert by_place[0, 0].get_xscale() == "log"
    assert [text.get_text() for text in by_place[2, 1].get_xticklabels()] == ["true", "false"]
    drawn = sorted(x for line in by_place[0, 0].lines for x in line.get_xdata() if x > 1)
    assert set(drawn) == {8, 16, 96}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert plot.write(sweep, rows, tmp_path / folder)
    for name in (plot.SVG_FILE, plot.PNG_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert Image.open(tmp_path / "a" / plot.PNG_FILE).size[0] > 300


def test_a_sweep_does_not_write_beside_the_report_of_a_run(tmp_path: Path) -> None:
    table.check_folder(tmp_path)
    (tmp_path / "report.html").write_text("")
    with pytest.raises(ConfigError, match="--name"):
        table.check_folder(tmp_path)
