"""Nothing gets in or out: no network when imported, no unused drivers, no secrets written, no names that act."""

from __future__ import annotations

import csv
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import REPOSITORY
from fixtures.faults import CONFIG, Harness, build_project
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from satpipe.utils.csv_safety import csv_escaped_table, unescaped_table
from satpipe.utils.redact import redacted, redacted_json

SECRET = "s3cr3t-0f-th3-us3r"

GUARD = """
import sys
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        raise RuntimeError(f"the network was asked for: {event} {arguments}")
sys.addaudithook(guard)
import importlib, pathlib
folder = pathlib.Path(sys.argv[1])
paths = [path for path in (folder / "pipeline").rglob("*.py") if path.name != "__main__.py"]
files = [path.relative_to(folder).with_suffix("") for path in paths]
names = ["cli", *(".".join(("satpipe", *path.parts[1:])) for path in files)]
for name in sorted(names):
    importlib.import_module(name.removesuffix(".__init__"))
for library in ("albumentations", "kagglehub", "distributed"):
    try:
        importlib.import_module(library)
    except ImportError:
        pass
print(len(names))
"""


def test_importing_everything_asks_no_network() -> None:
    command = [sys.executable, "-c", GUARD, str(REPOSITORY)]
    if shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        command = ["unshare", "-n", *command]  # nor is there one, for code that Python's own guard does not see
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 100


def test_workers_know_the_drivers_in_use_and_no_others() -> None:
    code = (
        "from satpipe.engine.executors import process_pool\n"
        "from satpipe.raster import gdal\n"
        "import os\n"
        "def drivers():\n"
        "    from satpipe.raster import gdal\n"
        "    import rasterio, pyogrio\n"
        "    with rasterio.Env() as env:\n"
        "        return sorted(env.drivers()), sorted(pyogrio.list_drivers())\n"
        "if __name__ == '__main__':\n"
        "    with process_pool(1, 1) as pool:\n"
        "        found = pool.submit(drivers).result()\n"
        "    for one in (*found, *drivers()):\n"
        "        extra = set(one) - set(gdal.ALLOWED_DRIVERS)\n"
        "        assert not extra, extra\n"
        "    print(len(found[0]), len(found[1]))\n"
    )
    script = Path(os.environ.get("TMPDIR", "/tmp")) / f"drivers_{os.getpid()}.py"
    script.write_text(code)
    try:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=300)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr[-2000:]
    assert min(map(int, done.stdout.split())) >= 3
    assert done.stderr == ""


# --------------------------------------------------------------------------------------------------------- secrets


