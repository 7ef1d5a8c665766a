"""What the documents say is true of the code: commands, options, targets, configurations, files and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fixtures import REPOSITORY
from fixtures.documents import DOCUMENTS, FENCE
from satpipe.commands import cli
from satpipe.config import load
from satpipe.engine.stages import NAMES

CONFIGS = sorted(REPOSITORY.glob("configs/*.yaml"))
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Said:
    """A piece of a document: where it stands, in which language, what it is."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def fences(language: str = "") -> Iterator[Said]:
    """Code blocks of every document, of one language or of all."""
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for found in FENCE.finditer(text):
            if not language or found[1] == language:
                line = text.count("\n", 0, found.start()) + 2
                yield Said(path.relative_to(REPOSITORY).as_posix(), line, found[1], found[2])


def inline() -> Iterator[Said]:
    """Code within the sentences of every document."""
    for path in DOCUMENTS:
        # Blanked and not cut, so that line numbers stay.
        text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), path.read_text("utf-8"))
        for found in INLINE.finditer(text):
            yield Said(path.relative_to(REPOSITORY).as_posix(), text.count("\n", 0, found.start()) + 1, "", found[1])


def shell_lines() -> Iterator[Said]:
    """Commands in shell blocks, with continued lines joined and prompts removed."""
    for block in fences("sh"):
        number = block.line
        joined = ""
        for line in block.text.splitlines():
            joined += line.removeprefix("$ ")
            if joined.endswith("\\"):
                joined = joined[:-1] + " "
            elif joined.strip() and not joined.startswith("#"):
                yield Said(block.document, number, "sh", joined)
                joined = ""
            number += 1


def satpipe_lines() -> list[Said]:
    """Every satpipe command in a shell block, without the folder of the environment."""
    found = []
    for line in shell_lines():
        words = shlex.split(line.text, comments=True)
        if words and Path(words[0]).name == "satpipe":
            found.append(Said(line.document, line.line, "sh", shlex.join(["satpipe", *words[1:]])))
    return found


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the program with its path, groups included."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("said", satpipe_lines(), ids=str)
def test_every_command_in_a_shell_block_is_accepted(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for path, command in commands():
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda path=path, **options: called.append(path))
    result = CliRunner().invoke(cli, shlex.split(said.text)[1:])
    assert result.exit_code == 0, result.output
    assert len(called) == 1


def mentioned_commands() -> list[Said]:
    """Commands that a sentence names, such as `satpipe why`."""
    return [said for said in inline() if said.text.startswith("satpipe ")]


@pytest.mark.parametrize("said", mentioned_commands(), ids=str)
def test_every_command_in_a_sentence_exists_with_its_options(said: Said) -> None:
    words = shlex.split(said.text)[1:]
    named = dict(commands())
    path = next(tuple(words[:length]) for length in range(len(words), -1, -1) if tuple(words[:length]) in named)
    options = {option for parameter in named[path].params for option in (*parameter.opts, *parameter.secondary_opts)}
    rest = words[len(path) :]
    assert path or rest[0].startswith("-"), f"no command in {said.text}"
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options | {"--help"}


def test_documents_show_the_commands_that_a_newcomer_needs() -> None:
    said = {(*shlex.split(line.text)[1:3],) for line in satpipe_lines() if line.document == "README.md"}
    assert {("run", "all"), ("config", "validate"), ("why", "gan")} <= said


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, command, id=" ".join(("satpipe", *path))) for path, command in commands()]
)
def test_every_command_and_option_has_help(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help
    assert command.help.splitlines()[0].endswith((".", "?"))
    without = [
        parameter.name for parameter in command.params if isinstance(parameter, click.Option) if not parameter.help
    ]
    assert not without
    usage = command.get_usage(click.Context(command, info_name=" ".join(("satpipe", *path))))
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    assert all(parameter.make_metavar(click.Context(command)) in usage for parameter in arguments)


def make_targets() -> set[str]:
    """Targets of the Makefile that are no files."""
    text = (REPOSITORY / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    assert targets == set(phony.split())
    return targets


def test_make_targets_in_documents_exist() -> None:
    lines = [said.text for said in [*shell_lines(), *inline()]] + (REPOSITORY / ".ci/run").read_text(
        "utf-8"
    ).splitlines()
    named = {match[1] for line in lines if (match := re.match(r"(?:exec )?make ([a-z-]+)", line))}
    assert {"run", "test"} <= named <= make_targets()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_validates_and_says_what_it_is_for(path: Path) -> None:
    assert load.load(path).name == path.stem
    head = path.read_text("utf-8").splitlines()[:6]
    assert any(line.startswith("# What it is for: ") for line in head)
    assert any(line.startswith("# How long it takes: ") for line in head)


def test_the_default_configuration_is_there() -> None:
    assert load.default_config() in CONFIGS


@pytest.mark.parametrize("said", list(fences("yaml")), ids=str)
def test_every_configuration_in_a_document_validates(said: Said, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(said.text, "utf-8")
    assert load.load(path).name == "own"


def overrides() -> list[tuple[Said, str]]:
    """Every `--set` of a command on the default configuration."""
    found = []
    for said in satpipe_lines():
        words = shlex.split(said.text)
        if "--config" not in words:
            found += [(said, value) for word, value in pairwise(words) if word == "--set"]
    return found


@pytest.mark.parametrize(("said", "override"), overrides(), ids=str)
def test_every_override_in_a_document_is_accepted(said: Said, override: str) -> None:
    load.load(None, [override])


def test_files_named_in_documents_exist() -> None:
    folders = ("pipeline/", "configs/", "docs/", "tests/", "benchmarks/", ".ci/")
    named = [said for said in inline() if said.text.startswith(folders) and "*" not in said.text]
    assert named
    assert not [f"{said}: {said.text}" for said in named if not (REPOSITORY / said.text).exists()]


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as Markdown renderers name them."""
    text = FENCE.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text("utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken


def test_the_architecture_names_every_package_and_stage() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    packages = [f"{path.parent.name}/" for path in (REPOSITORY / "pipeline").glob("*/__init__.py")]
    missing = [name for name in (*packages, *(f"{stage}/" for stage in NAMES)) if name not in text]
    assert not missing
