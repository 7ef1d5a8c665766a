"""What a user installs: the wheel has all it needs and nothing else, and works without the source tree."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from fixtures import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STAGES = ("ingest", "chips", "gan", "synth", "classify", "report")
HEAVY = ("torch", "rasterio", "numpy", "pandas", "pyarrow", "geopandas", "scipy", "sklearn", "matplotlib", "cv2")


def pyproject() -> dict[str, Any]:
    """The project's own pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the source tree on its path."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=inherited | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel, where the libraries are those of the tests' own environment.

    The libraries come by a .pth file: what its own folder's .pth files add, such as an editable install of this very
    project, does not come with them.
    """
    folder = tmp_path_factory.mktemp("installed") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    libraries = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    Path(site, "libraries.pth").write_text("\n".join(libraries) + "\n", "utf-8")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel)
    return python


def test_wheel_has_code_templates_and_configurations_alone(wheel: Path) -> None:
    tracked = run("git", "ls-files", "-co", "--exclude-standard", cwd=REPOSITORY).stdout.splitlines()
    there = [name for name in tracked if (REPOSITORY / name).is_file()]
    expected = {name.replace("pipeline/", "satpipe/", 1) for name in there if name.startswith("pipeline/")}
    expected |= {f"satpipe/{name}" for name in there if name.startswith("configs/")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert "satpipe/configs/demo.yaml" in names
    assert "satpipe/py.typed" in names


def test_source_distribution_can_be_tested_and_built_again(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "LICENSE", "configs/demo.yaml", "tests/project/test_packaging.py"} <= names
    assert not [name for name in names if name.startswith(("data/", "reports/", ".venv"))]


def test_wheel_names_its_command_licence_and_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "satpipe = satpipe.commands:main" in commands
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Version"] == pyproject()["project"]["version"]


def test_the_wheel_runs_from_a_folder_with_spaces_and_accents(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mes données à moi"
    folder.mkdir()
    where = run(installed, "-c", "import satpipe; print(satpipe.__file__)", cwd=folder).stdout
    assert str(REPOSITORY) not in where
    satpipe = installed.parent / "satpipe"
    assert pyproject()["project"]["version"] in run(satpipe, "--version", cwd=folder).stdout
    assert "ingest:" in run(satpipe, "config", "show", cwd=folder).stdout
    small = ("--set", "ingest.sources.0.scenes=1", "--set", "ingest.sources.0.size_px=256")
    run(satpipe, "run", "ingest", *small, cwd=folder)
    assert (folder / "data" / "runs" / "demo").is_dir()
    assert "up to date" in run(satpipe, "run", "ingest", *small, cwd=folder).stdout


@pytest.mark.parametrize("module", ["satpipe.commands", *(f"satpipe.stages.{stage}.stage" for stage in STAGES)])
def test_planning_and_help_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert run(sys.executable, "-c", code, cwd=REPOSITORY).stdout.split() == []


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Top-level modules that import statements name, without the standard library and this project."""
    nodes = list(nodes)
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"satpipe"}


def sources() -> list[ast.Module]:
    """Every module of the program, parsed."""
    return [
        ast.parse(path.read_text("utf-8")) for path in [REPOSITORY / "cli.py", *REPOSITORY.glob("pipeline/**/*.py")]
    ]


def of(distributions: set[str], modules: set[str]) -> set[str]:
    """Those of ``modules`` that one of ``distributions`` installs."""
    owners = packages_distributions()
    return {name for name in modules if distributions & {canonicalize_name(one) for one in owners.get(name, [])}}


def test_everything_imported_is_a_declared_dependency() -> None:
    project = pyproject()["project"]
    needed = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    extras = [text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts]
    optional = {canonicalize_name(Requirement(text).name) for text in extras}
    anywhere = {name for tree in sources() for name in imported(ast.walk(tree))}
    at_once = {name for tree in sources() for name in imported(tree.body)}
    assert {"numpy", "torch", "rasterio"} <= of(needed, anywhere)
    # An extra may not be installed where the tests run, so that nothing says which distribution brings it.
    assert anywhere - of(needed, anywhere) <= of(optional, anywhere) | optional
    assert at_once == of(needed, at_once)


def requirements() -> list[Requirement]:
    """Every requirement of the project and of its extras."""
    project = pyproject()["project"]
    extras = project.get("optional-dependencies", {}).values()
    return [Requirement(text) for text in [*project["dependencies"], *(text for extra in extras for text in extra)]]


def pins() -> dict[str, str]:
    """Version by name, of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_every_lower_bound_has_its_reason() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    block = text.partition("\ndependencies = [\n")[2].partition("\n]")[0].splitlines()
    bounds = [number for number, line in enumerate(block) if not line.lstrip().startswith("#")]
    names = {canonicalize_name(Requirement(text).name) for text in pyproject()["project"]["dependencies"]}
    assert len(bounds) == len(names)
    assert all(block[number - 1].lstrip().startswith("# ") for number in bounds)
    extras = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    assert all(re.search(r'",\s+# \S', line) for line in extras.splitlines() if line.lstrip().startswith('"'))


def test_changelog_begins_with_this_version_or_unreleased() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    version = pyproject()["project"]["version"]
    assert headings[0] in {"Unreleased", version}
    assert len(headings) == len(set(headings))
