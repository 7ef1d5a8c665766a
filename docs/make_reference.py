"""Write the reference of commands and of the configuration from the code: `python docs/make_reference.py`.

With `--check` nothing is written; the exit code says whether the pages are current.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

FOLDER = Path(__file__).resolve().parent / "reference"
sys.path.insert(0, str(FOLDER.parent.parent))

from satpipe.config import run, sources  # noqa: E402
from satpipe.config.gan_presets import PRESETS, Preset  # noqa: E402
from satpipe.formats.registry import FORMATS  # noqa: E402

from cli import cli  # noqa: E402 - after the path

EXACT = 2**53
"""Limit of counts, up to which JSON and spreadsheets hold them exactly; nobody gets there."""
MADE = "<!-- Made by docs/make_reference.py; edit the code, not this page. -->"


# -------------------------------------------------------------------------------------------------------- commands


def commands_page() -> str:
    """Return the page of every command with its arguments, options and defaults."""
    lines = ["# Commands", "", MADE, ""]
    lines += ["Exit codes: 0 done; 1 a task failed; 2 something that you can correct, in one sentence; 70 a bug;"]
    lines += ["130 interrupted; run the same command again to resume."]
    lines += ["`satpipe --debug COMMAND` shows the traceback of an error.", ""]
    for path, command in _commands(cli, ("satpipe",)):
        if isinstance(command, click.Group) and len(path) > 1:
            continue
        lines += _command(path, command) if len(path) > 1 else []
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> list[str]:
    name = " ".join(path)
    context = click.Context(command, info_name=name)
    lines = [f"## {name}", "", _paragraphs(command.help or ""), ""]
    lines += ["```text", " ".join(command.get_usage(context).removeprefix("Usage: ").split()), "```", ""]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        lines += ["| option | what it does |", "|---|---|"]
        lines += [_option(option, context) for option in options]
        lines += [""]
    return lines


def _paragraphs(text: str) -> str:
    paragraphs = text.replace("\b", "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{_cell(option.make_metavar(context))}`"
    default = str(option.get_help_extra(context).get("default") or "").strip("()")
    shown = f" Default: {default}." if default and not option.is_flag else ""
    return f"| {names}{value} | {_cell((option.help or '') + shown)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# --------------------------------------------------------------------------------------------------- configuration


def configuration_page() -> str:
    """Return the page of every key with its type, default and meaning."""
    lines = ["# Configuration", "", MADE, ""]
    lines += [
        "A configuration is YAML with these sections. Every key has a default except `ingest.sources`, so a file",
        "states only what differs. Unknown keys and keys given twice are errors. Paths are relative to the file, and",
        "`~` is your home. On the command line, set a key with `--set gan.images=20000`,",
        "an item of a list by its number: `--set ingest.sources.0.path=scenes`.",
        "",
        *_section("", run.RunConfig, "##"),
    ]
    for name, key in run.RunConfig.model_fields.items():
        for model in _models(key.annotation):
            lines += _section(name, model, "##")
    lines += [
        "## Label formats",
        "",
        "Formats by the `type` of a source. `satpipe init` recognises all but `custom`, and `satpipe detect --truth`",
        "accepts the label files of all but chips and masks.",
        "",
        *_formats(),
        "",
        "## Presets of the GAN",
        "",
        "Values of the keys of `gan` that are null, by `gan.preset`.",
        "",
        *_presets(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(place: str, model: type[BaseModel], depth: str) -> list[str]:
    own = "type" in model.model_fields
    title = f"`{place}`" if place else "The whole run"
    if own:
        title = f"`{place}`, `type: {model.model_fields['type'].default}`"
    lines = [f"{depth} {title}", "", _paragraphs(model.__doc__ or ""), ""]
    inner: list[tuple[str, type[BaseModel]]] = []
    rows = []
    for name, key in model.model_fields.items():
        key_path = f"{place}.{name}" if place else name
        models = list(_models(key.annotation))
        if models:
            inner += [(key_path, inner_model) for inner_model in models] if place else []
            if not key.description:
                continue
        inherited = own and name in sources.SourceBase.model_fields and name not in model.__annotations__
        if name == "type" or inherited:
            continue
        rows.append(
            f"| `{name}` | {_type(key.annotation, key.metadata)} | {_default(key)} | {_cell(key.description or '')} |"
        )
    if rows:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    if own:
        lines += ["And the keys of every source.", ""]
    if any("type" in inner_model.model_fields for _, inner_model in inner):
        lines += [f"{depth}# Keys of every source", "", *_common_keys(), ""]
    for key_path, inner_model in inner:
        lines += _section(key_path, inner_model, depth + "#")
    return lines


def _key(name: str, key: Any) -> str:
    says = _cell(key.description or "")
    return f"| `{name}` | {_type(key.annotation, key.metadata)} | {_default(key)} | {says} |"


def _common_keys() -> list[str]:
    rows = [_key(name, key) for name, key in sources.SourceBase.model_fields.items()]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows]


def _formats() -> list[str]:
    """Return the table of label formats."""
    rows = [
        f"| `{name}` | {label_format.title} | {_cell(label_format.files)} |" for name, label_format in FORMATS.items()
    ]
    return ["| type | format | files |", "|---|---|---|", *rows]


def _presets() -> list[str]:
    names = list(PRESETS)
    rows = [f"| key | {' | '.join(f'`{name}`' for name in names)} |", "|---" * (len(names) + 1) + "|"]
    return rows + [
        f"| `{key.name}` | {' | '.join(f'`{_shown(getattr(PRESETS[name], key.name))}`' for name in names)} |"
        for key in dataclasses.fields(Preset)
    ]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _type(annotation: Any, metadata: list[Any]) -> str:
    return _cell(_words(annotation) + _bounds(metadata))


def _words(annotation: Any) -> str:
    """Describe a type in words that need no Python."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is typing.Annotated:
        return _words(arguments[0]) + _bounds(list(arguments[1:]))
    if origin is typing.Literal:
        return " or ".join(f"`{_shown(value)}`" for value in arguments)
    if origin is tuple:
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        return f"list of {_words(arguments[0])}" if many else f"list of {len(arguments)}: {_words(arguments[0])}"
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    if arguments:
        return " or ".join(dict.fromkeys(_words(argument) for argument in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, str(annotation))


def _bounds(metadata: list[Any]) -> str:
    """Describe the limits of a number or length."""
    said = []
    for item in metadata:
        for limit in [item, *getattr(item, "metadata", [])]:
            for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
                if getattr(limit, name, None) not in (None, EXACT):
                    said.append(f"{words} {_number(getattr(limit, name))}")
            if getattr(limit, "multiple_of", None) is not None:
                said.append(f"a multiple of {_number(limit.multiple_of)}")
    return f" ({', '.join(dict.fromkeys(said))})" if said else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _default(key: Any) -> str:
    if key.default is PydanticUndefined:
        return "needed"
    value = key.default
    if isinstance(value, BaseModel):
        return ""
    return f"`{_shown(value)}`"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value) if value != "" else '""'


PAGES = {"commands.md": commands_page, "configuration.md": configuration_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = []
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, "utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"not current: {', '.join(stale)}; run python docs/make_reference.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
