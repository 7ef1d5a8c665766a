"""Fixtures that several packages of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject
from hypothesis import settings

# Examples take as long as a busy machine needs.
settings.register_profile("satpipe", deadline=None)
settings.load_profile("satpipe")

FAST = (
    *("composition", "config", "dataset", "raster", "utils", "stages/chips", "stages/report/test_report_statistics.py"),
    *("stages/report/test_report_metrics.py", "stages/report/test_report_analysis.py", "commands/test_common.py"),
    *("formats/test_labels.py", "formats/test_formats.py", "sweep/test_sweep_space.py", "sweep/test_sweep_table.py"),
    *("models/test_layers.py", "models/test_networks.py", "models/test_classifier.py", "models/test_quality.py"),
    *("stages/gan/test_gan_metrics.py", "stages/gan/test_gan_features.py", "stages/classify/test_calibrate.py"),
    *("stages/classify/test_sampling.py", "stages/classify/test_augment.py", "inference/detect/test_measure.py"),
    *("inference/detect/test_merge.py", "engine/test_code_digest.py", "engine/test_forecast.py"),
    *("engine/test_run_list.py", "engine/test_publish_metadata.py", "engine/test_display.py"),
    *("project/test_docs.py", "project/test_code.py"),
)
"""Folders and files whose tests take about a second or less; all others carry the marker `slow`."""
SLOW = ("stages/chips/test_chips_stage.py",)
"""What is slow in these folders."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that a quick run leaves out."""
    tests = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(tests).as_posix()
        if not name.startswith(FAST) or name.startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture
def project(tmp_path: Path) -> LettersProject:
    """A letters project in which nothing was run yet."""
    return LettersProject.build(tmp_path / "letters project")


@pytest.fixture
def finished(project: LettersProject) -> LettersProject:
    """A letters project that was run once."""
    project.run()
    return project
