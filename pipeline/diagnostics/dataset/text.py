"""Write a configuration as YAML with a comment beside each key that has one."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ...config.load import PATH_KEYS

COMMENT_COLUMN = 44
WIDTH = 118
SOURCE = "source"
"""Where comments on the keys of a source are found: `source.path`."""


def write(sections: Mapping[str, Any], why: Mapping[str, str], head: list[str], folder: Path) -> str:
    """Return the text of a configuration file.

    Args:
        sections: The configuration; paths are absolute.
        why: A comment for each key, by its dotted place; keys of the source under `source`.
        head: Lines of the comment at its head.
        folder: Folder that the file will lie in; paths below it become relative.
    """
    wrapped = [part for line in head for part in textwrap.wrap(line, WIDTH - 2) or [""]]
    lines = [f"# {line}".rstrip() for line in wrapped]
    lines += _mapping(sections, why, "", 0, folder)
    return "\n".join(lines) + "\n"


def _mapping(values: Mapping[str, Any], why: Mapping[str, str], place: str, depth: int, folder: Path) -> Iterator[str]:
    indent = "  " * depth
    for key, value in values.items():
        key_path = f"{place}.{key}" if place else key
        if key == "sources":
            yield f"{indent}sources:"
            for source in value:
                yield from _source(source, why, depth + 1, folder)
        elif isinstance(value, Mapping) and depth == 0:
            yield f"{indent}{key}:"
            yield from _mapping(value, why, key_path, depth + 1, folder)
        else:
            yield from _line(f"{indent}{key}: {_value(value)}", why.get(key_path), indent)


def _source(source: Mapping[str, Any], why: Mapping[str, str], depth: int, folder: Path) -> Iterator[str]:
    indent = "  " * depth
    for number, (key, value) in enumerate(source.items()):
        start = f"{indent}- " if number == 0 else f"{indent}  "
        shown = _relative(value, folder) if key in PATH_KEYS else value
        yield from _line(f"{start}{key}: {_value(shown)}", why.get(f"{SOURCE}.{key}"), f"{indent}  ")
    for line in why.get(SOURCE, "").splitlines():
        yield f"{indent}  # {line}"


def _line(text: str, why: str | None, indent: str) -> Iterator[str]:
    """Yield a key with its comment beside it, or above it where the line would be long."""
    if why is None:
        yield text
    elif max(len(text) + 1, COMMENT_COLUMN) + len(why) + 2 <= WIDTH:
        yield f"{text.ljust(COMMENT_COLUMN - 1)} # {why}"
    else:
        yield f"{indent}# {why}"
        yield text


def _relative(value: Any, folder: Path) -> Any:
    """Return paths relative to the file that holds them, where that is not a long way round."""
    if isinstance(value, list):
        return [_relative(item, folder) for item in value]
    try:
        short = Path(os.path.relpath(value, folder)).as_posix()
    except ValueError:  # another drive
        return value
    return value if short.startswith("../..") else short


def _value(value: Any) -> str:
    """Return a value in YAML's flow style, on one line."""
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def _is_plain(value: str) -> bool:
    """Return whether a text needs no quotes."""
    try:
        return bool(yaml.safe_load(f"key: {value}") == {"key": value})
    except yaml.YAMLError:
        return False
