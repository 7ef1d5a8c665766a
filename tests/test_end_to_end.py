"""The whole chain with its real stages, from a user's files to the report, in the smallest settings that go through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY
from PIL import Image

SMALL = {
    "chips.size_px": 32,
    "split.by": "scene",
    "split.scheme": "holdout",
    "split.replicates": 2,
    "gan.images": 320,
    "gan.whole_images": 160,
    "gan.checkpoint_images": 160,
    "gan.base_channels": 8,
    "classify.steps": 20,
    "classify.validate_every": 10,
    "classify.base_channels": 8,
}


def satpipe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "satpipe", *arguments, "--root", str(folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )


def settings(**more: object) -> list[str]:
    return [word for key, value in (SMALL | more).items() for word in ("--set", f"{key}={value}")]


def chip(random: np.random.Generator, ship: bool) -> np.ndarray:
    """A chip (80, 80, 3) of grainy water, with a bright hull in some direction if it is to hold a ship."""
    pixels = random.normal(90, 12, (80, 80, 3)) + random.normal(0, 15, 3)
    if ship:
        rows, cols = np.mgrid[-40:40, -40:40]
        angle = random.uniform(0, np.pi)
        along, across = rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) - rows * np.sin(angle)
        pixels[(np.abs(along) < random.uniform(10, 18)) & (np.abs(across) < 4)] += 90
    return np.clip(pixels, 1, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def shipsnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Kaggle layout: chips of ten scenes as named PNG files, of six more in a planar JSON."""
    folder = tmp_path_factory.mktemp("shipsnet")
    (folder / "shipsnet").mkdir()
    random = np.random.default_rng(5)
    packed: dict[str, list[object]] = {"data": [], "labels": [], "locations": [], "scene_ids": []}
    for scene in range(16):
        name = f"2017{scene + 101:04d}_180000_0f12"
        for number in range(12):
            label = number % 3 == 0
            place = [-122.3 + 0.02 * scene + 0.001 * number, 37.7 + 0.001 * number]
            pixels = chip(random, label)
            if scene < 10:
                file = f"{int(label)}__{name}__{place[0]:.6f}_{place[1]:.6f}.png"
                Image.fromarray(pixels).save(folder / "shipsnet" / file)
                continue
            packed["data"].append(pixels.transpose(2, 0, 1).reshape(-1).tolist())
            packed["labels"].append(int(label))
            packed["locations"].append(place)
            packed["scene_ids"].append(name)
    (folder / "shipsnet.json").write_text(json.dumps(packed))
    return folder


def test_kaggle_layout_goes_from_folder_and_json_to_a_report(shipsnet: Path, tmp_path: Path) -> None:
    arguments = [
        "--config",
        str(REPOSITORY / "configs" / "shipsnet.yaml"),
        "--set",
        f"ingest.sources.0.path={shipsnet}",
    ]
    done = satpipe(tmp_path, "run", "all", *arguments, *settings())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "192 scenes; labels: 128 non-ship, 64 ship" in done.stdout
    assert "Too little data to tell" in done.stdout  # two replicates
    report = tmp_path / "reports" / "shipsnet"
    predictions = pd.read_parquet(report / "predictions.parquet")
    test = predictions[predictions["role"] == "test"]
    arms = {"real", "classic", "gan", "classic+gan", "cutpaste", "classic+cutpaste"}
    assert set(test["arm"]) == arms
    assert test.groupby(["replicate", "arm"])["chip_id"].nunique().nunique() == 1
    page = (report / "report.html").read_text()
    assert "simulated data" not in page.lower()
    assert "What a random split would have claimed" in page
    data = json.loads((report / "report.json").read_text())
    jsonschema.validate(data, json.loads((report / "report.schema.json").read_text()))
    assert data["answer"]["random_split"]["replicates"] == 2
    # A generator of a few steps may make no chip of a class that screening accepts.
    ways = {"real_to_real", "synthetic_to_real", "real_to_synthetic"}
    told = ways if "screening accepted no chips of some class" in page else ways | {"accepted_to_real"}
    assert set(data["gan"]["usefulness"]) == told
    again = satpipe(tmp_path, "run", "all", *arguments, *settings())
    assert "everything is up to date" in again.stdout


def test_too_few_groups_end_in_one_sentence_after_chips(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    (tmp_path / "few").mkdir()
    for number in range(6):
        name = f"{number % 2}__20170101_180000_0f12__-122.30000{number}_37.700000.png"
        Image.fromarray(chip(random, number % 2 == 1)).save(tmp_path / "few" / name)
    config = str(REPOSITORY / "configs" / "shipsnet.yaml")
    arguments = ["--config", config, "--set", f"ingest.sources.0.path={tmp_path / 'few'}"]
    done = satpipe(tmp_path, "run", "all", *arguments, *settings())
    assert done.returncode == 2
    assert "6 scenes; labels: 3 non-ship, 3 ship" in done.stdout
    assert "chips: 3 non-ship, 3 ship" in done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_demo_says_that_it_is_simulated_and_can_be_used(tmp_path: Path) -> None:
    few = {"ingest.sources.0.scenes": 8, "ingest.sources.0.size_px": 256, "split.fractions": [1.0]}
    small = settings(**{"split.by": "scene_id", **few})
    done = satpipe(tmp_path, "run", "all", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulated data" in (tmp_path / "reports" / "demo" / "report.html").read_text().lower()
    # The generator and what screens its chips need none of the chips they learned from, the classifier neither.
    for shard in (tmp_path / "data" / "parts" / "chips").rglob("*.npy"):
        shard.unlink()
    made = satpipe(tmp_path, "generate", "--count", "6", "--to", str(tmp_path / "made"))
    assert made.returncode == 0, made.stdout + made.stderr
    card = json.loads((tmp_path / "made" / "card.json").read_text())
    assert card["settings"]["screened"] is True
    assert card["licences"] == ["CC0-1.0 (simulated data)"]
    assert (
        sum(card["candidates"].values())
        >= sum(card["chips"].values())
        == len(list((tmp_path / "made").glob("*/*.png")))
    )
    (scene, *_) = sorted((tmp_path / "data" / "parts" / "ingest").glob("*/*.tif"))
    words = [str(scene), "--to", str(tmp_path / "found.gpkg"), "--truth", str(scene.with_suffix(".geojson"))]
    found = satpipe(tmp_path, "detect", *words)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "against the labels: precision" in found.stdout
    assert (tmp_path / "found.png").stat().st_size > 0