def test_secrets_are_written_nowhere(harness: Harness, tmp_path: Path) -> None:
    project = build_project(tmp_path / "project")
    names = ("KAGGLE_KEY", "KAGGLE_USERNAME", "KAGGLE_API_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "CDSE_PASSWORD")
    environment = {name: f"{SECRET}-{name}" for name in names}
    harness.arm()
    said = []
    for address in (f"https://user:{SECRET}@localhost/x.tif", f"https://localhost/x.tif?X-Amz-Signature={SECRET}"):
        more = ("--set", f"ingest.sources.0.path={address}")
        ran = harness.run_all(project, *more, "--name", "odd", environment=environment)
        assert ran.code == 2
        assert "localhost" in ran.err
        said += [ran.out, ran.err]
    ran = harness.run_all(project, "--set", f"compute.scheduler=tls://me:{SECRET}@localhost:1", environment=environment)
    assert ran.code == 0, ran.err
    said += [ran.out, ran.err, harness.run(project, "runs", "--json", environment=environment).out]
    assert SECRET not in "".join(said)
    holders = [path for path in project.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holders == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a.tif is", "https://***@host/a.tif is"),
        ("/root/https:/me:pw@host/a.tif", "/root/https:/***@host/a.tif"),
        ("'s3://host/a?sig=abc&x=1' is", "'s3://host/a?***' is"),
        ("--set api_key=abc x", "--set api_key=*** x"),
        ("KAGGLE_TOKEN=abc", "KAGGLE_TOKEN=***"),
        ("run all --config a@b.yaml", "run all --config a@b.yaml"),
        ("/data/me@host/scene?.tif", "/data/me@host/scene?.tif"),
    ],
)
def test_redacting_takes_secrets_and_leaves_the_rest(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted_json({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


# ----------------------------------------------------------------------------------------------------- names that act

TAG = "<img src=x onerror=alert(1)>"
NAMES = ("=HYPERLINK(1)", TAG, "$\\frac{1}{", "a&b;\"'`", "{{7*7}}")


class Tags(html.parser.HTMLParser):
    """Collects what a browser would take for elements and for scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on")]
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


@pytest.fixture(scope="module")
def odd(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose scenes, classes, groups and title are named to do harm."""
    folder = tmp_path_factory.mktemp("odd")
    random = np.random.default_rng(4)
    (folder / "images").mkdir()
    for number in range(10):
        pixels = random.normal(90, 9, (64, 64, 3))
        lines = []
        for _ in range(4):
            row, col = random.integers(10, 54, 2)
            pixels[row - 2 : row + 2, col - 6 : col + 6] += 80
            lines.append(f"0 {col / 64} {row / 64} {12 / 64} {4 / 64}\n")
        name = f"{NAMES[number % len(NAMES)]}{number}".replace("/", "_")
        Image.fromarray(np.clip(pixels, 1, 255).astype(np.uint8)).save(folder / "images" / f"{name}.png")
        (folder / "images" / f"{name}.txt").write_text("".join(lines))
    (folder / "images" / f"broken{TAG}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "images" / f"broken{TAG}.txt").write_text("0 0.5 0.5 0.1 0.1")
    config = CONFIG.replace("    - {type: simulated, scenes: 2, size_px: 64, ships_per_scene: 2}\n", "")
    config = config.replace(
        "{type: yolo, path: images, gsd_m: 3}",
        f"{{type: yolo, path: images, licence: '{TAG}', gsd_m: 3, class_names: ['{TAG}']}}",
    )
    config = config.replace("scenes_per_task: 8", f"scenes_per_task: 8\n  classes: ['=cmd()', '{TAG}']")
    config = config.replace("report: {", f"report: {{title: '{TAG}', ")
    (folder / "small.yaml").write_text(config)
    harness.arm()
    done = harness.run_all(folder)
    assert done.code == 0, done.out + done.err
    return folder


def test_names_in_the_report_are_text_and_nothing_else(odd: Path) -> None:
    page = (odd / "reports" / "small" / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not {"script", "iframe", "object", "embed", "onerror", "onload"} & set(tags.found)
    assert [item for item in tags.found if item.startswith(("http:", "https:", "javascript:", "x"))] == []
    assert "&lt;img src=x onerror" in page
    assert "49" not in re.findall(r"\{\{.*?\}\}|(?<=>)49(?=\d*\.png)", page)
    for drawing in (odd / "reports" / "small" / "figures").glob("*.svg"):
        assert "<img" not in drawing.read_text()


def test_tables_for_spreadsheets_hold_no_formula(harness: Harness, odd: Path, tmp_path: Path) -> None:
    done = harness.run(odd, "export", "chips", "--config", "small.yaml", "--to", str(tmp_path / "out"))
    assert done.code == 0, done.err
    tables = [*(odd / "reports" / "small").glob("*.csv"), *(tmp_path / "out").rglob("*.csv")]
    assert len(tables) >= 3
    for table in tables:
        with table.open(newline="") as stream:
            for row in csv.reader(stream):
                for cell in row:
                    assert not re.match(r"[=+@\t\r]|-(?!\d*\.?\d+(e-?\d+)?$)", cell), (table.name, cell)
    assert all(path.resolve().is_relative_to((tmp_path / "out").resolve()) for path in (tmp_path / "out").rglob("*"))


def test_report_json_keeps_the_names_as_they_are(odd: Path) -> None:
    report = json.loads((odd / "reports" / "small" / "report.json").read_text())
    assert report["title"] == TAG
    assert TAG in json.dumps(report["provenance"])


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(allow_nan=False), st.integers()), min_size=1, max_size=5))
def test_harmless_tables_can_be_read_back(rows: list[tuple[str, float, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    made = csv_escaped_table(frame)
    assert not made["a"].str.startswith(("=", "+", "-", "@", "\t", "\r", "\n")).any()
    assert made["b"].tolist() == frame["b"].tolist()
    kept = ~frame["a"].str.match(r"'[=+\-@\t\r\n]")
    assert unescaped_table(made)["a"][kept].tolist() == frame["a"][kept].tolist()
