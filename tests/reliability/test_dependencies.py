"""What is installed: every version pinned, every file by its digest, from no named address."""

from __future__ import annotations

import re
import tomllib

from fixtures import REPOSITORY


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, str]:
    result = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {normal(name): version for name, version in result}


def locked() -> str:
    return "\n".join((REPOSITORY / "requirements" / name).read_text() for name in ("locked.txt", "locked-torch.txt"))


def test_locked_files_hold_every_version_of_the_constraints() -> None:
    constraints, lock = pinned((REPOSITORY / "constraints.txt").read_text()), pinned(locked())
    assert len(constraints) > 80
    assert {name: lock.get(name) for name in constraints} == constraints, "run `make lock`"


def test_locked_files_hold_every_dependency_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(item for group in project["optional-dependencies"].values() for item in group)]
    names = {normal(re.split(r"[\s\[<>=!~;]", item)[0]) for item in named} - {"satpipe"}
    assert names - set(pinned(locked())) == set()


def test_every_locked_version_has_digests_and_none_an_address() -> None:
    text = locked()
    blocks = [block for block in re.split(r"\n(?=[a-z])", text) if "==" in block.splitlines()[0]]
    assert len(blocks) == len(pinned(text))
    for block in blocks:
        lines = block.splitlines()
        digests = [line for line in lines if line.strip().startswith("--hash=")]
        assert digests, lines[0]
        assert all(re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in digests)
    assert "://" not in text
    assert "index-url" not in text


def test_torch_is_apart_since_its_builds_have_other_digests() -> None:
    torch = pinned((REPOSITORY / "requirements" / "locked-torch.txt").read_text())
    assert torch["torch"] == pinned((REPOSITORY / "constraints.txt").read_text())["torch"]
    assert not set(torch) & set(pinned((REPOSITORY / "requirements" / "locked.txt").read_text()))
