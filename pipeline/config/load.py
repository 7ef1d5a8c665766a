"""From a YAML file and ``--set`` overrides to a checked :class:`~satpipe.config.run.RunConfig`.

What is wrong ends in one sentence that names the key, the file and the nearest valid key.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..utils.errors import ConfigError, SatpipeWarning
from ..utils.plural import plural
from .checks import check_references
from .renamed import RENAMED, current_key, current_names, renamed_sentence
from .run import RunConfig

DEFAULT = "demo.yaml"
MAX_VALUES = 100_000
"""Values that a configuration may have, with those that its aliases repeat."""
PATH_KEYS = frozenset({"path", "labels", "groups_csv"})
"""Keys whose strings are paths: relative to the file that holds them, or to the working folder in ``--set``."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader to which a key given twice is an error."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
        if key in keys:
            raise yaml.constructor.ConstructorError(None, None, f"key `{key}` is given twice", key_node.start_mark)
        keys.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str) -> Any:
    """Parse YAML into plain data.

    Raises:
        yaml.YAMLError: If it is not plain YAML, repeats a key, or unfolds through its aliases to more than
            ``MAX_VALUES`` values: a few lines can name billions.
        ValueError: If a value cannot be read.
        RecursionError: If it is nested too deeply.
    """
    loader = _UniqueKeyLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count_values(node: yaml.Node, counts: dict[int, int], above: set[int]) -> int:
    """Count the values that a node unfolds to."""
    if id(node) in above:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias refers to a node that contains it", node.start_mark
        )
    if id(node) not in counts:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [node_of_pair for pair in node.value for node_of_pair in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        above.add(id(node))
        counts[id(node)] = 1 + sum(_count_values(child, counts, above) for child in children)
        above.discard(id(node))
    if counts[id(node)] > MAX_VALUES:
        raise yaml.constructor.ConstructorError(
            None, None, f"its aliases expand to more than {MAX_VALUES:,} values", node.start_mark
        )
    return counts[id(node)]


def configs_folder() -> Path:
    """Return the folder of the configurations that are part of the package."""
    inside = Path(str(resources.files(__name__.partition(".")[0]))) / "configs"
    return inside if inside.is_dir() else Path(__file__).resolve().parents[2] / "configs"


def default_config() -> Path:
    """Return the configuration of ``satpipe run all`` without ``--config``."""
    return configs_folder() / DEFAULT


def find(path: Path) -> Path:
    """Return the file at ``path``, or else the bundled configuration of that name."""
    packaged = configs_folder() / (path.name if path.suffix else f"{path.name}.yaml")
    named = path.parent in (Path(), Path("configs"))
    # A folder may have this name: data often lie in a folder named like their configuration.
    return packaged if named and not path.is_file() and packaged.is_file() else path


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; duplicate keys and anything but plain data are errors.

    Raises:
        ConfigError: If the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        bundled = ", ".join(sorted(file.name for file in configs_folder().glob("*.yaml")))
        raise ConfigError(f"configuration {path} does not exist; bundled ones are {bundled}") from None
    except IsADirectoryError:
        raise ConfigError(f"configuration {path} is a folder; name the YAML file in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}") from None
    try:
        raw = parse_yaml(text)
    except RecursionError:
        raise ConfigError(f"configuration {path} is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"configuration {path} is not valid YAML: {_one_line(error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"configuration {path} must be a mapping of sections, such as `ingest:` and `gan:`")
    return raw


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark is not None else ""
    return f"{getattr(error, 'problem', None) or error}{where}".replace("\n", " ")


def parse_override(text: str) -> tuple[list[str], Any]:
    """Split ``a.b.0.c=value`` into its keys and its value, read as YAML.

    Raises:
        ConfigError: If there is no ``=`` or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, such as --set gan.images=20000")
    try:
        return key.strip().split("."), parse_yaml(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML: {_one_line(error)}") from None


def _absolute(raw: Any, base: Path) -> Any:
    """Resolve every path in the data against ``base``."""
    if isinstance(raw, dict):
        return {
            key: _absolute_path(value, base) if key in PATH_KEYS else _absolute(value, base)
            for key, value in raw.items()
        }
    return [_absolute(item, base) for item in raw] if isinstance(raw, list) else raw


def _absolute_path(value: Any, base: Path) -> Any:
    """Resolve a path, or a list of paths, against ``base``; anything else is left for the check to refuse."""
    if isinstance(value, list):
        return [_absolute_path(item, base) for item in value]
    return str(resolve_path(value, base)) if isinstance(value, str) else value


def resolve_path(value: str, base: Path) -> Path:
    """Resolve a path, as the user wrote it, against ``base``."""
    # Not Path.resolve(): a symbolic link keeps the name that the user gave it.
    return Path(base, os.path.expanduser(value))  # noqa: PTH111 - where there is no such user, ~name is a name


def _apply(raw: dict[str, Any], keys: Sequence[str], value: Any, source: str) -> None:
    section: Any = raw
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        name = ".".join(keys[: depth + 1])
        if isinstance(section, list):
            if not key.isdigit() or int(key) >= len(section):
                raise ConfigError(
                    f"{source}: `{name}` does not exist; the list has {plural(len(section), 'item')}, counted from 0"
                )
            position: Any = int(key)
        elif isinstance(section, dict):
            position = key
        else:
            raise ConfigError(f"{source}: `{'.'.join(keys[:depth])}` is a value and has no key `{key}`")
        if last:
            section[position] = value
        else:
            if isinstance(section, dict) and section.get(position) is None:
                section[position] = {}
            section = section[position]


def load(path: Path | None = None, overrides: Sequence[str] = (), name: str | None = None) -> RunConfig:
    """Load and check a configuration.

    Args:
        path: YAML file, or the name of a bundled one; None takes the default.
        overrides: ``key=value`` texts; keys are dotted, list items by number; later ones win.
        name: Name of the run, instead of the file's ``name`` or its stem.

    Raises:
        ConfigError: One sentence on the first thing that is wrong.
    """
    path = default_config() if path is None else find(path)
    try:
        raw, sentences = current_names(_absolute(read_yaml(path), path.resolve().parent))
    except ConfigError as error:
        raise ConfigError(f"configuration {path}: {error}") from None
    for sentence in sentences:
        warnings.warn(f"configuration {path}: {sentence}", SatpipeWarning, stacklevel=2)
    raw.setdefault("name", path.stem)
    given: list[tuple[list[str], str]] = []
    for text in overrides:
        keys, value = parse_override(text)
        if ".".join(keys) in RENAMED:
            warnings.warn(f"--set {text}: {renamed_sentence('.'.join(keys))}", SatpipeWarning, stacklevel=2)
            keys = current_key(keys)
        if keys[-1] in PATH_KEYS:
            value = _absolute_path(value, Path.cwd())
        _apply(raw, keys, _absolute(value, Path.cwd()), f"--set {text}")
        given.append((keys, f"--set {text}"))
    if name is not None:
        raw["name"] = name
        given.append((["name"], f"--name {name}"))
    return check(raw, f"configuration {path}", given)


def check(raw: Mapping[str, Any], source: str, given: Sequence[tuple[Sequence[str], str]] = ()) -> RunConfig:
    """Check plain data against the models, and against what the stages know.

    Args:
        raw: The configuration as plain data.
        source: Where it comes from, for messages.
        given: Keys that came from elsewhere, and from where.

    Raises:
        ConfigError: One sentence on the first thing that is wrong.
    """
    try:
        config = RunConfig.model_validate(raw)
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply") from None
    except ValidationError as error:
        problem, more = _first(error)
        where = _source_of(_key(problem), source, given)
        raise ConfigError(f"{where}: {_sentence(problem)}{more}") from None
    try:
        check_references(config)
    except ConfigError as error:
        key = str(error).partition(":")[0].split(".")
        raise ConfigError(f"{_source_of(key, source, given)}: {error}") from None
    return config


def _source_of(key: Sequence[str], source: str, given: Sequence[tuple[Sequence[str], str]]) -> str:
    """Return where a key comes from: the last override that set it or a section around it, else the file."""
    return next((text for keys, text in reversed(given) if list(key[: len(keys)]) == list(keys)), source)


def _first(error: ValidationError) -> tuple[Any, str]:
    """Return the problem to report, and how many others there are, in words."""
    problems = error.errors(include_url=False)
    # A list is too short, a section incomplete, because of what is wrong inside it.
    problems = [
        item
        for item in problems
        if not any(len(other["loc"]) > len(item["loc"]) == _shared(item["loc"], other["loc"]) for other in problems)
    ]
    # An unknown key explains more than what is missing because of it.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    return first, f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""


def _shared(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Count the items that two sequences have in common at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


PHRASES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a section with keys",
    "model_type": "must be a section with keys",
    "model_attributes_type": "must be a section with keys",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "needs at least {min_length} items, has {actual_length}",
    "too_long": "takes at most {max_length} items, has {actual_length}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
}
"""What is wrong, for each kind of problem that pydantic finds here; another kind speaks pydantic's words."""


def _key(problem: Any) -> list[str]:
    """Return the key that is wrong; where a source's `type` is, pydantic names the whole source."""
    where = [str(part) for part in _without_tags(problem["loc"])]
    return [*where, "type"] if problem["type"].startswith("union_tag") else where


def _sentence(problem: Any) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    given = context.get("tag", problem.get("input"))
    key = ".".join(_key(problem))
    if kind == "extra_forbidden":
        return f"unknown key `{key}`{_hint(problem['loc'])}"
    if kind == "missing":
        return f"`{key}` is missing"
    if kind == "union_tag_not_found":
        return f"`{key}` is missing; it is one of {', '.join(_source_types())}"
    if kind in PHRASES:
        message = PHRASES[kind].format(**context)
    else:
        message = problem["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
    expected = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags") or ""))
    close = difflib.get_close_matches(given if isinstance(given, str) else _shown(given), expected, 1, 0.4)
    shown = "" if isinstance(given, (dict, list, tuple)) else f", got {_shown(given)}"
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return f"`{key}`: {message}{shown}{hint}" if key else f"{message}{hint}"


def _shown(given: Any) -> str:
    """Format a value for a message; Python writes no number of thousands of digits, as hexadecimal ones can be."""
    try:
        return repr(given)
    except ValueError:
        return "a number with thousands of digits"


def _without_tags(loc: tuple[int | str, ...]) -> Iterator[int | str]:
    """Yield the keys of a location without the names of union members, which pydantic puts behind list positions."""
    previous: int | str | None = None
    for part in loc:
        if not (isinstance(previous, int) and isinstance(part, str) and part in _source_types()):
            yield part
        previous = part


def _source_types() -> dict[str, type[BaseModel]]:
    """Return the model of each type of source."""
    from .sources import SOURCES

    return dict(SOURCES)


def valid_keys(loc: Sequence[int | str]) -> list[str]:
    """Return the keys that are valid in the section at ``loc``, where union members are named by their type."""
    models: list[type[BaseModel]] = [RunConfig]
    for part in loc:
        if isinstance(part, int):
            continue
        if part in _source_types() and len(models) != 1:
            models = [_source_types()[part]]
            continue
        annotations = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = [model for annotation in annotations for model in _models_in(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]


def _hint(loc: tuple[int | str, ...]) -> str:
    keys = valid_keys(loc[:-1])
    close = difflib.get_close_matches(str(loc[-1]), keys, 1, 0.4)
    if close:
        return f"; did you mean `{'.'.join([*map(str, _without_tags(loc[:-1])), close[0]])}`?"
    return f"; valid keys there are {', '.join(keys)}" if keys else ""
